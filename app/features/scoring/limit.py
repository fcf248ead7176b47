"""How hard to press a service: calls at once that adapt to it, and a breaker that leaves it alone
while it is away.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

Clock = Callable[[], float]
WINDOW = 5
"""Each overload costs a pause, in which a capped service has more to give than it can keep: come
back to it slowly.
"""


class AdaptiveLimit:
    """At most `most` calls at once, first come first served: one more after each window of
    successes (WINDOW times as many as may run at once), half as many when the service says that it
    is too much (additive increase, multiplicative decrease).

    One overload is counted once: calls that began before the last cut tell nothing about the limit
    after it.
    """

    def __init__(self, most: int, clock: Clock = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._limit = float(most)
        self._streak = 0
        self._busy = 0
        self._cut_at = float("-inf")
        self._paused_until = float("-inf")
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def current(self) -> int:
        """Calls that may run at once now."""
        return int(self._limit)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[float]:
        """The right to make one call; gives the moment at which it began, for `succeeded` and
        `overloaded`.
        """
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._wake()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release()
            raise
        try:
            yield self._clock()
        finally:
            self._release()

    def _release(self) -> None:
        self._busy -= 1
        self._wake()

    def _wake(self) -> None:
        left = self._paused_until - self._clock()
        if left > 0:
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(left, self._end_pause)
            return
        while self._waiting and self._busy < int(self._limit):
            turn = self._waiting.popleft()
            if not turn.done():
                self._busy += 1
                turn.set_result(None)

    def _end_pause(self) -> None:
        self._timer = None
        self._wake()

    def succeeded(self) -> None:
        self._streak += 1
        if self._streak >= WINDOW * int(self._limit):
            self._streak = 0
            self._limit = min(float(self._most), self._limit + 1)
            self._wake()

    def overloaded(self, began: float) -> None:
        if began < self._cut_at:
            return
        self._cut_at = self._clock()
        self._streak = 0
        self._limit = max(1.0, self._limit / 2)

    @property
    def seconds_paused(self) -> float:
        """Until calls may begin again."""
        return max(0.0, self._paused_until - self._clock())

    def pause(self, seconds: float) -> None:
        """No call begins for so long, for nobody: the service asked for it."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)


SHARE_OF_OUTAGE = 0.05


class CircuitBreaker:
    """Opens after `threshold` failures in a row. While it is open nobody calls, but for one probe
    after each wait of a twentieth of the time that it has been open, between `shortest` and
    `longest` seconds: so the end of an outage is found before it has become much longer. The first
    success closes it.
    """

    def __init__(
        self,
        threshold: int = 10,
        shortest: float = 0.5,
        longest: float = 5.0,
        clock: Clock = time.monotonic,
    ) -> None:
        self._threshold = threshold
        self._shortest = shortest
        self._longest = longest
        self._clock = clock
        self.failures = 0
        """In a row."""
        self._opened_at = 0.0
        self._probe_at: float | None = None
        self._is_promised = False
        """Somebody prepares the next probe."""

    @property
    def is_open(self) -> bool:
        return self._probe_at is not None

    def seconds_until_probe(self) -> float:
        """0 if it makes sense to prepare a call. While the breaker is open who gets 0 has the next
        probe.
        """
        self._is_promised, seconds = False, self.seconds_closed_to_all()
        self._is_promised = self.is_open and seconds == 0
        return seconds

    def seconds_closed_to_all(self) -> float:
        """0 if a call may be made now; else the seconds after which to ask again. Who gets 0 while
        the breaker is open has the probe, and must report how it went.
        """
        if self._probe_at is None:
            return 0.0
        if self._is_promised:
            self._is_promised = False
            return 0.0
        left = self._probe_at - self._clock()
        if left > 0:
            return left
        self._probe_at = self._clock() + self._wait()  # the others wait for this probe
        return 0.0

    def succeeded(self) -> None:
        self.failures = 0
        self._probe_at = None
        self._is_promised = False

    def _wait(self) -> float:
        return min(
            self._longest, max(self._shortest, SHARE_OF_OUTAGE * (self._clock() - self._opened_at))
        )

    def failed(self) -> bool:
        """Whether this failure opened the breaker."""
        self.failures += 1
        if self._probe_at is not None:
            self._probe_at = self._clock() + self._wait()
            return False
        if self.failures < self._threshold:
            return False
        self._opened_at = self._clock()
        self._probe_at = self._opened_at + self._shortest
        return True
