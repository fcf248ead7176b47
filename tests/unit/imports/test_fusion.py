"""Fusion of ranked lists, checked with exact fractions."""

from __future__ import annotations

from fractions import Fraction
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from app.features.imports.fusion import fused

KEYS = [(UUID(int=job), row) for job in (1, 2) for row in range(1, 9)]
orders = st.lists(st.sampled_from(KEYS), unique=True, max_size=12)


@given(orders, orders)
def test_a_record_scores_by_its_rank_in_each_order(
    first: list[tuple[UUID, int]], second: list[tuple[UUID, int]]
) -> None:
    score = {key: 1 - place / 100 for place, key in enumerate(KEYS)}
    found = fused([[(key, score[key]) for key in order] for order in (first, second)])
    assert [of_key for _, of_key in found] == [score[key] for key, _ in found]

    def points(key: tuple[UUID, int]) -> Fraction:
        places = [order.index(key) + 1 for order in (first, second) if key in order]
        return sum((Fraction(1, 60 + place) for place in places), Fraction(0))

    expected = sorted({*first, *second}, key=lambda key: (-points(key), -score[key]))
    assert [key for key, _ in found] == expected


def test_a_rank_in_both_orders_scores_more_than_the_first_in_one() -> None:
    both, first, other = KEYS[:3]
    found = fused([[(first, 0.9), (both, 0.5)], [(other, 0.8), (both, 0.5)]])
    assert [key for key, _ in found] == [both, first, other]


def test_fusing_empty_orders_gives_an_empty_one() -> None:
    assert fused([[], []]) == []
