"""How fast a job is, and how long it will still take: from the rows of the chunks that ended last.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

MARKS, MARKS_AT_ONCE = 256, 4096
"""Chunks that one job is measured by, at most, and all jobs that are read together."""
BURST_SECONDS = 0.05
"""Chunks that are written together end together."""
LEAST_INTERVALS, LEAST_SECONDS = 2, 1.0
"""Between bursts: with less, the time left is not known."""
PAUSE, LEAST_PAUSE_SECONDS = 8, 2.0
"""So many usual intervals without an end, and so many seconds, are a pause of the whole job."""
LEAST_ROWS = 20
"""Fewer have no speed."""
MANY_ROWS, MOMENT_SECONDS = 10_000, 0.1
"""So many have a speed after a moment already."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The end of a chunk."""

    at: float
    """Seconds."""
    rows: int


def marks_per_job(jobs: int) -> int:
    """For so many that are read together."""
    return max(16, min(MARKS, MARKS_AT_ONCE // max(1, jobs)))


def rows_per_second(rows: int, seconds: float) -> float:
    """0 if there is too little to tell."""
    some_for_long = rows >= LEAST_ROWS and seconds >= LEAST_SECONDS
    many_at_once = rows >= MANY_ROWS and seconds >= MOMENT_SECONDS
    return round(rows / seconds, 1) if some_for_long or many_at_once else 0.0


def rows_left(*, known_rows: int, known_bytes: int, done_rows: int, all_bytes: int) -> float:
    """Rows that are still to be done: those of chunks, and as many more as what is not split yet
    will have by its bytes.
    """
    unsplit = max(0, all_bytes - known_bytes) * known_rows / known_bytes if known_bytes else 0.0
    return max(0.0, known_rows - done_rows + unsplit)


def seconds_left(marks: Iterable[Mark], left: float, now: float) -> float | None:
    """Until `left` rows are done at the speed of the chunks that ended last; None if these are too
    few, or nothing is left.
    """
    bursts = _bursts(sorted(marks, key=lambda mark: mark.at))
    intervals = [later.at - earlier.at for earlier, later in pairwise(bursts)]
    if len(intervals) < LEAST_INTERVALS or not left:
        return None
    usual = median(intervals)
    longest = max(PAUSE * usual, LEAST_PAUSE_SECONDS)
    spent = sum(usual if interval > longest else interval for interval in intervals)
    rows = sum(burst.rows for burst in bursts[1:])
    if spent < LEAST_SECONDS or not rows:
        return None
    begun = min(max(0.0, now - bursts[-1].at), usual)  # of what will end next
    return round(max(0.0, left * spent / rows - begun), 1)


def _bursts(marks: Sequence[Mark]) -> list[Mark]:
    """Ends that belong together as one, at the moment of the first."""
    found: list[Mark] = []
    for mark in marks:
        if found and mark.at - found[-1].at < BURST_SECONDS:
            found[-1] = Mark(found[-1].at, found[-1].rows + mark.rows)
        else:
            found.append(mark)
    return found
