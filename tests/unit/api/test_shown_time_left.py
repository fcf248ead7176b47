"""The time left that a terminal shows, compared with the real one."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from app.jobs.time_left import Pace, paced

SPEED, ROWS = 1000, 60_000


def status(passed: float, noise: float = 1.0) -> dict[str, Any]:
    """Return the status of a job of 60 seconds, so many seconds after its start; its estimate is
    wrong by this factor.
    """
    rows = int(min(ROWS, SPEED * passed))
    return {
        "counts": {"loaded": rows, "rejected": 0},
        "rows_per_second": round(rows / passed, 1) if passed > 1 else 0.0,
        "eta_seconds": noise * (ROWS - rows) / SPEED if passed > 1 else None,
    }


def watched(noises: tuple[float, float]) -> list[tuple[float, float | None]]:
    """Watch the job twice a second; return what is shown at each moment."""
    pace: Pace | None = None
    shown = []
    for tick in range(111):
        passed = tick / 2
        pace = paced(pace, status(passed, noises[tick % 2]), 500 + passed)
        shown.append((passed, pace.left if pace else None))
    return shown


def test_a_job_of_less_than_ten_seconds_shows_no_time_left() -> None:
    assert all((left is None) == (passed < 10) for passed, left in watched((1, 1)))


@pytest.mark.parametrize("noises", [(1, 1), (0.75, 1.25)])
def test_the_time_left_falls_and_is_close_to_the_real_one(noises: tuple[float, float]) -> None:
    shown = [(passed, left) for passed, left in watched(noises) if left is not None]
    assert len(shown) > 80
    for passed, left in shown:
        assert abs(left - (60 - passed)) < 0.15 * (60 - passed) + 2
    assert max(later - earlier for (_, earlier), (_, later) in pairwise(shown)) < 5


def test_without_an_estimate_there_is_no_pace() -> None:
    assert paced(Pace(1, 2, True), {**status(30), "eta_seconds": None}, 2) is None
