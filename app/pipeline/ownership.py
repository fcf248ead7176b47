"""Ownership of a storage: the database and its storage carry the same id, and a storage with
another id is not changed.

A storage without an id becomes ours at startup if it is empty, or if the database knows some of its
content. A storage with only unknown content may belong to another installation: an operator has to
adopt it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from app.db import installation
from app.db.engine import Database
from app.errors import DiskFull, StorageForeign, StorageUnavailable
from app.sources.mark import NAME
from app.sources.stores import Stores

logger = logging.getLogger(__name__)
IDS_AT_ONCE = 500
ANY_AGE = -(10.0**9)
"""Age in seconds that also includes files touched just now."""
TRIES = 5
WHAT_TO_DO = (
    "Correct DATABASE_URL, STORAGE_DIR or STORAGE_URL; or run `python -m app storage adopt`, "
    "which assigns the storage to this database."
)


@dataclass(frozen=True, slots=True)
class Held:
    """Record of the owner in a storage."""

    installation: UUID | None
    """Id of the owner; None if it cannot be read as an id."""


class Ownership:
    def __init__(self, database: Database, places: Stores) -> None:
        self._database = database
        self._places = places
        self._mark = places.mark

    async def claim(self) -> None:
        """Claim the storage at startup: raises StorageForeign unless it is ours, and marks one that
        can only be ours. A storage that is unavailable now is claimed before anything is swept.
        """
        try:
            await self._claim()
        except (StorageUnavailable, DiskFull) as error:
            logger.warning(
                "Cannot read the owner of the storage: %s Sweeps are paused until it can be read.",
                error,
            )

    async def is_ours(self) -> bool:
        """Return whether the storage is still ours, before a sweep. Another installation may have
        adopted it meanwhile. Raises StorageUnavailable.
        """
        try:
            await self._claim()
        except StorageForeign as error:
            logger.error("Sweep skipped: %s", error)
            return False
        return True

    async def _claim(self) -> None:
        mine = await self.own_id()
        for _ in range(TRIES):  # another process may mark it between two of our steps
            held = await self.held()
            if held is not None:
                if held.installation != mine:
                    raise StorageForeign(_belongs_to(self._mark.where, held, mine))
                return
            unknown = await self._holds_only_unknown()
            if unknown and await self.held() is None:
                raise StorageForeign(
                    f"The storage {self._mark.where} holds files and no {NAME}, and this database"
                    f" knows none of them. {WHAT_TO_DO}"
                )
            if not unknown and await asyncio.to_thread(self._mark.create, _content(mine)):
                await self._say_what_is_missing()
                return
        raise StorageForeign(
            f"The storage {self._mark.where} cannot be assigned to this database. {WHAT_TO_DO}"
        )

    async def adopt(self) -> Held | None:
        """Make the storage ours, whatever its owner; return its previous record."""
        before = await self.held()
        await asyncio.to_thread(self._mark.replace, _content(await self.own_id()))
        return before

    async def own_id(self) -> UUID:
        async with self._database.working() as connection:
            row = await installation.find(connection)
        return row.id if row is not None else await self._database.transact(installation.ensure)

    async def held(self) -> Held | None:
        """Return the storage's record of its owner; None without one."""
        return held(await asyncio.to_thread(self._mark.read))

    async def holds_anything(self) -> bool:
        """Return whether anything with a name is in the storage."""
        return bool(await asyncio.to_thread(self._ids))

    async def _holds_only_unknown(self) -> bool:
        ids = await asyncio.to_thread(self._ids)
        for start in range(0, len(ids), IDS_AT_ONCE):
            async with self._database.working() as connection:
                if await installation.knows_any(connection, ids[start : start + IDS_AT_ONCE]):
                    return False
        return bool(ids)

    def _ids(self) -> list[UUID]:
        """Return the ids of all named things in the storage."""
        places = self._places
        named = [file.file_id for file in places.storage.stale(ANY_AGE) if not file.is_part]
        return [*named, *places.partials.ids(ANY_AGE), *places.outputs.jobs()]

    async def _say_what_is_missing(self) -> None:
        if await asyncio.to_thread(self._ids):
            return
        async with self._database.working() as connection:
            count = await installation.count_stored(connection)
        if count:
            logger.warning(
                "Storage %s is empty, but the database lists %d files in it",
                self._mark.where,
                count,
            )


def held(data: bytes | None) -> Held | None:
    """Parse the content of granula.json."""
    if data is None:
        return None
    try:
        return Held(UUID(json.loads(data)["installation"]))
    except (ValueError, TypeError, KeyError, AttributeError):
        return Held(None)


def _content(installation_id: UUID) -> bytes:
    content = {
        "installation": str(installation_id),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "what": "This storage belongs to the Granula database with this id.",
    }
    return json.dumps(content, indent=2).encode() + b"\n"


def _belongs_to(where: str, held: Held, mine: UUID) -> str:
    if held.installation is None:
        return (
            f"{NAME} in the storage {where} cannot be read. The storage may belong to another "
            f"database. {WHAT_TO_DO}"
        )
    return (
        f"The storage {where} belongs to another Granula database (installation"
        f" {held.installation}; this one is {mine}). {WHAT_TO_DO}"
    )
