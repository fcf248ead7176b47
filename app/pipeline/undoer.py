"""Undoer: takes back what jobs wrote into tables, step by step. It may be stopped anywhere and then
resumes where it was.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import undo
from app.db.engine import Database
from app.destinations.registry import Destinations
from app.failpoints import hit

logger = logging.getLogger(__name__)
ROWS_AT_ONCE = 1_000


async def advance(connection: AsyncConnection, destinations: Destinations, job_id: UUID) -> bool:
    """Take back a bounded number of rows; return False when the job is undone."""
    job = await undo.lock(connection, job_id)
    if job is None:
        return False
    taken = await destinations.of(job).take_back(connection, job_id, ROWS_AT_ONCE)
    if taken is None:
        await undo.end(connection, job_id)
        return False
    counts: dict[str, Any] = {
        "removed": job.undo_counts["removed"] + taken.removed,
        "restored": job.undo_counts["restored"] + taken.restored,
    }
    if taken.left:
        counts |= {"left": taken.left, "left_rows": list(taken.left_rows)}
    await undo.set_counts(connection, job_id, counts)
    return True


class Undoer:
    def __init__(self, database: Database, destinations: Destinations, keep_days: float) -> None:
        self._database = database
        self._destinations = destinations
        self._keep_seconds = keep_days * 86_400
        self._running: set[UUID] = set()

    async def run(self, job_ids: Sequence[UUID] | None = None) -> None:
        """Finish these undos, or all that were begun and that do not run in this process."""
        if job_ids is None:
            async with self._database.working() as connection:
                undoing = await undo.find_undoing(connection)
            job_ids = [job_id for job_id in undoing if job_id not in self._running]
        self._running |= set(job_ids)
        try:
            for job_id in job_ids:
                await self._finish(job_id)
        finally:
            self._running -= set(job_ids)

    async def _finish(self, job_id: UUID) -> None:
        async def step(connection: AsyncConnection) -> bool:
            has_more = await advance(connection, self._destinations, job_id)
            hit("undo.before_commit")
            return has_more

        async with self._database.alone(f"undo {job_id}") as is_mine:
            if not is_mine:
                return  # another process runs it
            while await self._database.transact(step):
                hit("undo.after_commit")
        logger.info("Job %s undone", job_id)

    async def prune(self) -> None:
        """Forget the versions of rows that are too old for an undo."""

        async def step(connection: AsyncConnection) -> bool:
            return await self._destinations.forget_versions(
                connection, self._keep_seconds, ROWS_AT_ONCE
            )

        while await self._database.transact(step):
            pass
