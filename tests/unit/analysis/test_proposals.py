"""A proposed mapping keeps every known value, or asks for a decision: checked against the transform
that it becomes.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from app.features.mapping import processor as mapping
from app.features.transform import run
from app.features.transform.spec import PROPOSED, Undecided, of_template
from app.processors.base import RowSample
from tests.unit.analysis.test_matching import table

NAMES = ["Ann Lee", "Bo Ray", "Cy Day", "Di May", "Ed Fay"]


def proposed(
    given: dict[str, list[str]], wanted: dict[str, list[str]]
) -> dict[str, dict[str, Any]]:
    (sources, source_state), (targets, target_state) = table(given), table(wanted)
    found = mapping.match(sources, targets, source_state, target_state, None, {})
    return {each["reference_column"]: each for each in found["mappings"]}


def carried_out(
    mappings: dict[str, dict[str, Any]], given: dict[str, list[str]]
) -> tuple[list[list[Any]], list[str]]:
    """Return (rows, codes of rejects) of the transform, as proposed or as decided."""
    columns = [
        each
        | {
            "conversion": [
                {k: v for k, v in step.items() if k not in PROPOSED} for step in each["conversion"]
            ]
        }
        for each in mappings.values()
    ]
    document = {"mapping": of_template(columns), "header": list(given)}
    rows = [list(row) for row in zip(*given.values(), strict=True)]
    done = run.of_cells(msgspec.json.encode(document), rows, list(given), range(len(rows)), True)
    return [row for _, row in done.preview], [finding.code for finding in done.findings]


def asks(found: dict[str, Any]) -> bool:
    return any(step.get("decide") for step in found["conversion"])


@pytest.mark.parametrize(
    "odd", ["Jan van Dyk", "Cher", "Eva  Maria", " Ann Lee", "Ludwig van der Rohe"]
)
def test_a_name_that_is_not_two_words_needs_a_decision_and_loses_no_word(odd: str) -> None:
    given = {"full name": [*NAMES, odd]}
    found = proposed(given, {"first_name": ["Al", "Cy"], "last_name": ["Kay", "Ide"]})
    assert asks(found["first_name"])
    assert asks(found["last_name"])
    assert [step["lost"] for each in found.values() for step in each["conversion"]] == [
        [odd],
        [odd],
    ]
    with pytest.raises(Undecided):
        of_template(list(found.values()))
    rows, codes = carried_out(found, {"full name": [*NAMES, odd.strip()]})
    assert codes == []
    assert [f"{first} {last}".split() for first, last in rows] == [
        name.split() for name in [*NAMES, odd]
    ]


def test_names_of_two_words_are_split_and_unknown_ones_keep_their_words() -> None:
    few = proposed({"full name": NAMES}, {"first_name": ["Al"], "last_name": ["Kay"]})
    assert not any(map(asks, few.values()))
    assert carried_out(few, {"full name": NAMES})[0] == [name.split() for name in NAMES]
    many = [f"Name{i} Family{i}" for i in range(500)]
    found = proposed({"full name": many}, {"first_name": ["Al"], "last_name": ["Kay"]})
    rows, _ = carried_out(found, {"full name": ["Jan van Dyk", "Cher"]})
    assert rows == [["Jan", "van Dyk"], ["Cher", ""]] or rows == [
        ["Jan", "van Dyk"],
        ["Cher", None],
    ]


@pytest.mark.parametrize(
    ("given", "wanted", "numbers"),
    [
        (["$1234.50", "$99.00", "$5.25"], ["12.50", "3.75"], ["1234.50", "99.00", "5.25"]),
        (["12%", "7.5%", "100%"], ["0.5", "12"], ["12", "7.5", "100"]),
        (["(5)", "12", "(1.50)"], ["-3", "12.5"], ["-5", "12", "-1.50"]),
        (["($5.50)", "$12", "$7"], ["-3", "12.5"], ["-5.50", "12", "7"]),
        (["$(5.50)", "$12", "$7"], ["-3", "12.5"], ["-5.50", "12", "7"]),
        (["12 EUR", "7 EUR", "8,5 EUR"], ["-3", "12.5"], ["12", "7", "8.5"]),
        (["€ 1.234,50", "€ 99,00"], ["12.50", "3.75"], ["1234.50", "99.00"]),
        (["1 234", "12", "5 000 000"], ["3", "12"], None),
        (["1,50", "22,75"], ["1.5", "2.25"], None),
        (["12", "NA", "7.5"], ["1.5", "2.25"], []),
        (["007", "8", "9"], ["1.5", "2.25"], []),
        (["1.5", "2.5", "about 7.5 or 8"], ["1.5", "2.25"], []),
    ],
)
def test_a_number_that_would_be_refused_needs_a_decision(
    given: list[str], wanted: list[str], numbers: list[str] | None
) -> None:
    """`numbers` of the accepted offers: all by default; none: nothing to decide; empty: nothing can
    be offered.
    """
    found = proposed({"total": given}, {"total": wanted})
    rows, codes = carried_out(found, {"total": given})
    assert asks(found["total"]) == (numbers is not None)
    if numbers != []:
        assert codes == []
    if numbers:
        assert [row[0] for row in rows] == numbers
    if numbers == []:
        (step,) = [step for step in found["total"]["conversion"] if step.get("decide")]
        assert set(step["lost"]) <= set(given)
        assert len(codes) == len(step["lost"]) > 0


@pytest.mark.parametrize(
    ("given", "wanted", "is_asked"),
    [
        (["2026-01-31", "2026-02-01"], ["31.01.2026"], False),
        (["2026-01-31T10:00:00", "2026-02-01T00:00:00"], ["31.01.2026"], True),
        (["2026-01-31T00:00:00", "2026-02-01T00:00:00"], ["31.01.2026"], False),
        (["2026-01-31 10:00:05", "2026-02-01 11:00:00"], ["31.01.2026 10:00"], True),
        (["2026-01-31", "2026-02-01", "unknown"], ["31.01.2026"], True),
        (["2026-01-31", "2026-02-30"], ["31.01.2026"], True),
    ],
)
def test_a_date_that_would_be_refused_or_lose_its_time_needs_a_decision(
    given: list[str], wanted: list[str], is_asked: bool
) -> None:
    found = proposed({"born": given}, {"born": wanted})["born"]
    assert (found["conversion"][0]["operation"], asks(found)) == ("date_format", is_asked)


def test_words_known_only_by_a_prefix_are_in_no_table() -> None:
    long = ["M" + "x" * 300, "F" + "x" * 300] * 4
    found = proposed({"x": long}, {"x": ["male", "female"] * 4})["x"]
    assert not any(step["operation"] == "value_table" for step in found["conversion"])


def test_values_of_another_column_outweigh_a_word_of_the_name() -> None:
    given = {
        "status": ["open", "closed", "held"], "tumour_phase": ["Phase I", "Phase II", "Phase III"], "position": ["3", "1", "2"],
        "played": ["oboe", "harp", "tuba"],
    }  # fmt: skip
    wanted = {"Stage": ["Phase II", "Phase I", "Phase III"], "role": ["harp", "tuba", "oboe"]}
    found = proposed(given, wanted)
    assert found["Stage"]["input_column"] != "status"
    assert found["role"]["input_column"] != "position"
    for each in found.values():
        assert all(
            other["confidence"] <= each["confidence"]
            for other in each["runners_up"]
            if each["input_column"]
        )


# ---------------------------------------------------------------------- the sample


def on_sample(
    given: dict[str, list[str]],
    wanted: dict[str, list[str]],
    sample: RowSample,
    kept: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    (sources, source_state), (targets, target_state) = table(given), table(wanted)
    states = source_state, target_state
    return mapping.match(sources, targets, *states, None, {}, sample, kept or [])


DAYS = [f"{day:02}.0{month}.20{year}" for year in range(10, 24) for month in range(1, 9) for day in range(1, 28)]  # fmt: skip
"""So many dates that the profile knows only some of them."""


def test_values_that_only_the_sample_has_are_lost_with_their_rows_and_asked_about() -> None:
    rows: list[Any] = [[day] for day in DAYS[500:1000]]
    rows[250], rows[499] = ["unknown"], ["31.02.2020"]
    sample = RowSample(["born"], range(7001, 7501), rows)
    result = on_sample({"born": DAYS}, {"born": ["1990-02-28", "2001-12-24"]}, sample)
    (found,) = result["mappings"]
    assert not asks(proposed({"born": DAYS}, {"born": ["1990-02-28", "2001-12-24"]})["born"])
    assert result["sampled_rows"] == 500
    (step,) = found["conversion"]
    assert (step["from"], step["to"], step["decide"]) == ("%d.%m.%Y", "%Y-%m-%d", True)
    assert step["lost"] == ["unknown", "31.02.2020"]
    trial = found["trial"]
    assert (trial["rows"], trial["lost"]) == (500, 2)
    assert trial["lost_values"] == [
        {"row_number": 7251, "value": "unknown"},
        {"row_number": 7500, "value": "31.02.2020"},
    ]
    day, month, year = rows[0][0].split(".")
    assert trial["examples"][0] == {"before": rows[0][0], "after": f"{year}-{month}-{day}"}


def test_rows_of_json_and_empty_cells_are_tried_too() -> None:
    objects = [
        b'{"price": "1,50"}',
        b'{"price": "2,25"}',
        b'{"price": null}',
        b"{}",
        b'{"price": "x"}',
    ]
    sample = RowSample((), range(1, 6), objects)
    given = {"price": ["1,50", "2,25", "9,75"] * 3}
    (found,) = on_sample(given, {"price": ["1.5", "2.25"]}, sample)["mappings"]
    assert found["trial"]["rows"] == 3
    assert found["trial"]["lost_values"] == [{"row_number": 5, "value": "x"}]
    assert {"before": "1,50", "after": "1.50"} in found["trial"]["examples"]


def test_names_of_the_sample_that_are_not_two_words_are_lost() -> None:
    many = [f"Name{i} Family{i}" for i in range(500)]
    sample = RowSample(["full name"], [1, 2, 900], [["Ann Lee"], ["Bo Ray"], ["Jan van Dyk"]])
    wanted = {"first_name": ["Al"], "last_name": ["Kay"]}
    for found in on_sample({"full name": many}, wanted, sample)["mappings"]:
        trial = found["trial"]
        assert trial["lost_values"] == [{"row_number": 900, "value": "Jan van Dyk"}]
        assert trial["examples"][0]["before"] == "Ann Lee"


def test_a_template_maps_and_converts_as_it_says_and_asks_nothing() -> None:
    cast = {"operation": "cast", "to": "number", "decimal": ","}
    kept: list[dict[str, Any]] = [
        {"reference_column": "price", "input_columns": ["Preis"], "conversion": [cast]},
        {"reference_column": "sku", "input_columns": ["Nr"], "conversion": []},
        {"reference_column": "gone", "input_columns": ["Not there"], "conversion": []},
    ]
    given = {"Nr": ["a", "b", "c"], "Preis": ["1,50", "x", "2,00"]}
    wanted = {"price": ["1.5"], "sku": ["q"], "gone": [""]}
    sample = RowSample(["Nr", "Preis"], [1, 2], [["a", "1,50"], ["b", "x"]])
    result = on_sample(given, wanted, sample, kept)
    price, sku, gone = result["mappings"]
    assert (price["input_columns"], price["conversion"]) == (["Preis"], [cast])
    assert price["reason"] == "the template maps it so"
    assert price["trial"]["lost_values"] == [{"row_number": 2, "value": "x"}]
    assert sku["input_columns"] == ["Nr"]
    assert gone["input_columns"] == []
    assert (result["matched"], result["to_check"]) == (2, 0)
    assert not any("is_kept" in each for each in result["mappings"])


def test_the_columns_of_a_target_are_a_profile() -> None:
    columns = [
        {"name": "day", "values": ["2024-02-03"]},
        {"name": "price", "values": ["1.5", "2"]},
        {"name": "note", "values": []},
    ]
    reports, state = mapping.profile(columns)
    assert [report["type"] for report in reports[:2]] == ["date", "number"]
    given = {"Tag": ["03.02.2024", "14.05.2024"], "price": ["1,5", "2,7"]}
    sources, source_state = table(given)
    found = mapping.match(sources, reports, source_state, state, None, {"day": ["Tag"]})["mappings"]
    assert [step["operation"] for each in found for step in each["conversion"]] == [
        "date_format",
        "cast",
    ]
