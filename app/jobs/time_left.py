"""Remaining time of a job as shown to a person: smoothed, and not in its first seconds. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp
from typing import Any

SHORT_SECONDS = 10.0
"""A job that ran less than this shows no speed and no time left: its first figures say little."""
MEMORY_SECONDS, RUN_PER_MEMORY = 5.0, 8.0
"""Estimates of this long ago count about a third as much as the latest; a job that ran eight
seconds remembers one.
"""


@dataclass(frozen=True, slots=True)
class Pace:
    at: float
    """Time of the last status in seconds."""
    end: float
    """Expected end of the job in seconds."""
    is_shown: bool

    @property
    def left(self) -> float | None:
        """Seconds left; None if they would mislead."""
        return max(0.0, self.end - self.at) if self.is_shown else None


def paced(before: Pace | None, status: dict[str, Any], now: float) -> Pace | None:
    """Return the pace after this status; `before` is the one after the status before. None if the
    service has no estimate.
    """
    if status["eta_seconds"] is None:
        return None
    run = seconds_run(status)
    memory = min(MEMORY_SECONDS, run / RUN_PER_MEMORY)
    end = now + status["eta_seconds"]
    if before is not None and memory:
        weight = 1 - exp(-(now - before.at) / memory)
        end = before.end + weight * (end - before.end)
    return Pace(now, end, run >= SHORT_SECONDS)


def seconds_run(status: dict[str, Any]) -> float:
    """Return how long a job has processed rows, by the clock of the service; 0 if it has no speed
    yet.
    """
    rows = status["counts"]["loaded"] + status["counts"]["rejected"]
    speed = status["rows_per_second"]
    return float(rows / speed) if speed else 0.0
