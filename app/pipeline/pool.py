"""WorkerPool: a bounded number of turns at once. A turn takes a token, does one thing for its job, and gives the token back.

The token goes back before the work begins, so that several slots can work on one job while any other job, as soon as
its token ranks higher, gets the very next slot.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any
from uuid import UUID

from app.db import chunks
from app.db.chunks import Claim
from app.db.engine import Database
from app.errors import GranulaError, TransientError
from app.pipeline.chunk_runner import ChunkRunner
from app.pipeline.finisher import Finisher
from app.pipeline.queue import JobQueue
from app.pipeline.running import RunningJob, load
from app.pipeline.splitter import Splitter
from app.processors.registry import Processors
from app.states import JobStatus

logger = logging.getLogger(__name__)
UNAVAILABLE_DELAY_SECONDS = 1.0


class WorkerPool:
    def __init__(
        self,
        *,
        worker_id: str,
        slots: int,
        lease_seconds: float,
        database: Database,
        queue: JobQueue,
        processors: Processors,
        splitter: Splitter,
        runner: ChunkRunner,
        finisher: Finisher,
    ) -> None:
        self.worker_id = worker_id
        self.slots = slots
        self._lease_seconds = lease_seconds
        self._database = database
        self._queue = queue
        self._processors = processors
        self._splitter = splitter
        self._runner = runner
        self._finisher = finisher
        self._free = asyncio.Semaphore(slots)
        self._turns: set[asyncio.Task[None]] = set()
        self._suspects: set[asyncio.Task[None]] = set()
        self._alone = asyncio.Lock()
        self._gate = asyncio.Event()
        self._gate.set()
        self._jobs: dict[UUID, RunningJob] = {}
        self._claims: set[Claim] = set()

    @property
    def busy(self) -> int:
        """Turns going on."""
        return len(self._turns) + len(self._suspects)

    async def run(self) -> None:
        """Take turns until cancelled."""
        while True:
            await self._free.acquire()
            try:
                job_id = await self._queue.get()
                await self._gate.wait()
            except asyncio.CancelledError:
                self._free.release()
                raise
            self._start(self._turn(job_id), self._turns, f"turn {job_id}")

    def _start(self, turn: Coroutine[Any, Any, None], running: set[asyncio.Task[None]], name: str) -> None:
        task = asyncio.create_task(turn, name=name)
        running.add(task)  # the loop keeps only weak references
        task.add_done_callback(running.discard)
        task.add_done_callback(_report)

    async def drain(self, grace_seconds: float) -> None:
        """Wait for the turns going on; what is not done then is given back, without costing it an attempt."""
        if self._turns:
            await asyncio.wait(self._turns, timeout=grace_seconds)
        if left := self._turns | self._suspects:
            for task in left:
                task.cancel()
            await asyncio.wait(left)
        try:
            await self._database.transact(lambda c: chunks.release_all(c, self.worker_id))
        except TransientError:
            logger.warning("Chunks in work could not be given back; their leases will run out")

    async def renew_leases(self) -> None:
        """The heartbeat of every chunk in work here."""
        tokens = [claim.token for claim in self._claims]
        if tokens:
            await self._database.transact(lambda c: chunks.renew(c, tokens, self._lease_seconds))

    # ------------------------------------------------------------------ a turn

    async def _turn(self, job_id: UUID) -> None:
        """One thing for one job: cut a stretch of its file, or run one chunk, or finish it. Holds one slot."""
        claim: Claim | None = None
        job: RunningJob | None = None
        try:
            job = await self._find(job_id)
            if job is None:
                return
            if not job.split_done and not job.is_splitting:
                await self._split(job)
                return
            claim = await self._claim(job)
            if claim is None:
                await self._conclude(job)
                return
            self._queue.put(job_id)
            if claim.deaths == 0:
                await self._run(job, claim)
        except TransientError as error:
            logger.warning("Job %s waits: %s", job_id, error)
            self._queue.put_later(job_id, UNAVAILABLE_DELAY_SECONDS)
        except GranulaError as error:
            await self._fail(job_id, error)
        except Exception:
            logger.exception("Job %s: a turn went wrong", job_id)
            self._queue.put_later(job_id, UNAVAILABLE_DELAY_SECONDS)
        finally:
            self._free.release()
        if job is not None and claim is not None and claim.deaths > 0:
            self._start(self._run_alone(job, claim), self._suspects, f"suspect {job_id}/{claim.index}")

    async def _find(self, job_id: UUID) -> RunningJob | None:
        job = self._jobs.get(job_id)
        if job is None:
            job = await load(self._database, self._processors, job_id)
            if job is None or (job.status.is_final and (job.split_done or job.status is not JobStatus.CANCELLED)):
                self._queue.forget(job_id)
                return None
            job = self._jobs.setdefault(job_id, job)
        return job

    async def _split(self, job: RunningJob) -> None:
        job.is_splitting = True
        try:
            if job.chunk_count:
                self._queue.put(job.id)  # others may run the chunks that are there already
            if not await self._splitter.advance(job):
                self._jobs.pop(job.id, None)  # moved on by somebody else: read it anew
        finally:
            job.is_splitting = False
        self._queue.put(job.id)

    async def _claim(self, job: RunningJob) -> Claim | None:
        claim = await self._database.run_alone(lambda c: chunks.claim(c, job.id, self.worker_id, self._lease_seconds))
        if claim is not None:
            self._claims.add(claim)
            job.chunks_in_work.add(claim.index)
        return claim

    async def _run(self, job: RunningJob, claim: Claim) -> None:
        try:
            delay = await self._runner.run(job, claim)
        finally:
            self._claims.discard(claim)
            job.chunks_in_work.discard(claim.index)
        if delay is None:
            self._queue.put(job.id)
        else:
            self._queue.put_later(job.id, delay)

    async def _run_alone(self, job: RunningJob, claim: Claim) -> None:
        """Run a chunk whose worker died before while nothing else runs: if it kills this process too, no innocent chunk
        is counted as dead with it."""
        async with self._alone:
            self._gate.clear()
            try:
                while self._turns:
                    await asyncio.wait(self._turns)
                await self._run(job, claim)
            finally:
                self._gate.set()

    async def _conclude(self, job: RunningJob) -> None:
        """No chunk to claim: finish the job, or come back when a waiting chunk may run."""
        if job.chunks_in_work or job.is_splitting or not job.split_done:
            return  # whoever is at it puts the token back
        if job.status is JobStatus.CANCELLED or await self._finisher.try_finish(job):
            self._forget(job.id)
            return
        async with self._database.reading() as connection:
            seconds = await chunks.seconds_until_available(connection, job.id)
        if seconds is not None:
            self._queue.put_later(job.id, seconds)

    async def _fail(self, job_id: UUID, error: GranulaError) -> None:
        code = getattr(error, "code", "processing_failed")
        try:
            await self._finisher.fail(job_id, {"code": code, "message": error.detail})
        except TransientError:
            self._queue.put_later(job_id, UNAVAILABLE_DELAY_SECONDS)
        else:
            self._forget(job_id)

    def _forget(self, job_id: UUID) -> None:
        self._jobs.pop(job_id, None)
        self._queue.forget(job_id)

    def refresh(self, job_id: UUID) -> None:
        """The job's rows were changed from outside (cancel, retry, delete): read them again at the next turn."""
        job = self._jobs.get(job_id)
        if job is not None and not job.chunks_in_work and not job.is_splitting:
            self._jobs.pop(job_id, None)


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        logger.error("A turn ended by a bug", exc_info=error)
