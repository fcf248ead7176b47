"""Rows of text, held as the bytes of all of their cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import msgspec
import numpy as np

from app.formats.base import (
    CELL_END,
    MASK,
    NULL_CELL,
    Form,
    Held,
    Offsets,
    Page,
    gaps,
    page_cuts,
    row_hash_sum,
)
from app.formats.blocks import places_of

CELL_BYTE, NULL_BYTE = (mark.encode("utf-8", "surrogateescape") for mark in (CELL_END, NULL_CELL))
ROW_BYTE = b"\xfd"
"""Byte behind each row. Like the others, UTF-8 text never has it."""

LINE_DELIMITER = b"\x1f"
UNFIT_FOR_LINES = (b"\n", b"\r", LINE_DELIMITER)
"""Text that makes quotes necessary in a cell."""
AS_LINES = bytes.maketrans(CELL_BYTE + ROW_BYTE, LINE_DELIMITER + b"\n")

HASHED_AT_ONCE = 2_000
SHORT_ESCAPES = {
    b"\\": rb"\\",
    b'"': rb"\"",
    b"\b": rb"\b",
    b"\t": rb"\t",
    b"\n": rb"\n",
    b"\f": rb"\f",
    b"\r": rb"\r",
}


@dataclass(frozen=True, slots=True)
class TextRows:
    """Rows as bytes: cells in UTF-8, CELL_BYTE between them and ROW_BYTE behind each row, NULL_BYTE
    for a cell that is missing. Without its ROW_BYTE a row is the bytes that are hashed.
    """

    columns: Sequence[str]
    numbers: Sequence[int]
    data: bytes
    ends: Offsets
    """Places behind each row."""
    is_ragged: bool = False
    """Whether some rows have more cells than there are columns, or missing ones."""
    are_objects: ClassVar[bool] = False

    @classmethod
    def of(
        cls, columns: Sequence[str], numbers: Sequence[int], data: bytes, *, is_ragged: bool = False
    ) -> TextRows:
        return cls(columns, numbers, data, row_ends_in(data), is_ragged)

    def __len__(self) -> int:
        return len(self.ends)

    def pages(self) -> Iterator[Page]:
        data, ends = self.data, self.ends
        escapes = _escapes(data)
        if escapes:
            for character, escaped in escapes:
                data = data.replace(character, escaped)
            ends = row_ends_in(data)
        has_nulls = NULL_BYTE in data
        start = 0
        for first, behind in page_cuts(ends):
            end = int(ends[behind - 1])
            rows = data[start : end - 1].replace(CELL_BYTE, b'","').replace(ROW_BYTE, b'"],["')
            page = b'[["' + rows + b'"]]'
            if has_nulls:
                page = page.replace(b'"' + NULL_BYTE + b'"', b"null")
            numbers = self.numbers[first:behind]
            yield Page(numbers[0], len(numbers), gaps(numbers), page)
            start = end

    def records(self) -> list[list[str | None]]:
        rows: list[list[str | None]] = []
        for page in self.pages():
            rows += msgspec.json.decode(page.data, type=list[list[str | None]])
        return rows

    def undecoded(self) -> list[list[str | None]]:
        return self.records()

    def held(self, start: int, end: int) -> Held:
        data = self.data
        if end - start < len(self):
            data = data[self._start(start) : self._start(end)]
        numbers = self.numbers[start:end]
        if self.is_ragged or not numbers:
            cells = self.select(range(start, end)).records()
            return Held(Form.CELLS, (cells, self.columns, list(numbers)))
        is_quoted = len(self.columns) == 1 or any(mark in data for mark in UNFIT_FOR_LINES)
        if is_quoted:
            data = data.replace(b'"', b'""')
            data = data.replace(CELL_BYTE, b'","').replace(ROW_BYTE, b'"\n"')
            data = b'"' + data[:-1]
        else:
            data = data.translate(AS_LINES)
        delimiter = b"," if is_quoted else LINE_DELIMITER
        return Held(Form.LINES, (data, delimiter, is_quoted, self.columns, numbers))

    def select(self, keep: Sequence[int]) -> TextRows:
        if isinstance(keep, range) and keep.step == 1:
            data = self.data[self._start(keep.start) : self._start(keep.stop)]
            numbers = self.numbers[keep.start : keep.stop]
        else:
            data = b"".join([self.data[self._start(i) : self._start(i + 1)] for i in keep])
            numbers = [self.numbers[i] for i in keep]
        return TextRows.of(self.columns, numbers, data, is_ragged=self.is_ragged)

    def _start(self, row: int) -> int:
        return int(self.ends[row - 1]) if row else 0

    def hash_sum(self) -> int:
        """Return the sum of the hashes, computed in pieces: one call over the whole chunk would
        hold the interpreter lock, and so the event loop, for too long.
        """
        total, start = 0, 0
        for first in range(0, len(self.ends), HASHED_AT_ONCE):
            behind = min(first + HASHED_AT_ONCE, len(self.ends))
            end = int(self.ends[behind - 1])
            rows = self.data[start : end - 1].split(ROW_BYTE)
            total += row_hash_sum(rows, self.numbers[first:behind])
            start = end
        return total & MASK


def _escapes(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return what JSON escapes in these bytes, and how; the backslash first."""
    escapes = [
        (character, SHORT_ESCAPES[character]) for character in (b"\\", b'"') if character in data
    ]
    codes = np.frombuffer(data, np.uint8)
    controls = codes[codes < 32]
    for code in np.unique(controls).tolist():
        character = bytes([code])
        escapes.append((character, SHORT_ESCAPES.get(character, b"\\u%04x" % code)))
    return escapes


def row_ends_in(data: bytes) -> Offsets:
    """Return the places behind each row."""
    return places_of(ROW_BYTE[0], np.frombuffer(data, np.uint8)) + 1
