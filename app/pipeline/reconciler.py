"""Reconciler: brings the queue, the leases and the disk in line with the database, at the start and
then regularly.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from uuid import UUID

from app.db import chunks, files, jobs
from app.db.engine import Database
from app.pipeline.finisher import Finisher
from app.pipeline.queue import Queue
from app.pipeline.sweeper import Sweeper
from app.pipeline.undoer import Undoer
from app.sources.places import Outputs, Storage

logger = logging.getLogger(__name__)
IDEMPOTENCY_SECONDS = 72 * 3600.0
SWEEP_EVERY, SHARED_SWEEP_EVERY = 12, 120
"""Rounds between sweeps. In a bucket every thousand objects cost a request."""


class Reconciler:
    def __init__(
        self,
        database: Database,
        queue: Queue,
        finisher: Finisher,
        storage: Storage,
        parts: Outputs,
        renew_leases: Callable[[], Awaitable[None]],
        only: set[UUID] | None = None,
        *,
        lease_seconds: float = 10.0,
        undoer: Undoer | None = None,
        is_shared: bool = False,
        rescue_tokens: Callable[[], Awaitable[None]] | None = None,
        sweeper: Sweeper | None = None,
    ) -> None:
        """`only`: work on these jobs and no others. `is_shared`: other processes work on this
        database. `rescue_tokens` puts back the tokens of dead processes.
        """
        self._is_shared = is_shared
        self._rescue_tokens = rescue_tokens
        self._database = database
        self._queue = queue
        self._finisher = finisher
        self._storage = storage
        self._sweeper = sweeper or Sweeper(database, storage, parts)
        self._renew_leases = renew_leases
        self._only = only
        self._lease_seconds = lease_seconds
        self._undoer = undoer
        self._rounds = 0

    async def recover(self) -> bool:
        """Take back claimed chunks at the start of the only process that works on this database:
        their workers are dead. Return True if there were any.
        """
        is_shared = self._is_shared or (self._only is not None and not self._database.is_sqlite)
        rescued = await self._database.transact(lambda c: chunks.rescue(c, expired_only=is_shared))
        if rescued:
            logger.warning("Reclaimed chunks of %d jobs from a process that is gone", len(rescued))
        await self._enqueue()
        return bool(rescued)

    async def run(self, every_seconds: float) -> None:
        while True:
            await asyncio.sleep(every_seconds)
            await self.run_once()

    async def run_once(self) -> None:
        # Renew first, or after an outage of the database we would rescue chunks from ourselves.
        await self._renew_leases()
        if ended := await self._database.end_stopped():
            logger.warning(
                "Terminated %d database sessions of processes that stopped within a statement",
                ended,
            )
        await self._database.transact(lambda c: chunks.shorten_leases(c, self._lease_seconds))
        rescued = await self._database.transact(lambda c: chunks.rescue(c, expired_only=True))
        if rescued:
            logger.warning("Leases expired; reclaimed chunks of %d jobs", len(rescued))
        if self._rescue_tokens is not None:
            await self._rescue_tokens()
        await self._enqueue()
        if self._only is not None:
            return
        async with self._database.alone("tidy") as is_mine:
            if is_mine:
                await self._tidy()

    async def _tidy(self) -> None:
        await self._finisher.remove_deleted()
        if self._undoer is not None:
            await self._undoer.run()
        self._rounds += 1
        if self._rounds % (SHARED_SWEEP_EVERY if self._storage.is_shared else SWEEP_EVERY) == 1:
            await self.sweep()
            if self._undoer is not None:
                await self._undoer.prune()

    async def _enqueue(self) -> None:
        async with self._database.working() as connection:
            active = await jobs.list_active(connection)
        for job in active:
            if self._only is not None and job.id not in self._only:
                continue
            self._queue.put(job.id, job.priority)

    async def sweep(self, older_than_seconds: float | None = None) -> None:
        """Sweep the storage, and forget idempotency keys past their time."""
        await self._sweeper.sweep(older_than_seconds)
        await self._database.transact(lambda c: files.expire_idempotent(c, IDEMPOTENCY_SECONDS))
