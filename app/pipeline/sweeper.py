"""Sweeper: searches the storage for files that no row of the database needs.

It removes parts that were never published, and files of ended jobs. It moves unknown files to
lost+found for days: an upload that died just before its commit, or the files of a database that was
restored from a backup.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import files, installation, jobs, uploads
from app.db.engine import Database
from app.pipeline.ownership import Ownership
from app.sources.places import LostFound, Outputs, Partials, Storage

logger = logging.getLogger(__name__)
ORPHAN_SECONDS, SHARED_ORPHAN_SECONDS = 60.0, 3600.0
"""Age in seconds after which a stored file without a row belongs to an upload that died. A running
upload touches its file every few seconds. In a bucket it does so every minute and by another clock
than ours, which may differ by a quarter of an hour.
"""
PARTIAL_ORPHAN_SECONDS = 3600.0
DEFAULT_LOST_SECONDS = 14 * 86_400.0
FEW, SHARE = 5, 0.1
"""Number, and share of all, that may go to lost+found in one round: more are no accident of a
killed process.
"""
IDS_AT_ONCE = 500

NeedBytes = Callable[[AsyncConnection, Sequence[UUID]], Awaitable[dict[UUID, bool]]]
"""Function that returns, for the ids that have a row, whether their bytes are still needed."""


@dataclass(frozen=True, slots=True)
class Swept:
    """State of the storage after a round."""

    lost: int = 0
    """Number of things in lost+found."""
    held: int = 0
    """Number of unknown things that are left in place because they are too many."""


@dataclass(frozen=True, slots=True)
class _Place:
    name: str
    need_bytes: NeedBytes
    lost: LostFound
    remove: Callable[[UUID], None]


class Sweeper:
    def __init__(
        self,
        database: Database,
        storage: Storage,
        parts: Outputs,
        *,
        partials: Partials | None = None,
        ownership: Ownership | None = None,
        lost_seconds: float = DEFAULT_LOST_SECONDS,
    ) -> None:
        self._database = database
        self._storage = storage
        self._parts = parts
        self._partials = partials
        self._ownership = ownership
        self._lost_seconds = lost_seconds

    async def sweep(
        self, older_than_seconds: float | None = None, *, has_limit: bool = True
    ) -> Swept:
        """Sweep one round. Without its limit, which is for operators, any number goes to
        lost+found. Raises StorageUnavailable.
        """
        if self._ownership is not None and not await self._ownership.is_ours():
            return Swept()
        if older_than_seconds is None:
            older_than_seconds = (
                SHARED_ORPHAN_SECONDS if self._storage.is_shared else ORPHAN_SECONDS
            )
        by_place = [
            await self._sweep_files(older_than_seconds, has_limit),
            await self._sweep_parts(has_limit),
        ]
        if self._partials is not None:
            by_place.append(await self._sweep_partials(self._partials, has_limit))
        lost = sum(one_place.lost for one_place in by_place)
        held = sum(one_place.held for one_place in by_place)
        swept = Swept(lost, held)
        await self._database.transact(
            lambda c: installation.record_sweep(c, lost=swept.lost, held=swept.held)
        )
        return swept

    async def purge(self) -> int:
        """Remove files in lost+found that are still unknown, whatever their age; return the
        number.
        """
        count = 0
        for place in self._places():
            lost_ids = await asyncio.to_thread(place.lost.ages)
            needed = await self._need_bytes(place, lost_ids)
            for file_id in lost_ids:
                if not needed.get(file_id, False):
                    await asyncio.to_thread(place.lost.remove, file_id)
                    count += 1
        return count

    def _places(self) -> list[_Place]:
        places = [
            self._files(lambda file_id: None),
            _Place("outputs", jobs.need_parts, self._parts.lost, self._parts.remove),
        ]
        if self._partials is not None:
            places.append(
                _Place("partial", uploads.need_bytes, self._partials.lost, self._partials.delete)
            )
        return places

    def _files(self, remove: Callable[[UUID], None]) -> _Place:
        return _Place("uploads", files.need_bytes, self._storage.lost, remove)

    async def _sweep_files(self, older_than_seconds: float, has_limit: bool) -> Swept:
        stale = await asyncio.to_thread(self._storage.stale, older_than_seconds)
        for stored in stale:
            if stored.is_part:
                logger.info("Deleting %s, left by an interrupted upload", stored.name)
                await asyncio.to_thread(self._storage.remove, stored)
        named = {stored.file_id: stored for stored in stale if not stored.is_part}
        place = self._files(lambda file_id: self._storage.remove(named[file_id]))
        return await self._settle(place, list(named), has_limit)

    async def _sweep_parts(self, has_limit: bool) -> Swept:
        job_ids = await asyncio.to_thread(self._parts.jobs)
        return await self._settle(
            _Place("outputs", jobs.need_parts, self._parts.lost, self._parts.remove),
            job_ids,
            has_limit,
        )

    async def _sweep_partials(self, partials: Partials, has_limit: bool) -> Swept:
        place = _Place("partial", uploads.need_bytes, partials.lost, partials.delete)
        idle = await asyncio.to_thread(partials.ids, PARTIAL_ORPHAN_SECONDS)
        needed = await self._need_bytes(place, idle)
        for upload_id in [upload_id for upload_id in idle if upload_id not in needed]:
            # nothing would be lost with it
            if not await asyncio.to_thread(partials.size, upload_id):
                await asyncio.to_thread(partials.delete, upload_id)
                idle.remove(upload_id)
        return await self._settle(place, idle, has_limit)

    async def _settle(self, place: _Place, ids: Sequence[UUID], has_limit: bool) -> Swept:
        before = await asyncio.to_thread(place.lost.ages)
        needed = await self._need_bytes(place, {*ids, *before})
        for file_id in [file_id for file_id in ids if needed.get(file_id) is False]:
            logger.info("Deleting %s/%s, which is no longer needed", place.name, file_id)
            await asyncio.to_thread(place.remove, file_id)
        lost = 0
        for file_id, seconds in before.items():
            if needed.get(file_id):
                logger.warning(
                    "%s/%s is known to the database again; moved out of lost+found",
                    place.name,
                    file_id,
                )
                await asyncio.to_thread(place.lost.give_back, file_id)
            elif file_id in needed or seconds > self._lost_seconds:
                logger.warning("Deleting %s/%s from lost+found", place.name, file_id)
                await asyncio.to_thread(place.lost.remove, file_id)
            else:
                lost += 1
        unknown = [file_id for file_id in ids if file_id not in needed and file_id not in before]
        if has_limit and len(unknown) > max(FEW, int(SHARE * len(ids))):
            logger.warning(
                "%d of %d files in %s are unknown to this database. Killed processes would not "
                "leave so many, so they stay. See `python -m app storage status`",
                len(unknown),
                len(ids),
                place.name,
            )
            return Swept(lost, len(unknown))
        for file_id in unknown:
            logger.warning(
                "%s/%s is unknown to this database; moved to lost+found",
                place.name,
                file_id,
            )
            await asyncio.to_thread(place.lost.keep, file_id)
        return Swept(lost + len(unknown), 0)

    async def _need_bytes(self, place: _Place, ids: Iterable[UUID]) -> dict[UUID, bool]:
        all_ids = list(ids)
        needed: dict[UUID, bool] = {}
        async with self._database.working() as connection:
            for start in range(0, len(all_ids), IDS_AT_ONCE):
                needed |= await place.need_bytes(connection, all_ids[start : start + IDS_AT_ONCE])
        return needed
