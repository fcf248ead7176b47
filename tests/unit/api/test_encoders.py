"""Rows as CSV, JSON Lines and Parquet: the same rows in whatever pieces, and no file whose end
cannot be held.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from typing import Any

import pyarrow.parquet as pq
import pytest

from app.db.rows import PageRow
from app.features.files.encoders import (
    PIECE_BYTES,
    CsvEncoder,
    Encoder,
    JsonLinesEncoder,
    fits_parquet,
)
from app.features.files.parquet import ParquetEncoder

COLUMNS = ["a", "b", "c"]
LONG = "x" * (PIECE_BYTES // 3)


def pages(rows: Sequence[Any], size: int) -> list[PageRow]:
    return [
        PageRow(1, size, None, json.dumps(rows[start : start + size]))
        for start in range(0, len(rows), size)
    ]


def whole(encoder: Encoder, rows: Sequence[Any], size: int) -> tuple[bytes, list[int]]:
    """(the file, the sizes of its pieces)."""
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
def test_csv_has_each_row_once_in_pieces_of_about_a_megabyte(
    rows: list[Any], expected: list[list[str]], size: int
) -> None:
    data, sizes = whole(CsvEncoder(COLUMNS, False), rows, size)
    csv.field_size_limit(sys.maxsize)
    assert list(csv.reader(io.StringIO(data.decode(), newline=""))) == [COLUMNS, *expected]
    assert max(sizes) < 2 * PIECE_BYTES


@pytest.mark.parametrize("size", [1, 7, 40])
def test_json_lines_and_parquet_have_each_row_once(size: int) -> None:
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
def test_a_parquet_file_is_made_if_its_footer_can_be_held(
    rows: int, columns: int, size: int, fits: bool
) -> None:
    assert fits_parquet(rows, columns, size) is fits
