"""Threads for chunks: as many as there are cores. The next free one serves the most urgent job, not
the first to arrive.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any


class Threads:
    """Threads by rank. An executor alone serves in the order of arrival: an urgent chunk would wait
    behind all the others.
    """

    def __init__(self, count: int) -> None:
        self._executor = ThreadPoolExecutor(count, thread_name_prefix="chunk")
        self._free = count
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._sequence = itertools.count()

    async def run(self, rank: float, work: Callable[..., Any], *arguments: Any) -> Any:
        """Return the result of `work(*arguments)`, called in a thread when no lower rank waits for
        one.
        """
        await self._acquire(rank)
        try:
            context = copy_context()  # for log lines
            return await asyncio.get_running_loop().run_in_executor(
                self._executor, context.run, work, *arguments
            )
        finally:
            self._release()

    async def _acquire(self, rank: float) -> None:
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (rank, next(self._sequence), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # a thread was given to it just before
                self._release()
            raise

    def _release(self) -> None:
        while self._waiting:
            turn = heapq.heappop(self._waiting)[2]
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def shutdown(self) -> None:
        """Shut down when the running work has ended."""
        self._executor.shutdown(wait=True)
