"""When to try a chunk again. Pure functions."""

from __future__ import annotations

import random
from dataclasses import dataclass

TRANSIENT_DELAY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    max_retries: int
    base_seconds: float
    max_seconds: float

    @property
    def longest_wait(self) -> float:
        """Return the longest wait of any chunk for its next attempt in seconds, whatever the cause.
        A stored time farther ahead was written before the clock was set back.
        """
        return max(self.max_seconds, TRANSIENT_DELAY_SECONDS)

    def is_last(self, attempt: int) -> bool:
        """Return whether `attempt` (1 is the first) is the last one."""
        return attempt > self.max_retries

    def delay_seconds(self, attempt: int, rng: random.Random = random.Random()) -> float:  # noqa: B008
        """Return the wait before the next attempt: exponential with full jitter, so that chunks
        that failed together do not return together.
        """
        return rng.uniform(0, min(self.max_seconds, self.base_seconds * 2 ** (attempt - 1)))
