"""Which job gets the next free slot. A cache: all that it holds can be derived from the database.

JobQueue is that of a service which does its work itself; SharedQueue that of any number of workers.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.engine import after_commit

Enqueue = Callable[[AsyncConnection, UUID, int], Awaitable[None]]
"""(connection, job, priority): the job may have something to do, when and if the connection's
transaction commits.
"""


class Queue(ABC):
    """Tokens: hints that a job may have something to do.

    A token's rank is the moment it was put minus `ageing_seconds` per step of priority. So the
    higher priority goes first, equals take turns (who has just had a turn is put behind the
    others), and whoever waits rises by one step in each `ageing_seconds`: comparing fixed ranks
    orders tokens just as comparing their ages at any later moment would.
    """

    def __init__(self, ageing_seconds: float, clock: Callable[[], float]) -> None:
        self._ageing_seconds = ageing_seconds
        self._clock = clock
        self._priorities: dict[UUID, int] = {}
        self._timers: dict[UUID, asyncio.TimerHandle] = {}

    @abstractmethod
    async def enqueue(
        self,
        connection: AsyncConnection,
        job_id: UUID,
        priority: int | None = None,
        *,
        turns: int = 1,
    ) -> None:
        """Queue the job when, and only if, the transaction of this connection commits, for so many
        turns at once.
        """

    @abstractmethod
    async def reprioritise(self, connection: AsyncConnection, job_id: UUID, priority: int) -> None:
        """The same with another priority, which counts for tokens that wait, too."""

    @abstractmethod
    def know(self, job_id: UUID, priority: int) -> None:
        """The job's priority, as the database has it."""

    @abstractmethod
    def put(self, job_id: UUID, priority: int | None = None) -> None:
        """Queue the job unless it is queued already."""

    def rank(self, job_id: UUID) -> float:
        """What a token put now would have: lower goes first."""
        return self._rank(self._priorities.get(job_id, 0))

    def _rank(self, priority: int) -> float:
        return self._clock() - priority * self._ageing_seconds

    def put_later(self, job_id: UUID, seconds: float) -> None:
        """Queue the job after a wait that holds no worker. It is lost with this process; a
        reconciler sees to it.
        """
        if (timer := self._timers.pop(job_id, None)) is not None:
            timer.cancel()
        self._timers[job_id] = asyncio.get_running_loop().call_later(seconds, self._due, job_id)

    def _due(self, job_id: UUID) -> None:
        self._timers.pop(job_id, None)
        if job_id in self._priorities:
            self.put(job_id)

    def forget(self, job_id: UUID) -> None:
        """Drop the job: it has ended. A token that is left finds nothing to do."""
        self._priorities.pop(job_id, None)
        if (timer := self._timers.pop(job_id, None)) is not None:
            timer.cancel()


class JobQueue(Queue):
    """One small token per runnable job in an asyncio.PriorityQueue; its memory is O(jobs), not
    O(chunks).
    """

    def __init__(self, ageing_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(ageing_seconds, clock)
        self._tokens: asyncio.PriorityQueue[tuple[float, int, UUID]] = asyncio.PriorityQueue()
        self._current: dict[UUID, int] = {}
        self._sequence = itertools.count()

    def __len__(self) -> int:
        return len(self._current)

    def __contains__(self, job_id: UUID) -> bool:
        return job_id in self._current

    async def enqueue(
        self,
        connection: AsyncConnection,
        job_id: UUID,
        priority: int | None = None,
        *,
        turns: int = 1,
    ) -> None:
        """One token, whatever `turns`: it is put back before each turn begins."""
        after_commit(lambda: self.put(job_id, priority))

    async def reprioritise(self, connection: AsyncConnection, job_id: UUID, priority: int) -> None:
        await self.enqueue(connection, job_id, priority)

    def know(self, job_id: UUID, priority: int) -> None:
        """Nothing: whoever changes it puts the job."""

    def put(self, job_id: UUID, priority: int | None = None) -> None:
        """Queue the job unless it is queued already; a changed priority counts from now on, also
        for a queued one.
        """
        known = self._priorities.get(job_id, 0)
        priority = known if priority is None else priority
        if job_id in self._current and priority == known:
            return
        self._priorities[job_id] = priority
        sequence = next(self._sequence)
        self._current[job_id] = sequence  # an older token of this job is void
        self._tokens.put_nowait((self.rank(job_id), sequence, job_id))

    async def get(self) -> UUID:
        """The job whose turn it is, when there is one."""
        while True:
            _, sequence, job_id = await self._tokens.get()
            if self._current.get(job_id) == sequence:
                del self._current[job_id]
                return job_id

    def forget(self, job_id: UUID) -> None:
        super().forget(job_id)
        self._current.pop(job_id, None)
