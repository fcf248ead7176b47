"""Result pages: the destination of results that the service keeps itself, up to 500 rows as one
JSON array.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from heapq import merge as merge_sorted
from uuid import UUID

import msgspec
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import results
from app.db.models import ResultPage
from app.db.results import PageHead
from app.db.rows import PageRow, columns_of, delete_first, fetch_all
from app.destinations.base import ReadBack, ResultDestination
from app.destinations.writer import TableWriter
from app.formats.base import MASK, Page, gaps, page_cuts, row_ends
from app.formats.stored_pages import stored_hash_sum

Row = tuple[int, bytes]
"""(row number, its JSON)."""


class Pages(ResultDestination):
    def __init__(self, writer: TableWriter) -> None:
        self._writer = writer

    async def write(
        self, connection: AsyncConnection, job_id: UUID, rows: Sequence[Page]
    ) -> dict[str, int]:
        await self._writer.insert_pages(connection, job_id, rows)
        return {}

    async def merge(
        self, connection: AsyncConnection, job_id: UUID, rows: Sequence[Page], start: int, end: int
    ) -> dict[str, int]:
        """Write the pages again that the rows fall into."""
        held = await _take(connection, job_id, min(page.first_row for page in rows), start, end)
        pages = await asyncio.to_thread(lambda: list(merged_pages(held, rows)))
        return await self.write(connection, job_id, pages)

    async def remove(self, connection: AsyncConnection, job_id: UUID, at_most: int) -> bool:
        of_job = ResultPage.job_id == job_id
        key = ResultPage.first_row
        return bool(await delete_first(connection, ResultPage, key, at_most, of_job))

    async def count(self, connection: AsyncConnection, job_id: UUID) -> int:
        query = select(func.coalesce(func.sum(ResultPage.row_count), 0)).where(
            ResultPage.job_id == job_id
        )
        return int((await connection.execute(query)).scalar_one())

    async def read_back(
        self, connection: AsyncConnection, job_id: UUID, first_rows: Sequence[int]
    ) -> ReadBack:
        """Read the rows back. A page that cannot be read as rows is a problem, not an error."""
        stored = ReadBack()
        after, position, limit = 0, 0, results.pages_next()
        while True:
            pages = await results.pages_after(connection, job_id, after, limit)
            if not pages:
                return stored
            hashed = await asyncio.to_thread(_hash_pages, pages)
            for page, (count, value) in zip(pages, hashed, strict=True):
                while position + 1 < len(first_rows) and first_rows[position + 1] <= page.first_row:
                    position += 1
                if count != page.row_count:
                    stored.problems.append(
                        f"page at row {page.first_row}: {count} rows, expected {page.row_count}"
                    )
                stored.sums[position] = (stored.sums.get(position, 0) + value) & MASK
            after, limit = pages[-1].first_row, results.pages_next(pages)

    async def heads(
        self, connection: AsyncConnection, job_id: UUID, first_row: int
    ) -> list[PageHead]:
        return await results.page_heads(connection, job_id, first_row, results.MOST_PAGES)

    async def pages(
        self, connection: AsyncConnection, job_id: UUID, after: int, limit: int, most_bytes: int
    ) -> Sequence[PageRow]:
        return await results.pages_behind(connection, job_id, after, limit, most_bytes)


async def _take(
    connection: AsyncConnection, job_id: UUID, first_row: int, start: int, end: int
) -> list[PageRow]:
    """Remove the pages of a chunk (rows [start, end)) from the page that may hold `first_row` on;
    return their content.
    """
    begin = select(func.max(ResultPage.first_row)).where(
        ResultPage.job_id == job_id, ResultPage.first_row.between(start, first_row)
    )
    first_page = (await connection.execute(begin)).scalar()
    held = (
        ResultPage.job_id == job_id,
        ResultPage.first_row >= (start if first_page is None else first_page),
        ResultPage.first_row < end,
    )
    query = select(*columns_of(PageRow, ResultPage)).where(*held).order_by(ResultPage.first_row)
    pages = await fetch_all(connection, PageRow, query)
    await connection.execute(delete(ResultPage).where(*held))
    return pages


def merged_pages(held: Sequence[PageRow], added: Sequence[Page]) -> Iterator[Page]:
    """Yield the rows of both in row order, cut into new pages."""
    before = (row for page in held for row in _rows(page.data, page.row_numbers, page.first_row))
    new = (row for page in added for row in _rows(page.data, page.numbers, page.first_row))
    rows = list(merge_sorted(before, sorted(new, key=_number), key=_number))
    for start, end in page_cuts(row_ends([raw for _, raw in rows])):
        some = rows[start:end]
        numbers = [number for number, _ in some]
        yield Page(
            numbers[0], len(some), gaps(numbers), b"[" + b",".join(raw for _, raw in some) + b"]"
        )


def _rows(data: str | bytes, numbers: Sequence[int] | None, first: int) -> Iterator[Row]:
    rows = msgspec.json.decode(data, type=list[msgspec.Raw])
    return zip(numbers or range(first, first + len(rows)), map(bytes, rows), strict=True)


def _number(row: Row) -> int:
    return row[0]


def _hash_pages(pages: Sequence[PageRow]) -> list[tuple[int, int]]:
    return [_hash_page(page) for page in pages]


def _hash_page(page: PageRow) -> tuple[int, int]:
    """Return (number of rows, their hash sum); -1 rows if they cannot be read."""
    first, count = page.first_row, page.row_count
    numbers = page.row_numbers or range(first, first + count)
    if numbers[0] != first or len(numbers) != count:
        return -1, 0
    try:
        return stored_hash_sum(page.data, numbers)
    except (msgspec.DecodeError, UnicodeError):
        return -1, 0
