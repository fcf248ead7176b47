"""Watches: creating, changing and showing them. `checks` does their work."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from app.db.engine import Database
from app.errors import BadSourceUri, NotFound
from app.features.watches import queries as watches
from app.features.watches.queries import NewWatch, ObjectRow, WatchRow, WatchUpdate
from app.jobs.job_types import JobTypes
from app.sources.base import Sources
from app.sources.http import WebSource

FOLDER_SETTLE_SECONDS = 10.0
"""Default of `settle_seconds` for folders, where an upload grows. Objects of buckets appear whole."""


class Watches:
    def __init__(self, database: Database, sources: Sources, job_types: JobTypes) -> None:
        self._database = database
        self._sources = sources
        self._job_types = job_types

    async def create(
        self,
        owner: str,
        *,
        name: str,
        source: str,
        job: dict[str, Any],
        every_seconds: float,
        settle_seconds: float | None,
    ) -> dict[str, Any]:
        """Create a watch. Raises BadSourceUri, SourceRefused, NotConfigured, UnknownJobType, and the
        type's RequestError for options that cannot be used.
        """
        place = self._sources.of(source)
        if isinstance(place, WebSource):
            raise BadSourceUri("A web server cannot be watched: it has no list of files.")
        place.check_configured()
        full = place.full(source)
        job_type = self._job_types.get(job["type"])
        await job_type.plan_for(owner, job.get("options", {}))
        if settle_seconds is None:
            is_folder = self._sources.in_place(full) is None
            settle_seconds = FOLDER_SETTLE_SECONDS if is_folder else 0.0
        new = NewWatch(
            owner=owner,
            name=name,
            source=full,
            job=job,
            every_seconds=every_seconds,
            settle_seconds=settle_seconds,
        )
        await self._database.transact(lambda c: watches.insert_watch(c, new))
        return await self.get(new.id, owner)

    async def get(self, watch_id: UUID, owner: str) -> dict[str, Any]:
        """Return a watch; raises NotFound."""
        async with self._database.reading() as connection:
            row = await watches.find_watch(connection, watch_id, owner)
            if row is None:
                raise NotFound
            counts = await watches.counts(connection, [watch_id])
        return _body(row, counts)

    async def list(self, owner: str) -> dict[str, Any]:
        async with self._database.reading() as connection:
            rows = await watches.list_watches(connection, owner)
            counts = await watches.counts(connection, [row.id for row in rows])
        return {"items": [_body(row, counts) for row in rows]}

    async def change(self, watch_id: UUID, owner: str, new: WatchUpdate) -> dict[str, Any]:
        """Change a watch; unless it is paused, it is checked at once. Raises NotFound."""
        if not await self._database.transact(lambda c: watches.change(c, watch_id, owner, new)):
            raise NotFound
        return await self.get(watch_id, owner)

    async def delete(self, watch_id: UUID, owner: str) -> None:
        """Delete a watch with its history; its jobs stay. Raises NotFound."""
        if not await self._database.transact(lambda c: watches.remove(c, watch_id, owner)):
            raise NotFound

    async def request_check(self, watch_id: UUID, owner: str) -> dict[str, Any]:
        """Ask for a check at once, also of a paused watch; objects that failed are tried again.
        Raises NotFound.
        """
        if not await self._database.transact(lambda c: watches.request_check(c, watch_id, owner)):
            raise NotFound
        return await self.get(watch_id, owner)

    async def objects(
        self, watch_id: UUID, owner: str, *, status: str | None, before: int | None, limit: int
    ) -> dict[str, Any]:
        """Return a page of the history; raises NotFound."""
        async with self._database.reading() as connection:
            if await watches.find_watch(connection, watch_id, owner) is None:
                raise NotFound
            rows = await watches.list_objects(connection, watch_id, status, before, limit + 1)
        page = rows[:limit]
        return {
            "items": [_object(row) for row in page],
            "next_before": page[-1].number if len(rows) > limit else None,
        }


def _body(row: WatchRow, counts: dict[tuple[UUID, str], int]) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "name": row.name,
        "source": row.source,
        "job": row.job,
        "every_seconds": row.every_seconds,
        "settle_seconds": row.settle_seconds,
        "paused": row.paused,
        "jobs": row.jobs,
        "waiting": counts.get((row.id, "waiting"), 0),
        "failed": counts.get((row.id, "failed"), 0),
        "failures": row.failures,
        "next_check_at": None if row.paused else row.next_check_at.isoformat(),
        "last_checked_at": row.last_checked_at.isoformat() if row.last_checked_at else None,
        "last_outcome": row.last_outcome,
        "created_at": row.created_at.isoformat(),
    }


def _object(row: ObjectRow) -> dict[str, Any]:
    return {
        "number": row.number,
        "uri": row.uri,
        "size_bytes": row.size_bytes,
        "version": row.etag,
        "status": row.status,
        "job_id": str(row.job_id) if row.job_id else None,
        "error": row.error,
        "attempts": row.attempts,
        "seen_at": row.seen_at.isoformat(),
        "ended_at": row.ended_at.isoformat() if row.ended_at else None,
    }
