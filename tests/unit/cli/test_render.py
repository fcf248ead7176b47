"""Tables of the command line fit the width of a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.cli.render import GAP, NARROWEST, fitted


@pytest.mark.parametrize(
    ("widths", "room", "expected"),
    [
        ([4, 10], 80, [4, 10]),
        ([36, 14, 9], 63, [36, 14, 9]),
        ([36, 14, 9], 50, [23, 14, 9]),  # the widest gives way, short ones stay whole
        ([36, 30, 9], 50, [19, 18, 9]),
        ([36, 30, 9], 29, [9, 8, 8]),
        ([20, 20, 20], 20, [9, 9]),  # a column without room is left out
        ([20], 5, []),
    ],
)
def test_the_widest_columns_are_cut_first(
    widths: list[int], room: int, expected: list[int]
) -> None:
    assert fitted(widths, room) == expected


def test_numbers_are_never_cut() -> None:
    assert fitted([12, 40], 30, whole=(0,)) == [12, 16]
    assert fitted([40, 12], 30, whole=(0,)) == []


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=12),
    st.integers(1, 200),
    st.sets(st.integers(0, 11)),
)
def test_a_table_is_never_wider_than_the_terminal(
    widths: list[int], room: int, whole: set[int]
) -> None:
    fitting = fitted(widths, room, whole)
    assert sum(fitting) + GAP * max(len(fitting) - 1, 0) <= room
    for place, (fit, width) in enumerate(zip(fitting, widths, strict=False)):
        assert fit <= width
        if place in whole or width <= NARROWEST:
            assert fit == width
