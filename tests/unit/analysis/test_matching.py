"""Columns with other names are matched by meaning and content, and a wrong match is never
certain.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.embeddings.model import Embedder
from app.features.mapping.conversions import meaning
from app.features.mapping.match import assign, match
from app.features.mapping.processor import encoded
from app.features.transform.spec import Mapping, of_template
from app.profiling.tables import of_cells, report
from tests.unit.analysis.pairs import PAIRS, Row

SURE = 0.8


def table(columns: dict[str, list[str]]) -> tuple[list[dict[str, Any]], str]:
    height = max(map(len, columns.values()))
    rows = [
        [values[i] if i < len(values) else "" for values in columns.values()] for i in range(height)
    ]
    packed = of_cells(rows, list(columns), range(1, height + 1))
    return report(packed), packed


def mapped(
    given: dict[str, list[str]],
    wanted: dict[str, list[str]],
    embedder: Embedder | None = None,
    **accepted: list[str],
) -> dict[str, dict[str, Any]]:
    (sources, source_state), (targets, target_state) = table(given), table(wanted)
    vectors = encoded(embedder, targets, sources) if embedder is not None else None
    found = match(sources, targets, source_state, target_state, vectors, accepted)
    return {mapping["reference_column"]: mapping for mapping in found["mappings"]}


def sides(
    pair: Sequence[Row],
) -> tuple[dict[str, list[str]], dict[str, list[str]], dict[str, str | None]]:
    # The input is reversed, so that the order of the columns gives no hint.
    given = {name: values.split("|") for name, _, values, _ in reversed(pair) if name}
    wanted = {name: values.split("|") for _, name, _, values in pair if name}
    return given, wanted, {want: have for have, want, _, _ in pair if want}


def outcome(
    embedder: Embedder | None, *, with_values: bool
) -> tuple[int, int, list[str], list[str]]:
    """Return (right, all, wrong, wrong but certain)."""
    right, total, wrong, sure = 0, 0, [], []
    for name, pair in PAIRS.items():
        given, wanted, truth = sides(pair)
        if not with_values:
            given, wanted = ({column: [""] for column in side} for side in (given, wanted))
        for want, mapping in mapped(given, wanted, embedder).items():
            have = mapping["input_column"] if len(mapping["input_columns"]) < 2 else "joined"
            total += 1
            if have == truth[want]:
                right += 1
                continue
            said = (
                f"{name}: {want} <- {have} at {mapping['confidence']} ({mapping['reason']}), not"
                f" {truth[want]}"
            )
            wrong.append(said)
            if have is not None and mapping["confidence"] > SURE:
                sure.append(said)
    return right, total, wrong, sure


@pytest.mark.parametrize("with_values", [True, False], ids=["rows", "headers alone"])
@pytest.mark.parametrize("with_model", [True, False], ids=["model", "no model"])
def test_nine_of_ten_columns_are_matched_and_no_wrong_match_is_certain(
    with_model: bool, with_values: bool, request: pytest.FixtureRequest
) -> None:
    """Also without the sentence model, and with only headers."""
    folder: Path | None = request.getfixturevalue("model_dir") if with_model else None
    right, total, wrong, sure = outcome(
        Embedder(folder) if folder else None, with_values=with_values
    )
    assert len(PAIRS) == 10
    assert right >= 0.9 * total, "\n".join(wrong)
    assert not sure


def test_unrelated_tables_are_not_matched() -> None:
    given = {
        "glucose_mmol": ["5.1", "6.2"],
        "ward": ["B2", "C1"],
        "admitted": ["2026-01-01", "2026-01-02"],
    }
    wanted = {"sku": ["AB-1", "AB-2"], "unit_price": ["10.00", "12.50"], "country": ["DE", "FR"]}
    assert [m["input_column"] for m in mapped(given, wanted).values()] == [None, None, None]


def test_odd_headers_are_compared_in_bounded_time() -> None:
    given = {"": ["a"], "!!!": ["1"], "日本": ["2"], "x" * 20_000: ["q"]}
    wanted = {" ": ["a"], "!!": ["b"], "日本": ["2"], "ab " * 2000: ["1"]}
    assert mapped(given, wanted)["日本"]["input_column"] == "日本"


def test_accepted_pairs_win_over_similar_names() -> None:
    given = {"Title": ["Dune", "Emma"], "X17": ["a", "b"]}
    found = mapped(given, {"title": ["Ulysses", "Ilias"]}, title=["X17"])["title"]
    assert (found["input_column"], found["reason"]) == ("X17", "this pair was accepted before")
    assert found["runners_up"][0]["input_column"] == "Title"


def test_the_assignment_is_optimal_and_may_leave_columns_unmatched() -> None:
    greedy_is_wrong = np.array([[0.9, 0.85], [0.88, 0.1]])
    assert assign(greedy_is_wrong, 0.5) == {0: 1, 1: 0}
    assert assign(np.array([[0.9, 0.8], [0.85, 0.49]]), 0.5) == {0: 1, 1: 0}
    assert assign(np.full((2, 3), 0.49), 0.5) == {}
    assert assign(np.zeros((2, 0)), 0.5) == {}


@pytest.mark.parametrize(
    ("given", "wanted", "steps"),
    [
        (["05.01.2026", "16.01.2026"], ["2026-02-01"], [("date_format", "%Y-%m-%d")]),
        (["03/04/2026", "05/06/2026"], ["2026-02-01"], [("date_format", "%Y-%m-%d")]),
        (["1,50", "22,75"], ["1.5", "2.25"], [("cast", "number")]),
        ([" 5", "6 "], ["1", "2"], [("trim", None), ("cast", "number")]),
        (["M", "F", "M", "F"], ["male", "female", "male", "female"], [("value_table", None)]),
        (["yes", "no", "yes"], ["true", "false", "true"], [("value_table", None)]),
        (["PARIS", "ROME"], ["Berlin", "Madrid"], [("case", "title")]),
        (["1", "2"], ["A7", "B8"], [("cast", "text")]),
        (["1.5", "2"], ["3", "4.5"], []),
        (["Ann"], ["Bob"], []),
    ],
)
def test_the_conversion_follows_from_the_values(
    given: list[str], wanted: list[str], steps: list[Any]
) -> None:
    found = mapped({"x": given}, {"x": wanted})["x"]
    assert found["input_column"] == "x"
    assert [(step["operation"], step.get("to")) for step in found["conversion"]] == steps


def test_an_ambiguous_conversion_is_left_open() -> None:
    found = mapped({"x": ["03/04/2026", "05/06/2026"]}, {"x": ["2026-02-01"]})["x"]["conversion"][0]
    assert (found["decide"], found["readings"]) == (True, ["%d/%m/%Y", "%m/%d/%Y"])
    open_ = mapped({"x": ["M", "F", "Z"] * 2}, {"x": ["male", "female"] * 2})["x"]["conversion"][0]
    assert (open_["table"], open_["unknown"]) == ({"M": "male", "F": "female"}, ["Z"])


@pytest.mark.parametrize(
    ("given", "marks"),
    [
        (["1,234,567", "1,234", "999", "12,500"], (".", ",")),
        (["1.234.567", "1.234", "999", "12.500"], (",", ".")),
        (["1 234 567", "1 234", "999"], (".", " ")),
        (["1\u202f234,5", "12"], (",", "\u202f")),
        (["1'234'567", "1.234", "999"], (".", "'")),
        (["1 234", "1,500"], (",", " ")),
        (["$1,234.50", "12,500"], (".", ",")),
        (["1.234,50 EUR", "12.500 EUR"], (",", ".")),
        (["0,5", "1.234"], (",", ".")),
        (["1234,567", "2,5"], (",", None)),
        (["0,125", "1,234"], (",", None)),
        ([" 5", "1500 "], None),
        (["$1,234", "$999", "1,234"], "decide"),
        (["1,234", "1.234"], "decide"),
        (["1,234,567", "1,5"], "decide"),
        (["1.5", "1,5"], "decide"),
        (["1_234_567", "12"], "decide"),
    ],
)
def test_number_separators_are_recognised_by_position(
    given: list[str], marks: tuple[str, str | None] | str
) -> None:
    *_, step = mapped({"x": given}, {"x": ["1", "20", "300", "4567", "12345"]})["x"]["conversion"]
    if marks == "decide":
        assert (step["decide"], step["readings"]) == (True, ["decimal", "thousands"])
    else:
        told = {} if marks is None else {"decimal": marks[0], "thousands": marks[1]}
        assert step == {"operation": "cast", "to": "number", **told}


@pytest.mark.parametrize(
    ("value", "likely"),
    [
        ("active", "inactive"),
        ("married", "unmarried"),
        ("2025-Q1", "2024-Q1"),
        ("employer", "employee"),
    ],
)
def test_a_value_with_similar_spelling_is_suggested_and_left_open(value: str, likely: str) -> None:
    given, wanted = {"x": [value, "other"] * 3}, {"x": [likely, "other"] * 3}
    (step,) = mapped(given, wanted)["x"]["conversion"]
    assert step == {
        "operation": "value_table",
        "table": {"other": "other"},
        "decide": True,
        "unknown": [value],
        "suggested": {value: likely},
    }
    alone = mapped({"x": [value] * 3}, {"x": [likely] * 3})["x"]["conversion"][0]
    assert (alone["table"], alone["unknown"], alone["suggested"]) == ({}, [value], {value: likely})
    # Once decided, the suggestion is no part of the step.
    chosen = {name: member for name, member in step.items() if name != "decide"} | {
        "otherwise": "keep"
    }
    template = [{"reference_column": "x", "input_columns": ["x"], "conversion": [chosen]}]
    (taken,) = Mapping.model_validate(of_template(template)).columns[0].steps
    assert taken.model_dump(exclude_unset=True) == {
        "operation": "value_table",
        "table": {"other": "other"},
        "otherwise": "keep",
    }


@pytest.mark.parametrize(
    ("value", "among", "same"),
    [
        (" Active ", ["ACTIVE", "inactive"], "ACTIVE"),
        ("in_stock", ["In stock", "sold out"], "In stock"),
        ("2025-Q1", ["2025 Q1", "2024 Q1"], "2025 Q1"),
        ("ja", ["yes", "no"], "yes"),
        ("act", ["Active", "Pending"], "Active"),
        ("A+", ["A-", "B"], None),
        ("1.5", ["1-5", "2"], None),
        ("complete", ["incomplete"], None),
    ],
)
def test_certain_equivalents_are_accepted(value: str, among: list[str], same: str | None) -> None:
    assert meaning(value, among) == same


def test_columns_are_split_and_joined() -> None:
    split = mapped({"full name": ["Ann Lee"]}, {"first_name": ["Bob"], "last_name": ["Ray"]})
    assert {want: m["conversion"][0]["part"] for want, m in split.items()} == {
        "first_name": "first",
        "last_name": "last",
    }
    joined = mapped({"first_name": ["Bob"], "last_name": ["Ray"]}, {"full name": ["Ann Lee"]})[
        "full name"
    ]
    assert (joined["input_columns"], joined["conversion"][0]["operation"]) == (
        ["first_name", "last_name"],
        "join",
    )
