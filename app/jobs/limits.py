"""What an owner may have at once: bytes, jobs, resumable uploads. Settled in the transaction that
adds to it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from app.config import Settings
from app.db import users
from app.db.engine import Database
from app.errors import QuotaExceeded

RETRY_SECONDS = 10


class OwnerLimits:
    """Those of OWNER_MAX_BYTES, OWNER_MAX_QUEUED_JOBS and OWNER_MAX_UPLOADS; 0 is no limit, and
    then nothing is counted.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._database = database
        self.max_bytes = settings.owner_max_bytes
        self.max_jobs = settings.owner_max_queued_jobs
        self.max_uploads = settings.owner_max_uploads

    async def bytes_left(self, owner: str, wanted: int = 0, reserved: int = 0) -> int | None:
        """How many bytes the owner may still store, None for any number; raises QuotaExceeded if
        `wanted` are too many. `reserved`: those of what is counted that are meant for this.
        """
        if not self.max_bytes:
            return None
        async with self._database.reading() as connection:
            used = await users.stored_bytes(connection, owner) - reserved
        self._check_bytes(used, wanted)
        return max(0, self.max_bytes - used)

    async def admit(
        self,
        connection: AsyncConnection,
        owner: str,
        *,
        jobs: int = 0,
        new_bytes: int = 0,
        uploads: int = 0,
    ) -> None:
        """Call it first in the transaction that adds so many jobs, bytes and resumable uploads:
        until its end nobody else adds any for this owner, so that what was counted stays true.
        Raises QuotaExceeded.
        """
        counts_bytes, counts_jobs = self.max_bytes and new_bytes > 0, self.max_jobs and jobs
        counts_uploads = self.max_uploads and uploads
        if not (counts_bytes or counts_jobs or counts_uploads):
            return
        await users.lock_owner(connection, owner, is_sqlite=self._database.is_sqlite)
        if counts_bytes:
            self._check_bytes(await users.stored_bytes(connection, owner), new_bytes)
        if counts_jobs:
            self._check_jobs(await users.unfinished_jobs(connection, owner), jobs)
        if counts_uploads:
            self._check_uploads(await users.open_uploads(connection, owner), uploads)

    async def usage(self, owner: str) -> dict[str, Any]:
        """What the owner has, beside what is allowed (null: any number)."""
        async with self._database.reading() as connection:
            used = await users.stored_bytes(connection, owner)
            unfinished = await users.unfinished_jobs(connection, owner)
            growing = await users.open_uploads(connection, owner)
        return {
            "stored_bytes": {"used": used, "limit": self.max_bytes or None},
            "queued_jobs": {"used": unfinished, "limit": self.max_jobs or None},
            "uploads": {"used": growing, "limit": self.max_uploads or None},
        }

    def _check_bytes(self, used: int, wanted: int) -> None:
        if used + wanted > self.max_bytes:
            raise QuotaExceeded(
                f"You have {used} of {self.max_bytes} bytes stored, and this would add"
                f" {wanted or 'more'}.",
                limit="stored_bytes",
            )

    def _check_jobs(self, unfinished: int, wanted: int) -> None:
        if unfinished + wanted > self.max_jobs:
            raise QuotaExceeded(
                f"You have {unfinished} of {self.max_jobs} jobs waiting or running, and this would"
                f" add {wanted}.",
                limit="queued_jobs",
                headers={"Retry-After": str(RETRY_SECONDS)},
            )

    def _check_uploads(self, growing: int, wanted: int) -> None:
        if growing + wanted > self.max_uploads:
            raise QuotaExceeded(
                f"You have {growing} of {self.max_uploads} resumable uploads open. Finish them, or"
                " end them by DELETE.",
                limit="uploads",
            )
