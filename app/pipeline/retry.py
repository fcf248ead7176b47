"""When to try a chunk again. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    max_retries: int
    base_seconds: float
    max_seconds: float

    def is_last(self, attempt: int) -> bool:
        """Whether `attempt` (1 is the first) leaves no further one."""
        return attempt > self.max_retries

    def delay_seconds(self, attempt: int, rng: random.Random = random.Random()) -> float:  # noqa: B008
        """Before the next attempt: exponential with full jitter, so that what failed together does not return together."""
        return rng.uniform(0, min(self.max_seconds, self.base_seconds * 2 ** (attempt - 1)))
