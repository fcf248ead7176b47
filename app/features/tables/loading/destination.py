"""The destination of a load: a table of the user.

write: rows go into a staging table of the job, in the transaction of their chunk
settle: rows that the table refuses become rejects, chunk by chunk
publish: all staged rows go into the table, and the staging table away, with the final status

Killed anywhere, it begins again with what is staged. Rows are looked at one by one only if the
table has refused the whole, so that a clean file costs nothing more.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import chunks, jobs
from app.db.engine import Database
from app.db.rows import ChunkRow
from app.destinations.base import ReadBack, ResultDestination, TakenBack
from app.destinations.rejects import Rejects
from app.destinations.staged import Assembly, Compute, StagedJob, StagedResults
from app.errors import TerminalError, TransientError
from app.failpoints import hit
from app.features.tables.catalogue import read_definition
from app.features.tables.ddl import add_key, create_table
from app.features.tables.definition import quoted
from app.features.tables.loading import preview, undoing
from app.features.tables.loading.loader import Loader, LoadRefused, Range, RowsRefused
from app.features.tables.loading.processor import NAME
from app.features.tables.loading.record import (
    BEFORE_PREFIX,
    RECORD_PREFIX,
    Record,
    is_recorded,
    recorded_job,
)
from app.features.tables.loading.refusals import Refusal, clashes, found_by, settled_by
from app.features.tables.loading.statements import Finder, Statements, Step, stage_of
from app.features.tables.loading.stored import from_text
from app.features.tables.loading.undoing import TableMoved
from app.features.tables.plan import DELETING, KEYED, LoadPlan, Mode
from app.formats.base import Page, Reject, Span
from app.formats.rejecting import located
from app.processors.base import Conclusion
from app.sources.base import Sources
from app.states import ACTIVE_JOBS, ChunkStatus, JobStatus

logger = logging.getLogger(__name__)
CHUNKS_AT_ONCE = 500
ROWS_AT_ONCE = 100_000
"""Limit of rows that one question about refused rows returns."""
SWEEP_SECONDS, RETRY_SECONDS = 600.0, 10.0
MOST_REFUSALS = 20
"""Number of times that the table may refuse the whole, after all rows that could be found were
rejected. Others may write to the table
meanwhile; a table that changes faster than it can be loaded is an error.
"""
CORRECTED: dict[str, Mode] = {"create": "append", "replace": "append", "mirror": "upsert"}
"""The mode of rows that are corrected, where it is not that of the load."""
WHOLE = (JobStatus.COMPLETED, JobStatus.COMPLETED_WITH_ERRORS)


class TableChanged(TerminalError):
    """The definition of the table changed while the load ran. Nothing was loaded."""

    code = "table_changed"


class TooManyDeletes(TerminalError):
    """The mirror would delete more rows than `max_delete` allows. Nothing was loaded."""

    code = "too_many_deletes"


class MirrorIncomplete(TerminalError):
    """Rows of the file were rejected, and a mirror would delete theirs. Nothing was loaded."""

    code = "mirror_incomplete"


Settling = Callable[[Statements, StagedJob], Awaitable[list[Refusal]]]
"""A way to find rows that the table refuses."""


@dataclass(frozen=True, slots=True)
class LoadParts:
    """What all loads of a process share."""

    database: Database
    sources: Sources
    rejects: Rejects
    loader: Loader
    refused: Counter[UUID]
    """How often the table has refused the whole of a job. Lost with the process, it is found out
    again.
    """


class LoadedTables:
    """The destinations of loads, one for each job."""

    def __init__(
        self,
        database: Database,
        sources: Sources,
        rejects: Rejects,
        loader: Loader,
        keep_days: float,
    ) -> None:
        """`keep_days`: how long records are kept."""
        self._parts = LoadParts(database, sources, rejects, loader, Counter())
        self._keep = timedelta(days=keep_days)

    def of(self, processor: str, options: Mapping[str, Any]) -> ResultDestination | None:
        if processor != NAME:
            return None
        return LoadedTable(self._parts, from_text(options["plan"]))

    async def run(self) -> None:
        """Sweep now and then, until cancelled."""
        while True:
            is_done = await _left_for_the_sweep(self.sweep())
            await asyncio.sleep(SWEEP_SECONDS if is_done else RETRY_SECONDS)

    async def sweep(self) -> None:
        """Remove staging tables that no job needs any more, and records that are too old."""
        parts = self._parts
        async with parts.database.working() as connection:
            job_ids = await parts.loader.staged_jobs(connection)
            names = await parts.loader.list_tables(connection, RECORD_PREFIX)
            names += await parts.loader.list_tables(connection, BEFORE_PREFIX)
        for job_id in job_ids:
            await parts.database.transact(lambda c, j=job_id: _drop_unneeded(c, parts.loader, j))  # type: ignore[misc]
        recorded = dict.fromkeys(recorded_job(name) for name in names)
        for recorded_id in recorded:
            if recorded_id is not None:
                await parts.database.transact(lambda c, j=recorded_id: self._drop_old(c, j))  # type: ignore[misc]

    async def _drop_old(self, connection: AsyncConnection, job_id: UUID) -> None:
        job = await jobs.lock_job(connection, job_id)
        is_kept = job is not None and (
            job.finished_at is None or datetime.now(UTC) - job.finished_at < self._keep
        )
        if not is_kept:
            logger.info("Dropping the record of %s", job_id)
            await drop_record(connection, self._parts.loader, job_id)


class LoadedTable(StagedResults):
    keeps_rows = False
    incomplete: ClassVar[dict[str, str]] = {
        "code": "load_incomplete",
        "message": "Some chunks failed, so nothing was loaded. Retry the job to run them again.",
    }

    def __init__(self, parts: LoadParts, plan: LoadPlan) -> None:
        self._parts = parts
        self._loader = parts.loader
        self._plan = plan

    # ------------------------------------------------------------------ a chunk

    async def write(
        self, connection: AsyncConnection, job_id: UUID, rows: Sequence[Page]
    ) -> dict[str, int]:
        await self._loader.stage(connection, job_id, self._plan, [page.data for page in rows])
        hit("load.staged")
        return {}

    async def count(self, connection: AsyncConnection, job_id: UUID) -> int:
        """Return the rows that a running job has staged, or that an ended one has loaded."""
        job = await jobs.load_job(connection, job_id)
        if job is None:
            return 0
        if JobStatus(job.status) in WHOLE:
            return int((job.summary or {})["rows"]) if job.stores_results else 0
        is_staged = JobStatus(job.status) in ACTIVE_JOBS
        if not is_staged or not await self._loader.has_stage(connection, job_id):
            return 0
        return await self._loader.count(connection, self._statements(job_id).count_staged)

    # ------------------------------------------------------------------ a correction

    async def refuse(
        self, connection: AsyncConnection, job_id: UUID, rows: Sequence[Page]
    ) -> list[Reject]:
        """Stage the rows anew, try them, and roll back what was tried. Raises LoadRefused if the
        job has loaded nothing that they could be added to.
        """
        job = await jobs.lock_job(connection, job_id)
        is_loaded = job is not None and JobStatus(job.status) in WHOLE
        if not is_loaded or self._plan.is_dry_run:
            raise LoadRefused("Nothing of the load is in the table; retry it, or load it again.")
        loader, statements = self._loader, self._corrected(job_id)
        await self.write(connection, job_id, rows)
        await loader.begin(connection)
        refusals: list[Refusal] = []
        for finder in (statements.repeated_keys, statements.without_counterpart):
            if finder is not None:
                rows_refused = await loader.fetch(connection, finder.sql)
                refusals += clashes([(finder.constraint, finder.code, rows_refused)])
                await loader.unstage(connection, statements, _numbers(refusals))
        last = max(page.first_row + page.row_count - 1 for page in rows)
        if any(page.numbers for page in rows):
            last = max(page.numbers[-1] for page in rows if page.numbers)
        tried = await loader.rehearse(connection, statements, [(rows[0].first_row, last)])
        await loader.unstage(connection, statements, _numbers(tried))
        return [_reject(refusal) for refusal in [*refusals, *tried]]

    async def merge(
        self, connection: AsyncConnection, job_id: UUID, rows: Sequence[Page], start: int, end: int
    ) -> dict[str, int]:
        """Write what `refuse` has staged into the table, which has the load itself already."""
        record = Record(self._corrected_plan, job_id)
        count = await self._loader.count(connection, record.statements.count_staged)
        has_record = await self._loader.has_table(connection, record.name)
        return {"rows": count, **await self._apply(connection, record, is_recorded=has_record)}

    @property
    def _corrected_plan(self) -> LoadPlan:
        """Return the plan of rows that come later: they exchange and delete nothing."""
        plan = self._plan
        return replace(plan, mode=CORRECTED.get(plan.mode, plan.mode))

    def _corrected(self, job_id: UUID) -> Statements:
        return Statements(self._corrected_plan, job_id)

    async def remove(self, connection: AsyncConnection, job_id: UUID, at_most: int) -> bool:
        """Drop the record. What was loaded is the user's."""
        await drop_record(connection, self._loader, job_id)
        return False

    # ------------------------------------------------------------------ what was loaded

    async def read_back(
        self, connection: AsyncConnection, job_id: UUID, first_rows: Sequence[int]
    ) -> ReadBack:
        """Compare the record of the load with the table. Rows that differ were changed since by
        others, which is no fault; rows that the record lacks are one.
        """
        record = Record(self._plan, job_id)
        recorded = await undoing.find_recorded(connection, self._loader, record)
        if recorded is None:
            return ReadBack()
        reason = await undoing.fits(connection, self._plan)
        if reason:
            return ReadBack(since={"same": 0, "changed": 0, "removed": 0, "table": reason})
        job = await jobs.load_job(connection, job_id)
        rows = int((job.summary or {})["rows"]) if job is not None else 0
        have = await self._loader.count(connection, f"SELECT count(*) FROM {record.table}")  # noqa: S608
        problems = [] if have == rows else [f"rows in the record: {have}, expected {rows}"]
        since = await undoing.compare(connection, self._loader, recorded)
        return ReadBack(problems=problems, since=since)

    async def has_rows(self, connection: AsyncConnection, job_ids: Sequence[UUID]) -> bool:
        """Return whether one of the loads has a record."""
        for job_id in job_ids:
            if await self._loader.has_table(connection, Record(self._plan, job_id).name):
                return True
        return False

    async def take_back(
        self, connection: AsyncConnection, job_id: UUID, at_most: int
    ) -> TakenBack | None:
        """Take back all of the load at once: readers see the table before or after."""
        loader, record = self._loader, Record(self._plan, job_id)
        await loader.begin(connection)
        await loader.take_turns(connection, self._plan.definition.name)
        recorded = await undoing.find_recorded(connection, loader, record)
        job = await jobs.load_job(connection, job_id)
        if recorded is None or job is None:
            return None
        loads = await undoing.find_loads(
            connection, loader, self._plan.definition.name, after=job.finished_at
        )
        later = [other for load, other in loads if load.id != job_id]
        taken = await undoing.take_back(connection, loader, recorded, later)
        hit("load.undone")
        return taken

    def _statements(self, job_id: UUID) -> Statements:
        return Statements(self._plan, job_id)

    # ------------------------------------------------------------------ rows that the table refuses

    async def settle(self, job: StagedJob, compute: Compute) -> None:
        """Make rejects of the rows that the table refuses: those that a question finds, and, if
        that was not enough, those that an attempt does.
        """
        if not await self._is_staged(job):
            return
        statements = self._statements(job.id)
        refused = self._parts.refused[job.id]
        if refused > MOST_REFUSALS:
            raise LoadRefused(
                "The table refused the load repeatedly, although it accepts each row on its own."
            )
        steps: list[Settling] = [
            self._by_foreign_keys,
            self._by_keys,
            self._by_counterparts,
        ]
        if refused or self._plan.key:
            await self._parts.database.transact(lambda c: self._loader.analyze(c, statements))
        if refused:
            steps.insert(0, self._by_checks)
            await self._parts.database.transact(lambda c: self._loader.index(c, statements))
            if not statements.has_hidden_rules:
                steps.append(self._by_clashes)
        if refused > 1 or (refused and statements.has_hidden_rules):
            steps.append(self._by_attempt)
        try:
            await self._take(steps, statements, job)
        except RowsRefused:
            self._parts.refused[job.id] += 1
            raise

    async def _take(
        self, steps: Sequence[Settling], statements: Statements, job: StagedJob
    ) -> None:
        for step in steps:
            refusals = await step(statements, job)
            while refusals:
                await self._reject(job, statements, refusals)
                # a row that is rejected may have been what another one referred to
                is_again = step == self._by_foreign_keys and statements.refers_to_itself
                is_again = is_again or (step != self._by_attempt and len(refusals) >= ROWS_AT_ONCE)
                refusals = await step(statements, job) if is_again else []

    async def _is_staged(self, job: StagedJob) -> bool:
        """Return whether there are rows, and no chunk has failed."""
        async with self._parts.database.working() as connection:
            if not await self._loader.has_stage(connection, job.id):
                return False
        async for chunk in self._chunks(job):
            if chunk.status != ChunkStatus.COMPLETED:
                return False
        return True

    async def _find(
        self, finders: Sequence[Finder], *, after: int = 0
    ) -> list[tuple[Finder, list[Any]]]:
        """Return the first rows behind `after` that each question finds. A question that the
        database cannot answer for these rows finds none: an attempt does.
        """
        answers: list[tuple[Finder, list[Any]]] = []
        for finder in finders:
            some = finder.some(after, ROWS_AT_ONCE)
            try:
                async with self._parts.database.working() as connection:
                    rows: list[Any] = []
                    if after or await self._may_find(connection, finder):
                        rows = await self._loader.fetch(connection, some)
                    answers.append((finder, rows))
            except (RowsRefused, LoadRefused) as error:
                logger.info("Cannot inspect %s: %s", finder.constraint.name, error)
        return answers

    async def _may_find(self, connection: AsyncConnection, finder: Finder) -> bool:
        """Return whether the question finds anything. Mostly it does not, and the probe of it is
        answered sooner.
        """
        if not finder.probe:
            return True
        ((is_there,),) = await self._loader.fetch(connection, finder.probe)
        return bool(is_there)

    async def _by_checks(self, statements: Statements, job: StagedJob) -> list[Refusal]:
        return await self._by_questions(list(statements.checks()))

    async def _by_foreign_keys(self, statements: Statements, job: StagedJob) -> list[Refusal]:
        return await self._by_questions(list(statements.foreign_keys()))

    async def _by_questions(self, finders: Sequence[Finder]) -> list[Refusal]:
        refusals: dict[int, Refusal] = {}
        for finder, rows in await self._find(finders):
            for number, values, other in rows:
                refusal = found_by(finder.constraint, finder.code, number, values, other)
                refusals.setdefault(number, refusal)
        return list(refusals.values())

    async def _by_keys(self, statements: Statements, job: StagedJob) -> list[Refusal]:
        """Settle rows with the same key, for modes that compare: they would take any of them."""
        finder = statements.repeated_keys
        if finder is not None:
            await self._settle_clashes([finder], statements, job)
        return []

    async def _by_counterparts(self, statements: Statements, job: StagedJob) -> list[Refusal]:
        finder = statements.without_counterpart
        return [] if finder is None else await self._by_questions([finder])

    async def _by_clashes(self, statements: Statements, job: StagedJob) -> list[Refusal]:
        await self._settle_clashes(statements.uniques(), statements, job)
        return []

    async def _settle_clashes(
        self, finders: Sequence[Finder], statements: Statements, job: StagedJob
    ) -> None:
        """Decide between rows with the same values, a bounded number at a time in the order of the
        file. A decision depends on rows before alone, and the questions no longer find those that
        are rejected.
        """
        settled = 0
        while True:
            answers = await self._find(finders, after=settled)
            cut = settled_by([rows for _, rows in answers], ROWS_AT_ONCE)
            if cut is None:
                return
            numbered = [
                (finder.constraint, finder.code, [row for row in rows if row[0] <= cut])
                for finder, rows in answers
            ]
            refusals = await asyncio.to_thread(clashes, numbered, settled)
            await self._reject(job, statements, refusals)
            if all(len(rows) < ROWS_AT_ONCE for _, rows in answers):
                return
            settled = cut

    async def _by_attempt(self, statements: Statements, job: StagedJob) -> list[Refusal]:
        """Write all rows as they will be, and roll that back. Rows that have values of others are
        tried alone: most of them would be found by many halves.
        """
        refusals: list[Refusal] = []
        alone = await self._find(statements.uniques())
        numbers = {row[0] for _, rows in alone for row in rows if row[2] != row[0]}
        ranges = _around(sorted(numbers), job.rows)

        async def attempt(connection: AsyncConnection) -> None:
            await self._open(connection)
            await self._delete(connection, statements.before())
            refusals.extend(await self._loader.settle(connection, statements, ranges))
            raise _RolledBack

        try:
            await self._parts.database.transact(attempt)
        except _RolledBack:
            pass
        return refusals

    async def _reject(
        self, job: StagedJob, statements: Statements, refusals: Sequence[Refusal]
    ) -> None:
        by_row = {refusal.row_number: refusal for refusal in refusals}
        async for chunk in self._chunks(job):
            behind = chunk.first_row + chunk.row_count
            numbers = sorted(n for n in by_row if chunk.first_row <= n < behind)
            if numbers:
                refused = [by_row[number] for number in numbers]
                await self._reject_in(job, statements, chunk, refused)
                hit("load.settled")

    async def _reject_in(
        self,
        job: StagedJob,
        statements: Statements,
        chunk: ChunkRow,
        refusals: Sequence[Refusal],
    ) -> None:
        rejects = await asyncio.to_thread(self._rejects, job, chunk, refusals)

        async def write(connection: AsyncConnection) -> None:
            row = await jobs.lock_job(connection, job.id)
            if row is None or JobStatus(row.status) not in ACTIVE_JOBS:
                raise RowsRefused("The job has ended in the meantime.")
            rows_ok = chunk.rows_ok
            for code, count in Counter(refusal.code for refusal in refusals).items():
                is_as_read = await chunks.demote(
                    connection, job.id, chunk.chunk_index, rows_ok=rows_ok, by=count, code=code
                )
                if not is_as_read:
                    raise RowsRefused("A chunk of the job has changed in the meantime.")
                rows_ok -= count
            await self._parts.rejects.write(connection, job.id, rejects)
            await self._loader.unstage(connection, statements, _numbers(refusals))

        await self._parts.database.transact(write)

    def _rejects(
        self, job: StagedJob, chunk: ChunkRow, refusals: Sequence[Refusal]
    ) -> list[Reject]:
        data = self._parts.sources.read(job.uri, chunk.byte_start, chunk.byte_end, job.etag)
        rejects = [_reject(refusal) for refusal in refusals]
        span = Span(
            chunk.byte_start,
            chunk.byte_end,
            chunk.first_row,
            chunk.row_count,
            chunk.first_line,
            chunk.crc32,
        )
        return located(job.form, span, data, rejects)

    async def _chunks(self, job: StagedJob) -> AsyncIterator[ChunkRow]:
        after = -1
        while True:
            async with self._parts.database.working() as connection:
                some = await chunks.list_chunks(
                    connection, job.id, after=after, limit=CHUNKS_AT_ONCE
                )
            if not some:
                return
            for chunk in some:
                yield chunk
            after = some[-1].chunk_index

    # ------------------------------------------------------------------ into the table

    async def assemble(self, job: StagedJob, compute: Compute) -> Assembly | None:
        async for chunk in self._chunks(job):
            if chunk.status != ChunkStatus.COMPLETED:
                return None
        async with self._parts.database.working() as connection:
            rows = await self.count(connection, job.id)
        steps = self._plan.steps
        result = {
            "table": str(self._plan.definition.name),
            "mode": self._plan.mode,
            "dry_run": self._plan.is_dry_run,
            "statements": list(self._plan.statements),
            "columns": [
                {
                    "column": column.name,
                    "type": column.type,
                    "from": column.source,
                    "made": steps.get(column.name),
                }
                for column in self._plan.columns
            ],
            "defaulted": list(self._plan.defaulted),
            "ignored": list(self._plan.ignored),
            "rows": {"total": job.rows, "ok": rows, "rejected": job.rows - rows},
        }
        summary: dict[str, Any] = {"rows": rows}
        if self._plan.is_dry_run:
            summary["dry_run"] = True
        return Assembly(Conclusion(summary, result), payload=job.rows - rows)

    async def publish(
        self, connection: AsyncConnection, job_id: UUID, assembly: Assembly
    ) -> Conclusion:
        try:
            conclusion = await self._load(connection, job_id, assembly)
        except RowsRefused:
            self._parts.refused[job_id] += 1
            raise
        hit("load.published")
        return conclusion

    async def _load(
        self, connection: AsyncConnection, job_id: UUID, assembly: Assembly
    ) -> Conclusion:
        loader, statements = self._loader, self._statements(job_id)
        is_dry_run = self._plan.is_dry_run
        if is_dry_run:
            await loader.run(connection, "SAVEPOINT granula_dry_run")
        await self._open(connection, is_bulk=True)
        if not await loader.has_stage(connection, job_id):  # no row was good
            await loader.run(connection, statements.create_stage)
        if self._plan.mode == "mirror":
            await self._check_deletes(connection, statements, rejected=assembly.payload)
        shown = await self._preview(connection, statements) if is_dry_run else {}
        record = Record(self._plan, job_id)
        counts = await self._apply(connection, record, is_recorded=is_recorded(self._plan))
        if self._keys_at_the_end:
            await loader.run(connection, add_key(self._plan.definition))
        if is_dry_run:
            await loader.run(connection, "ROLLBACK TO SAVEPOINT granula_dry_run")
            await loader.drop_stage(connection, job_id)
        summary = assembly.conclusion.summary | counts
        return Conclusion(summary, assembly.conclusion.result | counts | shown)

    async def _preview(self, connection: AsyncConnection, statements: Statements) -> dict[str, Any]:
        """Return some rows of each kind, before they are written."""
        rows = {
            kind: await self._loader.fetch(connection, question)
            for kind, question in statements.sampled().items()
        }
        changed: list[Any] = []
        if statements.count_changed is not None:
            changed = await self._loader.fetch(connection, statements.count_changed)
        return preview.samples_of(statements.loaded, rows, changed)

    async def _apply(
        self, connection: AsyncConnection, record: Record, *, is_recorded: bool
    ) -> dict[str, int]:
        """Write the staged rows into the table. The staging table becomes the record of the load,
        or is dropped.
        """
        loader, statements = self._loader, record.statements
        staged = await loader.count(connection, statements.count_staged)
        if is_recorded:
            counts = await self._apply_recorded(connection, record, staged)
            await self._keep_record(connection, record)
            return counts
        counts = {"inserted": 0, "updated": 0, "unchanged": 0, "skipped": 0, "deleted": 0}
        matched = 0
        counts["deleted"] = await self._delete(connection, statements.before())
        if statements.updates:
            matched = await loader.count(connection, statements.count_matched)
        for step in statements.steps():
            counts[step.counted] += await loader.run(connection, step.sql)
        await loader.end(connection)
        counts["unchanged"] = matched - counts["updated"]
        counts["skipped"] = staged - matched - counts["inserted"]
        await loader.drop_stage(connection, record.job_id)
        return counts

    async def _apply_recorded(
        self, connection: AsyncConnection, record: Record, staged: int
    ) -> dict[str, int]:
        """Write the staged rows, and what they replace into the record."""
        loader, statements, mode = self._loader, record.statements, record.plan.mode
        counts = {"inserted": 0, "updated": 0, "unchanged": 0, "skipped": 0, "deleted": 0}
        left_alone = "skipped" if mode == "insert_new" else "unchanged"
        if mode in KEYED or mode in DELETING:
            await loader.run(connection, record.create_before)
        counts["deleted"] = await self._delete(connection, record.deletions())
        keeps_by_update = await loader.returns_old(connection)
        if statements.changes and not keeps_by_update:
            counts["updated"] = await loader.run(connection, record.keep_updated)
        if mode in KEYED and not record.can_keep_late:
            counts[left_alone] = await loader.run(connection, record.keep_matched(left_alone))
        updated = 0
        if statements.changes and keeps_by_update:
            updated = counts["updated"] = await loader.run(connection, record.update_and_keep)
        elif statements.changes:
            updated = await loader.run(connection, statements.update(statements.stage))
        if statements.inserts:
            insert = statements.insert(statements.stage)
            counts["inserted"] = await loader.run(connection, insert)
        await loader.end(connection)
        others = staged - counts["updated"] - counts["inserted"]
        if others and mode in KEYED and record.can_keep_late:
            late = record.keep_matched(left_alone, is_late=True)
            counts[left_alone] = await loader.run(connection, late)
        is_as_kept = updated == counts["updated"] and others == counts[left_alone]
        if not is_as_kept and not record.definition.triggers:
            raise TableMoved  # others have written rows of the file meanwhile
        return counts

    async def _keep_record(self, connection: AsyncConnection, record: Record) -> None:
        loader, stage = self._loader, stage_of(record.job_id)
        if await loader.has_table(connection, record.name):
            await loader.run(connection, record.add_staged)
            await loader.drop_stage(connection, record.job_id)
        else:
            await loader.rename(connection, stage, record.name)

    async def _delete(self, connection: AsyncConnection, steps: Sequence[Step]) -> int:
        """Delete the rows that make way for those of the file; return their number. Raises
        LoadRefused where they cannot be: no row of the file is to blame for that.
        """
        deleted = 0
        try:
            for step in steps:
                rows = await self._loader.run(connection, step.sql)
                deleted += rows if step.counted == "deleted" else 0
        except RowsRefused as error:
            raise LoadRefused(f"Cannot delete rows of the table: {error.detail}") from error
        return deleted

    @property
    def _keys_at_the_end(self) -> bool:
        """Return whether a new table gets its key after its rows: an index is made sooner from all
        of them. SQLite cannot add one.
        """
        definition = self._plan.definition
        is_new = self._plan.mode == "create" and definition.dialect == "postgresql"
        return is_new and bool(definition.primary_key)

    async def _open(self, connection: AsyncConnection, *, is_bulk: bool = False) -> None:
        """Hold the table as it was planned until the end of the transaction. `is_bulk`: all rows
        come at once, and then the key. Raises TableChanged, TableLocked, LoadRefused.
        """
        plan, planned = self._plan, self._plan.definition
        await self._loader.begin(connection)
        await self._loader.take_turns(connection, planned.name)
        if plan.mode == "create":
            if await read_definition(connection, planned.name) is not None:
                raise TableChanged(
                    f"The table {planned.name} was created in the meantime. Nothing was loaded."
                )
        else:
            await self._check_definition(connection)
        statements = plan.statements
        if is_bulk and self._keys_at_the_end:
            statements = (create_table(replace(planned, constraints=())),)
        for statement in statements:
            await self._loader.run(connection, statement)

    async def _check_definition(self, connection: AsyncConnection) -> None:
        planned = self._plan.definition
        kept = tuple(column for column in planned.columns if column.name not in self._plan.added)
        before = replace(planned, columns=kept)
        now = await read_definition(connection, before.name)
        if now is not None:
            await self._loader.hold(connection, self._plan)
            now = await read_definition(connection, before.name)
        if now is None:
            raise TableChanged(f"The table {before.name} was dropped. Nothing was loaded.")
        if now.fingerprint() != before.fingerprint():
            raise TableChanged(
                f"The definition of {before.name} changed while the load ran. Nothing was loaded."
            )

    async def _check_deletes(
        self, connection: AsyncConnection, statements: Statements, *, rejected: int
    ) -> None:
        if rejected:
            raise MirrorIncomplete
        missing = await self._loader.count(connection, statements.count_missing)
        rows = await self._loader.count(connection, statements.count_table)
        most = most_of(self._plan.max_delete, rows)
        if missing > most:
            raise TooManyDeletes(
                f"The file lacks {missing} of {rows} rows of the table, and max_delete allows"
                f" {self._plan.max_delete}. Nothing was loaded."
            )

    async def discard(self, assembly: Assembly) -> None:
        """Keep what is staged: it may be needed for another attempt."""

    async def forget(self, job_id: UUID) -> None:
        self._parts.refused.pop(job_id, None)
        work = self._parts.database.transact(lambda c: self._loader.drop_stage(c, job_id))
        await _left_for_the_sweep(work)

    async def failed(self, job_id: UUID) -> None:
        self._parts.refused.pop(job_id, None)
        work = self._parts.database.transact(lambda c: _drop_unneeded(c, self._loader, job_id))
        await _left_for_the_sweep(work)


class _RolledBack(Exception):
    """Nothing of an attempt stays."""


def _numbers(refusals: Sequence[Refusal]) -> list[int]:
    return [refusal.row_number for refusal in refusals]


def _reject(refusal: Refusal) -> Reject:
    number, code, message, column, value = refusal
    return Reject(number, 0, 0, 0, b"", code, message, column, value)


def _around(alone: Sequence[int], last: int) -> list[Range]:
    """Return the numbers from 1 to `last`: each of these alone, and the others between them
    together.
    """
    ranges: list[Range] = []
    begin = 1
    for number in alone:
        if begin < number:
            ranges.append((begin, number - 1))
        ranges.append((number, number))
        begin = number + 1
    if begin <= last:
        ranges.append((begin, last))
    return ranges


def most_of(limit: str, rows: int) -> int:
    """Return the number that `5`, or `10%` of so many rows, stands for."""
    if limit.endswith("%"):
        return int(rows * float(limit[:-1]) / 100)
    return int(limit)


async def _drop_unneeded(connection: AsyncConnection, loader: Loader, job_id: UUID) -> None:
    """Drop a staging table, which is needed while its job works and while failed chunks can be
    retried.
    """
    job = await jobs.lock_job(connection, job_id)
    if job is not None:
        status = JobStatus(job.status)
        can_retry = status is JobStatus.FAILED and await chunks.errors(connection, job_id, limit=1)
        if status in ACTIVE_JOBS or can_retry:
            return
    logger.info("Dropping the staging table of %s", job_id)
    await loader.drop_stage(connection, job_id)


async def drop_record(connection: AsyncConnection, loader: Loader, job_id: UUID) -> None:
    """Drop the record of a job, if it has one."""
    for prefix in (RECORD_PREFIX, BEFORE_PREFIX):
        await loader.run(connection, f"DROP TABLE IF EXISTS {quoted(prefix + job_id.hex)}")


async def _left_for_the_sweep(work: Awaitable[Any]) -> bool:
    """Do work that the sweep repeats if it fails: the job has its final status already. Return
    whether it is done.
    """
    try:
        await work
    except TransientError as error:
        logger.warning("Could not drop a staging table; the sweep will: %s", error)
        return False
    return True
