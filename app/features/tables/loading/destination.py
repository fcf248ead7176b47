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

from app.db import chunks, corrections, jobs
from app.db.engine import Database
from app.db.rows import ChunkRow
from app.destinations.base import ReadBack, ResultDestination, TakenBack
from app.destinations.rejects import Rejects
from app.destinations.staged import Assembly, Compute, StagedJob, StagedResults
from app.errors import TerminalError, TransientError
from app.failpoints import hit
from app.features.tables import queries
from app.features.tables.catalogue import read_definition
from app.features.tables.connections import RemoteTransaction
from app.features.tables.ddl import add_key, create_table
from app.features.tables.definition import TableName, quoted
from app.features.tables.ledger import Ledger, RowRange
from app.features.tables.loading import preview, undoing
from app.features.tables.loading.loader import (
    LoadRefused,
    Range,
    RowsRefused,
    TableLocked,
    runs_of,
)
from app.features.tables.loading.locks import lock_holders, session_words
from app.features.tables.loading.places import ConnectionRemoved, NamedPlace, Place, Places
from app.features.tables.loading.processor import NAME
from app.features.tables.loading.record import (
    BEFORE_PREFIX,
    RECORD_PREFIX,
    Record,
    is_recorded,
    recorded_job,
)
from app.features.tables.loading.refusals import Refusal, clashes, found_by, settled_by
from app.features.tables.loading.statements import (
    STAGE_PREFIX,
    Finder,
    Statements,
    Step,
    stage_of,
)
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
CANCELLED = "cancelled"
"""Answer of a load that was cancelled before it was committed, and never will be."""
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


@dataclass(slots=True)
class Ready:
    """A load on a named connection, whose transaction there is open or has ended."""

    transaction: RemoteTransaction | None
    conclusion: Conclusion


Settling = Callable[[Statements, StagedJob], Awaitable[list[Refusal]]]
"""A way to find rows that the table refuses."""


@dataclass(frozen=True, slots=True)
class LoadParts:
    """What all loads of a process share."""

    database: Database
    sources: Sources
    rejects: Rejects
    places: Places
    refused: Counter[UUID]
    """How often the table has refused the whole of a job. Lost with the process, it is found out
    again.
    """
    ready: dict[UUID, Ready]
    """Loads that are written on a named connection, and not committed."""
    counts: dict[UUID, dict[str, int]]
    """Counts of the rows that the current transaction has written for a progressive load."""
    refusals: dict[UUID, list[Refusal]]
    """Rows of a correction that were refused, in the current transaction."""


class LoadedTables:
    """The destinations of loads, one for each job."""

    def __init__(
        self,
        database: Database,
        sources: Sources,
        rejects: Rejects,
        places: Places,
        keep_days: float,
    ) -> None:
        """`keep_days`: how long records are kept."""
        self._parts = LoadParts(database, sources, rejects, places, Counter(), {}, {}, {})
        self._keep = timedelta(days=keep_days)

    def of(self, processor: str, options: Mapping[str, Any]) -> ResultDestination | None:
        if processor != NAME:
            return None
        from app.features.tables.loading.progressive import ProgressiveTable

        plan = from_text(options["plan"])
        if plan.visibility == "progressive":
            return ProgressiveTable(self._parts, plan)
        return LoadedTable(self._parts, plan)

    async def run(self) -> None:
        """Sweep now and then, until cancelled."""
        while True:
            is_done = await _left_for_the_sweep(self.sweep())
            await asyncio.sleep(SWEEP_SECONDS if is_done else RETRY_SECONDS)

    async def sweep(self) -> None:
        """Remove staging tables that no job needs any more, and records that are too old.
        Named connections that cannot be used now are left to the next sweep.
        """
        parts = self._parts
        place = parts.places.own
        async with place.working() as connection:
            job_ids = await place.loader.staged_jobs(connection)
            names = await place.loader.list_tables(connection, RECORD_PREFIX)
            names += await place.loader.list_tables(connection, BEFORE_PREFIX)
        recorded = dict.fromkeys(recorded_job(name) for name in names)
        await self._sweep_in(place, job_ids, [each for each in recorded if each is not None])
        for named in parts.places.named():
            try:
                await self._sweep_named(named)
            except (TransientError, TerminalError) as error:
                logger.warning("Not swept, until the next time: %s", error)

    async def _sweep_named(self, place: Place) -> None:
        """Sweep what the ledger names: others may use the same database."""
        assert place.ledger is not None
        async with place.working() as connection:
            recorded = await place.ledger.list_jobs(connection)
            names = await place.loader.list_tables(connection, STAGE_PREFIX)
        staged = [job_id for job_id in recorded if stage_of(job_id) in names]
        await self._sweep_in(place, staged, recorded)

    async def _sweep_in(
        self, place: Place, staged: Sequence[UUID], recorded: Sequence[UUID]
    ) -> None:
        transact = self._parts.database.transact
        for job_id in staged:
            await transact(lambda c, j=job_id: _drop_unneeded(c, place, j))  # type: ignore[misc]
        for job_id in recorded:
            await transact(lambda c, j=job_id: self._drop_old(c, place, j))  # type: ignore[misc]

    async def _drop_old(self, connection: AsyncConnection, place: Place, job_id: UUID) -> None:
        job = await jobs.lock_job(connection, job_id)
        is_kept = job is not None and (
            job.finished_at is None or datetime.now(UTC) - job.finished_at < self._keep
        )
        if not is_kept:
            logger.info("Dropping the record of %s", job_id)
            async with place.at(connection) as target:
                await drop_record(target, place, job_id)


class LoadedTable(StagedResults):
    keeps_rows = False
    incomplete: ClassVar[dict[str, str]] = {
        "code": "load_incomplete",
        "message": "Some chunks failed, so nothing was loaded. Retry the job to run them again.",
    }

    def __init__(self, parts: LoadParts, plan: LoadPlan) -> None:
        self._parts = parts
        self._place = parts.places.of(plan.definition.name.connection)
        self._loader = self._place.loader
        self._plan = plan

    # ------------------------------------------------------------------ a chunk

    async def write(
        self, connection: AsyncConnection, job_id: UUID, rows: Sequence[Page]
    ) -> dict[str, int]:
        async with self._place.at(connection) as target:
            if self._place.ledger is not None:
                await self._unstage_earlier(target, self._place.ledger, job_id, rows)
            await self._loader.stage(target, job_id, self._plan, [page.data for page in rows])
        hit("load.staged")
        return {}

    async def _unstage_earlier(
        self, target: AsyncConnection, ledger: Ledger, job_id: UUID, rows: Sequence[Page]
    ) -> None:
        """Delete what an earlier attempt has staged of these rows, and died before it could say so
        in the database of the service. An entry in the ledger stands for the rows.
        """
        await ledger.make(target)
        for page in rows:
            span = rows_of(page)
            earlier = await ledger.take(target, job_id, "staged", span)
            if earlier is not None and await self._loader.has_stage(target, job_id):
                await self._loader.run(target, self._statements(job_id).unstage_between(*earlier))
            await ledger.write(target, job_id, "staged", None, span)

    async def count(self, connection: AsyncConnection, job_id: UUID) -> int:
        """Return the rows that a running job has staged, or that an ended one has loaded."""
        job = await jobs.load_job(connection, job_id)
        if job is None:
            return 0
        if JobStatus(job.status) in WHOLE:
            return int((job.summary or {})["rows"]) if job.stores_results else 0
        if JobStatus(job.status) not in ACTIVE_JOBS:
            return 0
        ready = self._parts.ready.get(job_id)
        if ready is not None:
            return int(ready.conclusion.summary["rows"])
        async with self._place.read(connection) as target:
            return await self._count_written(target, job_id)

    async def _count_written(self, target: AsyncConnection, job_id: UUID) -> int:
        """Return the rows that are staged, or committed in the table."""
        loaded = await self._find_loaded(target, job_id)
        if loaded is not None:
            return int(loaded.summary["rows"])
        if not await self._loader.has_stage(target, job_id):
            return 0
        return await self._loader.count(target, self._statements(job_id).count_staged)

    async def _find_loaded(self, target: AsyncConnection, job_id: UUID) -> Conclusion | None:
        """Return the end of the load, if the ledger has it."""
        if self._place.ledger is None:
            return None
        answer = await self._place.ledger.find(target, job_id, "loaded")
        if answer is None or answer == CANCELLED:
            return None
        return Conclusion(answer["summary"], answer["result"])

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
        async with self._place.at(connection) as target:
            known = await self.find_written(target, job_id, rows)
            refusals = known[0] if known else await self._refused(target, job_id, rows)
        self._parts.refusals[job_id] = refusals
        return [as_reject(refusal) for refusal in refusals]

    async def _refused(
        self, connection: AsyncConnection, job_id: UUID, rows: Sequence[Page]
    ) -> list[Refusal]:
        loader, statements = self._loader, self._corrected(job_id)
        await loader.stage(connection, job_id, self._plan, [page.data for page in rows])
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
        return [*refusals, *tried]

    async def find_written(
        self, target: AsyncConnection, job_id: UUID, rows: Sequence[Page]
    ) -> tuple[list[Refusal], dict[str, int]] | None:
        """Return what the ledger says of an earlier attempt to write these rows of a chunk or a
        correction: those that were refused, and counts of the others. None if it was not committed.
        """
        if self._place.ledger is None:
            return None
        known = await self._place.ledger.find(target, job_id, "rows", rows[0].first_row)
        if known is None or known["asked"] != _asked(rows):
            return None
        return [Refusal(*refusal) for refusal in known["refused"]], known["counts"]

    async def note_written(
        self,
        target: AsyncConnection,
        job_id: UUID,
        rows: Sequence[Page],
        refusals: Sequence[Refusal],
        counts: dict[str, int],
    ) -> None:
        """Add an entry to the ledger. Without a row in the table there is nothing to remember, and
        the same rows may come again, corrected.
        """
        ledger, first = self._place.ledger, rows[0].first_row
        if ledger is None:
            return
        await ledger.make(target)
        await ledger.take(target, job_id, "rows", RowRange(first, first))
        if counts["rows"]:
            answer = {"asked": _asked(rows), "refused": refusals, "counts": counts}
            await ledger.write(target, job_id, "rows", answer, RowRange(first, first))

    async def merge(
        self, connection: AsyncConnection, job_id: UUID, rows: Sequence[Page], start: int, end: int
    ) -> dict[str, int]:
        """Write what `refuse` has staged into the table, which has the load itself already."""
        async with self._place.at(connection) as target:
            known = await self.find_written(target, job_id, rows)
            if known is not None:
                return known[1]
            counts = await self._merged(target, job_id)
            refusals = self._parts.refusals.pop(job_id)
            await self.note_written(target, job_id, rows, refusals, counts)
        return counts

    async def _merged(self, target: AsyncConnection, job_id: UUID) -> dict[str, int]:
        record = Record(self._corrected_plan, job_id)
        count = await self._loader.count(target, record.statements.count_staged)
        has_record = await self._loader.has_table(target, record.name)
        return {"rows": count, **await self.apply(target, record, is_recorded=has_record)}

    @property
    def _corrected_plan(self) -> LoadPlan:
        """Return the plan of rows that come later: they exchange and delete nothing."""
        plan = self._plan
        return replace(plan, mode=CORRECTED.get(plan.mode, plan.mode))

    def _corrected(self, job_id: UUID) -> Statements:
        return Statements(self._corrected_plan, job_id)

    async def remove(self, connection: AsyncConnection, job_id: UUID, at_most: int) -> bool:
        """Drop the staging table and the record. What was loaded is the user's."""
        await self.let_go(job_id)
        try:
            async with self._place.at(connection) as target, self._place.awake(connection):
                await self._loader.begin(target)
                await drop_all(target, self._place, job_id)
        except ConnectionRemoved:
            logger.warning("The record of %s stays: its connection is gone", job_id)
        return False

    # ------------------------------------------------------------------ what was loaded

    async def read_back(
        self, connection: AsyncConnection, job_id: UUID, first_rows: Sequence[int]
    ) -> ReadBack:
        """Compare the record of the load with the table. Rows that differ were changed since by
        others, which is no fault; rows that the record lacks are one.
        """
        job = await jobs.load_job(connection, job_id)
        rows = int((job.summary or {}).get("rows", 0)) if job is not None else 0
        return await self.compare(connection, job_id, rows)

    async def compare(self, connection: AsyncConnection, job_id: UUID, rows: int) -> ReadBack:
        """Compare the record, which should have so many rows, with the table."""
        async with self._place.read(connection) as target, self._place.awake(connection):
            return await self._read_back(target, job_id, rows)

    async def _read_back(self, target: AsyncConnection, job_id: UUID, rows: int) -> ReadBack:
        record = Record(self._plan, job_id)
        recorded = await undoing.find_recorded(target, self._loader, record)
        if recorded is None:
            return ReadBack()
        reason = await undoing.fits(target, self._plan)
        if reason:
            return ReadBack(since={"same": 0, "changed": 0, "removed": 0, "table": reason})
        have = await self._loader.count(target, record.count)
        problems = [] if have == rows else [f"rows in the record: {have}, expected {rows}"]
        since = await undoing.compare(target, self._loader, recorded)
        return ReadBack(problems=problems, since=since)

    async def has_rows(self, connection: AsyncConnection, job_ids: Sequence[UUID]) -> bool:
        """Return whether one of the loads has a record."""
        async with self._place.read(connection) as target:
            for job_id in job_ids:
                if await self._loader.has_table(target, Record(self._plan, job_id).name):
                    return True
        return False

    async def take_back(
        self, connection: AsyncConnection, job_id: UUID, at_most: int
    ) -> TakenBack | None:
        """Take back all of the load at once: readers see the table before or after."""
        job = await jobs.load_job(connection, job_id)
        if job is None:
            return None
        loader, ledger = self._loader, self._place.ledger
        table = self._plan.definition.name
        await _check_progressive(connection, table)
        async with self._place.at(connection) as target:
            await loader.begin(target)
            await loader.take_turns(target, table)
            if ledger is not None:
                known = await ledger.find(target, job_id, "undone")
                if known is not None:
                    return self._taken_before(known, job.undo_counts)
            record = Record(self._plan, job_id)
            recorded = await undoing.find_recorded(target, loader, record)
            if recorded is None:
                return None
            loads = await undoing.find_loads(
                connection, target, loader, table, after=job.finished_at
            )
            later = [other for load, other in loads if load.id != job_id]
            async with self._place.awake(connection):
                taken = await undoing.take_back(target, loader, recorded, later)
            if ledger is not None:
                await ledger.write(target, job_id, "undone", taken._asdict())
        hit("load.undone")
        return taken

    @staticmethod
    def _taken_before(known: Any, counts: dict[str, Any] | None) -> TakenBack | None:
        """Return what an undo has taken back that died before it could be counted; None if it is
        counted, or there is nothing to count.
        """
        taken = TakenBack(**{**known, "left_rows": tuple(known["left_rows"])})
        counted = sum((counts or {}).get(name, 0) for name in ("removed", "restored", "left"))
        is_open = bool(taken.removed or taken.restored or taken.left)
        return taken if is_open and not counted else None

    def _statements(self, job_id: UUID) -> Statements:
        return Statements(self._plan, job_id)

    # ------------------------------------------------------------------ rows that the table refuses

    async def settle(self, job: StagedJob, compute: Compute) -> None:
        """Make rejects of the rows that the table refuses: those that a question finds, and, if
        that was not enough, those that an attempt does.
        """
        await self.let_go(job.id)
        if not await self._is_staged(job):
            return
        statements = self._statements(job.id)
        if self._place.ledger is not None:
            await self._unstage_rejected(statements, job)
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
            await self._place.transact(lambda c: self._loader.analyze(c, statements))
        if refused:
            steps.insert(0, self._by_checks)
            await self._place.transact(lambda c: self._loader.index(c, statements))
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
        async with self._place.working() as connection:
            if not await self._loader.has_stage(connection, job.id):
                return False
        async for chunk in self._chunks(job):
            if chunk.status != ChunkStatus.COMPLETED:
                return False
        return True

    async def _unstage_rejected(self, statements: Statements, job: StagedJob) -> None:
        """Delete staged rows that are rejected already: a process may have died after the rejects
        were committed, and before that was.
        """
        async with self._place.working() as target:
            staged = await self._loader.count(target, statements.count_staged)
        expected = 0
        rejecting: list[ChunkRow] = []
        async for chunk in self._chunks(job):
            expected += chunk.rows_ok
            if chunk.reject_codes:
                rejecting.append(chunk)
        if staged <= expected:
            return
        for chunk in rejecting:
            last = chunk.first_row + chunk.row_count - 1
            async with self._parts.database.working() as connection:
                places = await corrections.places_of(connection, job.id, chunk.first_row, last)
            numbers = sorted(places)
            await self._place.transact(
                lambda c, some=numbers: self._loader.unstage(c, statements, some)  # type: ignore[misc]
            )

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
                async with self._place.working() as connection:
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
            await self._place.transact(attempt)
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
            if self._place.ledger is None:
                await self._loader.unstage(connection, statements, _numbers(refusals))

        await self._parts.database.transact(write)
        if self._place.ledger is not None:
            # Behind the rejects: what is not deleted now is found by them later.
            hit("load.rejected")
            await self._place.transact(
                lambda c: self._loader.unstage(c, statements, _numbers(refusals))
            )

    def _rejects(
        self, job: StagedJob, chunk: ChunkRow, refusals: Sequence[Refusal]
    ) -> list[Reject]:
        data = self._parts.sources.read(job.uri, chunk.byte_start, chunk.byte_end, job.etag)
        rejects = [as_reject(refusal) for refusal in refusals]
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
        name = self._plan.definition.name
        async with self._parts.database.working() as connection:
            await _check_progressive(connection, name)
        async with self._place.working() as target:
            loaded = await self._find_loaded(target, job.id)
            rows = 0
            if loaded is None:
                rows = await self._count_written(target, job.id)
        if loaded is not None:
            self._parts.ready[job.id] = Ready(None, loaded)
            return Assembly(loaded)
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
        assembly = Assembly(Conclusion(summary, result), payload=job.rows - rows)
        if isinstance(self._place, NamedPlace):
            await self._make_ready(self._place, job.id, assembly)
        return assembly

    async def _make_ready(self, place: NamedPlace, job_id: UUID, assembly: Assembly) -> None:
        """Write the rows on the named connection and leave the transaction open, so that the
        service's own is not held for as long as that takes.
        """
        transaction = await place.begin()
        try:
            with place.translated():
                conclusion = await self._load_counted(transaction.connection, job_id, assembly)
        except BaseException:
            await transaction.roll_back()
            raise
        self._parts.ready[job_id] = Ready(transaction, conclusion)

    async def _load_counted(
        self, connection: AsyncConnection, job_id: UUID, assembly: Assembly
    ) -> Conclusion:
        try:
            return await self._load(connection, job_id, assembly)
        except RowsRefused:
            self._parts.refused[job_id] += 1
            raise

    async def publish(
        self, connection: AsyncConnection, job_id: UUID, assembly: Assembly
    ) -> Conclusion:
        if isinstance(self._place, NamedPlace):
            return await self._commit(self._place, job_id)
        conclusion = await self._load_counted(connection, job_id, assembly)
        hit("load.published")
        return conclusion

    async def _commit(self, place: NamedPlace, job_id: UUID) -> Conclusion:
        """Commit the load on the named connection, with its entry in the ledger. The transaction of
        the caller commits next; if that fails, the entry ends the job.
        """
        ready = self._parts.ready[job_id]
        transaction = ready.transaction
        if transaction is None:
            return ready.conclusion
        answer = {"summary": ready.conclusion.summary, "result": ready.conclusion.result}
        with place.translated():
            await place.ledger.make(transaction.connection)
            await place.ledger.write(transaction.connection, job_id, "loaded", answer)
            await place.ledger.remove(transaction.connection, job_id, "staged")
        hit("load.published")
        await transaction.commit()
        ready.transaction = None
        hit("load.committed")
        return ready.conclusion

    async def seal(self, connection: AsyncConnection, job_id: UUID) -> bool:
        """Keep a load that has not been committed from ever being so; return False if it is. A load
        whose connection is gone from the settings cannot be committed any more.
        """
        ledger = self._place.ledger
        if ledger is None or not await self._may_be_written(connection, job_id):
            return True
        try:
            async with self._place.at(connection) as target:
                await self._loader.begin(target)
                await ledger.make(target)
                answer = await ledger.find(target, job_id, "loaded")
                if answer is None:
                    await ledger.write(target, job_id, "loaded", CANCELLED)
        except ConnectionRemoved:
            return True
        return answer is None or answer == CANCELLED

    async def _may_be_written(self, connection: AsyncConnection, job_id: UUID) -> bool:
        """Return whether all chunks have ended: the last step may have begun."""
        job = await jobs.lock_job(connection, job_id)  # its file may be marked as deleted already
        if job is None or not job.split_done:
            return False
        tally = await chunks.tally(connection, job_id)
        return all(ChunkStatus(each.status).is_final for each in tally)

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
        counts = await self.apply(connection, record, is_recorded=is_recorded(self._plan))
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

    async def apply(
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
            await self.check_definition(connection)
        statements = plan.statements
        if is_bulk and self._keys_at_the_end:
            statements = (create_table(replace(planned, constraints=())),)
        for statement in statements:
            await self._loader.run(connection, statement)

    async def check_definition(self, connection: AsyncConnection) -> None:
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

    async def let_go(self, job_id: UUID) -> None:
        ready = self._parts.ready.pop(job_id, None)
        if ready is not None and ready.transaction is not None:
            await ready.transaction.roll_back()

    async def forget(self, job_id: UUID) -> None:
        await self._clean(job_id, lambda c: self._drop_stage(c, job_id))

    async def waits_for(self, error: TransientError) -> str | None:
        """Return the table and who holds a lock on it. A lock may be gone by now, or be one on
        another table that a rule of this one reads.
        """
        if not isinstance(error, TableLocked):
            return None
        table = self._plan.definition.name
        if error.__cause__ is None:  # a load that is known, and not an answer of the database
            return error.detail
        async with self._place.working() as target:
            sessions = await self._loader.fetch(target, lock_holders(table))
        return f"{table}, locked by {session_words([pid for (pid,) in sessions])}"

    async def overtaken(self, job_id: UUID) -> None:
        """Drop what is staged, if nothing needs it: who has cancelled or deleted the load does not
        wait for long until this process lets go of it.
        """
        await self.failed(job_id)

    async def _drop_stage(self, connection: AsyncConnection, job_id: UUID) -> None:
        async with self._place.at(connection) as target:
            await self._loader.begin(target)
            await self._loader.drop_stage(target, job_id)
            if self._place.ledger is not None:
                await self._place.ledger.remove(target, job_id, "staged")

    async def failed(self, job_id: UUID) -> None:
        await self._clean(job_id, lambda c: _drop_unneeded(c, self._place, job_id))

    async def _clean(
        self, job_id: UUID, work: Callable[[AsyncConnection], Awaitable[None]]
    ) -> None:
        self._parts.refused.pop(job_id, None)
        await self.let_go(job_id)
        await _left_for_the_sweep(self._parts.database.transact(work))


class _RolledBack(Exception):
    """Nothing of an attempt stays."""


def _numbers(refusals: Sequence[Refusal]) -> list[int]:
    return [refusal.row_number for refusal in refusals]


def as_reject(refusal: Refusal) -> Reject:
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


async def _drop_unneeded(connection: AsyncConnection, place: Place, job_id: UUID) -> None:
    """Drop a staging table, which is needed while its job works and while failed chunks can be
    retried.
    """
    job = await jobs.lock_job(connection, job_id)
    if job is not None:
        status = JobStatus(job.status)
        can_retry = status is JobStatus.FAILED and await chunks.errors(connection, job_id, limit=1)
        if status in ACTIVE_JOBS or can_retry:
            return
    async with place.at(connection) as target:
        await place.loader.begin(target)
        if await place.loader.has_stage(target, job_id):
            logger.info("Dropping the staging table of %s", job_id)
            await place.loader.drop_stage(target, job_id)
            if place.ledger is not None:
                await place.ledger.remove(target, job_id, "staged")


async def drop_all(target: AsyncConnection, place: Place, job_id: UUID) -> None:
    """Drop everything of a job that is deleted. The entries in the ledger go last, since the sweep
    finds staging tables by them, and one of them keeps a stopped process from committing the load:
    dropping the staging table waits until the transaction of such a process has ended.
    """
    await place.loader.drop_stage(target, job_id)
    await drop_record(target, place, job_id)


async def drop_record(target: AsyncConnection, place: Place, job_id: UUID) -> None:
    """Drop the record of a job, if it has one, and its entries in the ledger."""
    for prefix in (RECORD_PREFIX, BEFORE_PREFIX):
        await place.loader.run(target, f"DROP TABLE IF EXISTS {quoted(prefix + job_id.hex)}")
    if place.ledger is not None:
        await place.ledger.remove(target, job_id)


async def _check_progressive(own: AsyncConnection, table: TableName) -> None:
    """Raises TableLocked while a progressive load writes into the table: an undo needs to know which
    of two loads wrote a row last.
    """
    running = await queries.find_progressive(own, str(table), table.connection)
    if running is not None:
        raise TableLocked(f"The load {running} writes into the table.")


def rows_of(page: Page) -> RowRange:
    numbers = page.numbers
    last = numbers[-1] if numbers else page.first_row + page.row_count - 1
    return RowRange(page.first_row, last)


def _asked(rows: Sequence[Page]) -> list[list[int]]:
    """Return the numbers of the rows, as they come from JSON: by the first and last of each run."""
    numbers: list[int] = []
    for page in rows:
        numbers += page.numbers or range(page.first_row, page.first_row + page.row_count)
    return [list(run) for run in runs_of(numbers)]


async def _left_for_the_sweep(work: Awaitable[Any]) -> bool:
    """Do work that the sweep repeats if it fails: the job has its final status already. Return
    whether it is done.
    """
    try:
        await work
    except TransientError as error:
        logger.warning("Could not drop a staging table; the sweep will: %s", error)
        return False
    except ConnectionRemoved:
        logger.warning("A staging table stays: its connection is gone")
    return True
