"""Committer: writes rows, rejects, counts and status of a chunk in one transaction. Its first
statements are the fence: if another process has claimed the chunk, nothing is written.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain
from time import perf_counter
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import chunks, jobs
from app.db.chunks import Claim
from app.db.engine import Database
from app.destinations.registry import Destinations
from app.destinations.staged import StagedResults
from app.errors import GranulaError, TerminalError, TransientError
from app.failpoints import hit
from app.formats.base import Rows
from app.pipeline import observing
from app.pipeline.columns import Columns, ColumnsTaken
from app.pipeline.merger import Merger
from app.pipeline.prepared import Prepared
from app.pipeline.running import JobSnapshot, RunningJob
from app.pipeline.targets import CommitTarget, CorrectedJob, OwnJob
from app.processors.base import ChunkOutcome

logger = logging.getLogger(__name__)


class Committer:
    def __init__(
        self,
        database: Database,
        destinations: Destinations,
        in_thread: Callable[..., Awaitable[Any]],
    ) -> None:
        """`in_thread` is called as `await in_thread(job, work, *arguments)`."""
        self._database = database
        self._in_thread = in_thread
        self._merger = Merger(destinations)

    def target(self, job: JobSnapshot) -> CommitTarget:
        """Return where rows of this job are written."""
        if job.corrects is None:
            return OwnJob(job)
        return CorrectedJob(job, self._database, self._merger)

    async def commit_together(
        self, running: RunningJob, target: CommitTarget, ready: Sequence[tuple[Claim, Prepared]]
    ) -> bool:
        """Write several chunks in one transaction, since a transaction costs more than the rows of
        a small chunk. Return False if that failed, for whatever reason, and nothing was written.
        """
        try:
            await self.commit(running, target, ready)
        except Exception as error:
            logger.info(
                "Job %s: writing %d chunks one by one after: %r", running.id, len(ready), error
            )
            return False
        return True

    async def commit(
        self, running: RunningJob, target: CommitTarget, ready: Sequence[tuple[Claim, Prepared]]
    ) -> None:
        """Write these chunks together or not at all; raises LeaseLost if a claim is no longer
        ours.
        """
        job = running.snapshot
        new_columns = job.columns.new(
            chain.from_iterable(prepared.columns for _, prepared in ready)
        )
        begun, written_at = perf_counter(), 0.0
        staged = job.destination.staged
        if staged is not None and any(prepared.outputs for _, prepared in ready):
            await self._in_thread(job, _stage, staged, ready)
        claims = [claim for claim, _ in ready]
        completions = [prepared.completion() for _, prepared in ready]

        async def write(connection: AsyncConnection) -> None:
            nonlocal written_at
            await target.lock(connection)
            # Lock the job's row before those of its chunks, as a cancel does: otherwise the two
            # could lock each other out. Take the service that is known now: another turn may have
            # seen it unavailable meanwhile.
            if running.snapshot.waiting_on:
                await jobs.set_waiting_on(connection, job.id, None)
            if new_columns:
                await _add_columns(connection, job.id, new_columns)
            await chunks.complete(
                connection, claims, [target.completion(prepared) for _, prepared in ready]
            )
            hit("chunk.before_write")
            await target.write(connection, ready)
            written_at = perf_counter()
            spent = round(written_at - begun + running.in_flight.commit_seconds, 6)
            timings = {**(completions[0].timings or {}), "write": spent}
            await chunks.set_timings(connection, claims[0], timings)
            hit("chunk.after_write")

        with observing.committing(claims):
            try:
                await self._database.transact(write)
            except ColumnsTaken as taken:
                running.has_columns(taken.known)
                raise
        hit("chunk.after_commit")
        ended = perf_counter()
        # only known now, so it is counted with the next write
        running.in_flight.commit_seconds = ended - written_at
        observing.completed(claims, completions, ended - begun)
        running.waits_for(None)
        if new_columns:
            known = running.snapshot.columns
            running.has_columns(known.and_also(known.new(new_columns)))

    async def rehearse(
        self,
        job: JobSnapshot,
        target: CommitTarget,
        claim: Claim,
        rows: Rows,
        outcome: ChunkOutcome,
    ) -> None:
        """Write these rows and roll back, to see whether the database takes them; raises
        LeaseLost.
        """

        class Undo(Exception):
            pass

        async def write(connection: AsyncConnection) -> None:
            # Write first, as the real write does: COPY bypasses SQLAlchemy, which begins a
            # transaction with its first statement.
            await target.lock(connection)
            await chunks.hold(connection, [claim])
            prepared = Prepared()
            prepared.add(outcome, job.processor)
            await target.rehearse(connection, claim, rows, prepared)
            raise Undo

        try:
            await self._database.transact(write)
        except Undo:
            return

    async def give_back(
        self, running: RunningJob, claim: Claim, delay: float, reason: Exception, *, refund: bool
    ) -> float | None:
        """Let the chunk be tried again in `delay` seconds; return None if another process has it.
        With `refund` the attempt does not count.
        """
        waiting_on = reason.waiting_on if isinstance(reason, TransientError) else None
        error = None if refund else _as_json(reason)

        async def release(connection: AsyncConnection) -> bool:
            if waiting_on != running.snapshot.waiting_on:
                await jobs.set_waiting_on(connection, running.id, waiting_on)
            return await chunks.release(
                connection, claim, delay_seconds=delay, refund=refund, error=error
            )

        try:
            is_ours = await self._database.transact(release)
            running.waits_for(waiting_on)
        except TransientError:  # the heartbeat will give it back
            return delay
        if not is_ours:
            return None
        observing.retried(claim, reason)
        return delay

    async def fail(self, claim: Claim, error: Exception) -> None:
        logger.error("Chunk %s/%s failed: %s", claim.job_id, claim.index, error)
        try:
            if await self._database.transact(
                lambda connection: chunks.fail(connection, claim, _as_json(error))
            ):
                observing.failed(claim, error)
        except TransientError:
            logger.warning(
                "Chunk %s/%s: could not store the failure; retrying",
                claim.job_id,
                claim.index,
            )


def _stage(staged: StagedResults, ready: Sequence[tuple[Claim, Prepared]]) -> None:
    """Stage outputs before the transaction, under names that no other attempt has, so that a row
    names only complete outputs.
    """
    for claim, prepared in ready:
        if prepared.outputs and not prepared.is_staged:
            stem = f"{claim.index}-{claim.token.hex}"
            summary = staged.stage(claim.job_id, stem, prepared.outputs)
            prepared.summary = {**prepared.summary, **summary}
            prepared.is_staged = True
    hit("output.part_written")


async def _add_columns(connection: AsyncConnection, job_id: UUID, columns: Sequence[str]) -> None:
    """Append the new columns, also if other chunks brought some meanwhile; raises ColumnsTaken."""
    known = Columns(await jobs.lock_columns(connection, job_id))
    new = known.new(columns)
    if not known.have_room_for(new):
        raise ColumnsTaken(known)
    if new:
        await jobs.set_columns(connection, job_id, [*known, *new])


def _as_json(error: Exception) -> dict[str, Any]:
    code = error.code if isinstance(error, TerminalError) else "processing_failed"
    detail = error.detail if isinstance(error, GranulaError) else f"{type(error).__name__}: {error}"
    return {"code": code, "message": detail[:500].replace("\0", "\\x00")}
