"""Speed and remaining time of a job, from the rows of its last completed chunks. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

MARKS, MARKS_AT_ONCE = 256, 4096
"""Number of completed chunks to measure by, for one job and for all jobs of one query."""
BURST_SECONDS = 0.05
"""Chunks committed together end within this time."""
LEAST_INTERVALS, LEAST_SECONDS = 2, 1.0
"""Number and total length of the intervals between bursts that an estimate needs."""
PAUSE, LEAST_PAUSE_SECONDS = 8, 2.0
"""An interval of this many usual ones, and at least this many seconds, is a pause of the whole job.
"""
LEAST_ROWS = 20
"""A speed needs at least this many rows."""
MANY_ROWS, MOMENT_SECONDS = 10_000, 0.1
"""So many rows have a speed after this time already."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The end of a chunk."""

    at: float
    """Time in seconds."""
    rows: int


def marks_per_job(jobs: int) -> int:
    """Return the number of marks for each of this many jobs in one query."""
    return max(16, min(MARKS, MARKS_AT_ONCE // max(1, jobs)))


def rows_per_second(rows: int, seconds: float) -> float:
    """Return the speed; 0 if there is too little data."""
    some_for_long = rows >= LEAST_ROWS and seconds >= LEAST_SECONDS
    many_at_once = rows >= MANY_ROWS and seconds >= MOMENT_SECONDS
    return round(rows / seconds, 1) if some_for_long or many_at_once else 0.0


def rows_left(*, known_rows: int, known_bytes: int, done_rows: int, all_bytes: int) -> float:
    """Return the number of rows left: those of known chunks, and an estimate by bytes for the part
    that is not split yet.
    """
    unsplit = max(0, all_bytes - known_bytes) * known_rows / known_bytes if known_bytes else 0.0
    return max(0.0, known_rows - done_rows + unsplit)


def seconds_left(marks: Iterable[Mark], left: float, now: float) -> float | None:
    """Return the seconds until `left` rows are done at the speed of the last chunks; None if there
    are too few chunks or no rows left.
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
    elapsed = min(max(0.0, now - bursts[-1].at), usual)  # of the chunks that end next
    return round(max(0.0, left * spent / rows - elapsed), 1)


def _bursts(marks: Sequence[Mark]) -> list[Mark]:
    """Merge ends that belong together into one, at the time of the first."""
    bursts: list[Mark] = []
    for mark in marks:
        if bursts and mark.at - bursts[-1].at < BURST_SECONDS:
            bursts[-1] = Mark(bursts[-1].at, bursts[-1].rows + mark.rows)
        else:
            bursts.append(mark)
    return bursts
