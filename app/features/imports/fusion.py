"""One order of records out of several, by reciprocal rank fusion."""

from __future__ import annotations

from collections.abc import Sequence

from app.features.imports.queries import Key

FUSED_FROM = 100
"""Records of each order that are looked at."""
RANK_OFFSET = 60
"""So much is added to every rank: a first place then counts little more than a second, and a place
in both orders more than any in one. It is the usual number.
"""


def fused(orders: Sequence[Sequence[tuple[Key, float]]]) -> list[tuple[Key, float]]:
    """(record, score) of all that are in some order, each once: a record gets 1 / (60 + its place)
    from every order that it is in, and the one with the most comes first. Of equal ones the one
    with the higher score does, then the first by its key.
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
