"""ChunkRunner: one chunk, from its bytes to committed rows. Read this first: all the promises about
rows are kept here.

read -> process -> [fence + rows + rejects + counts + status: ONE transaction]

preparing.py reads and processes, in this process or in a compute process (apart.py); committer.py
writes, bisecting.py finds bad rows on the last attempt, quarantine.py runs chunks that may have
ended a process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Any
from uuid import UUID

from app.db.chunks import Claim
from app.db.engine import Database
from app.destinations.registry import Destinations
from app.errors import LeaseLost, TerminalError, TransientError
from app.failpoints import hit
from app.formats.base import Rows
from app.pipeline import apart, observing
from app.pipeline.apart import ApartJob, MakeProcessors
from app.pipeline.bisecting import isolate_bad_rows
from app.pipeline.columns import Columns
from app.pipeline.committer import Committer
from app.pipeline.prepared import Prepared
from app.pipeline.preparing import Preparer, Read
from app.pipeline.processes import NoneIdle, Processes, WorkerDied
from app.pipeline.quarantine import Quarantine
from app.pipeline.retry import TRANSIENT_DELAY_SECONDS, RetryPolicy
from app.pipeline.running import JobSnapshot, RunningJob
from app.pipeline.targets import CommitTarget
from app.pipeline.threads import Threads
from app.processors.base import ChunkOutcome
from app.sources.base import Sources
from app.sources.storage import LocalStorage

logger = logging.getLogger(__name__)
APART_BYTES = 4 << 20
"""Size of the smallest file whose chunks are read in compute processes. Starting one takes longer
than a smaller file.
"""
APART_PROCESSES = 2
"""Compute processes that are started for them: they read as fast as one event loop writes."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A chunk whose rows were read and processed: ready to be written, or with the error."""

    claim: Claim
    prepared: Prepared | None = None
    error: Exception | None = None


class ChunkRunner:
    def __init__(
        self,
        database: Database,
        sources: Sources,
        destinations: Destinations,
        retry: RetryPolicy,
        threads: Threads,
        processes: Processes,
        rank: Callable[[UUID], float],
        make_processors: MakeProcessors,
    ) -> None:
        """`rank` of a job: the lowest gets the next free thread. `make_processors` makes the
        processors of suspects in another process.
        """
        self._retry = retry
        self._threads = threads
        self._processes = processes
        self._rank = rank
        self._sources = sources
        self._make_processors = make_processors
        self._encode_table = destinations.encode_table
        self._encode_rejects = destinations.encode_rejects
        self._preparer = Preparer(
            lambda job, start, end: sources.read(job.uri, start, end, job.etag),
            compute=processes.compute,
            in_thread=self._in_thread,
            encode_table=destinations.encode_table,
            encode_rejects=destinations.encode_rejects,
        )
        self._committer = Committer(database, destinations, self._in_thread)
        self._quarantine = Quarantine(
            database,
            processes,
            self._preparer,
            self._in_thread,
            make_processors,
            destinations.encode_table,
            destinations.encode_rejects,
        )

    async def _in_thread(self, job: JobSnapshot, work: Any, *arguments: Any) -> Any:
        return await self._threads.run(self._rank(job.id), work, *arguments)

    def expect(self, job: JobSnapshot) -> None:
        """Prepare for chunks of this job, which will come soon."""
        if self._may_run_apart(job):
            self._processes.get_ready(APART_PROCESSES, apart.get_ready, self._make_processors)
        elif job.processor.computes_with:
            self._processes.prepare(*job.processor.computes_with)

    async def run(self, running: RunningJob, claims: Sequence[Claim]) -> float | None:
        """Run chunks claimed together to their ends; return the seconds until one of them may be
        retried, or None.

        They are written in one transaction, since a transaction costs more than the rows of a small
        chunk. If that fails for whatever reason, every chunk is written, retried or failed
        separately.
        """
        with observing.at_work(running.snapshot, claims):
            return await self._run(running, claims)

    async def _run(self, running: RunningJob, claims: Sequence[Claim]) -> float | None:
        hit("chunk.claimed")
        job = running.snapshot
        target = self._committer.target(job)
        await target.load(claims)
        unsettled = [Tried(claim) for claim in claims if self._is_last_try(claim)]
        tried = await self._prepare_all(
            job, target, [claim for claim in claims if not self._is_last_try(claim)]
        )
        ready = [(chunk.claim, chunk.prepared) for chunk in tried if chunk.prepared is not None]
        if len(ready) > 1 and await self._committer.commit_together(running, target, ready):
            tried = [chunk for chunk in tried if chunk.prepared is None]
        delays = [await self._settle(running, target, chunk) for chunk in [*tried, *unsettled]]
        return min((delay for delay in delays if delay is not None), default=None)

    def _is_last_try(self, claim: Claim) -> bool:
        """Return whether the rows of the chunk are tried one by one, not all together once more."""
        return self._retry.is_last(claim.attempt) and claim.attempt > 1

    # ------------------------------------------------------------------ read and process

    async def _prepare_all(
        self, job: JobSnapshot, target: CommitTarget, claims: Sequence[Claim]
    ) -> list[Tried]:
        """Read and process chunks. Chunks of a processor that computes share one thread, and those
        of a processor that waits wait together. A suspect comes alone, and has a process of its
        own.
        """
        unavailable = _why_unavailable(job) if claims else None
        if unavailable is not None:
            return [Tried(claim, error=unavailable) for claim in claims]
        if any(claim.is_suspect for claim in claims):
            return [
                await self._try(claim, self._quarantine.prepare(job, claim, target.live(claim)))
                for claim in claims
            ]
        if job.is_waiting_processor:
            waiting = [
                self._try(claim, self._preparer.prepare_waiting(job, claim, target.live(claim)))
                for claim in claims
            ]
            return list(await asyncio.gather(*waiting))
        tried: list[Tried] = await self._in_thread(
            job, self._prepare_here, job, target, claims, perf_counter()
        )
        return tried

    def _prepare_here(
        self, job: JobSnapshot, target: CommitTarget, claims: Sequence[Claim], queued_at: float
    ) -> list[Tried]:
        """Read and process one chunk after the other in a thread."""
        waited = perf_counter() - queued_at
        if self._may_run_apart(job):
            with suppress(NoneIdle, apart.TooLarge):
                return self._prepare_apart(job, claims, waited)
        tried: list[Tried] = []
        for claim in claims:
            try:
                with observing.about(claim):
                    prepared = self._preparer.prepare(job, claim, target.live(claim), waited)
                tried.append(Tried(claim, prepared))
                waited = 0.0  # all of them waited for the thread once
            except Exception as error:
                tried.append(Tried(claim, error=error))
        return tried

    def _may_run_apart(self, job: JobSnapshot) -> bool:
        """Return whether a compute process may read and process chunks of this job."""
        return (
            job.processor.may_run_apart
            and job.corrects is None
            and job.stored_bytes >= APART_BYTES
            and self._sources.folder_of(job.uri) is not None
        )

    def _prepare_apart(
        self, job: JobSnapshot, claims: Sequence[Claim], waited: float
    ) -> list[Tried]:
        """Read and process chunks in a compute process; raises NoneIdle if none is idle, TooLarge
        if the service must do it.

        If that fails for whatever reason, each chunk is sent alone, and so has its own error.
        """
        sent = ApartJob.of(self._make_processors, job, self._encode_table, self._encode_rejects)
        folder = self._sources.folder_of(job.uri)
        try:
            prepared = self._processes.compute_if_idle(
                apart.prepare_all, sent, claims, folder, waited
            )
        except (NoneIdle, apart.TooLarge):
            raise
        except Exception as error:
            logger.info(
                "Job %s: running %d chunks one by one after: %r", job.id, len(claims), error
            )
            return [self._prepare_alone(sent, claim, folder) for claim in claims]
        return [Tried(claim, chunk) for claim, chunk in zip(claims, prepared, strict=True)]

    def _prepare_alone(self, sent: ApartJob, claim: Claim, folder: LocalStorage | None) -> Tried:
        try:
            with observing.about(claim):
                (prepared,) = self._processes.compute(apart.prepare_all, sent, [claim], folder)
        except Exception as error:
            return Tried(claim, error=error)
        return Tried(claim, prepared)

    @staticmethod
    async def _try(claim: Claim, work: Awaitable[Prepared]) -> Tried:
        try:
            with observing.about(claim):
                return Tried(claim, await work)
        except Exception as error:
            return Tried(claim, error=error)

    async def _process(
        self, job: JobSnapshot, claim: Claim, rows: Rows, known: Columns
    ) -> ChunkOutcome:
        """Process rows of a chunk; `known` are the columns of the job so far."""
        if claim.is_suspect:
            return await self._quarantine.process(job, claim, rows, known)
        return await self._preparer.process(job, claim, rows, known)

    # ------------------------------------------------------------------ bring it to its end

    async def _settle(
        self, running: RunningJob, target: CommitTarget, tried: Tried
    ) -> float | None:
        """Bring one chunk to its end, whatever happened to it so far; return the seconds until it
        may be tried again, or None.
        """
        with observing.about(tried.claim):
            return await self._end(running, target, tried)

    async def _end(self, running: RunningJob, target: CommitTarget, tried: Tried) -> float | None:
        claim = tried.claim
        try:
            if tried.error is not None:
                raise tried.error
            prepared = tried.prepared
            if prepared is None:
                prepared = await self._isolate(running.snapshot, target, claim)
            await self._committer.commit(running, target, [(claim, prepared)])
        except LeaseLost as error:
            observing.lost(claim, error)
            logger.warning(
                "Lost the lease of chunk %s/%s; nothing was written",
                running.id,
                claim.index,
            )
        except TransientError as error:
            logger.warning("Chunk %s/%s is waiting: %s", running.id, claim.index, error)
            delay = min(error.retry_after or TRANSIENT_DELAY_SECONDS, self._retry.longest_wait)
            return await self._committer.give_back(running, claim, delay, error, refund=True)
        except TerminalError as error:
            await self._committer.fail(claim, error)
        except WorkerDied as error:
            if claim.is_suspect:
                return await self._quarantine.count_death(claim, error)
            return await self._try_again(running, target, tried, error)
        except Exception as error:
            return await self._try_again(running, target, tried, error)
        return None

    async def _try_again(
        self, running: RunningJob, target: CommitTarget, tried: Tried, error: Exception
    ) -> float | None:
        """Give the chunk back for later, or try it row by row after the last attempt; fail it if
        that did not help.
        """
        claim = tried.claim
        logger.error(
            "Chunk %s/%s failed at attempt %s",
            running.id,
            claim.index,
            claim.attempt,
            exc_info=error,
        )
        if not self._retry.is_last(claim.attempt):
            delay = self._retry.delay_seconds(claim.attempt)
            return await self._committer.give_back(running, claim, delay, error, refund=False)
        was_tried_whole = tried.prepared is not None or tried.error is not None
        # MAX_RETRIES=0: the first attempt is the last, so isolate the bad rows now
        if was_tried_whole:
            return await self._end(running, target, Tried(claim))
        await self._committer.fail(claim, error)
        return None

    async def _isolate(self, job: JobSnapshot, target: CommitTarget, claim: Claim) -> Prepared:
        """Run the last attempt, row by row."""
        read: Read = await self._in_thread(job, self._preparer.read, job, claim, target.live(claim))

        async def process(rows: Rows, known: Columns) -> ChunkOutcome:
            return await self._process(job, claim, rows, known)

        async def rehearse(rows: Rows, outcome: ChunkOutcome) -> None:
            await self._committer.rehearse(job, target, claim, rows, outcome)

        return await isolate_bad_rows(job, claim, read, process, rehearse)


def _why_unavailable(job: JobSnapshot) -> TransientError | None:
    """Return the error if the processor knows that it cannot process any rows now: then they need
    not be read.
    """
    try:
        if job.can.waits is not None:
            job.can.waits.check_available()
    except TransientError as error:
        return error
    return None
