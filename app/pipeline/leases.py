"""Leases: the chunks that this process has claimed, and the heartbeat that renews them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import chunks
from app.db.chunks import Claim
from app.db.engine import Database
from app.errors import TransientError

logger = logging.getLogger(__name__)


class Leases:
    """Claims of one worker. Each has a token, which fences the transaction that writes its rows."""

    def __init__(
        self,
        database: Database,
        worker_id: str,
        lease_seconds: float,
        longest_wait: float = chunks.LONGEST_WAIT,
    ) -> None:
        """`longest_wait`: seconds after which any chunk may be tried again."""
        self.worker_id = worker_id
        self.longest_wait = longest_wait
        self._database = database
        self._seconds = lease_seconds
        self._tokens: set[UUID] = set()

    async def claim(self, job_id: UUID, limit: int) -> list[Claim]:
        """Claim up to `limit` chunks that may run now, in the order of the file. Suspects come last
        and one at a time, so that the rest of the file need not wait for them. Every list of claims
        is run inside `held`.
        """
        return await self._claim(job_id, limit) or await self._claim(job_id, 1, suspects=True)

    async def _claim(self, job_id: UUID, limit: int, *, suspects: bool = False) -> list[Claim]:
        token = uuid4()
        # Register the token before it is in the database, so that the heartbeat never takes it for
        # a stray.
        self._tokens.add(token)
        claims: list[Claim] = []
        try:
            claims = await self._database.run_alone(
                lambda connection: chunks.claim(
                    connection,
                    job_id,
                    self.worker_id,
                    self._seconds,
                    token=token,
                    limit=limit,
                    suspects=suspects,
                    longest_wait=self.longest_wait,
                )
            )
        finally:
            if not claims:
                self._tokens.discard(token)
        return claims

    @contextmanager
    def held(self, claims: list[Claim]) -> Iterator[None]:
        """Renew these claims until the end of the block. One call of `claim` returned them."""
        try:
            yield
        finally:
            self._tokens.discard(claims[0].token)

    async def renew(self) -> list[UUID]:
        """Send the heartbeat of every chunk in work. Give back chunks that only the database says
        are in work here; return their jobs.
        """

        async def renew(connection: AsyncConnection) -> list[UUID]:
            await chunks.renew(connection, list(self._tokens), self._seconds)
            # Read the tokens again: more may have been claimed meanwhile.
            return await chunks.release_strays(
                connection, self.worker_id, list(self._tokens), self._seconds
            )

        return await self._database.transact(renew)

    async def release_all(self) -> None:
        """Give back all chunks in work, without costing them an attempt."""
        try:
            await self._database.transact(
                lambda connection: chunks.release_all(connection, self.worker_id)
            )
        except TransientError:
            logger.warning("Could not release the chunks in progress; their leases will expire")

    async def seconds_to_next(self, job_id: UUID) -> float | None:
        """Return the seconds until a waiting chunk may run; None if none waits."""
        async with self._database.working() as connection:
            return await chunks.next_waiting(connection, job_id, self.longest_wait)
