"""Numbers with decimal commas: which columns have them, and how they compare and sort."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.features.rows.commas import has_decimal_commas
from app.features.rows.conditions import parse_conditions
from app.features.rows.order import FirstRows

CELLS = ["10,5", "9", None, "-1,25", "1,234", "5,5"]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (CELLS, True),
        (["0,5", ""], True),
        (["1,234", "12,345"], False),  # thousands, perhaps
        (["1,5", "2.5"], False),
        (["1.234,5", "2,5"], False),
        (["1,5", "n/a"], False),
        (["1,5 €"], False),
        (["1", "2"], False),
        (["", None], False),
        ([], False),
    ],
)
def test_a_column_of_numbers_with_commas_is_known_by_its_cells(
    cells: list[str | None], expected: bool
) -> None:
    assert has_decimal_commas(cells) is expected


def test_numbers_with_commas_compare_by_their_value() -> None:
    for text, expected in (
        ("a > 5", [True, True, False, False, False, True]),
        ("a > 5,5", [True, True, False, False, False, False]),
        ("a <= 5.5", [False, False, False, True, True, True]),
        ("a = 5,50", [False, False, False, False, False, True]),
        ("a > '5'", [False, True, False, False, False, True]),  # a text by its letters
    ):
        (condition,) = parse_conditions(text, ["a"])
        assert replace(condition, has_commas=True).results(CELLS) == expected, text
    (condition,) = parse_conditions("a > 5", ["a"])
    assert condition.results(CELLS) == [False, True, False, False, False, False]


def test_numbers_with_commas_sort_by_their_value() -> None:
    first = FirstRows(10, descending=False, as_numbers=True, has_commas=True)
    first.add(CELLS, [1, 2, 3, 4, 5, 6])
    assert first.numbers() == [4, 5, 6, 2, 1, 3]
