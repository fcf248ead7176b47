"""Rows as CSV, JSON Lines and Parquet: the same rows in any pieces, and no file whose footer does
not fit in memory.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from typing import Any
from unittest import mock

import msgspec
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.db.rows import PageRow
from app.features.files import encoders
from app.features.files.encoders import (
    PIECE_BYTES,
    CsvEncoder,
    Encoder,
    JsonLinesEncoder,
    fits_parquet,
)
from app.features.files.parquet import ParquetEncoder
from app.jobs.stored_rows import named

COLUMNS = ["a", "b", "c"]
LONG = "x" * (PIECE_BYTES // 3)


def pages(rows: Sequence[Any], size: int) -> list[PageRow]:
    return [
        PageRow(1, size, None, json.dumps(rows[start : start + size]))
        for start in range(0, len(rows), size)
    ]


def whole(encoder: Encoder, rows: Sequence[Any], size: int) -> tuple[bytes, list[int]]:
    """Return (the file, the sizes of its pieces)."""
    pieces = [piece for page in pages(rows, size) for piece in encoder.encode(page)] + [
        encoder.finish()
    ]
    return b"".join(pieces), [len(piece) for piece in pieces]


CELLS = [["1", "x", None], ["2", LONG, '"'], ["3", "=1", "-2"]] * 10
OBJECTS = [{"c": '"', "a": "2"}, {"b": LONG}, {}, {"a": 1.50, "other": 1}] * 10
CELLS_READ = [["1", "x", ""], ["2", LONG, '"'], ["3", "=1", "-2"]] * 10
OBJECTS_READ = [["2", "", '"'], ["", LONG, ""], ["", "", ""], ["1.5", "", ""]] * 10


@pytest.mark.parametrize(("rows", "expected"), [(CELLS, CELLS_READ), (OBJECTS, OBJECTS_READ)])
@pytest.mark.parametrize("size", [1, 7, 40])
def test_csv_output_has_each_row_once_in_pieces_of_about_a_megabyte(
    rows: list[Any], expected: list[list[str]], size: int
) -> None:
    data, sizes = whole(CsvEncoder(COLUMNS, False), rows, size)
    csv.field_size_limit(sys.maxsize)
    assert list(csv.reader(io.StringIO(data.decode(), newline=""))) == [COLUMNS, *expected]
    assert max(sizes) < 2 * PIECE_BYTES


@pytest.mark.parametrize("size", [1, 7, 40])
def test_json_lines_and_parquet_output_have_each_row_once(size: int) -> None:
    data, sizes = whole(JsonLinesEncoder(COLUMNS), OBJECTS, size)
    assert [json.loads(line) for line in data.splitlines()] == OBJECTS
    assert max(sizes) < 2 * PIECE_BYTES
    data, _ = whole(ParquetEncoder(COLUMNS), CELLS, size)
    assert [list(row.values()) for row in pq.read_table(io.BytesIO(data)).to_pylist()] == CELLS
    data, _ = whole(ParquetEncoder(COLUMNS), OBJECTS, size)
    assert [
        [cell or "" for cell in row.values()] for row in pq.read_table(io.BytesIO(data)).to_pylist()
    ] == OBJECTS_READ


def test_without_rows_there_is_a_header_and_a_footer() -> None:
    assert whole(CsvEncoder(COLUMNS, True), [], 1)[0] == b"a,b,c\r\n"
    assert whole(CsvEncoder([], True), [], 1)[0] == b""
    assert (
        pq.read_table(io.BytesIO(whole(ParquetEncoder(COLUMNS), [], 1)[0])).column_names == COLUMNS
    )


@pytest.mark.parametrize(
    ("rows", "columns", "size", "fits"),
    [
        (0, 16_384, 0, True),
        (3_000, 16_384, 1 << 20, True),
        (1_000_000, 16_384, 1 << 20, False),
        (100_000_000, 50, 10 << 30, True),
        (100_000_000, 2_000, 100 << 30, False),
    ],
)
def test_a_parquet_file_is_written_if_its_footer_fits_in_memory(
    rows: int, columns: int, size: int, fits: bool
) -> None:
    assert fits_parquet(rows, columns, size) is fits


# ---------------------------------------------------------------------- other paths

SIGNS = "=+-@,;\"'\\ \t\r\n1.e%\uff1d\x01\x02\x03\x04é😀"
TEXT = st.text(st.sampled_from(SIGNS), max_size=5) | st.sampled_from(
    ["", "-1.5", "+3", "-", "=1+1", "C:\\\\tmp", 'say "hi"', "a, b", '","', '"],["', "],[", ","]
)
NAMES = st.lists(TEXT, min_size=1, max_size=4, unique=True)
NUMBERS = ["0", "-1", "1.10", "1e3", "12345678901234567890123", "-0.0"]
JSON_VALUES = st.one_of(
    TEXT.map(msgspec.json.encode),
    st.sampled_from(NUMBERS).map(str.encode),
    st.sampled_from([b"true", b"false", b"null", b"[1, 2]", b'{"a" : "b"}', b"[]", b'"null"']),
)


def stored(rows: Sequence[bytes]) -> PageRow:
    return PageRow(1, len(rows), None, (b"[" + b",".join(rows) + b"]").decode())


def written(encoder: Encoder, pages: Sequence[PageRow]) -> bytes:
    return b"".join(
        [*(piece for page in pages for piece in encoder.encode(page)), encoder.finish()]
    )


def csv_of(rows: Sequence[Sequence[str | None]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows(rows)
    return out.getvalue().encode()


def with_apostrophe(cell: str | None) -> str | None:
    """The rules of docs/formats.md, written a second time."""
    if not cell or cell[0] not in "=+-@\t\r\uff1d\uff0b\uff0d\uff20":
        return cell
    digits = cell.lstrip("+-") if cell[0] in "+-" and cell[1:2] not in ("+", "-") else ""
    digits = digits.removesuffix("%").replace(",", ".", 1)
    try:
        is_number = bool(digits) and "_" not in digits and digits == digits.strip()
        float(digits)
    except ValueError:
        is_number = False
    return cell if is_number else f"'{cell}"


@given(data=st.data(), names=NAMES, guard=st.booleans(), nulls=st.booleans())
@settings(max_examples=600, deadline=None)
def test_cells_are_encoded_as_by_the_csv_and_json_modules(
    data: st.DataObject, names: list[str], guard: bool, nulls: bool
) -> None:
    cells = TEXT | st.none() if nulls else TEXT
    width = st.integers(1, 5) if nulls else st.integers(len(names), len(names))
    row = width.flatmap(lambda size: st.lists(cells, min_size=size, max_size=size))
    groups: list[list[list[str | None]]]
    groups = data.draw(st.lists(st.lists(row, min_size=1, max_size=4), max_size=3))
    pages = [stored([msgspec.json.encode(row) for row in rows]) for rows in groups]
    rows = [row for rows in groups for row in rows]

    table: list[list[str | None]] = [[*names], *rows]
    shown = [[with_apostrophe(cell) if guard else cell for cell in row] for row in table]
    assert written(CsvEncoder(names, guard), pages) == csv_of(shown)
    lines = [msgspec.json.encode(named(names, row)) + b"\n" for row in rows]
    assert written(JsonLinesEncoder(names), pages) == b"".join(lines)


@given(data=st.data(), names=NAMES, guard=st.booleans(), most=st.sampled_from([0, 256]))
@settings(max_examples=600, deadline=None)
def test_objects_are_encoded_as_cells_that_keep_their_digits(
    data: st.DataObject, names: list[str], guard: bool, most: int
) -> None:
    keys = st.sampled_from([*names, "other"])
    row = st.dictionaries(keys, JSON_VALUES, max_size=4)
    groups = data.draw(st.lists(st.lists(row, min_size=1, max_size=4), max_size=3))
    pages = [
        stored(
            [
                b"{"
                + b" , ".join(msgspec.json.encode(k) + b" : " + v for k, v in row.items())
                + b"}"
                for row in rows
            ]
        )
        for rows in groups
    ]

    def cell(value: bytes | None) -> str | None:
        if value is None or value == b"null":
            return None
        text: str = json.loads(value) if value.startswith(b'"') else value.decode()
        return with_apostrophe(text) if guard else text

    header = [with_apostrophe(name) if guard else name for name in names]
    rows = [[cell(row.get(name)) for name in names] for rows in groups for row in rows]
    with mock.patch.object(encoders, "MAX_SHAPE_COLUMNS", most):
        encoders._shape_of.cache_clear()
        assert written(CsvEncoder(names, guard), pages) == csv_of([header, *rows])
