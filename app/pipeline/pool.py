"""WorkerPool: runs a bounded number of turns. A turn takes a token, does one step for its job, and
puts the token back.

The token is put back before the work begins, so that several slots can work on one job while any
other job gets the very next slot as soon as its token ranks higher. `steps.next_step` decides what
a turn does.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

from app.db.chunks import Claim
from app.db.engine import Database
from app.destinations.registry import Destinations
from app.errors import GranulaError, TransientError
from app.pipeline.chunk_runner import ChunkRunner
from app.pipeline.concluder import concludes
from app.pipeline.detached import DetachedBudget
from app.pipeline.finisher import Finisher, to_granula_error
from app.pipeline.leases import Leases
from app.pipeline.queue import JobQueue, Queue
from app.pipeline.running import JobSnapshot, RunningJob, load
from app.pipeline.splitter import Splitter
from app.pipeline.steps import JobView, Step, next_step
from app.processors.registry import Processors
from app.states import JobStatus
from app.telemetry import logs

logger = logging.getLogger(__name__)
UNAVAILABLE_DELAY_SECONDS = 1.0
TURN_BYTES, MAX_CHUNKS_PER_TURN = 2 << 20, 16
TURNS_SECONDS = 0.25
"""Seconds of turns with one shared token: a turn can be over sooner than the token goes through the
database.
"""
PATIENCE_SECONDS = 0.05
"""A reader who waits for longer than these seconds makes the pool take one turn at a time."""
REDUCTIONS_AT_ONCE = 4
"""Limit of jobs that compute their results at a time. Each may hold a connection for its lock and
need another, so some of the pool must be left to the turns.
"""


class WorkerPool:
    def __init__(
        self,
        *,
        slots: int,
        leases: Leases,
        database: Database,
        queue: Queue,
        processors: Processors,
        destinations: Destinations,
        splitter: Splitter,
        runner: ChunkRunner,
        finisher: Finisher,
        is_shared: bool = False,
    ) -> None:
        """With `is_shared` other processes work on the same jobs, so every turn reads its job
        again.
        """
        self._is_shared = is_shared
        self.slots = slots
        self._leases = leases
        self._database = database
        self._queue = queue
        self._processors = processors
        self._destinations = destinations
        self._splitter = splitter
        self._runner = runner
        self._finisher = finisher
        self._free = asyncio.Semaphore(slots)
        self._cores = os.cpu_count() or 1
        self._turns: set[asyncio.Task[None]] = set()
        self._detached: set[asyncio.Task[None]] = set()
        self._budget = DetachedBudget()
        self._reducing = asyncio.Semaphore(REDUCTIONS_AT_ONCE)
        self._jobs: dict[UUID, RunningJob] = {}

    @property
    def busy(self) -> int:
        """Return the number of running turns."""
        return len(self._turns)

    async def run(self, queue: JobQueue) -> None:
        """Take turns until cancelled: first a slot, then the job with the highest rank at that
        time.
        """
        while True:
            await self._free.acquire()
            try:
                await self._make_way()
                job_id = await queue.get()
            except asyncio.CancelledError:
                self._free.release()
                raise
            self._start(self._in_slot(job_id), self._turns, f"turn {job_id}")

    async def _in_slot(self, job_id: UUID) -> None:
        try:
            await self._turn(job_id)
        finally:
            self._free.release()

    async def take(self, job_id: UUID) -> None:
        """Take turns with a shared token. Cancelling ends the wait for them, not the turns; `drain`
        waits for those.
        """
        await self._make_way()
        await asyncio.shield(self._start(self._turns_of(job_id), self._turns, f"turn {job_id}"))

    async def _make_way(self) -> None:
        """Take one turn at a time while readers wait: responses need the same loop and the same
        cores.
        """
        while self._turns and self._database.waiting.longest_seconds > PATIENCE_SECONDS:
            await asyncio.wait(
                self._turns, timeout=PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )

    async def _turns_of(self, job_id: UUID) -> None:
        until = time.monotonic() + TURNS_SECONDS
        while await self._turn(job_id) and time.monotonic() < until:
            pass

    def _start(
        self, turn: Coroutine[Any, Any, None], running: set[asyncio.Task[None]], name: str
    ) -> asyncio.Task[None]:
        task = asyncio.create_task(turn, name=name)
        running.add(task)  # the loop keeps only weak references
        task.add_done_callback(running.discard)
        task.add_done_callback(_report)
        return task

    async def drain(self, grace_seconds: float) -> None:
        """Wait for running turns. Give back unfinished work after the grace period, without costing
        it an attempt.
        """
        running = self._turns | self._detached
        if running:
            await asyncio.wait(running, timeout=grace_seconds)
        unfinished = self._turns | self._detached
        for task in unfinished:
            task.cancel()
        if unfinished:
            await asyncio.wait(unfinished)
        await self._leases.release_all()

    async def renew_leases(self) -> None:
        """Send the heartbeat of every chunk in work here."""
        for job_id in await self._leases.renew():
            self._queue.put(job_id)

    # ------------------------------------------------------------------ a turn

    async def _turn(self, job_id: UUID) -> bool:
        """Take one step for one job in one slot: cut a stretch of its file, run some chunks, or
        finish it. Return True if it ran chunks, so there may be more.
        """
        with logs.about(job=str(job_id)):
            return await self._turn_with(job_id)

    async def _turn_with(self, job_id: UUID) -> bool:
        try:
            job = await self._find(job_id)
            return job is not None and await self._take_steps(job)
        except TransientError as error:
            logger.warning("Job %s is waiting: %s", job_id, error)
            self._queue.put_later(job_id, UNAVAILABLE_DELAY_SECONDS)
        except GranulaError as error:
            await self._fail(job_id, error)
        except Exception:
            logger.exception("Job %s: unhandled error in a turn", job_id)
            self._queue.put_later(job_id, UNAVAILABLE_DELAY_SECONDS)
        return False

    async def _take_steps(self, job: RunningJob) -> bool:
        """Take a step for this job, and those that it calls for; return True if chunks were run."""
        view = self._view(job)
        step = next_step(view)
        if step is Step.SPLIT:
            if await self._split(job):
                return False
            # Another process cuts the file: run the chunks that it has cut.
            view = replace(self._view(job), is_splitting=True)
            step = next_step(view)
        if step is Step.RUN:
            if await self._claim_and_run(job):
                return True
            step = next_step(replace(self._view(job), nothing_to_claim=True))
        elif step is Step.RUN_DETACHED:
            if await self._claim_and_detach(job):
                return False
            step = next_step(replace(self._view(job), nothing_to_claim=True))
        await self._end_turn(job, step)
        return False

    async def _end_turn(self, job: RunningJob, step: Step) -> None:
        if step is Step.REQUEUE:
            self._queue.put(job.id)
        elif step is Step.REDUCE:
            job.in_flight.is_reducing = True
            self._start(self._reduce(job), self._detached, _detached_name(job.id))
        elif step is Step.FINISH:
            await self._finish(job.snapshot)

    def _view(self, job: RunningJob) -> JobView:
        snapshot, in_flight = job.snapshot, job.in_flight
        return JobView(
            is_split=snapshot.split_done,
            is_splitting=in_flight.is_splitting,
            waits_for_service=snapshot.is_waiting_processor,
            is_held_up=snapshot.waiting_on is not None,
            detached_turns=in_flight.detached_turns,
            has_chunks_in_work=bool(in_flight.chunks),
            is_reducing=in_flight.is_reducing,
            has_result=concludes(snapshot),
            is_cancelled=snapshot.status is JobStatus.CANCELLED,
            is_shared=self._is_shared,
        )

    async def _claim_and_run(self, job: RunningJob) -> bool:
        """Run some chunks in this turn; return False if none is left."""
        chunk_count = job.snapshot.chunk_count
        if not self._is_shared and job.in_flight.are_all_taken(chunk_count, time.monotonic()):
            return False
        claims = await self._claim(job)
        if not claims:
            return False
        self._queue.put(job.id)
        await self._run(job, claims)
        return True

    async def _claim_and_detach(self, job: RunningJob) -> bool:
        """Run some chunks without a slot, since their processor waits for a service; return False
        if none is left.
        """
        size = self._bytes_per_turn(job.snapshot)
        if not self._budget.take(job.snapshot.processor.name, job.id, size):
            return True  # a turn that ends puts the token back
        claims: list[Claim] = []
        try:
            claims = await self._claim(job)
        finally:
            if not claims:
                self._give_back(job.snapshot, size)
        if not claims:
            return False
        self._queue.put(job.id)
        job.in_flight.detached_turns += 1
        self._start(self._run_detached(job, claims, size), self._detached, _detached_name(job.id))
        return True

    def _give_back(self, job: JobSnapshot, size: int) -> None:
        for held_back in self._budget.give_back(job.processor.name, size):
            self._queue.put(held_back)

    async def _find(self, job_id: UUID) -> RunningJob | None:
        job = self._jobs.get(job_id)
        if job is not None and not self._is_shared:
            return job
        snapshot = await self._read(job_id, job)
        if snapshot is None or _is_over(snapshot):
            self._forget(job_id)
            return None
        if job is not None:
            job.follow(snapshot)
        else:
            job = self._jobs.setdefault(job_id, RunningJob(snapshot))
            self._runner.expect(snapshot)
        self._queue.know(job_id, snapshot.priority)
        return job

    async def _read(self, job_id: UUID, job: RunningJob | None) -> JobSnapshot | None:
        """Read the job from the database. Read it again if this process changed it meanwhile, since
        the first answer may be older than that.
        """
        while True:
            before = None if job is None else job.snapshot
            snapshot = await load(self._database, self._processors, self._destinations, job_id)
            if job is None or job.snapshot is before:
                return snapshot

    async def _split(self, job: RunningJob) -> bool:
        """Cut a stretch of the job's file; return False if another process is cutting it."""
        job.in_flight.is_splitting = True
        try:
            async with self._alone_with(job, "split") as is_mine:
                if not is_mine:
                    return False
                if job.snapshot.chunk_count:
                    self._queue.put(job.id)  # others may run the existing chunks already
                if not await self._splitter.advance(job):
                    self._jobs.pop(job.id, None)  # another process moved the split
        finally:
            job.in_flight.is_splitting = False
        self._queue.put(job.id)
        return True

    @asynccontextmanager
    async def _alone_with(self, job: RunningJob, what: str) -> AsyncIterator[bool]:
        """Yield whether no other process does this. The job itself knows what this process does."""
        if not self._is_shared:
            yield True
            return
        async with self._database.alone(f"{what} {job.id}") as is_mine:
            # Read again, now that no other process changes it.
            if is_mine and await self._find(job.id) is None:
                is_mine = False
            yield is_mine

    async def _claim(self, job: RunningJob) -> list[Claim]:
        wanted, chunk_count = self._chunks_per_turn(job.snapshot), job.snapshot.chunk_count
        claims = await self._leases.claim(job.id, wanted)
        job.in_flight.chunks.update(claim.index for claim in claims)
        if len(claims) < wanted:
            job.in_flight.claimed_too_few(chunk_count, time.monotonic())
        return claims

    def _chunks_per_turn(self, job: JobSnapshot) -> int:
        """Return how many chunks make a turn worth its transaction, but keep it short and leave
        some for every core.
        """
        return max(
            1,
            min(
                TURN_BYTES // _mean_bytes(job),
                MAX_CHUNKS_PER_TURN,
                job.chunk_count // (4 * self._cores),
            ),
        )

    def _bytes_per_turn(self, job: JobSnapshot) -> int:
        return self._chunks_per_turn(job) * _mean_bytes(job)

    async def _run(self, job: RunningJob, claims: list[Claim]) -> None:
        try:
            with self._leases.held(claims):
                delay = await self._runner.run(job, claims)
        finally:
            job.in_flight.chunks.difference_update(claim.index for claim in claims)
        if delay is not None:
            job.in_flight.has_waiting_chunks = True
            self._queue.put_later(job.id, delay)
        # Otherwise its other chunks would only meet the same error.
        if delay is None or not job.snapshot.waiting_on:
            self._queue.put(job.id)

    async def _run_detached(self, job: RunningJob, claims: list[Claim], size: int) -> None:
        try:
            await self._run(job, claims)
        finally:
            job.in_flight.detached_turns -= 1
            self._give_back(job.snapshot, size)
            if not job.snapshot.waiting_on:
                self._queue.put(job.id)

    def stop_waiting(self, job_id: UUID) -> None:
        """Cancel the turns of a cancelled job that wait for a service."""
        for task in self._detached:
            if task.get_name() == _detached_name(job_id):
                task.cancel()

    async def _reduce(self, job: RunningJob) -> None:
        """Finish a job whose result takes work, or waits for a service, without a slot."""
        try:
            async with self._reducing, self._alone_with(job, "conclude") as is_mine:
                if is_mine:
                    await self._finish(job.snapshot)
        except TransientError as error:
            logger.warning("Job %s is waiting: %s", job.id, error)
            self._queue.put_later(job.id, error.retry_after or UNAVAILABLE_DELAY_SECONDS)
        except Exception as error:
            logger.exception("Job %s could not be concluded", job.id)
            await self._fail(job.id, to_granula_error(error))
        finally:
            job.in_flight.is_reducing = False

    async def _finish(self, job: JobSnapshot) -> None:
        if job.status is JobStatus.CANCELLED or await self._finisher.try_finish(job):
            self._forget(job.id)
            self._queue_parent(job)
            return
        seconds = await self._leases.seconds_to_next(job.id)
        if seconds is not None:
            self._queue.put_later(job.id, seconds)

    def _queue_parent(self, job: JobSnapshot) -> None:
        """Queue the parent of a job that ended: the last part of a parent ends it."""
        if job.parent_id is not None:
            self._queue.put(job.parent_id)

    async def _fail(self, job_id: UUID, error: GranulaError) -> None:
        code = getattr(error, "code", "processing_failed")
        try:
            await self._finisher.fail(job_id, {"code": code, "message": error.detail})
        except TransientError:
            self._queue.put_later(job_id, UNAVAILABLE_DELAY_SECONDS)
        else:
            if (job := self._jobs.get(job_id)) is not None:
                self._queue_parent(job.snapshot)
            self._forget(job_id)

    def _forget(self, job_id: UUID) -> None:
        self._jobs.pop(job_id, None)
        self._queue.forget(job_id)

    def refresh(self, job_id: UUID) -> None:
        """Read the job's rows again at the next turn, since a request changed them (cancel, retry,
        delete).
        """
        job = self._jobs.get(job_id)
        if job is not None and not job.in_flight.chunks and not job.in_flight.is_splitting:
            self._jobs.pop(job_id, None)


def _is_over(job: JobSnapshot) -> bool:
    """Return whether nothing is left to do for a job. A cancelled job is still split to its end."""
    return job.status.is_final and (job.split_done or job.status is not JobStatus.CANCELLED)


def _mean_bytes(job: JobSnapshot) -> int:
    """Return the mean size of a chunk in bytes."""
    return 1 + (job.position.offset - job.data_start) // max(1, job.chunk_count)


def _detached_name(job_id: UUID) -> str:
    return f"waits {job_id}"


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        logger.error("Unhandled error in a turn", exc_info=error)
