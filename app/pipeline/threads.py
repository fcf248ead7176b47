"""Threads for chunks: as many as there are cores, and the next free one for the most urgent job,
not for who came first.
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
    """An executor of its own serves in the order of arrival: an urgent chunk would wait behind all
    those in work.
    """

    def __init__(self, count: int) -> None:
        self._executor = ThreadPoolExecutor(count, thread_name_prefix="chunk")
        self._free = count
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._sequence = itertools.count()

    async def run(self, rank: float, work: Callable[..., Any], *arguments: Any) -> Any:
        """The result of `work(*arguments)`, called in a thread when no lower rank waits for one."""
        await self._acquire(rank)
        try:
            known = copy_context()  # what log lines say
            return await asyncio.get_running_loop().run_in_executor(
                self._executor, known.run, work, *arguments
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
            if not turn.cancelled():  # it had just been given one
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
        """When the work going on has ended."""
        self._executor.shutdown(wait=True)
