"""What is told of chunks while they are worked on: once what happened to them is in the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.telemetry import counters


def completed(values: Sequence[dict[str, Any]], seconds: float) -> None:
    """Chunks committed together, as they were stored; `seconds`: what writing all of them took."""
    share = {"write": seconds / len(values)}
    for each in values:
        counters.completed(each["rows_ok"], each["rows_invalid"], each["rows_failed"], each["timings"] | share)
