"""Applies the rules of retention in the background."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

from app.db.engine import Database
from app.db.results import DELETE_STEP, delete_some_rejects
from app.destinations.registry import Destinations
from app.errors import NotFound, TransientError
from app.failpoints import hit
from app.features.retention import queries
from app.features.retention.queries import Due
from app.features.retention.rules import Days, Kind, rules_of
from app.jobs.control import Control
from app.pipeline.finisher import Finisher
from app.telemetry import counters

logger = logging.getLogger(__name__)
INTERVAL_SECONDS = 600.0
AT_ONCE = 100
MOST_LISTED = 1000


class Retention:
    def __init__(
        self,
        database: Database,
        control: Control,
        finisher: Finisher,
        destinations: Destinations,
        setting: Mapping[str, float],
    ) -> None:
        self._database = database
        self._control = control
        self._finisher = finisher
        self._destinations = destinations
        self._setting = dict(setting)

    async def run(self) -> None:
        """Apply the rules every ten minutes."""
        while True:
            try:
                await self.apply()
            except TransientError as error:
                logger.warning("Retention continues later: %s", error)
            await asyncio.sleep(INTERVAL_SECONDS)

    async def apply(self) -> dict[Kind, int]:
        """Delete everything that is due; return the number of files or jobs by kind. May be
        stopped anywhere: the next round continues. Raises DatabaseUnavailable.
        """
        now = datetime.now(UTC)
        rules = rules_of(self._setting)
        removers: dict[Kind, Callable[[Due], Awaitable[bool]]] = {
            Kind.JOBS: self._delete_jobs,
            Kind.BYTES: self._delete_bytes,
            Kind.ROWS: partial(self._delete_rows, now=now),
            Kind.REJECTS: partial(self._delete_rejects, now=now),
        }
        await self._continue()
        counts = dict.fromkeys(Kind, 0)
        for kind, remove in removers.items():
            while due := await self._find(kind, rules[kind], now, AT_ONCE):
                removed = [item for item in due if await remove(item)]
                counts[kind] += len(removed)
                if not removed:
                    break  # another process removes these
            if counts[kind]:
                counters.removed(kind, counts[kind])
                logger.info("Retention deleted %s of %d", kind, counts[kind])
        return counts

    async def plan(self, setting: Mapping[str, float] | None = None) -> dict[str, Any]:
        """Return what the rules, or those of another setting, would delete now. Nothing is
        deleted.
        """
        setting = self._setting if setting is None else setting
        now = datetime.now(UTC)
        due = {
            kind: await self._find(kind, days, now, MOST_LISTED + 1)
            for kind, days in rules_of(setting).items()
        }
        return {
            "rules": dict(setting),
            "is_in_force": bool(self._setting) and setting == self._setting,
            "due": {
                kind: {
                    "items": [_described(kind, item) for item in items[:MOST_LISTED]],
                    "is_cut": len(items) > MOST_LISTED,
                    "bytes": sum(item.size_bytes for item in items[:MOST_LISTED]),
                }
                for kind, items in due.items()
            },
        }

    async def _find(self, kind: Kind, days: Days, now: datetime, at_most: int) -> list[Due]:
        async with self._database.reading() as connection:
            return list(await queries.find_due(connection, kind, days, now, at_most))

    async def _delete_jobs(self, file: Due) -> bool:
        try:
            await self._control.delete(file.id, file.owner)
        except NotFound:
            return False
        return True

    async def _delete_bytes(self, file: Due) -> bool:
        assert file.storage_uri is not None
        await self._finisher.delete_stored_bytes(file.id, file.storage_uri)
        return True

    async def _delete_rows(self, job: Due, now: datetime) -> bool:
        is_first = await self._database.transact(
            lambda c: queries.mark_rows_removed(c, job.id, now)
        )
        hit("retention.hidden")
        await self._finish_rows(job.id)
        return is_first

    async def _delete_rejects(self, job: Due, now: datetime) -> bool:
        is_first = await self._database.transact(
            lambda c: queries.mark_rejects_removed(c, job.id, now)
        )
        hit("retention.hidden")
        await self._finish_rejects(job.id)
        return is_first

    async def _continue(self) -> None:
        """Delete what an earlier round has hidden and not deleted."""
        async with self._database.reading() as connection:
            with_rows = await queries.find_unfinished(connection, Kind.ROWS)
            with_rejects = await queries.find_unfinished(connection, Kind.REJECTS)
        for job_id in with_rows:
            await self._finish_rows(job_id)
        for job_id in with_rejects:
            await self._finish_rejects(job_id)

    async def _finish_rows(self, job_id: UUID) -> None:
        pages = self._destinations.pages
        while await self._database.transact(lambda c: pages.remove(c, job_id, DELETE_STEP)):
            hit("retention.step")

    async def _finish_rejects(self, job_id: UUID) -> None:
        while await self._database.transact(lambda c: delete_some_rejects(c, job_id)):
            hit("retention.step")


def _described(kind: Kind, item: Due) -> dict[str, Any]:
    name = "file_id" if kind in (Kind.BYTES, Kind.JOBS) else "job_id"
    return {
        name: str(item.id),
        "filename": item.filename,
        "size_bytes": item.size_bytes,
        "user_id": item.owner,
        "created_at": item.created_at.isoformat(),
    }
