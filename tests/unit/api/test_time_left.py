"""The estimated time left, compared with the real one, for many kinds of jobs."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import accumulate, pairwise

import pytest

from app.jobs.pace import MARKS, Mark, rows_left, rows_per_second, seconds_left

Course = list[Mark]
"""Times at which the chunks of a job end that started at 0."""


def course(intervals: list[float], rows: int = 1000, begins: float = 0.0) -> Course:
    return [Mark(at, rows) for at in accumulate(intervals, initial=begins)][1:]


def steady() -> Course:
    return course([0.1] * 400)


def jittered() -> Course:
    rng = random.Random(1)
    return course([rng.uniform(0.02, 0.4) for _ in range(300)])


def bursty() -> Course:
    """Sixteen chunks per transaction."""
    return [Mark(0.7 * burst + 0.0005 * n, 500) for burst in range(1, 61) for n in range(16)]


def slow_to_start() -> Course:
    """Compute processes had to start first."""
    return course([0.05] * 200, begins=9.0)


def slow_then_fast() -> Course:
    return course([0.4] * 40 + [0.1] * 900)


def short() -> Course:
    """Two and a half seconds, in group commits."""
    return [Mark(0.6 + 0.09 * burst, 16_000) for burst in range(25)]


def long_chunks() -> Course:
    return course([21.0, 19.5, 20.2, 20.4, 19.9, 20.0, 20.3, 19.8, 20.1, 20.0, 19.7, 20.6])


def paused() -> Course:
    """A model service was down for an hour, after a quarter of the work."""
    return course([0.5] * 100 + [3600.0] + [0.5] * 299)


def uneven() -> Course:
    rng = random.Random(2)
    return [Mark(at, rows) for at, rows in ((0.002 * sum_, count) for sum_, count in _uneven(rng))]


def _uneven(rng: random.Random) -> list[tuple[int, int]]:
    """Chunks of very different sizes, with times in proportion to their rows."""
    counts = [rng.choice([10, 200, 1500]) for _ in range(300)]
    return list(zip(accumulate(counts), counts, strict=True))


COURSES: list[Callable[[], Course]] = [
    steady, jittered, bursty, slow_to_start, slow_then_fast, short, long_chunks, paused, uneven
]  # fmt: skip


def told(marks: Course, now: float) -> float | None:
    """Return the estimate at this moment."""
    ended = [mark for mark in marks if mark.at <= now]
    left = sum(mark.rows for mark in marks) - sum(mark.rows for mark in ended)
    return seconds_left(ended[-MARKS:], left, now)


@pytest.mark.parametrize("make", COURSES)
def test_the_estimate_at_half_is_within_a_fifth(make: Callable[[], Course]) -> None:
    marks = make()
    half, done = sum(mark.rows for mark in marks) / 2, 0
    for mark in marks:
        done += mark.rows
        if done >= half:
            break
    eta, truth = told(marks, mark.at), marks[-1].at - mark.at
    assert eta is not None
    assert abs(eta - truth) <= 0.2 * truth + 0.1


@pytest.mark.parametrize("make", COURSES)
def test_the_estimate_is_absent_at_first_and_never_wild(make: Callable[[], Course]) -> None:
    marks = make()
    assert told(marks, 0.0) is None
    assert told(marks, marks[0].at) is None
    pauses = [(a.at, b.at) for a, b in pairwise(marks) if b.at - a.at > 60]
    longest = {slow_then_fast: 4.0}.get(make, 2.0)  # no estimate can foresee that it gets faster
    for mark in marks:
        truth = (
            marks[-1].at - mark.at - sum(end - start for start, end in pauses if start >= mark.at)
        )
        eta = told(marks, mark.at)
        assert eta is None or truth / 2 - 2 <= eta <= longest * truth + 2


@pytest.mark.parametrize("make", [steady, bursty, slow_to_start, short])
def test_the_estimate_falls_over_time_and_rarely_rises(make: Callable[[], Course]) -> None:
    marks = make()
    between = [
        (a.at, b.at) for a, b in pairwise(marks) if b.at - a.at > 0.02
    ]  # whole transactions are seen, or nothing
    moments = [moment for a, b in between for moment in (a + 0.01, (a + b) / 2)]
    said = [eta for eta in (told(marks, moment) for moment in moments) if eta is not None]
    rises = sum(max(0.0, later - earlier) for earlier, later in pairwise(said))
    assert rises <= 0.25 * said[0]
    assert said[0] > said[-1]


def test_a_stalled_job_has_no_short_estimate() -> None:
    marks = steady()[:200]
    left = 200_000.0
    assert (seconds_left(marks, left, marks[-1].at + 3600) or 0) >= 19


def test_a_clock_that_is_set_back_does_no_harm() -> None:
    marks = steady()
    shifted = [
        Mark(mark.at - (3600 if n > 100 else 0), mark.rows) for n, mark in enumerate(marks[:200])
    ]
    eta = seconds_left(shifted, 200_000, shifted[-1].at)
    assert eta is not None
    assert abs(eta - 20) < 4


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_few_chunks_give_no_estimate(count: int) -> None:
    assert seconds_left(long_chunks()[:count], 5000, 100.0) is None


def test_the_estimate_is_absent_during_the_final_step() -> None:
    assert seconds_left(steady(), 0, 41.0) is None


def test_remaining_rows_are_known_from_chunks_or_estimated_from_bytes() -> None:
    assert rows_left(known_rows=0, known_bytes=0, done_rows=0, all_bytes=900) == 0
    assert rows_left(known_rows=100, known_bytes=300, done_rows=40, all_bytes=900) == 60 + 200
    assert rows_left(known_rows=100, known_bytes=300, done_rows=100, all_bytes=300) == 0


def test_a_few_rows_or_a_moment_have_no_speed() -> None:
    assert rows_per_second(9_999, 0.9) == 0
    assert rows_per_second(1_000_000, 0.8) == 1_250_000
    assert rows_per_second(1_000_000, 0.05) == 0
    assert rows_per_second(2, 0.1) == 0
    assert rows_per_second(2, 60) == 0
    assert rows_per_second(1_000, 2) == 500
