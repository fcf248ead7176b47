"""Reciprocal rank fusion: one order of records out of several."""

from __future__ import annotations

from collections.abc import Sequence

from app.features.imports.queries import Key

FUSED_FROM = 100
"""Number of records of each order that are fused."""
RANK_OFFSET = 60
"""Number added to every rank. A first place then counts little more than a second, and a place in
both orders more than any in one. 60 is the usual number.
"""


def fused(orders: Sequence[Sequence[tuple[Key, float]]]) -> list[tuple[Key, float]]:
    """Return (record, score) of all records of the orders, without repeats and the best first. A
    record gets 1 / (60 + its place) from every order that it is in. Equal records are ordered by
    their own score, then by their key.
    """
    points: dict[Key, float] = {}
    scores: dict[Key, float] = {}
    for order in orders:
        for place, (key, score) in enumerate(order, 1):
            points[key] = points.get(key, 0.0) + 1 / (RANK_OFFSET + place)
            scores[key] = score

    def rank(key: Key) -> tuple[float, float, int, int]:
        job_id, row = key
        return -points[key], -scores[key], job_id.int, row

    return [(key, scores[key]) for key in sorted(points, key=rank)]
