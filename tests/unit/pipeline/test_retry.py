"""RetryPolicy: exponential, capped, with full jitter."""

from __future__ import annotations

import random

import pytest

from app.pipeline.retry import RetryPolicy


@pytest.mark.parametrize(
    ("attempt", "most"),
    [(1, 1.0), (2, 2.0), (3, 4.0), (5, 16.0), (6, 30.0), (50, 30.0)],  # 1 x 2^(n-1), capped at 30
)
def test_the_backoff_doubles_up_to_the_cap_with_uniform_jitter(attempt: int, most: float) -> None:
    policy = RetryPolicy(max_retries=3, base_seconds=1.0, max_seconds=30.0)
    waits = [policy.delay_seconds(attempt, random.Random(seed)) for seed in range(2000)]
    assert 0 <= min(waits) < 0.02 * most
    assert 0.98 * most < max(waits) <= most
    assert sum(waits) / len(waits) == pytest.approx(most / 2, rel=0.05)


def test_max_retries_counts_the_attempts_after_the_first() -> None:
    policy = RetryPolicy(max_retries=3, base_seconds=1.0, max_seconds=30.0)
    assert [policy.is_last(attempt) for attempt in (1, 2, 3, 4)] == [False, False, False, True]
    assert RetryPolicy(0, 1.0, 30.0).is_last(1)
