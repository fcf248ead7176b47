"""Types of columns of text: one is found only if pyarrow's own reader would give the same values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.db.rows import PageRow
from app.features.files.columnar import hints_of
from app.features.files.columns import converted
from app.features.files.typed import TypeFinder

D = Decimal


def found(hint: str, values: Sequence[Any]) -> pa.DataType | None:
    """The type of a column whose values come in two pages."""
    finder = TypeFinder(["a", "b"], {"b": hint, "elsewhere": "number"})
    half = len(values) // 2
    for some in (values[:half], values[half:]):
        rows = [["x", value] for value in some]
        finder.add(PageRow(1, len(rows), None, json.dumps(rows)))
    types = finder.types()
    assert types.keys() <= {1}
    assert types or finder.are_all_text() or not any(values)
    return types.get(1)


@pytest.mark.parametrize(
    ("hint", "values", "kind", "read"),
    [
        ("number", ["1", "-20", "", None, "0"], pa.int64(), [1, -20, None, None, 0]),
        ("number", ["1", "2.50", "-0.5"], pa.decimal128(3, 2), [D("1.00"), D("2.50"), D("-0.50")]),
        ("number", ["9" * 19, "1"], pa.decimal128(19, 0), [D("9" * 19), D(1)]),
        ("number", ["9" * 38, "0.1"], None, None),
        ("number", ["007", "1"], None, None),
        ("number", ["1", "+1"], None, None),
        ("number", ["-0", "1"], None, None),
        ("number", ["1", "1e3"], None, None),
        ("number", ["1", " 2"], None, None),
        ("number", ["1", "2", "n/a"], None, None),
        ("number", ["", None], None, None),
        ("float", ["1", "0.1", "1e-7", "1e+300"], pa.float64(), [1.0, 0.1, 1e-7, 1e300]),
        ("float", ["1.0", "1"], None, None),
        ("float", ["nan", "1"], None, None),
        ("date", ["2024-02-29", "0001-01-01"], pa.date32(), [date(2024, 2, 29), date(1, 1, 1)]),
        ("date", ["2023-02-29", "2024-01-01"], None, None),
        ("date", ["29.02.2024", "2024-01-01"], None, None),
        ("date", ["2024-01-02T03:04:05.5", "2024-01-02 03:04:05"], pa.timestamp("us"), [
            datetime(2024, 1, 2, 3, 4, 5, 500_000), datetime(2024, 1, 2, 3, 4, 5)]),
        ("date", ["2024-01-02T03:04:05Z", None], pa.timestamp("us", "UTC"), [
            datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), None]),
        ("date", ["2024-01-02T03:04:05Z", "2024-01-02T03:04:05"], None, None),
        ("date", ["2024-01-02", "2024-01-02T03:04:05"], None, None),
        ("date", ["2024-01-02T03:04:05.123456789", "2024-01-02T03:04:05"], None, None),
        ("boolean", ["TRUE", "FALSE", ""], pa.bool_(), [True, False, None]),
        ("boolean", ["true", "FALSE"], None, None),
        ("boolean", ["yes", "no"], None, None),
        ("text", ["1", "2"], None, None),
    ],
)  # fmt: skip
def test_a_type_is_found_if_every_value_has_it(
    hint: str, values: list[str | None], kind: pa.DataType | None, read: list[Any] | None
) -> None:
    assert found(hint, values) == kind
    if kind is not None:
        assert converted(values, kind).to_pylist() == read


@given(st.lists(st.decimals(allow_nan=False, places=3, min_value=-(10**9), max_value=10**9)))
@settings(max_examples=50)
def test_decimals_come_back_as_numbers(values: list[Decimal]) -> None:
    values = [value + 0 for value in values]  # no minus zero
    texts = [f"{value:f}" for value in values]
    kind = found("number", texts)
    assert (kind is None) is (not values)
    if kind is not None:
        assert converted(texts, kind).to_pylist() == values


def test_the_types_of_a_columnar_file_are_hints() -> None:
    types = {"a": "int64", "b": "decimal128(9, 2)", "c": "double", "d": "date32[day]", "e": "bool"}
    hints = {"a": "number", "b": "number", "c": "float", "d": "date", "e": "boolean"}
    assert hints_of({**types, "f": "string", "g": "list<item: int64>"}) == hints
