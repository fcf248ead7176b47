"""Pages as the database holds them, split into many rows at a time.

The usual page has rows of cells that are all text. It is JSON that this service has written, so
each quote that is not escaped begins or ends a cell, and replacing the text between two cells
splits them without decoding any.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from app.formats.base import canonical_cells, row_hash_sum

CELL_MARK, ROW_MARK = b"\x04", b"\x03"
BACKSLASH_MARK, QUOTE_MARK = b"\x01", b"\x02"
"""JSON has no control characters, so these can stand for other characters."""


def marked_cells(page: bytes) -> bytes | None:
    """Return the cells of a page, with a CELL_MARK between two of a row and a ROW_MARK between two
    rows. In them a BACKSLASH_MARK is a backslash and a QUOTE_MARK a quote; other JSON escapes stay,
    with a backslash. None if the page has other values than text, or a cell that looks like the end
    of a row.
    """
    if not page.startswith(b'[["') or (np.frombuffer(page, np.uint8) < 32).any():
        return None
    if b"\\" in page:
        page = page.replace(b"\\\\", BACKSLASH_MARK).replace(b'\\"', QUOTE_MARK)
    if len(page) < len(b'[[""]]') or not page.endswith(b'"]]'):
        return None
    cells = page[3:-3].replace(b'"],["', ROW_MARK).replace(b'","', CELL_MARK)
    # From within the first cell on, each quote that was replaced ended a cell or began one, in
    # turns. One that is left says that this was not so.
    return None if b'"' in cells else cells


def unmarked(text: bytes) -> bytes:
    """Return the text with the backslashes and quotes that the marks stand for."""
    return text.replace(BACKSLASH_MARK, b"\\").replace(QUOTE_MARK, b'"')


def stored_hash_sum(data: str, numbers: Sequence[int]) -> tuple[int, int]:
    """Return (row count, hash sum) of a page as the database holds it, from its JSON text alone."""
    cells = marked_cells(data.encode())
    if cells is not None and b"\\" not in cells:
        canonical = unmarked(cells.replace(CELL_MARK, b"\xff")).split(ROW_MARK)
        return len(canonical), row_hash_sum(canonical, numbers)
    rows = msgspec.json.decode(data, type=list[msgspec.Raw])
    if rows and bytes(rows[0]).lstrip()[:1] == b"{":
        canonical = list(map(bytes, rows))
    else:
        canonical = [
            canonical_cells(row) for row in msgspec.json.decode(data, type=list[list[str | None]])
        ]
    return len(rows), row_hash_sum(canonical, numbers)
