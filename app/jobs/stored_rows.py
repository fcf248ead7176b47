"""Stored results, read row by row in the order of the file, a few megabytes at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import chunks
from app.db.results import PageHead
from app.db.rows import PageRow
from app.destinations.base import ResultDestination
from app.formats.base import PAGE_ROWS, cell_names

ANSWER_BYTES = 8 << 20
"""Limit for the stored rows of one response. A page has fewer rows than requested if they exceed
it; a single row may exceed it.
"""
ROW_OVERHEAD = 150
"""Bytes of a response for each row besides its cells."""

Row = tuple[int, msgspec.Raw]
"""(row number, its JSON)"""
StoredRow = dict[str, msgspec.Raw] | list[str | None]
"""Cells, or an object whose values stay raw JSON, so that no number is rounded on output."""


def rows_of(page: PageRow) -> list[Row]:
    numbers = page.row_numbers or range(page.first_row, page.first_row + page.row_count)
    rows = msgspec.json.decode(page.data, type=list[msgspec.Raw])
    return list(zip(numbers, rows, strict=True))


def last_row(page: PageRow) -> int:
    return int(page.row_numbers[-1] if page.row_numbers else page.first_row + page.row_count - 1)


def named(columns: Sequence[str], row: Any) -> dict[str, Any]:
    """Return a row as an object by column. Cells beyond the header (on_bad_row=keep) get generated
    names.
    """
    if isinstance(row, dict):
        return row
    return dict(zip(cell_names(columns, len(row)), row, strict=False))


@dataclass(frozen=True, slots=True)
class Some:
    """Consecutive rows."""

    rows: list[Row]
    is_cut: bool
    """Whether more may follow: the limit of rows or bytes was reached."""


async def rows_behind(
    connection: AsyncConnection,
    stored: ResultDestination,
    job_id: UUID,
    after: int,
    limit: int,
    *,
    skip: int = 0,
    padding: int = 0,
) -> Some:
    """Return up to `limit` rows after the row number `after`, skipping `skip`, as far as they fit
    into one answer. `padding` is the number of bytes that each row costs besides its own. Pages are
    read in steps, since rejects leave them short.
    """
    rows: list[Row] = []
    size = 0
    while True:
        page_count = 1 + (skip + limit - len(rows)) // PAGE_ROWS
        pages = await stored.pages(
            connection, job_id, after, page_count + 1, max(1, ANSWER_BYTES - size)
        )
        if not pages:
            return Some(rows, False)
        page_rows = [row for row in await asyncio.to_thread(_rows_of_all, pages) if row[0] > after]
        after = page_rows[-1][0]
        page_rows, skip = page_rows[skip:], max(0, skip - len(page_rows))
        for row in page_rows:
            size += memoryview(row[1]).nbytes + ROW_OVERHEAD + padding
            if rows and size > ANSWER_BYTES:
                return Some(rows, True)
            rows.append(row)
            if len(rows) == limit:
                return Some(rows, True)


def _rows_of_all(pages: Sequence[PageRow]) -> list[Row]:
    return [row for page in pages for row in rows_of(page)]


async def rows_at(
    connection: AsyncConnection,
    stored: ResultDestination,
    job_id: UUID,
    offset: int,
    limit: int,
    *,
    padding: int = 0,
) -> Some:
    """Return rows from an offset in the results on. Whole chunks, then whole pages, are skipped by
    their counts.
    """
    located = await chunks.locate(connection, job_id, offset)
    if located is None:
        return Some([], False)
    first_row, before = located
    while heads := await _heads_from(connection, stored, job_id, first_row):
        for head in heads:
            if before + head.row_count > offset:
                after, skip = head.first_row - 1, offset - before
                return await rows_behind(
                    connection, stored, job_id, after, limit, skip=skip, padding=padding
                )
            before += head.row_count
        first_row = heads[-1].first_row + 1
    return Some([], False)


async def _heads_from(
    connection: AsyncConnection, stored: ResultDestination, job_id: UUID, first_row: int
) -> list[PageHead]:
    heads = await stored.heads(connection, job_id, first_row)
    return [head for head in heads if head.first_row >= first_row]
