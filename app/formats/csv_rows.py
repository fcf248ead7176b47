"""Cells of CSV records, all at once: separators become bytes that text never holds, and quotes are
dropped. No cell becomes a Python string.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from app.formats.base import Offsets
from app.formats.csv_scan import CR, LF, Mask, Scan, Scanner, preceding
from app.formats.text_rows import CELL_BYTE, ROW_BYTE

SPACE = 32
DROPPED = 0xFB
"""In place of a byte that is no part of a cell. It is never part of UTF-8 text either."""


class AtOnce(NamedTuple):
    data: bytes
    """As TextRows hold rows, without those that need care."""
    needs_care: Mask
    """Of the records."""


def read_at_once(
    text: bytes, scan: Scan, scanner: Scanner, width: int, *, unreadable: Offsets, spaces: bool
) -> AtOnce:
    """The rows of a text in UTF-8 that has no escapes and whose delimiter and quote are one byte
    each.

    `unreadable`: places of bytes, in ascending order, whose records need care. `spaces`: those
    before cells are no part of them.
    """
    codes, size = scan.codes, len(text)
    is_separator = codes == scanner.delimiter[0]
    if scan.is_quoted is not None:
        is_separator &= ~scan.is_quoted
    stops = scan.ends - 1
    # What ends a record becomes the end of the row. Where the text ends one, there is room for it.
    work = np.empty(size + 1, np.uint8)
    work[:size] = codes
    is_cut = bool(len(stops)) and scan.is_cut and stops[-1] == size - 1
    if is_cut:
        stops[-1] = size
    else:
        work = work[:size]
    needs_care = _of_another_width(is_separator, stops, width)
    needs_care[np.searchsorted(scan.ends, scan.irregular)] = True
    needs_care[np.searchsorted(scan.ends, unreadable, "right")] = True
    if b"\0" in text:
        needs_care[np.searchsorted(scan.ends, np.flatnonzero(codes == 0), "right")] = True

    drops = False
    _change(work[:size], is_separator, scanner.delimiter[0], CELL_BYTE[0])
    if spaces and b" " in text:
        work[_leading_spaces(scan, is_separator)] = DROPPED
        drops = True
    if scan.is_quote is not None and scan.is_quoted is not None:
        closes = scan.is_quote & ~scan.is_quoted
        is_second_of_two = scan.is_quote & scan.is_quoted & preceding(closes, False)
        _change(work[:size], scan.is_quote & ~is_second_of_two, scanner.quote[0], DROPPED)
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
    return AtOnce(data.translate(None, bytes([DROPPED])) if drops else data, needs_care)


def _change(work: np.ndarray, where: Mask, old: int, new: int) -> None:
    """All of these bytes, which are `old`, to `new`. An assignment by mask takes ten times as
    long.
    """
    work ^= where.view(np.uint8) * np.uint8(old ^ new)


def _of_another_width(is_separator: Mask, stops: Offsets, width: int) -> Mask:
    """Of the records that do not have `width` cells."""
    is_mark = is_separator.copy()
    is_mark[stops[stops < len(is_mark)]] = True
    marks = np.flatnonzero(is_mark)
    if len(stops) and stops[-1] == len(is_mark):
        marks = np.append(marks, stops[-1])
    if len(marks) == len(stops) * width and (marks[width - 1 :: width] == stops).all():
        return np.zeros(len(stops), np.bool_)
    cells = np.diff(np.searchsorted(marks, stops), prepend=-1)
    other: Mask = cells != width
    return other


def _left_out(scan: Scan, needs_care: Mask) -> Iterator[tuple[int, int]]:
    """(start, end) of the blank pieces and of the records that need care."""
    if not needs_care.any() and not scan.is_blank.any():
        return
    is_left_out = scan.is_blank.copy()
    is_left_out[~scan.is_blank] = needs_care
    ends = scan.piece_ends
    starts = ends - np.diff(ends, prepend=0)
    yield from zip(starts[is_left_out].tolist(), ends[is_left_out].tolist(), strict=True)


def _leading_spaces(scan: Scan, is_separator: Mask) -> Offsets:
    """Places of the spaces before cells."""
    is_space = scan.codes == SPACE
    begins_cell = preceding(is_separator, True)
    begins_cell[scan.piece_ends[scan.piece_ends < len(begins_cell)]] = True
    is_first = is_space & ~preceding(is_space, False)
    spaces = np.flatnonzero(is_space)
    is_leading = begins_cell[np.flatnonzero(is_first)]
    run = np.cumsum(is_first[spaces]) - 1
    leading: Offsets = spaces[is_leading[run]]
    return leading
