"""ChunkRunner: one chunk, from its bytes to committed rows. Read this first: all the promises about rows are kept here.

read -> process -> [fence + rows + rejects + counts + status: ONE transaction]
"""

from __future__ import annotations

import asyncio
import logging
import threading
import zlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from time import perf_counter
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import chunks, corrections, jobs
from app.db.chunks import Claim
from app.db.engine import Database
from app.errors import GranulaError, LeaseLost, StoredFileCorrupt, TerminalError, TransientError
from app.failpoints import hit
from app.formats.base import MAX_REJECT_BYTES, Parsed, Rows, Span
from app.pipeline import observing
from app.pipeline.columns import Columns, ColumnsTaken, Fitting
from app.pipeline.merger import Merger, look, only, renumbered
from app.pipeline.parts import write_part
from app.pipeline.prepared import Prepared, gathered
from app.pipeline.processes import Processes
from app.pipeline.rejecting import failed_row, located
from app.pipeline.retry import TRANSIENT_DELAY_SECONDS, RetryPolicy
from app.pipeline.running import RunningJob
from app.pipeline.threads import Threads
from app.processors.base import ChunkContext, ChunkOutcome
from app.sinks.base import Sink
from app.sources.base import Sources
from app.sources.places import Outputs

logger = logging.getLogger(__name__)
KEPT_ELSEWHERE = {"hash_read": f"{0:016x}", "summary": None}
"""What a chunk of a correction says of its results: they are part of the chunk that it corrects."""


class CountsDisagree(TerminalError):
    """The reader found another number of rows than the splitter. Please report the file: this is a bug in Granula."""

    code = "counts_disagree"


class EveryRowFailed(TerminalError):
    """The processor failed for every row of the chunk."""


@dataclass(frozen=True, slots=True)
class Read:
    """The bytes of a chunk, and the rows in them."""

    data: bytes
    parsed: Parsed
    seconds: float = 0.0
    waited: float = 0.0
    """Seconds for the turn to parse, not counted in `seconds`."""
    own_numbers: dict[int, int] | None = None
    """In a correction: the number in its own file of each row."""

    @property
    def rows(self) -> Rows:
        return self.parsed.rows


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
    ) -> None:
        """`rank` of a job: who has the lowest gets the next free thread."""
        self._database = database
        self._sources = sources
        self._sink = sink
        self._retry = retry
        self._threads = threads
        self._processes = processes
        self._parts = parts
        self._rank = rank
        self._merger = Merger(sink)
        # Reading and encoding are Python: two threads at it are no faster than one, and the event loop then waits for both
        # before it gets the interpreter back.
        self._python = threading.Lock()

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
        except Exception as error:
            logger.exception("Chunk %s/%s, attempt %s", job.id, claim.index, claim.attempt)
            if not self._retry.is_last(claim.attempt):
                delay = self._retry.delay_seconds(claim.attempt)
                return await self._give_back(job, claim, delay, error, refund=False)
            if outcome is not None:  # MAX_RETRIES=0: the first attempt is the last, so look for the bad rows at once
                return await self._end(job, claim, None)
            await self._fail(claim, error)
        return None

    # ------------------------------------------------------------------ read and process

    async def _in_thread(self, job: RunningJob, work: Any, *arguments: Any) -> Any:
        return await self._threads.run(self._rank(job.id), work, *arguments)

    def _read(self, job: RunningJob, claim: Claim) -> Read:
        begun, span = perf_counter(), claim.span
        end = min(span.byte_end, span.byte_start + MAX_REJECT_BYTES) if span.is_oversize else span.byte_end
        data = self._sources.read(job.uri, span.byte_start, end, job.etag)
        if not span.is_oversize and zlib.crc32(data) != span.crc32:
            raise StoredFileCorrupt(f"Bytes {span.byte_start} to {span.byte_end} changed since they were split.")
        queued = perf_counter()
        with self._python:
            waited = perf_counter() - queued
            parsed = job.form.read(data, span)
        if parsed.row_count != span.row_count:
            raise CountsDisagree(f"The splitter counted {span.row_count} rows, the reader {parsed.row_count}.")
        hit("chunk.read")
        own = None
        if job.corrects is not None:
            live = job.live[claim.index]
            own = {number: span.first_row + i for i, number in enumerate(live.part.seen)}
            parsed = renumbered(parsed, span, live, lambda rows: _bytes_of(job, data, span, rows))
        return Read(data, parsed, perf_counter() - begun - waited, waited, own)

    async def _look(self, job: RunningJob, claims: Sequence[Claim]) -> None:
        """Which rows these chunks of a correction have, and which of them are still to be corrected."""
        async with self._database.reading() as connection:
            parts = await corrections.find_parts(connection, job.id, [claim.index for claim in claims])
            assert job.corrects is not None
            for index, part in parts.items():
                job.live[index] = await look(connection, job.corrects, part)

    async def _prepare_all(self, job: RunningJob, claims: Sequence[Claim]) -> list[tuple[Claim, Prepared | Exception]]:
        """Chunks of a processor that computes go through a thread together; those of one that waits wait together."""
        if job.is_waiting_processor:
            return list(
                await asyncio.gather(*(self._try(claim, self._prepare_waiting(job, claim)) for claim in claims))
            )

        queued = perf_counter()

        def prepare_all() -> list[tuple[Claim, Prepared | Exception]]:
            outcomes: list[tuple[Claim, Prepared | Exception]] = []
            waited = perf_counter() - queued
            for claim in claims:
                try:
                    with observing.told_of(claim):
                        outcomes.append((claim, self._prepare(job, claim, waited)))
                    waited = 0.0  # for a thread: once, for all of them
                except Exception as error:
                    outcomes.append((claim, error))
            return outcomes

        return await self._in_thread(job, prepare_all)  # type: ignore[no-any-return]

    @staticmethod
    async def _try(claim: Claim, work: Awaitable[Prepared]) -> tuple[Claim, Prepared | Exception]:
        try:
            return claim, await work
        except Exception as error:
            return claim, error

    def _prepare(self, job: RunningJob, claim: Claim, waited: float) -> Prepared:
        read = self._read(job, claim)
        begun = perf_counter()
        outcome = self._process_here(job, claim, read.rows, job.columns) if len(read.rows) else None
        prepared = self._prepared(job, claim, read, outcome)
        prepared.timings = _timings(read, waited, perf_counter() - begun)
        return prepared

    async def _prepare_waiting(self, job: RunningJob, claim: Claim) -> Prepared:
        with observing.told_of(claim):
            return await self._prepare_while_waiting(job, claim)

    async def _prepare_while_waiting(self, job: RunningJob, claim: Claim) -> Prepared:
        queued = perf_counter()
        read: Read = await self._in_thread(job, self._read, job, claim)
        waited, begun = perf_counter() - queued - read.seconds - read.waited, perf_counter()
        outcome = await self._process(job, claim, read.rows, job.columns) if len(read.rows) else None
        seconds = perf_counter() - begun
        prepared: Prepared = await self._in_thread(job, self._prepared, job, claim, read, outcome)
        prepared.timings = _timings(read, waited, seconds)
        return prepared

    def _prepared(self, job: RunningJob, claim: Claim, read: Read, outcome: ChunkOutcome | None) -> Prepared:
        prepared = Prepared(rejects=list(read.parsed.rejects))
        if outcome is not None:
            with self._python:
                outcome.rejects = located(job.form, claim.span, read.data, outcome.rejects, read.own_numbers)
                prepared.add(outcome, job.processor)
        return prepared

    async def _process(self, job: RunningJob, claim: Claim, rows: Rows, known: Columns) -> ChunkOutcome:
        """A coroutine on the loop, anything else in a thread. `known`: the columns of the job so far."""
        if not job.is_waiting_processor:
            return await self._in_thread(job, self._process_here, job, claim, rows, known)  # type: ignore[no-any-return]
        fitting = Fitting(known, rows)
        while True:
            outcome: Any = job.processor.process(fitting.rows, self._context(job, claim))
            accounted = _accounted(await outcome, fitting.rows)
            fitted: ChunkOutcome | None = await self._in_thread(job, fitting.take, accounted)
            if fitted is not None:
                return fitted

    def _process_here(self, job: RunningJob, claim: Claim, rows: Rows, known: Columns) -> ChunkOutcome:
        fitting = Fitting(known, rows)
        while True:
            outcome: Any = job.processor.process(fitting.rows, self._context(job, claim))
            if (fitted := fitting.take(_accounted(outcome, fitting.rows))) is not None:
                return fitted

    def _context(self, job: RunningJob, claim: Claim) -> ChunkContext:
        return ChunkContext(
            job.id,
            claim.index,
            claim.attempt,
            job.options,
            job.delimiter,
            compute=self._processes.compute,
            in_thread=partial(self._in_thread, job),
            encode_table=self._sink.encode_table,
        )

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
            spent = round(written_at - begun + job.commit_seconds, 6)
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
        job.commit_seconds = ended - written_at  # known only now: counted with what is written next
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
        read: Read = await self._in_thread(job, self._read, job, claim)
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


def _accounted(outcome: ChunkOutcome, rows: Rows) -> ChunkOutcome:
    if len(outcome.results) + len(outcome.rejects) != len(rows):
        raise CountsDisagree(f"The processor was given {len(rows)} rows and did not account for all of them.")
    return outcome


def _bytes_of(job: RunningJob, data: bytes, span: Span, rows: Sequence[int]) -> list[bytes]:
    places = job.form.locate(data, span, rows) if rows else []
    return [data[start - span.byte_start : end - span.byte_start] for start, end, _ in places]


def _as_json(error: Exception) -> dict[str, Any]:
    code = error.code if isinstance(error, TerminalError) else "processing_failed"
    detail = error.detail if isinstance(error, GranulaError) else f"{type(error).__name__}: {error}"
    return {"code": code, "message": detail[:500].replace("\0", "\\x00")}


def _timings(read: Read, waited: float, processed: float) -> dict[str, float]:
    return {"wait": max(0.0, waited) + read.waited, "read": read.seconds, "process": processed}
