"""Token buckets in the memory of this process: a number of requests per minute, and a burst of as
many after a quiet minute.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

MAX_BUCKETS = 10_000


class Buckets:
    """One bucket for each name. The least recently used are forgotten, which makes them full
    again.
    """

    def __init__(
        self,
        per_minute: int,
        *,
        max_buckets: int = MAX_BUCKETS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Allow `per_minute` tokens a minute; 0 means no limit."""
        self.per_minute = per_minute
        self._max_buckets = max_buckets
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str) -> tuple[int, float]:
        """Take a token: return (tokens left, 0.0), or (0, seconds until the next token) if the
        bucket is empty.
        """
        if not self.per_minute:
            return 0, 0.0
        now = self._clock()
        level, at = self._levels.pop(name, (float(self.per_minute), now))
        level = min(self.per_minute, level + (now - at) * self.per_minute / 60)
        is_taken = level >= 1
        self._levels[name] = (level - 1 if is_taken else level, now)
        while len(self._levels) > self._max_buckets:
            self._levels.popitem(last=False)
        return (int(level - 1), 0.0) if is_taken else (0, (1 - level) * 60 / self.per_minute)


def whole_seconds(seconds: float) -> str:
    """Return the value of a Retry-After header: rounded up, at least one second."""
    return str(max(1, math.ceil(seconds)))
