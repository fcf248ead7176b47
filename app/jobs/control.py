"""cancel, retry, reprioritise, delete: what a user may do to a job that exists."""

from __future__ import annotations

import asyncio
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import chunks, corrections, files, jobs
from app.db.engine import Database
from app.db.rows import JobBase, JobPart, JobRow
from app.errors import Conflict, NotCancellable, NotFound, NothingToRetry, StoredBytesGone
from app.failpoints import hit
from app.pipeline.machine import Machine
from app.sources.base import OBJECTS
from app.states import JobStatus


class Control:
    def __init__(self, database: Database, machine: Machine) -> None:
        self._database = database
        self._machine = machine
        self._deletions: set[asyncio.Task[None]] = set()

    async def cancel(self, job_id: UUID, owner: str) -> JobRow:
        """Stop the job: when this returns, no further row of it is written. Cancelling twice is no
        error.
        """

        async def cancel(connection: AsyncConnection) -> None:
            job = await _get(connection, job_id, owner)
            if job.status == JobStatus.CANCELLED:
                return
            if not await jobs.cancel(connection, job_id):
                raise NotCancellable(f"The job is {job.status} already.")
            await chunks.cancel_all(connection, job_id)
            parts = await jobs.descendants(connection, [job_id])
            for part in parts:
                if await jobs.cancel(connection, part.id):
                    await chunks.cancel_all(connection, part.id)
            await self._enqueue(connection, job, *parts)  # what is not split must be counted
            hit("cancel.before_commit")

        await self._database.transact(cancel)
        async with self._database.reading() as connection:
            job = await _get(connection, job_id, owner)
            parts = await jobs.descendants(connection, [job_id])
        for cancelled_id in (job_id, *(part.id for part in parts)):
            self._machine.pool.stop_waiting(cancelled_id)
            await self._machine.finisher.forget_staged(cancelled_id)
        return job

    async def _enqueue(self, connection: AsyncConnection, *some: JobBase | JobPart) -> None:
        for job in some:
            await self._machine.enqueue(connection, job.id, job.priority)

    async def retry(self, job_id: UUID, owner: str) -> int:
        """Run the failed chunks again, and only those; how many they are."""

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
                    continue  # cancelled, or undone by itself: it stays so
                failed += await _retry_chunks(connection, part.id, part.file_id, owner)
                above_id = part.parent_id
                while above_id in parent_of:  # up to the job itself
                    await jobs.reopen(connection, above_id)
                    above_id = parent_of[above_id]
            if not failed:
                raise NothingToRetry("No chunk of the job has failed.")
            await self._enqueue(connection, job, *parts, *await _reopened_above(connection, job))
            return failed

        return await self._database.transact(retry)

    async def reprioritise(self, job_id: UUID, owner: str, priority: int) -> JobRow:
        """From the next turn on. Raises Conflict if the job has ended."""

        async def change(connection: AsyncConnection) -> None:
            job = await _get(connection, job_id, owner)
            if not await jobs.set_priority(connection, job_id, priority):
                raise Conflict(f"The job is {job.status}; its priority matters no more.")
            moved = [part.id for part in await jobs.descendants(connection, [job_id])]
            changed = [
                job_id,
                *[each for each in moved if await jobs.set_priority(connection, each, priority)],
            ]
            for each in changed:
                await self._machine.queue.reprioritise(connection, each, priority)

        await self._database.transact(change)
        async with self._database.reading() as connection:
            return await _get(connection, job_id, owner)

    async def delete(self, file_id: UUID, owner: str) -> None:
        """Cancel what runs, hide the file at once, then remove rows and bytes in bounded steps,
        also after a crash.
        """

        async def hide(connection: AsyncConnection) -> list[UUID]:
            file = await files.find_file(connection, file_id, owner)
            if file is None:
                raise NotFound
            parents = await jobs.parents_of_file(connection, file_id)
            pending = [file_id]
            for each in pending:  # grows by the files of parts
                if not await files.mark_deleted(connection, each, owner) and each == file_id:
                    raise NotFound
                job_ids = await jobs.ids_of_file(connection, each)
                parts = await jobs.descendants(connection, job_ids)
                own = set(job_ids)
                for part in parts:
                    is_of_objects = each == file_id and file.format == OBJECTS
                    is_object = is_of_objects and part.parent_id in own
                    if is_object or part.door == corrections.DOOR:
                        # it stands for an object, or corrects this one: nobody else's
                        pending.append(part.file_id)
                    else:
                        # other files stay, without the parts of this one's jobs
                        job_ids.append(part.id)
                await files.forget_idempotent(connection, owner, each)
                for job_id in job_ids:
                    await jobs.cancel(connection, job_id)
                    await chunks.cancel_all(connection, job_id)
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
            task.exception()  # the reconciler goes on where this one stopped

    async def close(self) -> None:
        for task in list(self._deletions):
            task.cancel()
        if self._deletions:
            await asyncio.wait(self._deletions)


async def _retry_chunks(
    connection: AsyncConnection, job_id: UUID, file_id: UUID, owner: str
) -> int:
    """How many; raises StoredBytesGone if they have failed and cannot be read again."""
    failed = await chunks.retry_failed(connection, job_id)
    if failed:
        file = await files.find_file(connection, file_id, owner)
        if file is not None and file.storage_uri is None:
            raise StoredBytesGone
    return failed


async def _reopened_above(connection: AsyncConnection, job: JobBase) -> list[JobBase]:
    """The jobs that this one is a part of: they end anew when it has. What a correction corrects
    stays as it is.
    """
    reopened: list[JobBase] = []
    while job.parent_id is not None and job.door != corrections.DOOR:
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
