"""The load of the last days: a sample every five minutes, for the charts of the dashboard."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from app.db.engine import Database
from app.errors import TransientError
from app.features.system import queries
from app.features.system.queries import Sample
from app.pipeline.machine import Machine

logger = logging.getLogger(__name__)
INTERVAL = timedelta(minutes=5)
KEPT = timedelta(days=8)
SPREAD_SECONDS = 10.0
"""Processes of one database take the sample at different moments, so that the first one does."""


class History:
    """Rows and failures of a sample are those of its interval, whichever process did the work.
    Queue, workers and disk are those at its end.
    """

    def __init__(
        self,
        database: Database,
        machine: Machine,
        longest_wait: float,
        space: Callable[[], tuple[int, int] | None],
    ) -> None:
        self._database = database
        self._machine = machine
        self._longest_wait = longest_wait
        self._space = space

    async def run(self) -> None:
        """Take a sample at the end of each interval."""
        while True:
            now = datetime.now(UTC)
            end = interval_start(now) + INTERVAL
            await asyncio.sleep((end - now).total_seconds() + random.uniform(0, SPREAD_SECONDS))
            try:
                await self.take(end)
            except TransientError as error:
                logger.warning("No sample of the load at %s: %s", end, error)

    async def take(self, end: datetime) -> bool:
        """Store the sample of the interval that ends at `end`, and drop old ones. Return False if
        another process has stored it. Raises DatabaseUnavailable.
        """
        begin = end - INTERVAL
        async with self._database.reading() as connection:
            if await queries.has_sample(connection, begin):
                return False
            work = await queries.count_work(connection, begin, end)
            queue = await queries.count_queue(connection, self._longest_wait)
        sample = Sample(
            at=begin,
            rows=work.rows,
            failed_rows=work.failed_rows,
            failed_jobs=work.failed_jobs,
            queued_jobs=queue.jobs,
            waiting_chunks=queue.chunks,
            workers=await self._machine.count_workers(),
            disk_free_bytes=await self._free_bytes(),
        )
        return await self._database.transact(lambda c: queries.store(c, sample, begin - KEPT))

    async def read(self, since: datetime) -> Sequence[Sample]:
        """Return the samples since then, the oldest first."""
        async with self._database.reading() as connection:
            return await queries.list_samples(connection, since)

    async def _free_bytes(self) -> int | None:
        try:
            space = await asyncio.to_thread(self._space)
        except TransientError:
            return None
        return None if space is None else space[0]


def interval_start(moment: datetime) -> datetime:
    """Return the start of the interval of this moment: a multiple of five minutes of the hour."""
    minute = moment.minute - moment.minute % (INTERVAL.seconds // 60)
    return moment.replace(minute=minute, second=0, microsecond=0)
