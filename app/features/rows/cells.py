"""The cells of stored pages, column by column, as texts."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from app.db.rows import PageRow
from app.formats.stored_pages import (
    BACKSLASH_MARK,
    CELL_MARK,
    QUOTE_MARK,
    ROW_MARK,
    marked_cells,
)
from app.jobs.stored_rows import StoredRow

CELL, ROW = CELL_MARK.decode(), ROW_MARK.decode()
MARKED = (BACKSLASH_MARK.decode(), QUOTE_MARK.decode())


def cells_of_page(
    page: PageRow, columns: Sequence[str], wanted: Sequence[int]
) -> list[list[str | None]]:
    """Return the cells of some columns (by index) of all rows of a page. A cell is its text; of a
    JSON file, a text without its quotes, null is None, and any other value is as it was written.
    """
    texts = _texts_of_page(page.data.encode(), len(columns))
    if texts is not None:
        return [[_plain(text) for text in texts[place :: len(columns)]] for place in wanted]
    rows = msgspec.json.decode(page.data, type=list[StoredRow])
    return [[_cell(row, columns[place], place) for row in rows] for place in wanted]


def all_cells_of_page(page: PageRow) -> list[list[str | None]]:
    """Return all cells of each row, also those beyond the columns."""
    rows = msgspec.json.decode(page.data, type=list[StoredRow])
    return [row if isinstance(row, list) else list(map(cell_text, row.values())) for row in rows]


def cell_text(raw: msgspec.Raw | None) -> str | None:
    """Return a JSON value as a cell."""
    if raw is None:
        return None
    text = bytes(raw).strip()
    if text.startswith(b'"'):
        return msgspec.json.decode(text, type=str)
    return None if text == b"null" else text.decode()


def _texts_of_page(data: bytes, width: int) -> list[str] | None:
    """Return all cells of a page in their order, if each row has as many cells as there are
    columns and all are simple texts.
    """
    cells = marked_cells(data)
    if cells is None or b"\\" in cells or not width:
        return None
    codes = np.frombuffer(cells, np.uint8)
    marks = codes[(codes == CELL_MARK[0]) | (codes == ROW_MARK[0])]
    ends_row = np.append(marks, ROW_MARK[0]) == ROW_MARK[0]
    if len(ends_row) % width or ends_row.sum() != len(ends_row) // width:
        return None
    if not ends_row[width - 1 :: width].all():
        return None
    return cells.decode().replace(ROW, CELL).split(CELL)


def _plain(text: str) -> str:
    if MARKED[0] in text or MARKED[1] in text:
        return text.replace(MARKED[0], "\\").replace(MARKED[1], '"')
    return text


def _cell(row: StoredRow, name: str, place: int) -> str | None:
    if isinstance(row, list):
        return row[place] if place < len(row) else None
    return cell_text(row.get(name))
