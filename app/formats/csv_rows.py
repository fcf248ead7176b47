"""Reads the cells of CSV records all at once: separators become bytes that text never has, and
quotes are dropped. No cell becomes a Python string.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from app.formats.base import Offsets
from app.formats.blocks import Codes, Mask, blocks, joined, places_of, preceding
from app.formats.csv_scan import CR, LF, Scan, Scanner
from app.formats.text_rows import CELL_BYTE, ROW_BYTE

SPACE = 32
DROPPED = 0xFB
"""Replacement for a byte that is no part of a cell. UTF-8 text never has it."""


class AtOnce(NamedTuple):
    data: bytes
    """Rows as TextRows hold them, without those that need care."""
    needs_care: Mask
    """Whether a record needs care, for each record."""
    cells: Offsets | None
    """For each record with which nothing is wrong but the number of its cells, that number; 0 for
    others. None if there is no such record.
    """


def read_at_once(
    text: bytes, scan: Scan, scanner: Scanner, width: int, *, unreadable: Offsets, spaces: bool
) -> AtOnce:
    """Return the rows of a text in UTF-8 that has no escapes and whose delimiter and quote are one
    byte each.

    `unreadable`: places of bytes, in ascending order, whose records need care. `spaces`: whether
    spaces before cells are dropped.
    """
    codes, size, stops = scan.codes, len(text), scan.ends - 1
    # What ends a record becomes the end of the row. Where the text ends one, there is room for it.
    work = np.empty(size + 1, np.uint8)
    is_cut = bool(len(stops)) and scan.is_cut and stops[-1] == size - 1
    if is_cut:
        stops[-1] = size
    else:
        work = work[:size]
    separators = _mark(work, codes, scan, scanner)
    cells = _cell_counts(separators, stops, width)
    needs_care = np.zeros(len(stops), np.bool_)
    needs_care[np.searchsorted(scan.ends, scan.irregular)] = True
    needs_care[np.searchsorted(scan.ends, unreadable, "right")] = True
    if b"\0" in text:
        needs_care[np.searchsorted(scan.ends, places_of(0, codes), "right")] = True
    if cells is not None:
        cells[needs_care | (cells == width)] = 0
        needs_care |= cells > 0

    drops = scan.is_quoted is not None
    if spaces and b" " in text:
        work[_leading_spaces(scan, separators)] = DROPPED
        drops = True
    if b"\r" in text and scanner.newline != "cr":
        ended = stops[:-1] if is_cut else stops
        of_two = ended[(codes[ended] == LF) & (codes[ended - 1] == CR)]
        work[of_two - 1] = DROPPED
        drops = True
    work[stops] = ROW_BYTE[0]
    for start, end in _left_out(scan, needs_care):
        work[start:end] = DROPPED
        drops = True
    if is_cut and needs_care[-1]:
        work = work[:size]
    data = work.tobytes()
    if drops:
        data = data.translate(None, bytes([DROPPED]))
    return AtOnce(data, needs_care, cells)


def _mark(work: Codes, codes: Codes, scan: Scan, scanner: Scanner) -> Offsets:
    """Write the text into `work`, with CELL_BYTE for separators of cells, and DROPPED for quotes
    around cells and for the first of two inside. Return the places of the separators.
    """
    delimiter, separators = scanner.delimiter[0], []
    for start, end in blocks(len(codes)):
        part, marked = codes[start:end], work[start:end]
        marked[:] = part
        is_separator = part == delimiter
        if scan.is_quoted is not None:
            quote = scanner.quote[0]
            is_quoted = scan.is_quoted[start:end]
            is_separator &= ~is_quoted
            is_quote = part == quote
            was_closed = start > 0 and codes[start - 1] == quote and not scan.is_quoted[start - 1]
            is_second = is_quote & is_quoted
            is_second &= preceding(is_quote & ~is_quoted, was_closed)
            _change(marked, is_quote & ~is_second, quote, DROPPED)
        _change(marked, is_separator, delimiter, CELL_BYTE[0])
        separators.append(np.flatnonzero(is_separator) + start)
    return joined(separators)


def _change(work: Codes, where: Mask, old: int, new: int) -> None:
    """Change all of these bytes, which are `old`, to `new`. An assignment by mask takes ten times
    as long.
    """
    work ^= where.view(np.uint8) * np.uint8(old ^ new)


def _cell_counts(separators: Offsets, stops: Offsets, width: int) -> Offsets | None:
    """Return the number of cells of each record; None if all have `width`."""
    if len(separators) == len(stops) * (width - 1):
        table = separators.reshape(len(stops), width - 1)
        are_behind = width == 1 or (table[1:, 0] > stops[:-1]).all()
        if are_behind and (width == 1 or (table[:, -1] < stops).all()):
            return None
    counts: Offsets = np.diff(np.searchsorted(separators, stops), prepend=0) + 1
    return counts


def _left_out(scan: Scan, needs_care: Mask) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of the blank pieces and of the records that need care."""
    if not needs_care.any() and not scan.is_blank.any():
        return
    is_left_out = scan.is_blank.copy()
    is_left_out[~scan.is_blank] = needs_care
    ends = scan.piece_ends
    starts = ends - np.diff(ends, prepend=0)
    yield from zip(starts[is_left_out].tolist(), ends[is_left_out].tolist(), strict=True)


def _leading_spaces(scan: Scan, separators: Offsets) -> Offsets:
    """Return the places of the spaces before cells."""
    is_space = scan.codes == SPACE
    begins_cell = np.zeros(len(is_space) + 1, np.bool_)
    begins_cell[0] = True
    begins_cell[separators + 1] = True
    begins_cell[scan.piece_ends] = True
    is_first = is_space & ~preceding(is_space, False)
    spaces = np.flatnonzero(is_space)
    is_leading = begins_cell[np.flatnonzero(is_first)]
    run = np.cumsum(is_first[spaces]) - 1
    leading: Offsets = spaces[is_leading[run]]
    return leading
