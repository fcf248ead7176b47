"""ChunkRunner: one chunk, from its bytes to committed rows. Read this first: all the promises about rows are kept here.

read -> process -> [fence + rows + rejects + counts + status: ONE transaction]
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from itertools import chain
from time import perf_counter
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import chunks, corrections, jobs
from app.db.chunks import Claim
from app.db.engine import Database
from app.errors import GranulaError, LeaseLost, TerminalError, TransientError
from app.failpoints import hit
from app.formats.base import Rows
from app.pipeline import observing, suspects
from app.pipeline.columns import Columns, ColumnsTaken
from app.pipeline.merger import Merger, look, only
from app.pipeline.parts import write_part
from app.pipeline.prepared import Prepared, gathered
from app.pipeline.preparing import Preparer, Read
from app.pipeline.processes import Processes, WorkerDied
from app.pipeline.rejecting import failed_row, located
from app.pipeline.retry import TRANSIENT_DELAY_SECONDS, RetryPolicy
from app.pipeline.running import RunningJob
from app.pipeline.suspects import MakeProcessors, Suspect
from app.pipeline.threads import Threads
from app.processors.base import ChunkOutcome
from app.sinks.base import Sink
from app.sources.base import Sources
from app.sources.places import Outputs
from app.states import ChunkStatus

logger = logging.getLogger(__name__)
SETTLE_SECONDS = 1.0
KEPT_ELSEWHERE = {"hash_read": f"{0:016x}", "summary": None}
"""What a chunk of a correction says of its results: they are part of the chunk that it corrects."""


class EveryRowFailed(TerminalError):
    """The processor failed for every row of the chunk."""


class ChunkRunner:
    def __init__(
        self,
        database: Database,
        sources: Sources,
        sink: Sink,
        retry: RetryPolicy,
        threads: Threads,
        processes: Processes,
        parts: Outputs,
        rank: Callable[[UUID], float],
        make_processors: MakeProcessors,
    ) -> None:
        """`rank` of a job: who has the lowest gets the next free thread. `make_processors`: in another process, those that
        suspects need."""
        self._database = database
        self._sink = sink
        self._retry = retry
        self._threads = threads
        self._processes = processes
        self._parts = parts
        self._rank = rank
        self._merger = Merger(sink)
        self._make_processors = make_processors
        # One at a time, and so in one process: to start another takes longer than the few suspects there are.
        self._one_suspect = asyncio.Lock()
        self._preparer = Preparer(
            lambda job, start, end: sources.read(job.uri, start, end, job.etag),
            compute=processes.compute,
            in_thread=self._in_thread,
            encode_table=sink.encode_table,
        )

    def expect(self, job: RunningJob) -> None:
        """Its chunks will come soon."""
        modules: Sequence[str] = getattr(job.processor, "computes_with", ())
        if modules:
            self._processes.prepare(*modules)

    async def run(self, job: RunningJob, claims: Sequence[Claim]) -> float | None:
        """Run chunks claimed together to their ends. Seconds until one of them may be tried again, or None.

        They are written in one transaction, since a transaction costs more than the rows of a small chunk. If that
        fails for whatever reason, each is written, retried or failed by itself.
        """
        with observing.at_work(job, claims):
            return await self._run(job, claims)

    async def _run(self, job: RunningJob, claims: Sequence[Claim]) -> float | None:
        hit("chunk.claimed")
        if job.corrects is not None:
            await self._look(job, claims)
        first_tries = [c for c in claims if not self._is_last_try(c)]
        closed = _closed(job) if first_tries else None
        outcomes: list[tuple[Claim, Prepared | Exception]] = [(c, closed) for c in first_tries if closed is not None]
        outcomes = outcomes or await self._prepare_all(job, first_tries)
        ready = [(claim, outcome) for claim, outcome in outcomes if isinstance(outcome, Prepared)]
        if len(ready) > 1 and await self._commit_together(job, ready):
            ready = []
        left: list[tuple[Claim, Prepared | Exception | None]] = [
            (c, e) for c, e in outcomes if isinstance(e, Exception)
        ]
        left += [*ready, *((claim, None) for claim in claims if self._is_last_try(claim))]
        delays = [await self._settle(job, claim, outcome) for claim, outcome in left]
        return min((d for d in delays if d is not None), default=None)

    def _is_last_try(self, claim: Claim) -> bool:
        return self._retry.is_last(claim.attempt) and claim.attempt > 1

    async def _commit_together(self, job: RunningJob, ready: Sequence[tuple[Claim, Prepared]]) -> bool:
        try:
            await self._commit(job, ready)
        except Exception as error:
            logger.info("Job %s: %d chunks are written one by one: %r", job.id, len(ready), error)
            return False
        return True

    async def _settle(self, job: RunningJob, claim: Claim, outcome: Prepared | Exception | None) -> float | None:
        """Bring one chunk to its end, whatever happened to it so far. Seconds until it may be tried again, or None."""
        with observing.told_of(claim):
            return await self._end(job, claim, outcome)

    async def _end(self, job: RunningJob, claim: Claim, outcome: Prepared | Exception | None) -> float | None:
        try:
            if isinstance(outcome, Exception):
                raise outcome
            prepared = await self._isolate(job, claim) if outcome is None else outcome
            await self._commit(job, [(claim, prepared)])
        except LeaseLost as error:
            observing.lost(claim, error)
            logger.warning("Chunk %s/%s belongs to somebody else now; nothing was written", job.id, claim.index)
        except TransientError as error:
            logger.warning("Chunk %s/%s waits: %s", job.id, claim.index, error)
            delay = min(error.retry_after or TRANSIENT_DELAY_SECONDS, self._retry.longest_wait)
            return await self._give_back(job, claim, delay, error, refund=True)
        except TerminalError as error:
            await self._fail(claim, error)
        except WorkerDied as error:
            if claim.is_suspect:
                return await self._count_death(claim, error)
            return await self._try_again(job, claim, outcome, error)
        except Exception as error:
            return await self._try_again(job, claim, outcome, error)
        return None

    async def _try_again(
        self, job: RunningJob, claim: Claim, outcome: Prepared | Exception | None, error: Exception
    ) -> float | None:
        """Later, or row by row after the last attempt; fails the chunk when that was of no use."""
        logger.error("Chunk %s/%s, attempt %s", job.id, claim.index, claim.attempt, exc_info=error)
        if not self._retry.is_last(claim.attempt):
            delay = self._retry.delay_seconds(claim.attempt)
            return await self._give_back(job, claim, delay, error, refund=False)
        if outcome is not None:  # MAX_RETRIES=0: the first attempt is the last, so look for the bad rows at once
            return await self._end(job, claim, None)
        await self._fail(claim, error)
        return None

    async def _count_death(self, claim: Claim, error: WorkerDied) -> float | None:
        """The process of a suspect ended while this one lives on. Whoever ends processes from outside may be ending this one
        next, and then the chunk is not to blame."""
        await asyncio.sleep(SETTLE_SECONDS)
        try:
            status = await self._database.transact(lambda c: chunks.count_death(c, claim))
        except TransientError:  # the heartbeat will give it back
            return TRANSIENT_DELAY_SECONDS
        if status is ChunkStatus.FAILED:
            logger.error(
                "Chunk %s/%s ended its process %d times and fails", claim.job_id, claim.index, chunks.MAX_DEATHS
            )
            observing.failed(claim, error)
            return None
        if status is ChunkStatus.PENDING:
            logger.warning("Chunk %s/%s ended its process", claim.job_id, claim.index)
            observing.retried(claim, error)
        return 0.0

    # ------------------------------------------------------------------ read and process

    async def _in_thread(self, job: RunningJob, work: Any, *arguments: Any) -> Any:
        return await self._threads.run(self._rank(job.id), work, *arguments)

    async def _look(self, job: RunningJob, claims: Sequence[Claim]) -> None:
        """Which rows these chunks of a correction have, and which of them are still to be corrected."""
        async with self._database.working() as connection:
            parts = await corrections.find_parts(connection, job.id, [claim.index for claim in claims])
            assert job.corrects is not None
            for index, part in parts.items():
                job.live[index] = await look(connection, job.corrects, part)

    async def _prepare_all(self, job: RunningJob, claims: Sequence[Claim]) -> list[tuple[Claim, Prepared | Exception]]:
        """Chunks of a processor that computes go through a thread together; those of one that waits wait together. A suspect
        comes alone, and has a process of its own."""
        if any(claim.is_suspect for claim in claims):
            return [await self._try(claim, self._prepare_suspect(job, claim)) for claim in claims]
        if job.is_waiting_processor:
            return list(
                await asyncio.gather(
                    *(self._try(claim, self._preparer.prepare_waiting(job, claim)) for claim in claims)
                )
            )

        queued = perf_counter()

        def prepare_all() -> list[tuple[Claim, Prepared | Exception]]:
            outcomes: list[tuple[Claim, Prepared | Exception]] = []
            waited = perf_counter() - queued
            for claim in claims:
                try:
                    with observing.told_of(claim):
                        outcomes.append((claim, self._preparer.prepare(job, claim, waited)))
                    waited = 0.0  # for a thread: once, for all of them
                except Exception as error:
                    outcomes.append((claim, error))
            return outcomes

        return await self._in_thread(job, prepare_all)  # type: ignore[no-any-return]

    async def _prepare_suspect(self, job: RunningJob, claim: Claim) -> Prepared:
        data = await self._in_thread(job, self._preparer.bytes_of, job, claim.span)
        return await self._in_process(job, claim, suspects.prepare, data)  # type: ignore[no-any-return]

    async def _process(self, job: RunningJob, claim: Claim, rows: Rows, known: Columns) -> ChunkOutcome:
        """`known`: the columns of the job so far."""
        if claim.is_suspect:
            job = replace(job, columns=known)
            return await self._in_process(job, claim, suspects.process, rows)  # type: ignore[no-any-return]
        return await self._preparer.process(job, claim, rows, known)

    async def _in_process(self, job: RunningJob, claim: Claim, work: Callable[..., Any], given: Any) -> Any:
        """Raises WorkerDied if the process ends under it."""
        suspect = Suspect.of(self._make_processors, job, claim, self._sink.encode_table)
        async with self._one_suspect:
            return await self._in_thread(job, self._processes.compute, work, suspect, given)

    @staticmethod
    async def _try(claim: Claim, work: Awaitable[Prepared]) -> tuple[Claim, Prepared | Exception]:
        try:
            with observing.told_of(claim):
                return claim, await work
        except Exception as error:
            return claim, error

    # ------------------------------------------------------------------ write, in one transaction

    async def _commit(self, job: RunningJob, ready: Sequence[tuple[Claim, Prepared]]) -> None:
        """Rows, rejects, counts and status of these chunks together or not at all; raises LeaseLost if one of the claims
        is not ours any more."""
        new_columns = job.columns.new(chain.from_iterable(prepared.columns for _, prepared in ready))
        begun, written_at = perf_counter(), 0.0
        if any(prepared.outputs for _, prepared in ready):
            await self._in_thread(job, self._write_parts, job, ready)
        claims, values = [claim for claim, _ in ready], [prepared.values() for _, prepared in ready]

        async def write(connection: AsyncConnection) -> None:
            nonlocal written_at
            target = await self._merger.lock(connection, job.corrects) if job.corrects is not None else None
            # The job's row before those of its chunks, as a cancel takes them: else the two could lock each other out.
            if job.waiting_on:
                await jobs.set_waiting_on(connection, job.id, None)
            if new_columns:
                await _add_columns(connection, job.id, new_columns)
            kept = [each | KEPT_ELSEWHERE for each in values] if target else values
            await chunks.complete(connection, claims, kept)
            hit("chunk.before_write")
            if target is None:
                await self._write(connection, job, ready)
            else:
                await self._merge(connection, job, target, ready)
            written_at = perf_counter()
            spent = round(written_at - begun + job.in_flight.commit_seconds, 6)
            await chunks.set_timings(connection, claims[0], {**values[0]["timings"], "write": spent})
            hit("chunk.after_write")

        with observing.committing(claims):
            try:
                await self._database.transact(write)
            except ColumnsTaken as taken:
                job.columns = taken.known
                raise
        hit("chunk.after_commit")
        ended = perf_counter()
        job.in_flight.commit_seconds = ended - written_at  # known only now: counted with what is written next
        observing.completed(claims, values, ended - begun)
        job.waiting_on = None
        if new_columns:
            job.columns = job.columns.and_also(new_columns)

    async def _write(
        self, connection: AsyncConnection, job: RunningJob, ready: Sequence[tuple[Claim, Prepared]]
    ) -> None:
        pages = [page for _, p in ready for page in p.pages]
        rejects = [reject for _, p in ready for reject in p.rejects]
        written = await self._sink.write(connection, job.id, pages, rejects, gathered([p.tables for _, p in ready]))
        if written:  # counted for all together; the summary of the job is their sum anyway
            claim, first = ready[0]
            await chunks.set_summary(connection, claim, {**first.summary, "written": written})

    async def _merge(
        self,
        connection: AsyncConnection,
        job: RunningJob,
        target: RowMapping,
        ready: Sequence[tuple[Claim, Prepared]],
    ) -> None:
        """The same for a correction: into the job that it corrects."""
        for claim, prepared in ready:
            live = job.live[claim.index]
            target = await self._merger.merge(connection, job.id, target, job.processor, live, prepared)

    def _write_parts(self, job: RunningJob, ready: Sequence[tuple[Claim, Prepared]]) -> None:
        """Before the transaction, under names that no other attempt has: what it names is there, and whole."""
        for claim, prepared in ready:
            if prepared.outputs and "part" not in prepared.summary:
                part = write_part(self._parts, job.id, f"{claim.index}-{claim.token.hex}", prepared.outputs)
                prepared.summary = {**prepared.summary, "part": part}
        hit("output.part_written")

    async def _give_back(
        self, job: RunningJob, claim: Claim, delay: float, reason: Exception, *, refund: bool
    ) -> float | None:
        waiting_on = reason.waiting_on if isinstance(reason, TransientError) else None
        error = None if refund else _as_json(reason)

        async def release(connection: AsyncConnection) -> bool:
            if waiting_on != job.waiting_on:
                await jobs.set_waiting_on(connection, job.id, waiting_on)
            return await chunks.release(connection, claim, delay_seconds=delay, refund=refund, error=error)

        try:
            held = await self._database.transact(release)
            job.waiting_on = waiting_on
        except TransientError:  # the heartbeat will give it back
            return delay
        if held:
            observing.retried(claim, reason)
        return delay if held else None

    async def _fail(self, claim: Claim, error: Exception) -> None:
        logger.error("Chunk %s/%s failed: %s", claim.job_id, claim.index, error)
        try:
            if await self._database.transact(lambda c: chunks.fail(c, claim, _as_json(error))):
                observing.failed(claim, error)
        except TransientError:
            logger.warning(
                "Chunk %s/%s: the failure could not be stored, it will be tried again", claim.job_id, claim.index
            )

    # ------------------------------------------------------------------ one bad row costs one row

    async def _isolate(self, job: RunningJob, claim: Claim) -> Prepared:
        """The last attempt: halve the rows until those that cannot be processed or stored are alone.

        They become rejects of kind `failed`; the others are stored. Raises the last error if no row gets through.
        """
        read: Read = await self._in_thread(job, self._preparer.read, job, claim)
        prepared = Prepared(rejects=list(read.parsed.rejects))
        failed: list[Exception] = []
        known = job.columns
        pending: list[Rows] = [read.rows] if len(read.rows) else []
        while pending:
            rows = pending.pop()
            try:
                outcome = await self._process(job, claim, rows, known)
                await self._rehearse(job, claim, rows, outcome)
            except (TransientError, TerminalError):
                raise
            except Exception as error:
                if len(rows) == 1:
                    failed.append(error)
                    prepared.rejects += located(
                        job.form, claim.span, read.data, [failed_row(rows, error)], read.own_numbers
                    )
                else:
                    middle = len(rows) // 2
                    pending += [rows.select(range(middle, len(rows))), rows.select(range(middle))]
                continue
            outcome.rejects = located(job.form, claim.span, read.data, outcome.rejects, read.own_numbers)
            prepared.add(outcome, job.processor)
            if new := known.new(prepared.columns):
                known = known.and_also(new)
        if failed and len(failed) == len(read.rows):
            raise EveryRowFailed(f"{type(failed[-1]).__name__}: {failed[-1]}") from failed[-1]
        prepared.rejects.sort(key=lambda r: r.row_number)
        return prepared

    async def _rehearse(self, job: RunningJob, claim: Claim, rows: Rows, outcome: ChunkOutcome) -> None:
        """Find out whether the database takes these rows, and leave no trace; raises LeaseLost."""

        class Undo(Exception):
            pass

        async def write(connection: AsyncConnection) -> None:
            # First, as in the real write: COPY goes past SQLAlchemy, which begins a transaction with its first statement.
            target = await self._merger.lock(connection, job.corrects) if job.corrects is not None else None
            await chunks.hold(connection, [claim])
            prepared = Prepared()
            prepared.add(outcome, job.processor)
            if target is None:
                await self._sink.write(connection, job.id, prepared.pages, prepared.rejects, prepared.tables)
            else:
                live = only(job.live[claim.index], rows.numbers)
                await self._merger.merge(connection, job.id, target, job.processor, live, prepared)
            raise Undo

        try:
            await self._database.transact(write)
        except Undo:
            return


async def _add_columns(connection: AsyncConnection, job_id: UUID, columns: Sequence[str]) -> None:
    """Append those that are new, other chunks may have brought some; raises ColumnsTaken."""
    known = Columns(await jobs.lock_columns(connection, job_id))
    new = known.new(columns)
    if not known.have_room_for(new):
        raise ColumnsTaken(known)
    if new:
        await jobs.set_columns(connection, job_id, [*known, *new])


def _closed(job: RunningJob) -> TransientError | None:
    """Why the processor could not make anything of any rows now, if it knows: then they need not be read."""
    check: Callable[[], None] | None = getattr(job.processor, "check_available", None)
    try:
        if check is not None:
            check()
    except TransientError as error:
        return error
    return None


def _as_json(error: Exception) -> dict[str, Any]:
    code = error.code if isinstance(error, TerminalError) else "processing_failed"
    detail = error.detail if isinstance(error, GranulaError) else f"{type(error).__name__}: {error}"
    return {"code": code, "message": detail[:500].replace("\0", "\\x00")}
