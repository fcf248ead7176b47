"""Files made by others, with their truth: csv-spectrum and JSONTestSuite."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.formats.csv import CsvDialect
from app.formats.detect import Declared
from tests.formats.reading import Setting, detected, read_all

SPECTRUM = [
    "comma_in_quotes", "empty", "empty_crlf", "escaped_quotes", "json", "location_coordinates", "newlines",
    "newlines_crlf", "quotes_and_newlines", "simple", "simple_crlf", "utf8",
]  # fmt: skip
TEXTS = {"y": 95, "n": 188, "i": 35}


@pytest.mark.parametrize("name", SPECTRUM)
def test_csv_spectrum_gives_exactly_its_expected_rows(corpora: Path, name: str) -> None:
    folder = corpora / "csv-spectrum"
    assert sorted(path.stem for path in (folder / "csvs").iterdir()) == SPECTRUM
    data = (folder / "csvs" / f"{name}.csv").read_bytes()
    truth = json.loads((folder / "json" / f"{name}.json").read_text("utf-8"))

    dialect = detected(data)

    assert isinstance(dialect, CsvDialect)
    if name == "location_coordinates":
        # An unquoted cell holds quotes, and the truth, one object in place of a list, has another
        # phone number than the file. Such a row is rejected; only where the user asks to keep it as
        # it is can it be compared.
        rows, rejects = read_all(data, dialect)
        assert (rows, [reject.code for reject in rejects]) == ([], ["csv_bad_quote"])
        truth = [truth | {"Contact Phone Number": "2095257564"}]
        dialect = detected(data, Declared(on_bad_row="keep"))
        assert isinstance(dialect, CsvDialect)
    for chunk_rows in (1, 2, 1000):
        rows, rejects = read_all(data, dialect, Setting(chunk_rows))
        assert [dict(zip(dialect.columns, cells, strict=True)) for _, cells in rows] == truth
        assert rejects == []


def embedded(text: bytes) -> list[tuple[bytes, Declared]]:
    """The text as the value of a field: in an array of two records, and in JSON Lines if it has no
    line end.
    """
    first, second = b'{"id":1,"v":' + text + b"}", b'{"id":2,"v":0}'
    files = [(b"[" + first + b"," + second + b"]", Declared("json"))]
    if b"\n" not in text:
        files.append((first + b"\n" + second + b"\n", Declared("jsonl")))
    return files


def read_embedded(text: bytes) -> list[dict[int, bytes]]:
    """Of each file the rows that came through, by row number, the same for every chunk size."""
    found = []
    for data, declared in embedded(text):
        dialect = detected(data, declared)
        rows, rejects = read_all(data, dialect)
        assert (rows, rejects) == read_all(data, dialect, Setting(chunk_rows=1, window_bytes=7))
        found.append(dict(rows))
    return found


def texts(corpora: Path, verdict: str) -> list[tuple[str, bytes]]:
    paths = sorted((corpora / "json-test-suite" / "test_parsing").glob(f"{verdict}_*.json"))
    assert len(paths) == TEXTS[verdict]
    return [(path.stem, path.read_bytes()) for path in paths]


def test_every_valid_json_text_is_loaded_unchanged(corpora: Path) -> None:
    for name, text in texts(corpora, "y"):
        first, second = b'{"id":1,"v":' + text + b"}", b'{"id":2,"v":0}'
        for rows in read_embedded(text):
            assert rows == {1: first, 2: second}, name


def test_every_invalid_json_text_is_refused(corpora: Path) -> None:
    for name, text in texts(corpora, "n"):
        for rows in read_embedded(text):
            assert all(b'"id":1' not in row for row in rows.values()), name


def test_no_invalid_json_text_affects_its_neighbour_in_json_lines(corpora: Path) -> None:
    for name, text in texts(corpora, "n"):
        if b"\n" not in text:
            assert read_embedded(text)[-1] == {2: b'{"id":2,"v":0}'}, name


def test_every_debatable_json_text_is_either_a_row_or_a_reject(corpora: Path) -> None:
    for name, text in texts(corpora, "i"):
        for rows in read_embedded(text):
            assert rows.get(1, b'{"id":1,"v":' + text + b"}") == b'{"id":1,"v":' + text + b"}", name
