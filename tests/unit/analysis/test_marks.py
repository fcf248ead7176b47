"""Marks of numbers: what an analysis says is compared with readings by `Decimal` alone."""

from __future__ import annotations

import itertools
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from app.profiling.columns import Column

VALUES = (
    "1,5", "1.5", "1,234", "1.234", "1.234,5", "1,234.5", "1.234.567", "1,234,567", "1'234", "1 234",
    "12", "1234", "0,5", "0.125", "-1,50", "-0,0", "01,5", "1,23,456", "1.234,567", "12,", "abc",
)  # fmt: skip
POINT_OR_COMMA = ".,"
THOUSANDS = ("", ".", ",", "'", " ")


def read(text: str, decimal: str, thousands: str) -> Decimal | None:
    """Return the number by the rules of writing alone, without expressions; None if it is none."""
    unsigned = text.removeprefix("-")
    whole, point, fraction = unsigned.partition(decimal)
    groups = whole.split(thousands) if thousands else [whole]
    if not all(group.isdigit() for group in groups) or (point and not fraction.isdigit()):
        return None
    first, *others = groups
    if others and (any(len(group) != 3 for group in others) or not 1 <= len(first) <= 3):
        return None
    digits = "".join(groups)
    if len(digits) > 1 and digits[0] == "0":
        return None
    number = Decimal(f"{digits}.{fraction or '0'}")
    if text != unsigned and not number:
        return None
    return -number if text != unsigned else number


def readings(values: tuple[str, ...]) -> set[tuple[Decimal, ...]]:
    """Return all the ways in which the values are numbers, each by the same marks."""
    found = set()
    for decimal, thousands in itertools.product(POINT_OR_COMMA, THOUSANDS):
        numbers = [read(value, decimal, thousands) for value in values]
        if decimal != thousands and None not in numbers:
            found.add(tuple(number for number in numbers if number is not None))
    return found


def proposed(values: tuple[str, ...]) -> dict[str, str | None] | None:
    """Return the proposal from two chunks, which are merged."""
    half = (len(values) + 1) // 2
    first, second = (
        Column.of(pa.array(part, pa.string()), np.arange(len(part)))
        for part in (values[:half], values[half:])
    )
    return first.merged(second).report("x", len(values))["as_number"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(("size", "kinds"), [(1, 21), (2, 21), (3, 11)])
def test_marks_are_proposed_only_for_the_one_reading_of_all_values(size: int, kinds: int) -> None:
    count = 0
    for values in itertools.combinations(VALUES[:kinds], size):
        marks = proposed(values)
        possible = readings(values)
        if marks is None:
            continue
        count += 1
        assert len(possible) == 1, values
        (numbers,) = possible
        decimal, thousands = str(marks["decimal_mark"]), marks["thousands_mark"] or ""
        assert [read(value, decimal, thousands) for value in values] == list(numbers), values
        is_whole = all(number == int(number) for number in numbers)
        if marks["subtype"] == "integer":
            assert is_whole, values
    assert count > 5


@pytest.mark.parametrize(
    ("values", "subtype", "decimal", "thousands"),
    [
        (("1,5", "2,75"), "decimal", ",", None),
        (("1.234,50", "99,00", "12"), "decimal", ",", "."),
        (("1.234", "12,5"), "decimal", ",", "."),
        (("1,234", "12.5"), "decimal", ".", ","),
        (("1,234,567", "12"), "integer", ".", ","),
        (("1.234.567", "1.234"), "integer", ",", "."),
        (("1'234", "12'345.50"), "decimal", ".", "'"),
        (("1 234", "12 345 678"), "integer", ".", " "),
        (("999.999.999.999.999.999", "1.000.000"), "integer", ",", "."),
        (("1.000.000.000.000.000.000", "1.000.000"), "decimal", ",", "."),
    ],
)
def test_the_proposal_names_the_marks(
    values: tuple[str, ...], subtype: str, decimal: str, thousands: str | None
) -> None:
    marks = {"subtype": subtype, "decimal_mark": decimal, "thousands_mark": thousands}
    assert proposed(values) == marks


@pytest.mark.parametrize(
    "values",
    [
        ("1.234",),
        ("1,234", "12,345"),
        ("1.234", "1,234"),
        ("1,234", "12345"),
        ("1.234", "1.234.567", "1234"),
        ("1,5", "2.5"),
        ("1,5", "n/a"),
        ("1,5", " 2,5"),
        ("-0,0", "1,5"),
        ("1,5", "2 %"),
        ("1", "2.5"),
        ("0,0000000000000000001",),
    ],
)
def test_no_marks_are_guessed(values: tuple[str, ...]) -> None:
    assert proposed(values) is None
