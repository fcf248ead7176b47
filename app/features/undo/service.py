"""Undo: removes what a job wrote into tables, as if the job had never run."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import jobs, undo
from app.db.engine import Database
from app.db.rows import LockedJob, UndoCounts
from app.destinations.registry import Destinations
from app.errors import Conflict, NotFound, NothingToUndo, NotUndoable
from app.pipeline.undoer import Undoer, advance
from app.states import JobStatus

WAIT_SECONDS = 5.0


class _RolledBack(Exception):
    """Nothing of a preview stays."""


class Undos:
    def __init__(
        self, database: Database, destinations: Destinations, undoer: Undoer, keep_days: float
    ) -> None:
        self._database = database
        self._destinations = destinations
        self._undoer = undoer
        self._keep = timedelta(days=keep_days)
        self._running: dict[UUID, asyncio.Task[None]] = {}

    async def undo(self, job_id: UUID, owner: str) -> dict[str, Any]:
        """Start the undo of the job and its parts, or continue it, and wait briefly for its end.
        Repeated calls are no error. Raises NotFound, Conflict while the job is active,
        NothingToUndo, NotUndoable.
        """
        family = await self._database.transact(lambda c: self._begin(c, job_id, owner))
        task = self._running.get(job_id)
        if task is None:
            task = self._running[job_id] = asyncio.create_task(
                self._undoer.run(family), name=f"undo {job_id}"
            )
            task.add_done_callback(lambda t: self._forget(job_id, t))
        await asyncio.wait([task], timeout=WAIT_SECONDS)
        async with self._database.reading() as connection:
            job = await jobs.find_job(connection, job_id, owner)
            counts = await undo.family_counts(connection, family)
        if job is None:
            raise NotFound
        return {"job_id": str(job_id), "status": job.undo_state, **_counted(counts)}

    async def preview(self, job_id: UUID, owner: str) -> dict[str, Any]:
        """Return what an undo would do now, and change nothing: it is run, and rolled back. Raises
        as `undo`, and Conflict if the job is undone already.
        """
        undone: dict[str, Any] = {}

        async def step(connection: AsyncConnection) -> None:
            family = await self._begin(connection, job_id, owner, is_preview=True)
            for member in family:
                while await advance(connection, self._destinations, member):
                    pass
            undone.update(_counted(await undo.family_counts(connection, family)))
            raise _RolledBack

        with suppress(_RolledBack):
            await self._database.transact(step)
        return {"job_id": str(job_id), "status": "preview", **undone}

    async def _begin(
        self, connection: AsyncConnection, job_id: UUID, owner: str, *, is_preview: bool = False
    ) -> list[UUID]:
        """Return the jobs to undo, parts before the job itself."""
        job = await self._lock(connection, job_id, owner)
        parts = await jobs.descendants(connection, [job_id])
        family = [*reversed([part.id for part in parts]), job_id]
        if job.undo_state and is_preview:
            raise Conflict("The job has already been undone.")
        if job.undo_state:
            return family
        members: list[LockedJob] = []
        for family_id in family:
            member = await jobs.lock_job(connection, family_id)
            if member is None:
                continue
            if not JobStatus(member.status).is_final:
                raise Conflict("The job has not ended; cancel it first.")
            members.append(member)
        if not await self._destinations.have_rows(connection, members):
            raise NothingToUndo
        if not job.keeps_versions or datetime.now(UTC) - job.created_at > self._keep:
            raise NotUndoable
        await undo.begin(connection, family)
        return family

    async def _lock(self, connection: AsyncConnection, job_id: UUID, owner: str) -> LockedJob:
        if await jobs.find_job(connection, job_id, owner) is None:
            raise NotFound
        job = await jobs.lock_job(connection, job_id)
        if job is None:
            raise NotFound
        return job

    def _forget(self, job_id: UUID, task: asyncio.Task[None]) -> None:
        self._running.pop(job_id, None)
        if not task.cancelled():
            task.exception()  # the reconciler continues where this task stopped

    async def close(self) -> None:
        for task in self._running.values():
            task.cancel()
        if self._running:
            await asyncio.wait(list(self._running.values()))


def _counted(counts: UndoCounts) -> dict[str, Any]:
    """Return the counts as shown; rows that stay only if there are any."""
    shown: dict[str, Any] = {"removed": counts.removed, "restored": counts.restored}
    if counts.left:
        shown |= {"left": counts.left, "left_rows": counts.left_rows}
    return shown
