"""SQL for results and rejects: reading in pages, deleting in steps. Destinations write them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, LargeBinary, bindparam, func, literal, or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from app.db.models import Chunk, RejectedRow, ResultPage
from app.db.reading import fitting, keys_within, size_of
from app.db.rows import ChunkProof, PageRow, RejectRow, columns_of, delete_first, fetch_all
from app.states import ChunkStatus

DELETE_STEP = 2_000
FIRST_PAGES, MOST_PAGES, BYTES_AT_ONCE = 4, 100, 4 << 20
REJECTS_AT_ONCE = 500

PAGE = columns_of(PageRow, ResultPage)


@dataclass(frozen=True, slots=True)
class PageHead:
    """A stored page without its rows."""

    first_row: int
    last_row: int
    row_count: int
    size: int
    """Bytes of its JSON."""


@cache
def _heads(dialect: str) -> Any:
    first_row = bindparam("from_row", type_=ResultPage.first_row.type)
    start = (
        select(func.max(ResultPage.first_row))
        .where(ResultPage.job_id == bindparam("of_job"), ResultPage.first_row <= first_row)
        .scalar_subquery()
    )
    size = size_of(dialect, ResultPage.data)
    return (
        select(ResultPage.first_row, ResultPage.row_count, ResultPage.row_numbers, size)
        .where(
            ResultPage.job_id == bindparam("of_job"),
            ResultPage.first_row >= func.coalesce(start, 0),
        )
        .order_by(ResultPage.first_row)
        .limit(bindparam("at_most"))
    )


_BETWEEN = (
    select(*PAGE)
    .where(
        ResultPage.job_id == bindparam("of_job"),
        ResultPage.first_row >= bindparam("from_row"),
        ResultPage.first_row <= bindparam("to_row"),
    )
    .order_by(ResultPage.first_row)
)


async def page_heads(
    connection: AsyncConnection, job_id: UUID, first_row: int, limit: int
) -> list[PageHead]:
    """Return the heads of pages in row order, from the one that may hold `first_row` on."""
    values = {"of_job": job_id, "from_row": first_row, "at_most": limit}
    rows = (await connection.execute(_heads(connection.dialect.name), values)).all()
    return [
        PageHead(first, numbers[-1] if numbers else first + count - 1, count, size)
        for first, count, numbers, size in rows
    ]


async def pages_between(
    connection: AsyncConnection, job_id: UUID, first_row: int, last_row: int
) -> Sequence[PageRow]:
    """Return pages in row order whose first row is between these rows, both included."""
    values = {"of_job": job_id, "from_row": first_row, "to_row": last_row}
    return await fetch_all(connection, PageRow, _BETWEEN, values)


async def pages_behind(
    connection: AsyncConnection,
    job_id: UUID,
    after: int,
    limit: int,
    most_bytes: int = BYTES_AT_ONCE,
) -> Sequence[PageRow]:
    """Return pages in row order with rows after `after`: at most `limit`, and no more than fit into
    `most_bytes`, but at least one unless none is left. The first may also hold rows up to `after`.
    In a snapshot, an empty result means that none are left.
    """
    # One more: the page that may hold the row after `after` is often the one that ends with
    # `after`.
    heads = await page_heads(connection, job_id, after + 1, limit + 1)
    heads = [head for head in heads if head.last_row > after][:limit]
    if not heads:
        return ()
    last = heads[fitting([head.size for head in heads], most_bytes) - 1]
    return await pages_between(connection, job_id, heads[0].first_row, last.first_row)


async def pages_after(
    connection: AsyncConnection, job_id: UUID, after_page: int, limit: int
) -> Sequence[PageRow]:
    """Return pages in row order that begin after a row: at most `limit`, and no more than fit into
    some megabytes, but at least one unless none is left.
    """
    query = (
        select(ResultPage.first_row, size_of(connection.dialect.name, ResultPage.data))
        .where(ResultPage.job_id == job_id, ResultPage.first_row > after_page)
        .order_by(ResultPage.first_row)
        .limit(limit)
    )
    heads = (await connection.execute(query)).all()
    if not heads:
        return ()
    last, _ = heads[fitting([size for _, size in heads], BYTES_AT_ONCE) - 1]
    return await pages_between(connection, job_id, heads[0][0], last)


def pages_next(pages: Sequence[PageRow] = ()) -> int:
    """Return how many pages to read after these when reading all of a job. A page of wide rows has
    megabytes.
    """
    if not pages:
        return FIRST_PAGES
    return max(1, min(MOST_PAGES, BYTES_AT_ONCE // (1 + max(len(page.data) for page in pages))))


async def count_kinds(connection: AsyncConnection, job_id: UUID) -> dict[str, int]:
    """Return the number of stored rejects by kind."""
    query = (
        select(RejectedRow.kind, func.count())
        .where(RejectedRow.job_id == job_id)
        .group_by(RejectedRow.kind)
    )
    return {kind: int(count) for kind, count in (await connection.execute(query)).all()}


async def chunk_hashes(connection: AsyncConnection, job_id: UUID) -> list[ChunkProof]:
    query = (
        select(*columns_of(ChunkProof, Chunk))
        .where(Chunk.job_id == job_id)
        .order_by(Chunk.chunk_index)
    )
    return await fetch_all(connection, ChunkProof, query)


class HasBytes(FunctionElement[bool]):
    """Whether the first argument, which is bytes, has the second within it."""

    type = Boolean()
    inherit_cache = True


@compiles(HasBytes, "sqlite")
def _has_bytes_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return f"instr({compiler.process(element.clauses, **options)}) > 0"


@compiles(HasBytes, "postgresql")
def _has_bytes_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    data, part = element.clauses
    return (
        f"position({compiler.process(part, **options)} in {compiler.process(data, **options)}) > 0"
    )


@dataclass(frozen=True, slots=True)
class RejectFilter:
    """Rejects must fulfil all of it; what is None chooses all."""

    code: str | None = None
    column: str | None = None
    """Name of the invalid column."""
    search: str = ""
    """Text in the invalid value or the reason, in either case, or in the bytes of the row, as it is
    written."""

    @property
    def is_by_code(self) -> bool:
        """Whether the chunks' own counts have the number of these rejects."""
        return self.column is None and not self.search

    def conditions(self) -> list[Any]:
        conditions: list[Any] = []
        if self.code is not None:
            conditions.append(RejectedRow.code == self.code)
        if self.column is not None:
            conditions.append(RejectedRow.column_name == self.column)
        if self.search:
            conditions.append(
                or_(
                    RejectedRow.value.icontains(self.search, autoescape=True),
                    RejectedRow.message.icontains(self.search, autoescape=True),
                    HasBytes(RejectedRow.raw, literal(self.search.encode(), LargeBinary)),
                )
            )
        return conditions


ALL_REJECTS = RejectFilter()


async def list_rejects(
    connection: AsyncConnection,
    job_id: UUID,
    *,
    after: int,
    limit: int,
    offset: int = 0,
    chosen: RejectFilter = ALL_REJECTS,
    most_bytes: int = BYTES_AT_ONCE,
) -> tuple[Sequence[RejectRow], bool]:
    """Return (rejects in row order, whether more may follow): at most `limit`, and no more than fit
    into `most_bytes`, but at least one unless none is left.
    """
    conditions = [
        RejectedRow.job_id == job_id,
        RejectedRow.row_number > after,
        *chosen.conditions(),
    ]
    texts = func.length(RejectedRow.message) + func.coalesce(func.length(RejectedRow.value), 0)
    weighed = select(
        RejectedRow.row_number, size_of(connection.dialect.name, RejectedRow.raw) + texts
    ).where(*conditions)
    numbers, is_cut = await keys_within(
        connection,
        weighed,
        RejectedRow.row_number,
        limit=limit,
        offset=offset,
        most_bytes=most_bytes,
    )
    if not numbers:
        return (), False
    among = RejectedRow.row_number.between(numbers[0], numbers[-1])
    query = (
        select(*columns_of(RejectRow, RejectedRow))
        .where(*conditions, among)
        .order_by(RejectedRow.row_number)
    )
    return await fetch_all(connection, RejectRow, query), is_cut


async def count_chosen(connection: AsyncConnection, job_id: UUID, chosen: RejectFilter) -> int:
    """Return the number of these rejects; reads all rejects of the job."""
    conditions = [RejectedRow.job_id == job_id, *chosen.conditions()]
    query = select(func.count()).select_from(RejectedRow).where(*conditions)
    return int((await connection.execute(query)).scalar_one())


async def count_causes(
    connection: AsyncConnection, job_id: UUID, at_most: int
) -> list[tuple[str, str | None, int]]:
    """Return (code, invalid column or None, number of rejects), the most frequent first; reads all
    rejects of the job.
    """
    count = func.count()
    query = (
        select(RejectedRow.code, RejectedRow.column_name, count)
        .where(RejectedRow.job_id == job_id)
        .group_by(RejectedRow.code, RejectedRow.column_name)
        .order_by(count.desc(), RejectedRow.code, RejectedRow.column_name)
        .limit(at_most)
    )
    rows = (await connection.execute(query)).all()
    return [(code, column, int(number)) for code, column, number in rows]


async def rejected_numbers(
    connection: AsyncConnection, job_id: UUID, first_row: int, row_count: int, code: str
) -> set[int]:
    """Return the rows of a chunk that were rejected with this code."""
    query = select(RejectedRow.row_number).where(
        RejectedRow.job_id == job_id,
        RejectedRow.row_number >= first_row,
        RejectedRow.row_number < first_row + row_count,
        RejectedRow.code == code,
    )
    return set((await connection.execute(query)).scalars())


async def count_rejects(connection: AsyncConnection, job_id: UUID) -> dict[str, int]:
    """Return the number of rejects by code, from the chunks' own counts: the cost depends on the
    number of chunks, not of rejects.
    """
    query = select(Chunk.reject_codes).where(
        Chunk.job_id == job_id,
        Chunk.status == ChunkStatus.COMPLETED,
        Chunk.rows_invalid + Chunk.rows_failed > 0,
    )
    counts: Counter[str] = Counter()
    for codes in (await connection.execute(query)).scalars():
        if codes is None:  # completed before the codes were stored
            return await _counted_rejects(connection, job_id)
        counts.update(codes)
    return dict(counts)


async def _counted_rejects(connection: AsyncConnection, job_id: UUID) -> dict[str, int]:
    query = (
        select(RejectedRow.code, func.count())
        .where(RejectedRow.job_id == job_id)
        .group_by(RejectedRow.code)
    )
    return {code: int(count) for code, count in (await connection.execute(query)).all()}


async def database_bytes(connection: AsyncConnection, *, is_sqlite: bool) -> int:
    """Return the size on disk."""
    size = "page_count * page_size FROM pragma_page_count(), pragma_page_size()"
    query = text(f"SELECT {size}" if is_sqlite else "SELECT pg_database_size(current_database())")
    return int((await connection.execute(query)).scalar_one())


async def delete_some(connection: AsyncConnection, job_id: UUID) -> bool:
    """Remove a bounded number of the job's rejects and chunks; return True while there may be more."""
    if await delete_some_rejects(connection, job_id):
        return True
    of_job = Chunk.job_id == job_id
    return bool(await delete_first(connection, Chunk, Chunk.chunk_index, DELETE_STEP, of_job))


async def delete_some_rejects(connection: AsyncConnection, job_id: UUID) -> bool:
    """Remove a bounded number of the job's rejects; return True while there may be more."""
    of_job = RejectedRow.job_id == job_id
    key = RejectedRow.row_number
    return bool(await delete_first(connection, RejectedRow, key, DELETE_STEP, of_job))
