"""Finisher: gives a job its final status once every chunk is final and the counts close."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import chunks, corrections, files, jobs, results
from app.db.engine import Database
from app.db.rows import ChunkTally, JobRow, LockedJob
from app.destinations.registry import Destinations
from app.destinations.staged import StagedResults
from app.errors import GranulaError, TerminalError, TransientError
from app.failpoints import hit
from app.pipeline.concluder import WHOLE, Concluded, Concluder, basis_of, concludes
from app.pipeline.running import JobSnapshot
from app.pipeline.verdict import MAX_REJECTS, Stored, too_many_rejects, verdict
from app.processors.base import compute_here
from app.sources.base import Sources
from app.states import ACTIVE_JOBS, ChunkStatus, JobStatus, conclude
from app.telemetry import tracing

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ended:
    """This turn gave the job its final status."""

    status: JobStatus


class NotEnded(Enum):
    """The turn changed nothing."""

    WORK_LEFT = "something is left to do"
    OVER = "the job was deleted, or another process has ended it"


Ending = Ended | NotEnded


@dataclass(frozen=True, slots=True)
class Final:
    """Status and result that a job ends with."""

    status: JobStatus
    error: dict[str, Any] | None = None
    summary: dict[str, Any] = field(default_factory=dict)


class Finisher:
    def __init__(
        self,
        database: Database,
        sources: Sources,
        destinations: Destinations,
        *,
        delete_file: bool,
        compute: Callable[..., Any] = compute_here,
    ) -> None:
        self._database = database
        self._sources = sources
        self._destinations = destinations
        self._delete_file = delete_file
        self._concluder = Concluder(database, compute, sources.read)

    async def try_finish(self, job: JobSnapshot) -> bool:
        """Move the job to its final status if nothing is left to do. Return True if it is final
        now, whichever process ended it.

        Raises the errors of the processor.
        """
        with tracing.span("conclude", job.trace, {"granula.job.id": str(job.id)}) as span:
            try:
                concluded, ending = await self._try_to_end(job)
            except TransientError as error:
                await self._say_wait(job, error)
                raise
            await self._put_away(job, concluded, ending)
            if isinstance(ending, NotEnded):
                span.discard()
                return ending is NotEnded.OVER
            span.set({"granula.job.status": str(ending.status)})
            hit("job.after_finish")
            logger.info("Job %s is %s", job.id, ending.status)
            if self._delete_file and job.uri and ending.status in WHOLE:
                await self._delete_if_done(job)
            return True

    async def _try_to_end(self, job: JobSnapshot) -> tuple[Concluded | None, Ending]:
        concluded = await self._concluder.conclude(job) if concludes(job) else None
        try:
            ending = await self._database.transact(
                lambda connection: self._end(connection, job, concluded)
            )
        finally:
            if job.destination.staged is not None:
                await job.destination.staged.let_go(job.id)
        return concluded, ending

    async def _say_wait(self, job: JobSnapshot, error: TransientError) -> None:
        """Store what the last step of a job with staged results waits for."""
        staged = job.destination.staged
        if staged is None:
            return
        try:
            detail = await staged.waits_for(error) if error.waiting_on else None
            await self._database.transact(
                lambda c: jobs.set_waiting_on(c, job.id, error.waiting_on, detail)
            )
        except TransientError as other:
            logger.info("Cannot say what %s waits for: %s", job.id, other)

    async def _end(
        self, connection: AsyncConnection, job: JobSnapshot, concluded: Concluded | None
    ) -> Ending:
        row = await jobs.lock_job(connection, job.id)
        if row is None or JobStatus(row.status) not in ACTIVE_JOBS:
            return NotEnded.OVER
        if concludes(job) and (
            concluded is None or concluded.basis != await basis_of(connection, job)
        ):
            return NotEnded.WORK_LEFT
        if row.child_count is not None:
            final = await self._final_of_parent(connection, job, row, concluded)
        else:
            final = await self._final(connection, job, row, concluded)
        if final is None:
            return NotEnded.WORK_LEFT
        if final.status is JobStatus.FAILED:
            await self.withdraw(connection, row)
        await jobs.finish(
            connection, job.id, final.status, summary=final.summary or None, error=final.error
        )
        hit("job.before_finish")
        return Ended(final.status)

    async def _final(
        self,
        connection: AsyncConnection,
        job: JobSnapshot,
        row: LockedJob,
        concluded: Concluded | None,
    ) -> Final | None:
        """Return the end of the job; None while a chunk is left to do."""
        tally = {t.status: t for t in await chunks.tally(connection, job.id)}
        if not row.split_done or any(not ChunkStatus(s).is_final for s in tally):
            return None
        status, error = await self._verdict(connection, row, tally)
        limit = str(row.options.get(MAX_REJECTS, ""))
        too_many = too_many_rejects(limit, tally, rows=row.split_rows)
        if error is None and too_many is not None and job.writes_at_once:
            summary = _combined(job, await chunks.summaries(connection, job.id))
            stay = f" The other {summary.get('rows', 0)} rows are in the table, until an undo."
            return Final(
                JobStatus.FAILED, {**too_many, "message": too_many["message"] + stay}, summary
            )
        if error is None and too_many is not None:
            return Final(JobStatus.FAILED, too_many)
        if error is None and status is not JobStatus.COMPLETED:
            failed = await chunks.errors(connection, job.id, limit=1)
            error = failed[0].error if failed else None
        if concluded is not None:
            rows_ok = sum(t.ok for t in tally.values())
            return await self._keep(connection, job, concluded, rows_ok, Final(status, error))
        if job.corrects is not None:
            # The results are described by the summary of the corrected job.
            return Final(status, error, {"rows": int(sum(t.ok for t in tally.values()))})
        return Final(status, error, _combined(job, await chunks.summaries(connection, job.id)))

    async def _keep(
        self,
        connection: AsyncConnection,
        job: JobSnapshot,
        concluded: Concluded,
        rows_ok: int,
        final: Final,
    ) -> Final:
        """Write the result with the final status. Publish the staged results if they cover every
        row that counts as ok.
        """
        conclusion, staged = concluded.conclusion, job.destination.staged
        if final.status is JobStatus.FAILED:
            return final
        if conclusion is None:
            return final if staged is None else Final(JobStatus.FAILED, dict(staged.incomplete))
        if conclusion.summary.get("rows") != rows_ok:
            message = f"rows in the summary: {conclusion.summary.get('rows')}, expected {rows_ok}"
            error = {"code": "proof_does_not_close", "message": message}
            return Final(JobStatus.FAILED, error)
        if staged is not None and concluded.assembly is not None:
            conclusion = await staged.publish(connection, job.id, concluded.assembly)
        await jobs.put_result(connection, job.id, conclusion.result, conclusion.state)
        return replace(final, summary=conclusion.summary)

    async def _put_away(
        self, job: JobSnapshot, concluded: Concluded | None, ending: Ending
    ) -> None:
        """Delete staged results, or their assembly if the job did not end with it."""
        staged = job.destination.staged
        if staged is None:
            return
        if isinstance(ending, Ended) and ending.status in WHOLE:
            await staged.forget(job.id)
            return
        if concluded is not None and concluded.assembly is not None:
            await staged.discard(concluded.assembly)
        if isinstance(ending, Ended):
            await staged.failed(job.id)
        elif ending is NotEnded.OVER:
            await staged.overtaken(job.id)

    async def _delete_if_done(self, job: JobSnapshot) -> None:
        """Delete the bytes of the job's file, unless another job needs them."""
        async with self._database.working() as connection:
            is_needed = await jobs.needs_bytes(connection, job.file_id)
        if not is_needed:
            await self.delete_stored_bytes(job.file_id, job.uri)

    async def _final_of_parent(
        self,
        connection: AsyncConnection,
        job: JobSnapshot,
        row: LockedJob,
        concluded: Concluded | None,
    ) -> Final | None:
        """Return the end of a job with parts, which ends with the last of them; None before. Each
        part has closed its own counts.
        """
        tally = await jobs.tally_children(connection, job.id)
        if any(not JobStatus(s).is_final for s in tally):
            return None
        gone = (row.child_count or 0) - sum(tally.values())  # deleted with their files
        status = conclude(
            completed_chunks=tally.get(JobStatus.COMPLETED, 0)
            + tally.get(JobStatus.COMPLETED_WITH_ERRORS, 0),
            failed_chunks=tally.get(JobStatus.FAILED, 0) + tally.get(JobStatus.CANCELLED, 0) + gone,
            rejects=tally.get(JobStatus.COMPLETED_WITH_ERRORS, 0),
        )
        parts = await jobs.children(connection, job.id)
        if concluded is not None:
            conclusion = concluded.conclusion
            if conclusion is None:
                return Final(JobStatus.FAILED, _no_conclusion(parts))
            await jobs.put_result(connection, job.id, conclusion.result, conclusion.state)
            return Final(status, None, conclusion.summary)
        error = next((dict(part.error) for part in parts if part.error), None)
        summary = _combined(job, [part.summary for part in parts if part.summary])
        return Final(status, error, summary)

    async def _verdict(
        self, connection: AsyncConnection, row: LockedJob, tally: dict[str, ChunkTally]
    ) -> tuple[JobStatus, dict[str, Any] | None]:
        """Return the final status; failed, with what does not add up, if the tables do not hold
        every row of the file.
        """
        stored = Stored(
            await self._destinations.of(row).results.count(connection, row.id),
            await results.count_kinds(connection, row.id),
        )
        status, problem = verdict(
            tally, stored, rows=row.split_rows, stores_results=row.stores_results
        )
        if problem is None:
            return status, None
        return status, {"code": "proof_does_not_close", "message": problem}

    async def fail(self, job_id: UUID, error: dict[str, Any]) -> None:
        """Fail a job that cannot continue: its remaining rows count as not processed."""

        async def finish(connection: AsyncConnection) -> None:
            row = await jobs.lock_job(connection, job_id)
            if row is not None and JobStatus(row.status) in ACTIVE_JOBS:
                await self.withdraw(connection, row)
            await jobs.finish(connection, job_id, JobStatus.FAILED, error=error)
            await chunks.cancel_all(connection, job_id)

        await self._database.transact(finish)
        logger.error("Job %s failed: %s", job_id, error["message"])
        staged = await self._staged(job_id)
        if staged is not None:
            await staged.failed(job_id)

    async def withdraw(self, connection: AsyncConnection, job: LockedJob) -> None:
        """Count staged rows of a job as not processed, before it ends without publishing them. Rows
        of a correction are not staged: they are in the results of the corrected job.
        """
        is_staged = self._destinations.of(job).staged is not None
        if is_staged and job.origin != corrections.ORIGIN:
            await jobs.withdraw(connection, job.id)

    async def seal(self, connection: AsyncConnection, job: LockedJob) -> bool:
        """Keep a job that is cancelled from publishing its staged results; return False if it has
        published them elsewhere, and only has to end.
        """
        staged = self._destinations.of(job).staged
        if staged is None or job.origin == corrections.ORIGIN:
            return True
        return await staged.seal(connection, job.id)

    async def forget_staged(self, job_id: UUID) -> None:
        """Delete what chunks staged for results that will not be published."""
        staged = await self._staged(job_id)
        if staged is not None:
            await staged.forget(job_id)

    async def _staged(self, job_id: UUID) -> StagedResults | None:
        async with self._database.working() as connection:
            work = await jobs.find_work(connection, job_id)
        return None if work is None else self._destinations.of(work).staged

    async def delete_stored_bytes(self, file_id: UUID, uri: str) -> None:
        await self._database.transact(lambda c: files.forget_stored_bytes(c, file_id))
        try:
            await asyncio.to_thread(self._sources.delete, uri)
        except TransientError as error:
            logger.warning("Could not delete a file; the sweep will: %s", error)

    async def remove_deleted(self, file_ids: Sequence[UUID] | None = None) -> None:
        """Finish deletions: rows in bounded steps, then the bytes, then the row of the file. May be
        stopped anywhere.
        """
        if file_ids is None:
            async with self._database.working() as connection:
                file_ids = await files.find_deleted(connection)
        for file_id in file_ids:
            try:
                await self._remove_file(file_id)
            except TransientError as error:  # such as of a database that others need not wait for
                logger.warning("File %s is deleted later: %s", file_id, error)

    async def _remove_file(self, file_id: UUID) -> None:
        job_ids = await self._jobs_of(file_id)
        for job_id in job_ids:
            await self._remove_rows(job_id)
            await self.forget_staged(job_id)
        await self._database.transact(lambda c: jobs.remove_jobs(c, job_ids))
        await asyncio.to_thread(self._sources.delete, str(file_id))
        hit("delete.disk")
        await self._database.transact(lambda c: files.remove_file(c, file_id))
        logger.info("File %s deleted", file_id)

    async def _remove_rows(self, job_id: UUID) -> None:
        while await self._database.transact(lambda c: self._remove_some(c, job_id)):
            hit("delete.rows")

    async def _remove_some(self, connection: AsyncConnection, job_id: UUID) -> bool:
        """Delete a bounded number of rows of the job; return True while there may be more."""
        work = await jobs.find_work(connection, job_id)
        if work is not None:
            destination = self._destinations.of(work)
            if await destination.remove(connection, job_id, results.DELETE_STEP):
                return True
        return await results.delete_some(connection, job_id)

    async def _jobs_of(self, file_id: UUID) -> list[UUID]:
        async with self._database.working() as connection:
            mine = await jobs.ids_of_file(connection, file_id)
            return [*mine, *(part.id for part in await jobs.descendants(connection, mine))]


def _combined(job: JobSnapshot, summaries: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Combine summaries. An error of the processor ends its job, since the processor would raise it
    again each time.
    """
    try:
        return job.processor.combine(summaries)
    except GranulaError:
        raise
    except Exception as error:
        raise to_granula_error(error) from error


def to_granula_error(error: Exception) -> GranulaError:
    """Return the error of the processor as the end of its job, wrapped if it is not one of our
    errors.
    """
    if isinstance(error, GranulaError):
        return error
    return TerminalError(f"{type(error).__name__}: {error}"[:500].replace("\0", "\\x00"))


def _no_conclusion(parts: Sequence[JobRow]) -> dict[str, Any]:
    error = next((dict(part.error) for part in parts if part.error), None)
    return error or {
        "code": "part_missing",
        "message": "A part of the job was cancelled or its file deleted.",
    }
