"""Actions of users on existing jobs: cancel, retry, reprioritise, delete."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import chunks, corrections, files, jobs
from app.db.engine import Database
from app.db.labels import MOST_LABELS, change_labels, labels_of
from app.db.rows import JobBase, JobPart, JobRow
from app.errors import Conflict, NotCancellable, NotFound, NothingToRetry, StoredBytesGone
from app.failpoints import hit
from app.pipeline.machine import Machine
from app.sources.base import OBJECTS
from app.states import ACTIVE_JOBS, JobStatus


class Control:
    def __init__(self, database: Database, machine: Machine) -> None:
        self._database = database
        self._machine = machine
        self._deletions: set[asyncio.Task[None]] = set()

    async def cancel(self, job_id: UUID, owner: str) -> JobRow:
        """Stop the job: after this returns, none of its rows is written. Cancelling twice is not an
        error.
        """

        async def cancel(connection: AsyncConnection) -> None:
            job = await _get(connection, job_id, owner)
            if job.status == JobStatus.CANCELLED:
                return
            if not await self._cancel_one(connection, job_id):
                raise NotCancellable(_why_not(job.status))
            parts = await jobs.descendants(connection, [job_id])
            for part in parts:
                await self._cancel_one(connection, part.id)
            # rows that are not split yet must be counted
            await self._enqueue(connection, job, *parts)
            hit("cancel.before_commit")

        await self._database.transact(cancel)
        async with self._database.reading() as connection:
            job = await _get(connection, job_id, owner)
            parts = await jobs.descendants(connection, [job_id])
        for cancelled_id in (job_id, *(part.id for part in parts)):
            self._machine.pool.stop_waiting(cancelled_id)
            await self._machine.finisher.forget_staged(cancelled_id)
        return job

    async def _cancel_one(self, connection: AsyncConnection, job_id: UUID) -> bool:
        """Cancel a job without its parts; return whether it was active."""
        row = await jobs.lock_job(connection, job_id)
        if row is None or JobStatus(row.status) not in ACTIVE_JOBS:
            return False
        if not await self._machine.finisher.seal(connection, row):
            return False
        await chunks.cancel_all(connection, job_id)
        await self._machine.finisher.withdraw(connection, row)
        return await jobs.cancel(connection, job_id)

    async def _stop_for_good(self, connection: AsyncConnection, job_id: UUID) -> None:
        """Cancel a job whose file is deleted, so that no process publishes its results later."""
        row = await jobs.lock_job(connection, job_id)
        if row is None:
            return
        if JobStatus(row.status) in ACTIVE_JOBS:
            await self._machine.finisher.seal(connection, row)
            await jobs.cancel(connection, job_id)
        await chunks.cancel_all(connection, job_id)

    async def _enqueue(self, connection: AsyncConnection, *some: JobBase | JobPart) -> None:
        for job in some:
            await self._machine.enqueue(connection, job.id, job.priority)

    async def retry(self, job_id: UUID, owner: str) -> int:
        """Run the failed chunks again, and only those; return their number."""

        async def retry(connection: AsyncConnection) -> int:
            job = await _get(connection, job_id, owner)
            if job.undo_state:
                raise Conflict("The job was undone; upload its file again.")
            if not await jobs.reopen(connection, job_id):
                raise NothingToRetry(f"The job is {job.status}.")
            failed = await _retry_chunks(connection, job.id, job.file_id, owner)
            parts = await jobs.descendants(connection, [job_id])
            parent_of = {part.id: part.parent_id for part in parts}
            for part in parts:
                if not await chunks.errors(connection, part.id, limit=1):
                    continue
                if JobStatus(part.status).is_final and not await jobs.reopen(connection, part.id):
                    continue  # cancelled, or undone separately: it stays so
                failed += await _retry_chunks(connection, part.id, part.file_id, owner)
                above_id = part.parent_id
                while above_id in parent_of:  # up to the job that is retried
                    await jobs.reopen(connection, above_id)
                    above_id = parent_of[above_id]
            if not failed:
                raise NothingToRetry("No chunk of the job has failed.")
            await self._enqueue(connection, job, *parts, *await _reopened_above(connection, job))
            return failed

        return await self._database.transact(retry)

    async def relabel(
        self,
        job_id: UUID,
        owner: str,
        *,
        added: Collection[str] = (),
        removed: Collection[str] = (),
    ) -> list[str]:
        """Add and remove labels; return those that the job has then. Raises NotFound, and Conflict
        if there would be too many.
        """

        async def change(connection: AsyncConnection) -> list[str]:
            await _get(connection, job_id, owner)
            await jobs.lock_job(connection, job_id)
            labels = await change_labels(connection, job_id, added=added, removed=removed)
            if len(labels) > MOST_LABELS:
                raise Conflict(f"A job can have {MOST_LABELS} labels; it would have {len(labels)}.")
            return labels

        return await self._database.transact(change)

    async def set_labels(self, job_id: UUID, owner: str, labels: Collection[str]) -> list[str]:
        """Replace the labels of a job; return them. Raises NotFound."""

        async def change(connection: AsyncConnection) -> list[str]:
            await _get(connection, job_id, owner)
            await jobs.lock_job(connection, job_id)
            before = (await labels_of(connection, [job_id])).get(job_id, [])
            removed = [label for label in before if label not in labels]
            return await change_labels(connection, job_id, added=labels, removed=removed)

        return await self._database.transact(change)

    async def reprioritise(self, job_id: UUID, owner: str, priority: int) -> JobRow:
        """Change the priority from the next turn on. Raises Conflict if the job has ended."""

        async def change(connection: AsyncConnection) -> None:
            job = await _get(connection, job_id, owner)
            if not await jobs.set_priority(connection, job_id, priority):
                raise Conflict(f"The job is {job.status}: its priority no longer has any effect.")
            parts = await jobs.descendants(connection, [job_id])
            moved = [
                part.id for part in parts if await jobs.set_priority(connection, part.id, priority)
            ]
            for changed_id in [job_id, *moved]:
                await self._machine.queue.reprioritise(connection, changed_id, priority)

        await self._database.transact(change)
        async with self._database.reading() as connection:
            return await _get(connection, job_id, owner)

    async def delete(self, file_id: UUID, owner: str) -> None:
        """Cancel running jobs, hide the file immediately, then remove rows and bytes in bounded
        steps. The removal resumes after a crash. A load that is committed already stays in its
        table. Raises TransientError if nobody can say whether one is.
        """

        async def hide(connection: AsyncConnection) -> list[UUID]:
            file = await files.find_file(connection, file_id, owner)
            if file is None:
                raise NotFound
            parents = await jobs.parents_of_file(connection, file_id)
            pending = [file_id]
            for hidden_id in pending:  # grows by the files of parts
                if (
                    not await files.mark_deleted(connection, hidden_id, owner)
                    and hidden_id == file_id
                ):
                    raise NotFound
                job_ids = await jobs.ids_of_file(connection, hidden_id)
                parts = await jobs.descendants(connection, job_ids)
                own_job_ids = set(job_ids)
                for part in parts:
                    is_of_objects = hidden_id == file_id and file.format == OBJECTS
                    is_object = is_of_objects and part.parent_id in own_job_ids
                    if is_object or part.origin == corrections.ORIGIN:
                        # The file stands for an object or corrects this one, and belongs to no
                        # other job.
                        pending.append(part.file_id)
                    else:
                        # Keep other files, but without the parts of this file's jobs.
                        job_ids.append(part.id)
                await files.forget_idempotent(connection, owner, hidden_id)
                for job_id in job_ids:
                    await self._stop_for_good(connection, job_id)
            for parent_id, priority in parents.items():
                await self._machine.enqueue(connection, parent_id, priority)
            return pending

        hidden = await self._database.transact(hide)
        task = asyncio.create_task(
            self._machine.finisher.remove_deleted(hidden), name=f"delete {file_id}"
        )
        self._deletions.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._deletions.discard(task)
        if not task.cancelled():
            task.exception()  # the reconciler continues where this task stopped

    async def close(self) -> None:
        for task in list(self._deletions):
            task.cancel()
        if self._deletions:
            await asyncio.wait(self._deletions)


def _why_not(status: str) -> str:
    if JobStatus(status) in ACTIVE_JOBS:
        return "The last step of the job is already committed; it ends in a moment."
    return f"The job is already {status}."


async def _retry_chunks(
    connection: AsyncConnection, job_id: UUID, file_id: UUID, owner: str
) -> int:
    """Return the number of chunks to run again.

    Raises StoredBytesGone if chunks failed and their bytes cannot be read again.
    """
    failed = await chunks.retry_failed(connection, job_id)
    if failed:
        file = await files.find_file(connection, file_id, owner)
        if file is not None and file.storage_uri is None:
            raise StoredBytesGone
    return failed


async def _reopened_above(connection: AsyncConnection, job: JobBase) -> list[JobBase]:
    """Return the jobs above this part, which end again once it has. A corrected job keeps its
    status.
    """
    reopened: list[JobBase] = []
    while job.parent_id is not None and job.origin != corrections.ORIGIN:
        if not await jobs.reopen(connection, job.parent_id):
            break
        above = await jobs.lock_job(connection, job.parent_id)
        assert above is not None
        reopened.append(above)
        job = above
    return reopened


async def _get(connection: AsyncConnection, job_id: UUID, owner: str) -> JobRow:
    job = await jobs.find_job(connection, job_id, owner)
    if job is None:
        raise NotFound
    return job
