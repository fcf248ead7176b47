"""Stored rows as CSV and JSON Lines, in pieces of about a megabyte. (Parquet is in parquet.py.)"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

from app.db.rows import PageRow
from app.jobs.formulas import guarded
from app.jobs.stored_rows import StoredRow, named

PIECE_BYTES = 1 << 20
GROUP_BYTES, GROUP_CELLS = 8 << 20, 4_000_000
"""Of a row group of a Parquet file, at about which it ends."""
MAX_GROUP_COLUMNS = 300_000
"""Columns of all row groups of a Parquet file: its footer, which is written last, has some hundred
bytes for each.
"""


def fits_parquet(rows: int, columns: int, size: int) -> bool:
    """Whether the footer of a Parquet file with so many rows, columns and bytes can be held."""
    groups = 1 + rows * columns // GROUP_CELLS + size // GROUP_BYTES
    return groups * columns <= MAX_GROUP_COLUMNS


class Encoder(Protocol):
    """Of one file. Called from threads, one call at a time."""

    def encode(self, page: PageRow) -> Iterator[bytes]:
        """The rows of a stored page, in pieces."""

    def finish(self) -> bytes:
        """What is left when all rows are encoded: without it the file is not whole."""


class CsvEncoder:
    def __init__(self, columns: Sequence[str], formula_guard: bool) -> None:
        self._columns = columns
        self._places = {name: place for place, name in enumerate(columns)}
        self._shown = guarded if formula_guard else _unchanged
        self._out = io.StringIO()
        self._writer = csv.writer(self._out, lineterminator="\r\n")
        if columns:
            self._writer.writerow([self._shown(name) for name in columns])

    def encode(self, page: PageRow) -> Iterator[bytes]:
        for row in msgspec.json.decode(page.data, type=list[StoredRow]):
            self._writer.writerow(self._cells(row))
            if self._out.tell() >= PIECE_BYTES:
                yield self._take()

    def finish(self) -> bytes:
        return self._take()

    def _cells(self, row: StoredRow) -> list[str | None]:
        if isinstance(row, list):
            return [self._shown(cell) for cell in row]
        cells: list[str | None] = [None] * len(self._columns)
        for name, value in row.items():  # of all the columns, a row may have few
            place = self._places.get(name)
            if place is not None:
                cells[place] = self._shown(cell_text(value))
        return cells

    def _take(self) -> bytes:
        data = self._out.getvalue().encode()
        self._out.seek(0)
        self._out.truncate()
        return data


def _unchanged(cell: str | None) -> str | None:
    return cell


def cell_text(raw: msgspec.Raw | None) -> str | None:
    """A JSON value as a cell: strings as their text, null as empty, anything else as its JSON."""
    if raw is None:
        return None
    text = bytes(raw).strip()
    if text.startswith(b'"'):
        return msgspec.json.decode(text, type=str)
    return None if text == b"null" else text.decode()


class JsonLinesEncoder:
    """Objects by column; those that came as JSON exactly as they came."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns

    def encode(self, page: PageRow) -> Iterator[bytes]:
        lines: list[bytes] = []
        size = 0
        for raw in msgspec.json.decode(page.data, type=list[msgspec.Raw]):
            lines.append(self._line(bytes(raw)))
            size += len(lines[-1])
            if size >= PIECE_BYTES:
                yield b"".join(lines)
                lines, size = [], 0
        yield b"".join(lines)

    def _line(self, data: bytes) -> bytes:
        if data.startswith(b"{"):
            # never inside a JSON string
            return data.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n"
        return msgspec.json.encode(named(self._columns, msgspec.json.decode(data))) + b"\n"

    def finish(self) -> bytes:
        return b""
