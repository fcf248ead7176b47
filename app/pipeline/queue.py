"""Queues of jobs: they decide which job gets the next free slot. A queue is a cache: all of it can
be derived from the database.

JobQueue serves a service that does its own work; SharedQueue serves any number of workers.
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
"""Call with (connection, job, priority): the job may have something to do once the connection's
transaction commits.
"""


class Queue(ABC):
    """Tokens: hints that a job may have something to do.

    The rank of a token is the time when it was put, minus `ageing_seconds` per step of priority. So
    the higher priority goes first, equals take turns (a job that just had a turn goes behind the
    others), and a waiting job rises by one step in each `ageing_seconds`: comparing fixed ranks
    orders tokens just as comparing their ages at any later time would.
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
        """Queue the job when, and only if, the transaction of this connection commits, for this
        many concurrent turns.
        """

    @abstractmethod
    async def reprioritise(self, connection: AsyncConnection, job_id: UUID, priority: int) -> None:
        """Queue the job with another priority, which also counts for waiting tokens."""

    @abstractmethod
    def know(self, job_id: UUID, priority: int) -> None:
        """Keep the job's priority, as the database has it."""

    @abstractmethod
    def put(self, job_id: UUID, priority: int | None = None) -> None:
        """Queue the job unless it is queued already."""

    def rank(self, job_id: UUID) -> float:
        """Return the rank of a token put now: the lowest goes first."""
        return self._rank(self._priorities.get(job_id, 0))

    def _rank(self, priority: int) -> float:
        return self._clock() - priority * self._ageing_seconds

    def put_later(self, job_id: UUID, seconds: float) -> None:
        """Queue the job after a wait that holds no worker. The wait is lost with this process, and
        a reconciler puts the token again.
        """
        if (timer := self._timers.pop(job_id, None)) is not None:
            timer.cancel()
        self._timers[job_id] = asyncio.get_running_loop().call_later(seconds, self._due, job_id)

    def _due(self, job_id: UUID) -> None:
        self._timers.pop(job_id, None)
        if job_id in self._priorities:
            self.put(job_id)

    def forget(self, job_id: UUID) -> None:
        """Drop a job that has ended. A remaining token has nothing to do."""
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
        """Put one token, whatever `turns`: it is put back before every turn begins."""
        after_commit(lambda: self.put(job_id, priority))

    async def reprioritise(self, connection: AsyncConnection, job_id: UUID, priority: int) -> None:
        await self.enqueue(connection, job_id, priority)

    def know(self, job_id: UUID, priority: int) -> None:
        """Do nothing: a caller that changes the priority also puts the job."""

    def put(self, job_id: UUID, priority: int | None = None) -> None:
        """Queue the job unless it is queued already. A changed priority counts from now on, also
        for a queued job.
        """
        current = self._priorities.get(job_id, 0)
        priority = current if priority is None else priority
        if job_id in self._current and priority == current:
            return
        self._priorities[job_id] = priority
        sequence = next(self._sequence)
        self._current[job_id] = sequence  # an older token of this job is void
        self._tokens.put_nowait((self.rank(job_id), sequence, job_id))

    async def get(self) -> UUID:
        """Return the next job, as soon as there is one."""
        while True:
            _, sequence, job_id = await self._tokens.get()
            if self._current.get(job_id) == sequence:
                del self._current[job_id]
                return job_id

    def forget(self, job_id: UUID) -> None:
        super().forget(job_id)
        self._current.pop(job_id, None)
