"""Turns scores into probabilities, by points that were measured on generated tables."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

Point = tuple[float, float]
"""(score, share of the tables with this score for which detection is right)."""

DELIMITER: Sequence[Point] = (
    (0.0, 0.0),
    (0.45, 0.2),
    (0.55, 0.45),
    (0.65, 0.68),
    (0.76, 0.88),
    (0.86, 0.985),
    (1.0, 1.0),
)
HEADER: Sequence[Point] = (
    (0.0, 0.0),
    (0.5, 0.35),
    (0.65, 0.5),
    (0.75, 0.75),
    (1.0, 1.0),
)
"""Above 0.75 the score is the probability or less. `scripts/measure_detection.py` prints the figures
of both.
"""


def calibrated(score: float, points: Sequence[Point]) -> float:
    """Return the probability for a score from 0 to 1, by lines between the points."""
    for (left, low), (right, high) in pairwise(points):
        if score <= right:
            return low + (high - low) * (score - left) / (right - left)
    return points[-1][1]
