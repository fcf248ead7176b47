"""Limits of an owner: bytes, jobs and resumable uploads. Checked in the transaction that adds to
them.
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
    """The limits of OWNER_MAX_BYTES, OWNER_MAX_QUEUED_JOBS and OWNER_MAX_UPLOADS. 0 is no limit,
    and nothing is counted then.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._database = database
        self.max_bytes = settings.owner_max_bytes
        self.max_jobs = settings.owner_max_queued_jobs
        self.max_uploads = settings.owner_max_uploads

    async def bytes_left(self, owner: str, new_bytes: int = 0, reserved: int = 0) -> int | None:
        """Return the bytes that the owner may still store, None if unlimited.

        `reserved` bytes are counted already for this upload. Raises QuotaExceeded if `new_bytes`
        exceed the limit.
        """
        if not self.max_bytes:
            return None
        async with self._database.reading() as connection:
            used = await users.stored_bytes(connection, owner) - reserved
        self._check_bytes(used, new_bytes)
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
        """Check that the owner may add this many jobs, bytes and resumable uploads.

        This must be the first statement of the transaction that adds them: it keeps others from
        adding any for this owner until the transaction ends, so the counts stay true. Raises
        QuotaExceeded.
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
        """Return what the owner uses, and the limits (None: unlimited)."""
        async with self._database.reading() as connection:
            used = await users.stored_bytes(connection, owner)
            unfinished = await users.unfinished_jobs(connection, owner)
            growing = await users.open_uploads(connection, owner)
        return {
            "stored_bytes": {"used": used, "limit": self.max_bytes or None},
            "queued_jobs": {"used": unfinished, "limit": self.max_jobs or None},
            "uploads": {"used": growing, "limit": self.max_uploads or None},
        }

    def _check_bytes(self, used: int, new_bytes: int) -> None:
        if used + new_bytes > self.max_bytes:
            raise QuotaExceeded(
                f"You have {used} of {self.max_bytes} bytes stored, and this would add"
                f" {new_bytes or 'more'}.",
                limit="stored_bytes",
            )

    def _check_jobs(self, unfinished: int, new_jobs: int) -> None:
        if unfinished + new_jobs > self.max_jobs:
            raise QuotaExceeded(
                f"You have {unfinished} of {self.max_jobs} jobs waiting or running, and this would"
                f" add {new_jobs}.",
                limit="queued_jobs",
                headers={"Retry-After": str(RETRY_SECONDS)},
            )

    def _check_uploads(self, growing: int, new_uploads: int) -> None:
        if growing + new_uploads > self.max_uploads:
            raise QuotaExceeded(
                f"You have {growing} of {self.max_uploads} resumable uploads open. Finish them, "
                "or delete them with DELETE.",
                limit="uploads",
            )
