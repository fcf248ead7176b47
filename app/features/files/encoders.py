"""Encoders of stored rows as CSV and JSON Lines, in pieces of about a megabyte. (Parquet is in
parquet.py.)
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from operator import attrgetter
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from app.db.rows import PageRow
from app.formats.stored_pages import (
    BACKSLASH_MARK,
    CELL_MARK,
    QUOTE_MARK,
    ROW_MARK,
    marked_cells,
)
from app.jobs.formulas import FORMULA, GUARD, guarded, is_formula
from app.jobs.stored_rows import named

PIECE_BYTES = 1 << 20
GROUP_BYTES, GROUP_CELLS = 4 << 20, 4_000_000
"""Approximate size of a row group of a Parquet file."""
MAX_GROUP_COLUMNS = 300_000
"""Limit for the columns of all row groups of a Parquet file: its footer, which is written last,
takes some hundred bytes for each.
"""

MAX_SHAPE_COLUMNS = 256
"""A table with more columns is encoded row by row, since each row has few of them."""
QUOTE, COMMA = 34, 44
_IN_TEXT_OR_NESTED = re.compile(rb"[^0-9A-Za-z.,+-]")
_MAY_BE_FORMULA = np.zeros(256, bool)
_MAY_BE_FORMULA[list(b"=+-@\t\r\xef")] = True
"""By the first byte in UTF-8: ï begins the full-width signs."""

Places = npt.NDArray[np.int64]


def fits_parquet(rows: int, columns: int, size: int) -> bool:
    """Return whether the footer of a Parquet file with this many rows, columns and bytes fits into
    memory.
    """
    groups = 1 + rows * columns // GROUP_CELLS + size // GROUP_BYTES
    return groups * columns <= MAX_GROUP_COLUMNS


class Encoder(Protocol):
    """Encoder of one file. Called from threads, one call at a time."""

    def encode(self, page: PageRow) -> Iterator[bytes]:
        """Yield the rows of a stored page in pieces."""

    def finish(self) -> bytes:
        """Return the end of the file, without which it is incomplete."""


class _TextEncoder:
    def __init__(self) -> None:
        self._done = bytearray()

    def _full_pieces(self) -> Iterator[bytes]:
        while len(self._done) >= PIECE_BYTES:
            yield bytes(self._done[:PIECE_BYTES])
            del self._done[:PIECE_BYTES]

    def finish(self) -> bytes:
        return bytes(self._done)


class CsvEncoder(_TextEncoder):
    def __init__(self, columns: Sequence[str], formula_guard: bool) -> None:
        super().__init__()
        self._columns = columns
        self._guards = formula_guard
        self._shape = _shape_of(tuple(columns))
        self._text = io.StringIO()
        self._writer = csv.writer(self._text, lineterminator="\r\n")
        if columns:
            self._write([self._guarded(list(columns))])

    def encode(self, page: PageRow) -> Iterator[bytes]:
        data = page.data.encode()
        lines = csv_lines(data, guard=self._guards)
        if lines is not None:
            self._done += lines
        elif data.startswith(b"[{"):
            yield from self._encode_objects(data)
        else:
            rows = msgspec.json.decode(data, type=list[list[str | None]])
            if self._guards and _may_hold_formulas(chain.from_iterable(rows)):
                rows = [[guarded(cell) for cell in row] for row in rows]
            self._write(rows)
        yield from self._full_pieces()

    def _encode_objects(self, data: bytes) -> Iterator[bytes]:
        if self._shape is not None:
            rows = msgspec.json.decode(data, type=list[self._shape])  # type: ignore[name-defined]
            names = self._shape.__struct_fields__
            columns = [column_cells(list(map(attrgetter(name), rows))) for name in names]
            self._write(zip(*map(self._guarded, columns), strict=True))
            return
        places = {name: position for position, name in enumerate(self._columns)}
        for row in msgspec.json.decode(data, type=list[dict[str, msgspec.Raw]]):
            cells: list[str | None] = [None] * len(places)
            for name, value in row.items():  # a row may have few of all the columns
                position = places.get(name)
                if position is not None:
                    cells[position] = cell_text(value)
            self._write([self._guarded(cells)])
            yield from self._full_pieces()

    def _write(self, rows: Iterable[Sequence[str | None]]) -> None:
        self._writer.writerows(rows)
        self._done += self._text.getvalue().encode()
        self._text.seek(0)
        self._text.truncate()

    def _guarded(self, cells: list[str | None]) -> list[str | None]:
        if self._guards and _may_hold_formulas(cells):
            return [guarded(cell) for cell in cells]
        return cells


def csv_lines(page: bytes, *, guard: bool) -> bytes | None:
    """Return the rows of a stored page as the csv module writes them. None if it holds anything but
    text, or text with line ends or control characters. With `guard`, formulas get an apostrophe.
    """
    cells = marked_cells(page)
    if cells is None or b"\\" in cells:
        return None
    if not cells or cells[:1] == ROW_MARK or cells[-1:] == ROW_MARK or ROW_MARK * 2 in cells:
        return None  # a row with one empty cell, which is written in quotes
    if guard:
        cells = _guarded(cells)
    codes = np.frombuffer(cells, np.uint8)
    in_quotes = np.flatnonzero((codes == COMMA) | (codes == QUOTE_MARK[0]))
    if len(in_quotes):
        starts, ends = _cells_around(codes, in_quotes)
        cells = np.insert(codes, np.concatenate((starts, ends)), QUOTE).tobytes()
    cells = cells.replace(QUOTE_MARK, b'""').replace(BACKSLASH_MARK, b"\\")
    return cells.replace(CELL_MARK, b",").replace(ROW_MARK, b"\r\n") + b"\r\n"


def _guarded(cells: bytes) -> bytes:
    codes = np.frombuffer(cells, np.uint8)
    starts = np.append(0, np.flatnonzero(_is_mark(codes)) + 1)
    starts = starts[starts < len(codes)]
    suspects = starts[_MAY_BE_FORMULA[codes[starts]]]
    if not len(suspects):
        return cells
    _, ends = _cells_around(codes, suspects)
    formulas = [
        start
        for start, end in zip(suspects.tolist(), ends.tolist(), strict=True)
        if is_formula(cells[start:end].decode())
    ]
    return np.insert(codes, formulas, ord(GUARD)).tobytes() if formulas else cells


def _cells_around(codes: npt.NDArray[np.uint8], places: Places) -> tuple[Places, Places]:
    """Return starts and ends of the cells that contain these positions, each once."""
    marks = np.flatnonzero(_is_mark(codes))
    cells = np.unique(np.searchsorted(marks, places))
    starts, ends = np.append(0, marks + 1), np.append(marks, len(codes))
    return starts[cells], ends[cells]


def _is_mark(codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    marks: npt.NDArray[np.bool_] = (codes == CELL_MARK[0]) | (codes == ROW_MARK[0])
    return marks


@lru_cache(maxsize=16)
def _shape_of(columns: tuple[str, ...]) -> Any:
    """Return a struct of these columns with raw JSON values; None if it does not pay off."""
    if not 0 < len(columns) <= MAX_SHAPE_COLUMNS:
        return None
    fields = {f"column_{position}": name for position, name in enumerate(columns)}
    nothing = msgspec.Raw(b"null")
    try:
        return msgspec.defstruct(
            "Shape", [(name, msgspec.Raw, nothing) for name in fields], rename=fields, gc=False
        )
    except ValueError:  # a name that must be escaped in JSON
        return None


def column_cells(values: Sequence[msgspec.Raw]) -> list[str | None]:
    """Return `cell_text` of each value; in one call if all are text, or none is text or nested."""
    joined = b",".join(values)
    if b'"' in joined:
        try:
            return msgspec.json.decode(b"[" + joined + b"]", type=list[str | None])
        except msgspec.ValidationError:
            pass
    elif not _IN_TEXT_OR_NESTED.search(joined):
        cells = joined.decode().split(",")
        return [None if cell == "null" else cell for cell in cells]
    return [cell_text(value) for value in values]


def _may_hold_formulas(cells: Iterable[str | None]) -> bool:
    """Return True also for negative numbers."""
    return any(map(FORMULA.match, {cell[:1] for cell in cells if cell}))


def cell_text(raw: msgspec.Raw | None) -> str | None:
    """Return a JSON value as a cell: strings as their text, null as empty, anything else as its
    JSON.
    """
    if raw is None:
        return None
    text = bytes(raw).strip()
    if text.startswith(b'"'):
        return msgspec.json.decode(text, type=str)
    return None if text == b"null" else text.decode()


class JsonLinesEncoder(_TextEncoder):
    """Encodes objects by column; JSON values stay exactly as they were uploaded."""

    def __init__(self, columns: Sequence[str]) -> None:
        super().__init__()
        self._columns = columns
        names = [msgspec.json.encode(name) for name in columns]
        self._before_cells = [b'","' + name[1:] + b':"' for name in names]
        if names:
            self._before_cells[0] = b'"}\n{' + names[0] + b':"'

    def encode(self, page: PageRow) -> Iterator[bytes]:
        data = page.data.encode()
        if data.startswith(b"[{"):
            # A line end never occurs inside a JSON string.
            data = data.replace(b"\r", b" ").replace(b"\n", b" ")
            self._done += b"\n".join(msgspec.json.decode(data, type=list[msgspec.Raw])) + b"\n"
        elif (lines := self._lines_of_cells(data)) is not None:
            self._done += lines
        else:
            for row in msgspec.json.decode(data):
                self._done += msgspec.json.encode(named(self._columns, row)) + b"\n"
        yield from self._full_pieces()

    def _lines_of_cells(self, page: bytes) -> bytes | None:
        """Return None if the page holds anything but text, or a row without one cell for each
        column.
        """
        cells = marked_cells(page)
        if cells is None or not self._columns:
            return None
        codes = np.frombuffer(cells, np.uint8)
        ends_row = codes[_is_mark(codes)] == ROW_MARK[0]
        width = len(self._columns)
        if (len(ends_row) + 1) % width or ends_row.sum() + 1 != (len(ends_row) + 1) // width:
            return None
        if not ends_row[width - 1 :: width].all():
            return None
        texts = cells.replace(ROW_MARK, CELL_MARK).split(CELL_MARK)
        pieces = [b""] * (2 * len(texts))
        pieces[0::2] = self._before_cells * (len(texts) // width)
        pieces[1::2] = texts
        lines = b"".join(pieces)[len(b'"}\n') :] + b'"}\n'
        return lines.replace(BACKSLASH_MARK, b"\\\\").replace(QUOTE_MARK, b'\\"')
