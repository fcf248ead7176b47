"""Stored results as they are read: row by row in the order of the file, never more than some
megabytes at a time.
"""

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
"""Rows of one answer, as they are stored. A page has fewer rows than asked for where they have more
bytes than this; a single row may have more.
"""
ROW_OVERHEAD = 150
"""Bytes of what an answer says of a row besides its cells."""

Row = tuple[int, msgspec.Raw]
"""(row number, its JSON)"""
StoredRow = dict[str, msgspec.Raw] | list[str | None]
"""Cells, or an object whose values stay the JSON they are, so that no number is rounded on its way
out.
"""


def rows_of(page: PageRow) -> list[Row]:
    numbers = page.row_numbers or range(page.first_row, page.first_row + page.row_count)
    rows = msgspec.json.decode(page.data, type=list[msgspec.Raw])
    return list(zip(numbers, rows, strict=True))


def last_row(page: PageRow) -> int:
    return int(page.row_numbers[-1] if page.row_numbers else page.first_row + page.row_count - 1)


def named(columns: Sequence[str], row: Any) -> dict[str, Any]:
    """A row as an object by column. Cells beyond the header (on_bad_row=keep) have names of their
    own.
    """
    if isinstance(row, dict):
        return row
    return dict(zip(cell_names(columns, len(row)), row, strict=False))


@dataclass(frozen=True, slots=True)
class Some:
    """Rows that follow each other."""

    rows: list[Row]
    is_cut: bool
    """Whether more may follow: the rows are as many, or have as many bytes, as one answer takes."""


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
    """Up to `limit` rows behind the row number `after` and `skip` more, as far as they fit into an
    answer. `padding`: bytes that each row costs besides its own. Read in steps, since rejects leave
    pages short.
    """
    rows: list[Row] = []
    size = 0
    while True:
        wanted = 1 + (skip + limit - len(rows)) // PAGE_ROWS
        pages = await stored.pages(
            connection, job_id, after, wanted + 1, max(1, ANSWER_BYTES - size)
        )
        if not pages:
            return Some(rows, False)
        found = [row for row in await asyncio.to_thread(_rows_of_all, pages) if row[0] > after]
        after = found[-1][0]
        found, skip = found[skip:], max(0, skip - len(found))
        for row in found:
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
    """The same from an offset on, in results: whole chunks are skipped by their counts, then whole
    pages by theirs.
    """
    place = await chunks.locate(connection, job_id, offset)
    if place is None:
        return Some([], False)
    first_row, before = place
    while heads := await _heads_from(connection, stored, job_id, first_row):
        for head in heads:
            if before + head.row_count > offset:
                behind, skip = head.first_row - 1, offset - before
                return await rows_behind(
                    connection, stored, job_id, behind, limit, skip=skip, padding=padding
                )
            before += head.row_count
        first_row = heads[-1].first_row + 1
    return Some([], False)


async def _heads_from(
    connection: AsyncConnection, stored: ResultDestination, job_id: UUID, first_row: int
) -> list[PageHead]:
    heads = await stored.heads(connection, job_id, first_row)
    return [head for head in heads if head.first_row >= first_row]
