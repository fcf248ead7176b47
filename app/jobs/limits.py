"""What an owner may have at once: stored bytes and unfinished jobs. Settled in the transaction that adds to it."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from app.config import Settings
from app.db import users
from app.db.engine import Database
from app.errors import QuotaExceeded

RETRY_SECONDS = 10


class OwnerLimits:
    """Those of OWNER_MAX_BYTES and OWNER_MAX_QUEUED_JOBS; 0 is no limit, and then nothing is counted."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._database = database
        self.max_bytes = settings.owner_max_bytes
        self.max_jobs = settings.owner_max_queued_jobs

    async def bytes_left(self, owner: str, wanted: int = 0) -> int | None:
        """How many bytes the owner may still store, None for any number; raises QuotaExceeded if `wanted` are too many."""
        if not self.max_bytes:
            return None
        async with self._database.reading() as connection:
            used = await users.stored_bytes(connection, owner)
        self._check_bytes(used, wanted)
        return max(0, self.max_bytes - used)

    async def admit(self, connection: AsyncConnection, owner: str, *, jobs: int = 0, new_bytes: int = 0) -> None:
        """Call it first in the transaction that adds so many jobs and bytes: until its end nobody else adds any for this
        owner, so that what was counted stays true. Raises QuotaExceeded."""
        counts_bytes, counts_jobs = bool(self.max_bytes and new_bytes), bool(self.max_jobs and jobs)
        if not (counts_bytes or counts_jobs):
            return
        await users.lock_owner(connection, owner, is_sqlite=self._database.is_sqlite)
        if counts_bytes:
            self._check_bytes(await users.stored_bytes(connection, owner), new_bytes)
        if counts_jobs:
            self._check_jobs(await users.unfinished_jobs(connection, owner), jobs)

    async def usage(self, owner: str) -> dict[str, Any]:
        """What the owner has, beside what is allowed (null: any number)."""
        async with self._database.reading() as connection:
            used = await users.stored_bytes(connection, owner)
            unfinished = await users.unfinished_jobs(connection, owner)
        return {
            "stored_bytes": {"used": used, "limit": self.max_bytes or None},
            "queued_jobs": {"used": unfinished, "limit": self.max_jobs or None},
        }

    def _check_bytes(self, used: int, wanted: int) -> None:
        if used + wanted > self.max_bytes:
            raise QuotaExceeded(
                f"You have {used} of {self.max_bytes} bytes stored, and this would add {wanted or 'more'}.",
                limit="stored_bytes",
            )

    def _check_jobs(self, unfinished: int, wanted: int) -> None:
        if unfinished + wanted > self.max_jobs:
            raise QuotaExceeded(
                f"You have {unfinished} of {self.max_jobs} jobs waiting or running, and this would add {wanted}.",
                limit="queued_jobs",
                headers={"Retry-After": str(RETRY_SECONDS)},
            )
