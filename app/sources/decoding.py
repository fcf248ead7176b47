"""Limits of decoding: how many files at once, and memory for decompressors, of which one needs up to
80 MiB.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from app.errors import Unavailable

MEMORY_BYTES = 128 << 20
"""Memory for the decompressors of a process."""
WAIT_SECONDS = 30.0


class MemoryBudget:
    """Memory in bytes that is taken and given back in the order of the requests."""

    def __init__(self, size: int = MEMORY_BYTES, wait_seconds: float = WAIT_SECONDS) -> None:
        self._size = self._free = size
        self._wait_seconds = wait_seconds
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, count: int) -> None:
        """Wait until `count` bytes are free, and take them. Raises Unavailable after some time."""
        if not self._waiting and count <= self._free:
            self._free -= count
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((count, turn))
        try:
            await asyncio.wait((turn,), timeout=self._wait_seconds)
        except asyncio.CancelledError:
            self._leave(count, turn)
            raise
        if not turn.done():
            self._leave(count, turn)
            raise Unavailable(
                f"Other files are being decompressed, and this one needs {count >> 20} MiB of"
                f" memory; at most {self._size >> 20} MiB are used at once.",
                headers={"Retry-After": "5"},
            )

    def give_back(self, count: int) -> None:
        self._free += count
        while self._waiting and self._waiting[0][0] <= self._free:
            count, turn = self._waiting.popleft()
            self._free -= count
            turn.set_result(None)

    def _leave(self, count: int, turn: asyncio.Future[None]) -> None:
        if turn.done():
            self.give_back(count)
        else:
            self._waiting.remove((count, turn))
            self.give_back(0)

    def share(self) -> MemoryShare:
        """Return the share of one file, which has nothing yet."""
        return MemoryShare(self, self._size)


class MemoryShare:
    """What one file has taken of the memory."""

    def __init__(self, budget: MemoryBudget, most: int) -> None:
        self._budget = budget
        self._most = most
        self._taken = 0

    async def hold(self, count: int) -> None:
        """Wait for more memory, or give some back, so that `count` bytes are taken; never more than
        there are. Raises Unavailable.
        """
        count = min(count, self._most)
        more, self._taken = count - self._taken, min(count, self._taken)
        if more > 0:
            await self._budget.take(more)
            self._taken = count
        elif more < 0:
            self._budget.give_back(-more)

    def close(self) -> None:
        """Give everything back."""
        taken, self._taken = self._taken, 0
        self._budget.give_back(taken)


@dataclass(frozen=True, slots=True)
class DecodingLimits:
    """What the decoders of all files in a process share."""

    turns: asyncio.Semaphore
    """Files that are finished at the same time by a process, or unpacked."""
    memory: MemoryBudget = field(default_factory=MemoryBudget)
