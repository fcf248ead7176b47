"""Conditions, against an oracle in exact fractions."""

from __future__ import annotations

import re
from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.features.rows.conditions import ConditionError, parse_conditions, parse_names
from app.features.rows.values import moment_of, number_of

NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
cells = st.one_of(
    st.none(),
    st.just(""),
    st.integers(-50, 50).map(str),
    st.decimals(-5, 5, places=2).map(str),
    st.sampled_from(["007", "1e2", "1E-1", "-0", "1.", ".5", "+3", " 4", "abc", "ABC", "Straße"]),
    st.integers(10**17, 10**17 + 3).map(str),
)


def exact(text: str | None) -> Fraction | None:
    return Fraction(text) if text and NUMBER.fullmatch(text) else None


@given(st.lists(cells), st.one_of(st.integers(-50, 50), st.integers(10**17, 10**17 + 3)))
def test_numbers_compare_by_their_value(column: list[str | None], limit: int) -> None:
    values = list(map(exact, column))
    expected: dict[str, list[bool]] = {
        "<": [value is not None and value < limit for value in values],
        "<=": [value is not None and value <= limit for value in values],
        ">": [value is not None and value > limit for value in values],
        ">=": [value is not None and value >= limit for value in values],
        "=": [value == limit for value in values],
    }
    for sign, results in expected.items():
        (condition,) = parse_conditions(f"a {sign} {limit}", ["a"])
        assert condition.results(column) == results, sign
    (unequal,) = parse_conditions(f"a != {limit}", ["a"])
    assert unequal.results(column) == [exact(cell) != limit for cell in column]


@given(st.lists(cells), st.text(min_size=1, max_size=3))
def test_texts_are_found_in_either_case(column: list[str | None], part: str) -> None:
    quoted = "'" + part.replace("'", "''") + "'"
    (contains,) = parse_conditions(f"a contains {quoted}", ["a"])
    expected = [bool(cell) and part.casefold() in str(cell).casefold() for cell in column]
    assert contains.results(column) == expected
    (lacks,) = parse_conditions(f"a not contains {quoted}", ["a"])
    assert lacks.results(column) == [not has for has in expected]
    (equals,) = parse_conditions(f"a = {quoted}", ["a"])
    assert equals.results(column) == [cell == part for cell in column]


def test_empty_cells_and_moments() -> None:
    column = [None, "", "2024-01-05", "2024-01-05 10:00", "2024-01-05T23:30:00-02:00", "2024-13-01"]
    (is_empty, is_filled) = parse_conditions("a is empty and a is not empty", ["a"])
    assert is_empty.results(column) == [True, True, False, False, False, False]
    assert is_filled.results(column) == [False, False, True, True, True, True]
    (after,) = parse_conditions("a > 2024-01-05", ["a"])
    assert after.results(column) == [False, False, False, True, True, False]
    (later,) = parse_conditions("a >= 2024-01-06T01:30Z", ["a"])
    assert later.results(column) == [False, False, False, False, True, False]


@given(st.text(max_size=12))
def test_any_text_is_a_condition_or_refused(text: str) -> None:
    with suppress(ConditionError):
        parse_conditions(text, ["a", "b"])


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4, unique=True), st.text(min_size=1))
def test_any_name_can_be_quoted(names: list[str], value: str) -> None:
    name = names[-1].replace('"', '""')
    text = value.replace('"', '""')
    (condition,) = parse_conditions(f'"{name}" = "{text}"', names)
    assert (condition.column, condition.value) == (len(names) - 1, value)


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ("amont > 5", "There is no column amont. Did you mean amount?"),
        ("amount >", "The condition ends where a value should follow."),
        ("amount like 5", "Expected an operator before like"),
        ("amount > 5 or amount < 2", "Expected `and` before or."),
        ("amount = 'x", "Cannot read '"),
    ],
)
def test_a_mistake_is_named(where: str, sentence: str) -> None:
    with pytest.raises(ConditionError, match=re.escape(sentence)):
        parse_conditions(where, ["amount"])


def test_names_are_separated_by_commas() -> None:
    assert parse_names('b, "a,1",A', ["A", "b", "a,1"]) == (1, 2, 0)
    with pytest.raises(ConditionError, match="twice"):
        parse_names("a,a", ["a"])


def test_what_no_machine_can_hold_is_a_text() -> None:
    assert number_of("1e99999999999999999999999") is None
    assert number_of("9" * 5_000) is not None
    assert moment_of("0001-01-01T00:00+23:00") is None
