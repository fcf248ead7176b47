"""Token buckets: so many a minute, and as many at once after a quiet minute. In the memory of this
process, which is bounded.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

MAX_BUCKETS = 10_000


class Buckets:
    """One bucket for each name. Those not used for longest are forgotten, which makes them full
    again.
    """

    def __init__(
        self,
        per_minute: int,
        *,
        max_buckets: int = MAX_BUCKETS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`per_minute`: 0 is no limit."""
        self.per_minute = per_minute
        self._max_buckets = max_buckets
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str) -> tuple[int, float]:
        """(how many are left, 0.0), or (0, the seconds until there is one again) if there was none
        to take.
        """
        if not self.per_minute:
            return 0, 0.0
        now = self._clock()
        level, at = self._levels.pop(name, (float(self.per_minute), now))
        level = min(self.per_minute, level + (now - at) * self.per_minute / 60)
        taken = level >= 1
        self._levels[name] = (level - 1 if taken else level, now)
        while len(self._levels) > self._max_buckets:
            self._levels.popitem(last=False)
        return (int(level - 1), 0.0) if taken else (0, (1 - level) * 60 / self.per_minute)


def whole_seconds(seconds: float) -> str:
    """For Retry-After: rounded up, at least one."""
    return str(max(1, math.ceil(seconds)))
