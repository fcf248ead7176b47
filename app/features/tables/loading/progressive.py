"""The destination of a progressive load: the rows of each chunk go into the table in the transaction
that completes the chunk. On a named connection an entry in the ledger says that they are there.

Chunks of a load are written one after the other. Of rows with the same key the first that is written
counts, and chunks may be written in another order than that of the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import chunks, jobs
from app.db.results import PageHead
from app.db.rows import JobRow, PageRow
from app.destinations.base import ReadBack, ResultDestination, TakenBack
from app.features.tables import queries
from app.features.tables.loading.destination import LoadedTable, LoadParts, as_reject
from app.features.tables.loading.loader import RowsRefused, TableLocked
from app.features.tables.loading.record import Record, is_recorded
from app.features.tables.loading.refusals import Refusal, found_by
from app.features.tables.loading.statements import Finder
from app.features.tables.plan import KEYED, LoadPlan
from app.formats.base import Page, Reject
from app.states import ACTIVE_JOBS, JobStatus


class ProgressiveTable(ResultDestination):
    keeps_rows = False
    writes_at_once = True

    def __init__(self, parts: LoadParts, plan: LoadPlan) -> None:
        self._parts = parts
        self._plan = plan
        self._table = LoadedTable(parts, plan)
        self._place = parts.places.of(plan.definition.name.connection)
        self._loader = self._place.loader

    # ------------------------------------------------------------------ a chunk, or corrected rows

    async def refuse(
        self, connection: AsyncConnection, job_id: UUID, rows: Sequence[Page]
    ) -> list[Reject]:
        """Write the rows, and return those that are refused. `write` or `merge` then tell the
        counts.
        """
        await self._wait_for_turn(connection, job_id)
        async with self._place.at(connection) as target:
            await self._loader.begin(target)
            await self._loader.take_turns(target, self._plan.definition.name)
            known = await self._table.find_written(target, job_id, rows)
            if known is not None:
                refusals, counts = known
            else:
                async with self._place.awake(connection):
                    refusals, counts = await self._write(target, job_id, rows)
                await self._table.note_written(target, job_id, rows, refusals, counts)
        self._parts.counts[job_id] = counts
        return [as_reject(refusal) for refusal in refusals]

    async def write(
        self, connection: AsyncConnection, job_id: UUID, rows: Sequence[Page]
    ) -> dict[str, int]:
        return self._parts.counts.pop(job_id)

    async def merge(
        self, connection: AsyncConnection, job_id: UUID, rows: Sequence[Page], start: int, end: int
    ) -> dict[str, int]:
        return self._parts.counts.pop(job_id)

    async def _wait_for_turn(self, own: AsyncConnection, job_id: UUID) -> None:
        """Raises TableLocked while an earlier progressive load of the same table runs: an undo needs
        to know which of two loads wrote a row last.
        """
        job = await jobs.load_job(own, job_id)
        if job is None or JobStatus(job.status) not in ACTIVE_JOBS:
            return
        name = self._plan.definition.name
        first = await queries.find_progressive(own, str(name), name.connection, before=job.number)
        if first is not None:
            raise TableLocked(f"The load {first} writes into the table.")

    async def _write(
        self, target: AsyncConnection, job_id: UUID, rows: Sequence[Page]
    ) -> tuple[list[Refusal], dict[str, int]]:
        loader, record = self._loader, Record(self._plan, job_id)
        await self._table.check_definition(target)
        await loader.stage(target, job_id, self._plan, [page.data for page in rows])
        refusals = await self._of_questions(target, record)
        if self._plan.mode in KEYED:
            # Rows written behind a savepoint do not count as those of this transaction, by which
            # the record tells them from rows of others: they are tried first.
            refusals += await self._of_attempt(target, record, rows)
            return refusals, await self._apply(target, record)
        await loader.run(target, "SAVEPOINT granula_chunk")
        try:
            counts = await self._apply(target, record)
        except RowsRefused:
            await loader.run(target, "ROLLBACK TO SAVEPOINT granula_chunk")
            refusals += await self._of_attempt(target, record, rows)
            counts = await self._apply(target, record)
        return refusals, counts

    async def _apply(self, target: AsyncConnection, record: Record) -> dict[str, int]:
        rows = await self._loader.count(target, record.statements.count_staged)
        counts = await self._table.apply(target, record, is_recorded=is_recorded(self._plan))
        return {"rows": rows, **counts}

    async def _of_questions(self, target: AsyncConnection, record: Record) -> list[Refusal]:
        """Return rows that the table would not refuse: those with the key of another row of the
        file, and those of an update that have no counterpart.
        """
        refusals: list[Refusal] = []
        for finder in (
            record.statements.repeated_keys,
            await self._repeated_before(target, record),
            record.statements.without_counterpart,
        ):
            if finder is None:
                continue
            answers = await self._loader.fetch(target, finder.sql)
            rows = [row for row in answers if row[2] != row[0]]  # the first of equal ones stays
            refused = [
                found_by(finder.constraint, finder.code, number, values, other)
                for number, values, other in rows
            ]
            await self._loader.unstage(
                target, record.statements, [refusal.row_number for refusal in refused]
            )
            refusals += refused
        return refusals

    async def _repeated_before(self, target: AsyncConnection, record: Record) -> Finder | None:
        if self._plan.mode not in KEYED or not await self._loader.has_table(target, record.name):
            return None
        return record.repeated_before

    async def _of_attempt(
        self, target: AsyncConnection, record: Record, rows: Sequence[Page]
    ) -> list[Refusal]:
        last = max(page.numbers[-1] if page.numbers else _last(page) for page in rows)
        refusals = await self._loader.rehearse(
            target, record.statements, [(rows[0].first_row, last)]
        )
        numbers = [refusal.row_number for refusal in refusals]
        await self._loader.unstage(target, record.statements, numbers)
        return refusals

    # ------------------------------------------------------------------ what was written

    async def count(self, connection: AsyncConnection, job_id: UUID) -> int:
        """Return the rows in the record of a running job, or those that were counted."""
        job = await jobs.load_job(connection, job_id)
        if job is None:
            return 0
        if JobStatus(job.status) in ACTIVE_JOBS and is_recorded(self._plan):
            record = Record(self._plan, job_id)
            async with self._place.read(connection) as target:
                if not await self._loader.has_table(target, record.name):
                    return 0
                return await self._loader.count(target, record.count)
        return await self._counted(connection, job)

    async def _counted(self, connection: AsyncConnection, job: JobRow) -> int:
        if not job.stores_results:
            return 0
        summaries = await chunks.summaries(connection, job.id)
        return sum(int(summary.get("rows", 0)) for summary in summaries)

    async def read_back(
        self, connection: AsyncConnection, job_id: UUID, first_rows: Sequence[int]
    ) -> ReadBack:
        job = await jobs.load_job(connection, job_id)
        rows = 0 if job is None else await self._counted(connection, job)
        return await self._table.compare(connection, job_id, rows)

    async def heads(
        self, connection: AsyncConnection, job_id: UUID, first_row: int
    ) -> list[PageHead]:
        return []

    async def pages(
        self, connection: AsyncConnection, job_id: UUID, after: int, limit: int, most_bytes: int
    ) -> Sequence[PageRow]:
        """None: the rows are in the table."""
        return ()

    async def has_rows(self, connection: AsyncConnection, job_ids: Sequence[UUID]) -> bool:
        return await self._table.has_rows(connection, job_ids)

    async def take_back(
        self, connection: AsyncConnection, job_id: UUID, at_most: int
    ) -> TakenBack | None:
        return await self._table.take_back(connection, job_id, at_most)

    async def remove(self, connection: AsyncConnection, job_id: UUID, at_most: int) -> bool:
        return await self._table.remove(connection, job_id, at_most)


def _last(page: Page) -> int:
    return page.first_row + page.row_count - 1
