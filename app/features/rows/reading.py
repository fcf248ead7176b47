"""Reads the rows of a job that a person chose, from its stored pages, a few megabytes at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import msgspec

from app.db import chunks, results
from app.db.engine import Database
from app.db.rows import JobRow, PageRow
from app.destinations.base import ResultDestination
from app.destinations.registry import Destinations
from app.errors import InvalidParameter
from app.features.rows.cells import cells_of_page
from app.features.rows.choice import Choice, numbers_of_page, refused
from app.features.rows.order import FirstRows, FoundText
from app.jobs.progress import check_results_kept, find_with_rows
from app.jobs.stored_rows import ANSWER_BYTES, ROW_OVERHEAD, Row, last_row

SLICE_SECONDS = 1.0
"""A response has what is found in this time, and tells where to continue."""
MOST_ORDERED_ROWS = 5_000_000
MOST_ORDERED_BYTES = 4 << 30
"""A sort reads all rows in one request."""
SORT_SECONDS = 60.0

Gone = Callable[[], Awaitable[bool]]
"""Whether the client has left."""


class ClientGone(Exception):
    """The client has left, so nobody needs the answer."""


@dataclass(frozen=True, slots=True)
class JobRows:
    """The rows of a job that are loaded so far."""

    job: JobRow
    stored: ResultDestination
    total: int


@dataclass(slots=True)
class Found:
    """Rows that were found in a part of the results."""

    rows: list[Row] = field(default_factory=list)
    scanned: int = 0
    """Number of rows read."""
    next_after: int | None = None
    """Row number to continue after; None at the end."""


async def find_rows(
    database: Database, destinations: Destinations, identifier: UUID, owner: str
) -> JobRows:
    """Return the rows of a job; raises NotFound, JobHasParts, RowsRemoved."""
    async with database.reading() as connection:
        job = await find_with_rows(connection, identifier, owner)
        check_results_kept(job)
        stored = destinations.of(job).results
        has_rows = job.stores_results and stored.keeps_rows
        tally = await chunks.tally(connection, job.id) if has_rows else []
    return JobRows(job, stored, int(sum(part.ok for part in tally)))


async def filtered(
    database: Database,
    of_job: JobRows,
    choice: Choice,
    *,
    after: int,
    limit: int,
    only_numbers: bool,
    seconds: float = SLICE_SECONDS,
) -> Found:
    """Return up to `limit` chosen rows after the row number `after`, in the order of the file, as
    far as they are found in some seconds and fit into an answer. With `only_numbers`, rows have no
    content.
    """
    part, size = Found(), 0
    deadline = time.monotonic() + seconds
    async for pages in _steps(database, of_job, after, choice):
        for page in pages:
            rows = await asyncio.to_thread(
                _chosen_rows, page, choice, after, only_numbers=only_numbers
            )
            for row in rows:
                size += memoryview(row[1]).nbytes + (0 if only_numbers else ROW_OVERHEAD)
                if part.rows and size > ANSWER_BYTES:
                    return _stopped(part, page, after, part.rows[-1][0])
                part.rows.append(row)
                if len(part.rows) == limit:
                    return _stopped(part, page, after, row[0])
            part.scanned += _count(page, after, last_row(page))
            after = last_row(page)
        if time.monotonic() > deadline:
            part.next_after = after
            return part
    return part


async def ordered(
    database: Database,
    of_job: JobRows,
    choice: Choice,
    *,
    column: int,
    descending: bool,
    limit: int,
    gone: Gone,
) -> tuple[list[int], bool, int]:
    """Return (numbers of the first rows by a column, whether it was ordered as numbers, number of
    chosen rows). Raises InvalidParameter if there are too many rows, and ClientGone.
    """
    job = of_job.job
    if of_job.total > MOST_ORDERED_ROWS or job.stored_bytes > MOST_ORDERED_BYTES:
        raise too_many_to_sort(of_job.total)
    for as_numbers in (True, False):
        first = FirstRows(
            limit,
            descending=descending,
            as_numbers=as_numbers,
            has_commas=column in choice.commas,
        )
        try:
            matched = await _order(database, of_job, choice, column, first, gone)
        except FoundText:
            continue
        return await asyncio.to_thread(first.numbers), as_numbers, matched
    raise AssertionError("texts have an order")


async def _order(
    database: Database,
    of_job: JobRows,
    choice: Choice,
    column: int,
    first: FirstRows,
    gone: Gone,
) -> int:
    deadline, matched = time.monotonic() + SORT_SECONDS, 0
    async for pages in _steps(database, of_job, 0, choice):
        matched += await asyncio.to_thread(_add_keys, pages, choice, column, first)
        if await gone():
            raise ClientGone
        if time.monotonic() > deadline:
            raise too_many_to_sort(of_job.total)
    return matched


async def by_number(database: Database, of_job: JobRows, choice: Choice) -> list[Row]:
    """Return the rows with the chosen numbers, as far as they fit into an answer."""
    rows: list[Row] = []
    size = 0
    async for pages in _steps(database, of_job, 0, choice):
        for page in pages:
            some = await asyncio.to_thread(_chosen_rows, page, choice, 0, only_numbers=False)
            size += sum(memoryview(raw).nbytes + ROW_OVERHEAD for _, raw in some)
            rows += some
        if size > ANSWER_BYTES:
            break
    return rows


def too_many_to_sort(total: int) -> InvalidParameter:
    return refused(
        "sort",
        f"{total:,} rows are too many to sort here. Download them, or load them into a table.",
    )


async def _steps(
    database: Database, of_job: JobRows, after: int, choice: Choice
) -> AsyncIterator[Sequence[PageRow]]:
    """Yield pages with rows after `after`, in steps; only those that may have a chosen row number.

    Each step has its own snapshot, so that no reader holds one for long.
    """
    limit = results.pages_next()
    while of_job.total:
        if choice.rows is not None:
            start = choice.rows.next_from(after + 1)
            if start is None:
                return
            after, limit = start - 1, 1
        async with database.snapshot() as connection:
            pages = await of_job.stored.pages(
                connection, of_job.job.id, after, limit, results.BYTES_AT_ONCE
            )
        if not pages:
            return
        yield pages
        limit, after = results.pages_next(pages), last_row(pages[-1])


def _chosen_rows(page: PageRow, choice: Choice, after: int, *, only_numbers: bool) -> list[Row]:
    numbers = numbers_of_page(page)
    places = [place for place in choice.positions(page) if numbers[place] > after]
    if only_numbers or not places:
        return [(numbers[place], msgspec.Raw()) for place in places]
    rows = msgspec.json.decode(page.data, type=list[msgspec.Raw])
    return [(numbers[place], choice.projected(rows[place])) for place in places]


def _add_keys(pages: Sequence[PageRow], choice: Choice, column: int, first: FirstRows) -> int:
    matched = 0
    for page in pages:
        places = choice.positions(page)
        if not places:
            continue
        numbers = numbers_of_page(page)
        (cells,) = cells_of_page(page, choice.columns, (column,))
        first.add([cells[place] for place in places], [numbers[place] for place in places])
        matched += len(places)
    return matched


def _count(page: PageRow, after: int, last: int) -> int:
    """Return the number of rows of a page behind `after` up to `last`."""
    if page.row_numbers is None:
        return last - max(after, page.first_row - 1)
    return sum(after < number <= last for number in page.row_numbers)


def _stopped(part: Found, page: PageRow, after: int, last: int) -> Found:
    part.scanned += _count(page, after, last)
    part.next_after = last
    return part
