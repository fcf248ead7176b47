"""Rows as CSV, JSON Lines, Parquet, Arrow and workbooks: the same rows in any pieces, and no file
whose end does not fit in memory.
"""

from __future__ import annotations

import csv
import io
import json
import sys
import zipfile
from collections.abc import Sequence
from typing import Any
from unittest import mock

import msgspec
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.db.rows import PageRow
from app.decoders.spreadsheets.book import Sheet, open_book
from app.features.files import encoders
from app.features.files.encoders import (
    PIECE_BYTES,
    CsvEncoder,
    Encoder,
    JsonLinesEncoder,
    fits_parquet,
)
from app.features.files.parquet import ArrowEncoder, ParquetEncoder
from app.features.files.xlsx import XlsxEncoder, longest_cell
from app.jobs.formulas import unguarded
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


@pytest.mark.parametrize("size", [1, 40])
def test_arrow_has_each_row_once_and_an_end(size: int) -> None:
    data, _ = whole(ArrowEncoder(COLUMNS), CELLS, size)
    read = pa.ipc.open_stream(data).read_all()
    assert [list(row.values()) for row in read.to_pylist()] == CELLS
    assert data.endswith(b"\xff\xff\xff\xff\0\0\0\0")
    assert pa.ipc.open_stream(whole(ArrowEncoder(COLUMNS), [], 1)[0]).read_all().num_rows == 0


# ---------------------------------------------------------------------- workbooks


def sheet(columns: list[str], rows: Sequence[Any], *, guard: bool = False) -> list[list[Any]]:
    """The cells of a workbook, as openpyxl reads them."""
    encoder = XlsxEncoder(columns, guard, sheet="Rows & <more>", size=0)
    data, sizes = whole(encoder, rows, 7)
    assert max(sizes) < 2 * PIECE_BYTES
    book = openpyxl.load_workbook(io.BytesIO(data), read_only=True)
    assert book.sheetnames == ["Rows & <more>"]
    return [list(row) for row in book.active.iter_rows(values_only=True)]


@pytest.mark.parametrize("size", [0, 1 << 31])
def test_a_workbook_is_an_archive_with_its_index(size: int) -> None:
    encoder = XlsxEncoder(COLUMNS, True, sheet="Results", size=size)
    data, _ = whole(encoder, CELLS, 7)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert (archive.getinfo("xl/worksheets/sheet1.xml").extract_version > 20) is bool(size)
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(data[:-30]))


def test_a_workbook_keeps_text_as_text_and_json_as_it_is() -> None:
    assert sheet(["a", "b"], [["007", "1.0"], [None, ""], ["", "TRUE"], ["x", "y", "more"]]) == [
        ["a", "b"],
        ["007", "1.0"],
        [],
        [None, "TRUE"],
        ["x", "y", "more"],
    ]
    rows = [
        {"a": 12, "b": True, "c": "12"},
        {"c": -1.5e-7, "other": 1},
        {"a": 2**60, "b": [1, "x"], "c": None},
        {"a": 123456789012345, "b": 0.1234567890123456, "c": False},
    ]
    assert sheet(COLUMNS, rows) == [
        COLUMNS,
        [12, True, "12"],
        [None, None, -1.5e-7],
        [str(2**60), '[1, "x"]'],
        [123456789012345, "0.1234567890123456", False],
    ]


def test_a_workbook_keeps_characters_that_xml_has_not() -> None:
    odd = ["a<&>\"'b", " x ", "a\nb\tc", "\x01\x1f", "_x0041_", "\ufffe", "é😀"]
    encoder = XlsxEncoder(["c"], False, sheet="s", size=0)
    data, _ = whole(encoder, [[text] for text in odd], 40)
    sheet_of_us = Sheet(open_book(io.BytesIO(data))[1], "s")
    read = csv.reader(io.StringIO("".join(sheet_of_us.pieces()), newline=""))
    assert [row[0] for row in read] == ["c", *odd]
    assert [row[0] for row in sheet(["c"], [[odd[0]], [odd[1]], [odd[6]]])[1:]] == [
        odd[0],
        odd[1],
        odd[6],
    ]


def test_formulas_have_an_apostrophe_that_can_be_taken_back() -> None:
    texts = ["=1+1", "'=1", "'x", "-5", "+A1", "@x", "plain"]
    guarded = [row[0] for row in sheet(["c"], [[text] for text in texts], guard=True)[1:]]
    assert guarded == ["'=1+1", "''=1", "'x", "-5", "'+A1", "'@x", "plain"]
    assert [unguarded(text) for text in guarded] == texts


def test_the_longest_cell_is_found_as_a_sheet_counts_it() -> None:
    (page,) = pages([["x" * 32_767, "y"], ["z"]], 2)
    assert longest_cell(page) == 0
    (page,) = pages([["x" * 32_768], {"a": "😀" * 16_384}], 2)
    assert longest_cell(page) == 32_768
    (page,) = pages([{"a": "=" + "x" * 32_766}], 1)
    assert longest_cell(page) == 32_768


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
@settings(max_examples=600)
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
@settings(max_examples=600)
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
