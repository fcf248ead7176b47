"""Load limits for a service: an adaptive number of concurrent calls, and a circuit breaker."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

Clock = Callable[[], float]
WINDOW = 5
"""Each overload causes a pause, after which a limited service accepts more than it can sustain:
raise the limit slowly.
"""


class AdaptiveLimit:
    """Allows at most `most` concurrent calls, first come first served. The limit grows by one after
    each window of successes (WINDOW times the limit), and is halved when the service reports
    overload (additive increase, multiplicative decrease).

    An overload counts once: calls that began before the last cut do not affect the limit after it.
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
        """Return the number of calls that may run at once now."""
        return int(self._limit)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[float]:
        """Wait for a slot; yield the start time of the call, for `succeeded` and `overloaded`."""
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
        seconds = self._paused_until - self._clock()
        if seconds > 0:
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(seconds, self._end_pause)
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
        """Return the seconds until calls may start again."""
        return max(0.0, self._paused_until - self._clock())

    def pause(self, seconds: float) -> None:
        """Start no call for this many seconds, as the service requested."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)


SHARE_OF_OUTAGE = 0.05


class CircuitBreaker:
    """Opens after `threshold` failures in a row. While it is open there are no calls, except for
    one probe after each wait of a twentieth of the time that it has been open, between `shortest`
    and `longest` seconds: so the end of an outage is noticed soon. The first success closes it.
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
        """Return 0 if a call may be made now, otherwise the seconds until the next try. Whoever
        gets 0 while the breaker is open has the probe and must report its outcome.
        """
        if self._probe_at is None:
            return 0.0
        if self._is_promised:
            self._is_promised = False
            return 0.0
        seconds = self._probe_at - self._clock()
        if seconds > 0:
            return seconds
        self._probe_at = self._clock() + self._wait()  # other callers wait for this probe
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
        """Record a failure; return whether it opened the breaker."""
        self.failures += 1
        if self._probe_at is not None:
            self._probe_at = self._clock() + self._wait()
            return False
        if self.failures < self._threshold:
            return False
        self._opened_at = self._clock()
        self._probe_at = self._opened_at + self._shortest
        return True
