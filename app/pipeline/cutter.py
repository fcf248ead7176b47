"""Cutter: cuts a file into spans of whole records. Pure except for reading: no database and no
task, so tests can try every split point.

The spans tile the data: each span begins where the last one ends, the first at the first data byte,
the last at the end.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np

from app.formats.base import MAX_CHUNK_BYTES, MAX_ROW_BYTES, Format, Offsets, Span

WINDOW_BYTES = 4 << 20
NO_ENDS: Offsets = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Position:
    """How far a file has been cut: a record boundary outside any quotes, so no other state is
    needed.
    """

    offset: int
    rows: int
    """Number of records before `offset`."""
    line: int
    """Number of the line that begins at `offset`."""
    crc32: int = 0
    """Checksum of all bytes of the file before `offset`."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one chunk in rows and bytes, whichever comes first. A record over `row_bytes` is a
    chunk alone and is not read.
    """

    chunk_rows: int
    chunk_bytes: int = MAX_CHUNK_BYTES
    row_bytes: int = MAX_ROW_BYTES


@dataclass(frozen=True, slots=True)
class Cut:
    spans: list[Span]
    position: Position
    done: bool


def cut(
    file: BinaryIO,
    form: Format,
    start: Position,
    *,
    size: int,
    limits: Limits,
    budget: int,
    window_bytes: int = WINDOW_BYTES,
) -> Cut:
    """Return spans from `start` on, until at least `budget` bytes are cut or the data ends, which
    it does at `size`: the size of the file, or less if something else follows.
    """
    spans: list[Span] = []
    position, window, ends, wanted, crc = start, b"", NO_ENDS, window_bytes, start.crc32
    file.seek(start.offset)
    while True:
        left = size - position.offset - len(window)
        block = file.read(min(wanted - len(window), left)) if left > 0 else b""
        window += block
        eof = position.offset + len(window) >= size or not block
        seen = _last(ends)
        ends = np.concatenate((ends, form.scan(window[seen:], eof=eof) + seen))
        too_long = not eof and len(window) - _last(ends) > limits.row_bytes
        if too_long and not len(ends):
            spans.append(_skip_record(file, form, position, size, limits.row_bytes))
            position = _behind(spans[-1], form, file, crc)
            window, ends, wanted = b"", NO_ENDS, window_bytes
            crc = position.crc32
            file.seek(position.offset)
            if position.offset >= size:
                return Cut(spans, position, True)
            continue
        body = ends[: max(0, len(ends) - form.skip_footer)]
        stops = _stops(body, limits, everything=eof or too_long)
        if eof and stops and not form.skip_footer:
            ends[-1] = len(window)  # blank lines at the end of the file belong to its last chunk
        taken = 0
        for first, last in stops:
            piece = window[taken : int(ends[last])]
            start_at = position.offset
            spans.append(
                Span(
                    start_at,
                    start_at + len(piece),
                    position.rows + 1,
                    last + 1 - first,
                    position.line,
                    zlib.crc32(piece),
                )
            )
            position = Position(
                start_at + len(piece),
                position.rows + last + 1 - first,
                position.line + form.count_lines(piece),
            )
            taken += len(piece)
        crc = zlib.crc32(window if eof else window[:taken], crc)
        window, ends = window[taken:], ends[ends > taken] - taken
        if eof:
            return Cut(spans, Position(size, position.rows, position.line, crc), True)
        if position.offset - start.offset >= budget:
            return Cut(spans, replace(position, crc32=crc), False)
        # Ask for more than there is, or the file would seem to end.
        wanted = max(window_bytes, 2 * len(window))


def _last(ends: Offsets) -> int:
    return int(ends[-1]) if len(ends) else 0


def _stops(ends: Offsets, limits: Limits, *, everything: bool) -> list[tuple[int, int]]:
    """Return the (first, last) record of each chunk. Unless `everything`, a chunk that might still
    grow is left for the next window.
    """
    stops: list[tuple[int, int]] = []
    first, start = 0, 0
    while first < len(ends):
        fitting = int(np.searchsorted(ends, start + limits.chunk_bytes, "right"))
        following = max(first + 1, min(first + limits.chunk_rows, fitting, len(ends)))
        if following == len(ends) and not everything:
            break
        stops.append((first, following - 1))
        first, start = following, int(ends[following - 1])
    return stops


def _skip_record(
    file: BinaryIO, form: Format, position: Position, size: int, row_bytes: int
) -> Span:
    """Return the span of the record at `position`, which is too long to be held."""
    file.seek(position.offset)
    length = form.skip(iter(lambda: file.read(WINDOW_BYTES), b""), row_bytes)
    end = size if length is None else min(position.offset + length, size)
    return Span(position.offset, end, position.rows + 1, 1, position.line, 0)


def _behind(span: Span, form: Format, file: BinaryIO, crc: int) -> Position:
    file.seek(span.byte_start)
    lines, left = 0, span.byte_end - span.byte_start
    while left and (block := file.read(min(left, WINDOW_BYTES))):
        lines += form.count_lines(block)
        crc = zlib.crc32(block, crc)
        left -= len(block)
    return Position(span.byte_end, span.first_row, span.first_line + lines, crc)


def crc32_before(file: BinaryIO, offset: int) -> int:
    """Return the checksum of the bytes before `offset`: those of the header, for a file that is
    about to be cut.
    """
    return _crc32(file, 0, offset, 0)


def with_rest(file: BinaryIO, cut: Cut, size: int) -> Cut:
    """Return a cut that is done with its position at the end of the file of `size` bytes. What
    follows the data counts only for the checksum.
    """
    position = cut.position
    crc = _crc32(file, position.offset, size, position.crc32)
    return replace(cut, position=replace(position, offset=size, crc32=crc))


def _crc32(file: BinaryIO, start: int, end: int, crc: int) -> int:
    file.seek(start)
    left = end - start
    while left > 0 and (block := file.read(min(left, WINDOW_BYTES))):
        crc = zlib.crc32(block, crc)
        left -= len(block)
    return crc
