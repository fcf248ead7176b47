"""Expressions, casts and dates, compared with Python's Decimal, datetime and str. Nothing may
differ, and nothing is guessed.
"""

from __future__ import annotations

import csv
import io
import json
import random
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from app.features.transform import run
from app.features.transform.plan import BadSpecification, plan
from app.features.transform.spec import Specification
from app.profiling.tables import of_cells, report

WIDE = Context(prec=200, rounding=ROUND_HALF_EVEN)


def outcome(
    rows: Sequence[Sequence[str | None]],
    columns: list[dict[str, Any]],
    header: Sequence[str],
    **more: Any,
) -> run.Transformed:
    document = {"mapping": {"columns": columns}, "header": list(header), **more}
    return run.of_cells(json.dumps(document).encode(), rows, header, range(1, len(rows) + 1), True)


def values_of(texts: Sequence[str | None], *steps: dict[str, Any]) -> tuple[list[Any], list[str]]:
    """Return (accepted values, codes of the others) of one column."""
    columns = [{"name": "out", "from": "x", "steps": list(steps)}]
    done = outcome([[text] for text in texts], columns, ["x"])
    return [row[0] for _, row in done.preview], [finding.code for finding in done.findings]


# ---------------------------------------------------------------------- expressions

numbers = st.decimals(
    allow_nan=False, allow_infinity=False, min_value=-(10**14), max_value=10**14, places=None
).map(lambda d: Decimal(f"{d:.{min(6, max(0, -int(d.as_tuple().exponent)))}f}"))
wide_numbers = st.integers(-(10**30), 10**30).map(lambda i: Decimal(i).scaleb(-4, WIDE))


@st.composite
def trees(draw: st.DrawFn, depth: int = 3) -> tuple[str, Any]:
    """An expression over the numbers a and b, and a function that computes it in Python; None means
    no value.
    """
    if depth == 0 or draw(st.booleans()):
        kind = draw(st.sampled_from(["a", "b", "literal"]))
        if kind != "literal":
            return f"number({kind})", lambda row: row[kind]
        value = draw(st.decimals(0, 1000, places=2))
        return f"{value:f}", lambda row: value
    operator = draw(st.sampled_from(["+", "-", "*", "neg", "if", "round", "abs", "least"]))
    left, of_left = draw(trees(depth=depth - 1))
    if operator == "neg":
        return f"-({left})", lambda row: -of_left(row)
    if operator == "abs":
        return f"abs({left})", lambda row: abs(of_left(row))
    if operator == "round":
        places = draw(st.integers(0, 6))
        return f"round({left}, {places})", lambda row: of_left(row).quantize(
            Decimal(1).scaleb(-places), context=WIDE
        )
    right, of_right = draw(trees(depth=depth - 1))
    if operator == "least":
        return f"least({left}, {right})", lambda row: min(of_left(row), of_right(row))
    if operator == "if":
        return (
            f"if({left} < {right} or not ({left} != {right}), {left}, {right})",
            lambda row: of_left(row) if of_left(row) <= of_right(row) else of_right(row),
        )
    functions = {"+": lambda x, y: x + y, "-": lambda x, y: x - y, "*": lambda x, y: x * y}
    return f"({left} {operator} {right})", lambda row: functions[operator](
        of_left(row), of_right(row)
    )


def fits(value: Decimal) -> bool:
    """Up to 38 digits."""
    digits = value.normalize(WIDE).as_tuple()
    return len(digits.digits) + max(0, int(digits.exponent)) <= 38


@settings(max_examples=80)
@given(trees(), st.lists(st.tuples(numbers | wide_numbers, numbers), min_size=1, max_size=6))
def test_arithmetic_uses_exact_decimals(
    tree: tuple[str, Any], pairs: list[tuple[Decimal, Decimal]]
) -> None:
    expression, python = tree
    rows = [[f"{a:f}", f"{b:f}"] for a, b in pairs]
    done = outcome(rows, [{"name": "out", "expression": expression}], ["a", "b"])
    found = {place: Decimal(row[0]) for place, row in done.preview}
    with localcontext(WIDE):
        wanted = {i: python({"a": a, "b": b}) for i, (a, b) in enumerate(pairs)}
    assert {finding.row for finding in done.findings} >= {
        i for i, value in wanted.items() if not fits(value)
    }
    assert all(finding.code == "out_of_range" for finding in done.findings)
    assert found == {i: wanted[i] for i in found}
    assert found.keys() == wanted.keys() - {finding.row for finding in done.findings}


@settings(max_examples=40)
@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=8))
def test_division_is_rounded_once_and_by_zero_rejects_its_row(
    pairs: list[tuple[Decimal, Decimal]],
) -> None:
    rows = [[f"{a:f}", f"{b:f}"] for a, b in pairs]
    done = outcome(rows, [{"name": "out", "expression": "number(a) / number(b)"}], ["a", "b"])
    assert {finding.row: finding.code for finding in done.findings} == {
        i: "division_by_zero" for i, (_, b) in enumerate(pairs) if not b
    }
    with localcontext(WIDE):
        for place, (text,) in done.preview:
            a, b = pairs[place]
            # Twice as many digits first, so that only the last step rounds.
            assert Decimal(text) == (a / b).quantize(Decimal(1).scaleb(-18))


TRUTH = {"true": True, "false": False, "": None}


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(*[st.sampled_from(["1", "2", "x", "xy", "", "é", "'"])] * 2),
        min_size=1,
        max_size=8,
    ),
    st.data(),
)
def test_conditions_and_texts_agree_with_python(
    pairs: list[tuple[str, str]], data: st.DataObject
) -> None:
    operator = data.draw(st.sampled_from(["==", "!=", "<", "<=", ">", ">="]))
    expression = (
        f"a {operator} b and not contains(a, 'x') or length(concat(a, b)) in (3, 4) or b == ''''"
    )
    python = {
        "==": str.__eq__,
        "!=": str.__ne__,
        "<": str.__lt__,
        "<=": str.__le__,
        ">": str.__gt__,
        ">=": str.__ge__,
    }[operator]
    columns = [
        {"name": "out", "expression": expression},
        {"name": "t", "expression": "upper(right(concat(b, a), 2))"},
    ]
    done = outcome(pairs, columns, ["a", "b"])
    assert [row[0] for _, row in done.preview] == [
        (python(a, b) and "x" not in a) or len(a + b) in (3, 4) or b == "'" for a, b in pairs
    ]
    assert [row[1] for _, row in done.preview] == [(b + a)[-2:].upper() for a, b in pairs]


def test_unevaluated_operands_reject_nothing() -> None:
    columns = [
        {"name": "safe", "expression": "if(n == '0', 0, 1 / number(n))"},
        {"name": "both", "expression": "n != '0' and 1 / number(n) > 0.3"},
        {"name": "first", "expression": "coalesce(n, text(number('x')))"},
    ]
    done = outcome([["0"], ["4"]], columns, ["n"])
    assert done.findings == []
    assert [row for _, row in done.preview] == [["0", False, "0"], ["0.25", False, "4"]]
    done = outcome([[""], ["x"]], [{"name": "out", "expression": "1 / number(n)"}], ["n"])
    assert [(finding.row, finding.code, finding.value) for finding in done.findings] == [
        (1, "not_a_number", "x")
    ]
    assert done.preview == [(0, [None])]


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("pirce * 2", "At character 1: There is no column `pirce`. Did you mean `price`?"),
        (
            "price * 2",
            "At character 1: `*` takes numbers, but this is text; convert it with number(...).",
        ),
        ("price + 'x'", "concat(...)"),
        (
            "rond(number(price), 2)",
            "At character 1: There is no function `rond`. Did you mean `round`?",
        ),
        ("price == 2", "compares text with an integer; convert the other one"),
        ("if(price, 1, 2)", "`if` takes a condition first"),
        ("if(price == 'a', 1, 'b')", "of different types: integer, text"),
        ("number(price) >", "At character 16: Expected a value, found the end."),
        ("1 < 2 < 3", "cannot be chained"),
        ("price.__class__", "'.__class__' is not part of the language"),
        ("__import__('os')", "no function `__import__`"),
        ("negative(number(price))", "At character 1: There is no function `negative`"),
        ("1 in (negative(2))", "Expected a text, a number, true or false."),
        ("price; 1", "'; 1' is not part of the language"),
        ("price[0]", "is not part of the language"),
        ("null", "always null"),
        ("price == null", "is_empty"),
        ("parse_date(price, '%d.%m')", "lacks the year"),
        ("parse_date(price, '%d.%m.%Q')", "directive '%Q'"),
        ("parse_date(price, price)", "takes a text in quotes"),
        ("round(number(price), 19)", "from 0 to 18"),
        ("left(price)", "`left` takes 2 arguments, but has 1"),
        ("(" * 100 + "1" + ")" * 100, "nested deeper than 40"),
        ("-" * 100 + "1", "nested deeper than 40"),
        ("not " * 100 + "true", "nested deeper than 40"),
        ("1" * 39, "at most 38 digits"),
    ],
)
def test_an_invalid_expression_is_reported_with_its_position(expression: str, told: str) -> None:
    document = {
        "mapping": {"columns": [{"name": "out", "expression": expression}]},
        "header": ["price"],
    }
    with pytest.raises(BadSpecification, match=re.escape(told)) as error:
        plan(Specification.model_validate(document))
    assert error.value.problems[0].pointer == "mapping/columns/0/expression"


@settings(max_examples=100)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60))
def test_no_text_breaks_the_parser(expression: str) -> None:
    """It accepts the text or says that it is invalid, and raises nothing else."""
    document = {
        "mapping": {"columns": [{"name": "out", "expression": expression or "1"}]},
        "header": ["price"],
    }
    with suppress(BadSpecification):
        plan(Specification.model_validate(document))


# ---------------------------------------------------------------------- casts

ODD = [
    "0", "-0", "7", "-7", "007", "+5", " 5", "5 ", "5.0", "1e5", "1E5", "0x10", "1_000", "1,000", "", ".5", "5.", "--5", "-",
    "9223372036854775807", "-9223372036854775808", "9223372036854775808", "1234567890123456789", "12345678901234567890",
    "99999999999999999999999999999999999999", "999999999999999999999999999999999999999", "NaN", "inf", "٣", "1\n",
    "0.1", "0.10", "-0.000001", "0.123456789012345678", "0.1234567890123456789", "1.50", "1234567890123456789.123456789",
    "null", "None", "true",
]  # fmt: skip


def test_integers_and_numbers_are_only_digits() -> None:
    integers, codes = values_of(ODD, {"operation": "cast", "to": "integer"})
    good = [
        t
        for t in ODD
        if re.fullmatch(r"-?(0|[1-9][0-9]*)", t, re.ASCII)
        and -(2**63) <= int(t) < 2**63
        and "\n" not in t
    ]
    assert [v for v in integers if v is not None] == good
    assert integers.count(None) == 1  # the empty one is missing, not wrong
    assert len(codes) == len(ODD) - len(good) - 1
    done = outcome(
        [[t] for t in ODD],
        [{"name": "o", "from": "x", "steps": [{"operation": "cast", "to": "number"}]}],
        ["x"],
    )
    kept = {ODD[place]: row[0] for place, row in done.preview}
    plain = [
        t
        for t in ODD
        if re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]{1,18})?", t) and len(re.sub(r"\D", "", t)) <= 38
    ]
    assert [t for t in kept if t] == [t for t in plain if "\n" not in t]
    assert all(kept[t] == t for t in kept if t), "digits were changed"


def test_separators_are_accepted_only_in_their_places() -> None:
    texts = [
        "1.234,56",
        "1234,56",
        "-1.234.567,8",
        "1.23,4",
        "12.34.567",
        "1,234.56",
        "0,5",
        ".234",
        "1.234",
    ]
    got, _ = values_of(
        texts, {"operation": "cast", "to": "number", "decimal": ",", "thousands": "."}
    )
    assert got == ["1234.56", "1234.56", "-1234567.8", "0.5", "1234"]


def test_decimals_are_exact_and_rounded_only_on_request() -> None:
    texts = [
        "0.1",
        "2.675",
        "1.005",
        "-2.5",
        "100",
        "0.30000000000000004",
        "123456789012345678.125",
    ]
    got, codes = values_of(texts, {"operation": "cast", "to": "decimal", "scale": 2})
    assert (got, codes) == (["0.10", "-2.50", "100.00"], ["too_many_decimals"] * 4)
    for rounding, mode in (("half_even", "ROUND_HALF_EVEN"), ("half_up", "ROUND_HALF_UP")):
        got, codes = values_of(
            texts, {"operation": "cast", "to": "decimal", "scale": 2, "rounding": rounding}
        )
        assert got == [str(Decimal(t).quantize(Decimal("0.01"), rounding=mode)) for t in texts]
        assert not codes
    done = outcome(
        [["0.1", "0.2"]], [{"name": "o", "expression": "number(a) + number(b)"}], ["a", "b"]
    )
    assert done.preview == [(0, ["0.3"])]


@pytest.mark.parametrize(
    "texts", [["-922337203685477580.8"], ["-922337203685477580.8", "922337203685477580.7", "0.5"]]
)
def test_the_smallest_64_bit_integer_keeps_its_sign(texts: list[str]) -> None:
    for rounding, mode in (("half_even", "ROUND_HALF_EVEN"), ("half_up", "ROUND_HALF_UP")):
        got, _ = values_of(
            texts,
            {"operation": "cast", "to": "number"},
            {"operation": "round", "scale": 0, "rounding": rounding},
        )
        assert got == [str(Decimal(text).quantize(Decimal(1), rounding=mode)) for text in texts]


@pytest.mark.parametrize(
    "digits", ["12345678901234567.25", "0.1234567890123456", "1234567890123456.5e3"]
)
def test_a_number_that_json_would_round_is_refused_but_exact_in_an_expression(digits: str) -> None:
    for document in (
        '{"mapping": {"columns": [{"name": "n", "constant": %s}]}, "header": ["x"]}',
        (
            '{"mapping": {"columns": [{"name": "x", "from": "x"}]}, "header": ["x"],'
            ' "validation": {"columns": {"x": {"type": "number", "min": %s}}}}'
        ),
    ):
        with pytest.raises(ValidationError, match="write the number in an `expression`"):
            Specification.model_validate_json(document % digits)
    if "e" not in digits:
        assert outcome([["a"]], [{"name": "n", "expression": digits}], ["x"]).preview == [
            (0, [digits])
        ]


@pytest.mark.parametrize(
    "digits", ["12345678901234567890", "123456789.012345", "-0.5", "1e18", "0.0"]
)
def test_a_number_that_json_keeps_is_unchanged(digits: str) -> None:
    document = (
        '{"mapping": {"columns": [{"name": "n", "constant": ' + digits + '}]}, "header": ["x"]}'
    )
    assert Specification.model_validate_json(document).mapping.columns[0].constant == Decimal(
        digits
    )


# ---------------------------------------------------------------------- rules


@pytest.mark.parametrize(
    ("rules", "good"),
    [
        ({"type": "integer", "min_length": 2}, ["12", "-3", "12345", ""]),
        ({"type": "integer", "max_length": 2, "min": 0}, ["12", "5", ""]),
        ({"type": "number", "pattern": r"[0-9]+\.[0-9]{2}"}, ["7.50", ""]),
        ({"type": "number", "enum": ["7.50", "5"]}, ["5", "7.50", ""]),
        ({"type": "boolean", "enum": ["true"], "max_length": 4}, ["true", ""]),
    ],
)
def test_a_text_checked_for_a_type_keeps_the_rules_for_texts(
    rules: dict[str, Any], good: list[str]
) -> None:
    texts = ["12", "-3", "5", "12345", "7.50", "7.5", "true", "false", "x", ""]
    more = {"validation": {"columns": {"x": rules}}}
    done = outcome([[text] for text in texts], [{"name": "x", "from": "x"}], ["x"], **more)
    assert [row[0] for _, row in done.preview] == sorted(good, key=texts.index)


@pytest.mark.parametrize(
    ("steps", "right", "wrong"),
    [
        (
            [{"operation": "parse_date", "format": "%Y-%m-%d"}],
            ["2026-01-05"],
            ["2026-1-5", "2026-01- 5", "٢٠٢٦-01-05", "2026-02-30", "2026-01-05T00:00:00", 5],
        ),
        (
            [{"operation": "parse_date", "format": "%Y-%m-%d %H:%M"}],
            ["2026-01-05T10:00:00"],
            ["2026-01-05", "2026-01-05T10:00:0", "2026-01-05T1:00:00"],
        ),
        (
            [{"operation": "parse_date", "format": "%Y-%m-%d %H:%M%z"}],
            ["2026-01-05T10:00:00Z"],
            ["2026-01-05T10:00:00", "2026-1-05T10:00:00Z"],
        ),
        (
            [{"operation": "cast", "to": "number"}],
            [5, 0.5, "5", "12345678901234567.25"],
            ["nan", "Infinity", "-inf", "sNaN", "x", "1e999999"],
        ),
    ],
)
def test_a_bound_that_would_be_ignored_is_refused(
    steps: list[dict[str, Any]], right: list[Any], wrong: list[Any]
) -> None:
    def planned(bound: Any) -> None:
        document = {
            "mapping": {"columns": [{"name": "x", "from": "x", "steps": steps}]},
            "header": ["x"],
            "validation": {"columns": {"x": {"min": bound}}},
        }
        plan(Specification.model_validate(document))

    for bound in right:
        planned(bound)
    for bound in wrong:
        with pytest.raises(BadSpecification, match="bound") as error:
            planned(bound)
        assert error.value.problems[0].pointer == "validation/columns/x/min"


def test_the_allowed_values_of_a_date_are_dates() -> None:
    steps = [{"operation": "parse_date", "format": "%d.%m.%Y"}]
    columns: list[dict[str, Any]] = [
        {"name": "x", "from": "x", "steps": steps},
        {"name": "nothing", "constant": None},
    ]

    def done(*allowed: str) -> list[Any]:
        rules = {"x": {"enum": list(allowed)}, "nothing": {"enum": ["a"]}}
        given = outcome(
            [["31.01.2024"], ["01.02.2024"]], columns, ["x"], validation={"columns": rules}
        )
        return [row[0] for _, row in given.preview]

    assert done("2024-01-31") == ["2024-01-31"]
    with pytest.raises(BadSpecification, match="write it as %Y-%m-%d") as error:
        done("31.01.2024")
    assert error.value.problems[0].pointer == "validation/columns/x/enum/0"


# ---------------------------------------------------------------------- dates

FORMATS = ["%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y %H:%M", "%Y%m%d%H%M%S", "%Y-%m-%dT%H:%M:%S.%f", "%-d.%-m.%Y", "%d %b %Y",
           "%B %-d, %Y", "%m/%d/%Y %I:%M %p"]  # fmt: skip


@settings(max_examples=40)
@given(
    st.lists(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)), min_size=1, max_size=5),
    st.sampled_from(FORMATS),
)
def test_dates_round_trip(moments: list[datetime], pattern: str) -> None:
    texts = [_written(moment, pattern) for moment in moments]
    got, codes = values_of(texts, {"operation": "date_format", "from": pattern, "to": pattern})
    assert (got, codes) == (texts, [])
    iso, _ = values_of(texts, {"operation": "date_format", "from": pattern, "to": "%Y-%m-%d"})
    assert iso == [f"{moment.year:04}-{moment:%m-%d}" for moment in moments]


def _written(moment: datetime, pattern: str) -> str:
    """Expected by Python, where %Y has four digits on every machine."""
    return moment.strftime(pattern.replace("%Y", f"{moment.year:04}"))


def test_only_exact_matches_of_the_format_are_dates() -> None:
    texts = ["31/01/2026", "1/2/2026", "31/02/2026", "29/02/2024", "29/02/2023", "00/01/2026", "01/13/2026", "01/01/0000",
             "01-01-2026", " 01/01/2026", "01/01/2026 ", "01/01/26", "٠١/01/2026", "01/01/20 6", ""]  # fmt: skip
    got, codes = values_of(texts, {"operation": "parse_date", "format": "%d/%m/%Y"})
    assert got == ["2026-01-31", "2024-02-29", None]
    assert codes == ["not_a_date"] * 12
    zoned = [
        "2026-01-31T23:30:00+02:00",
        "2026-01-31T23:30:00Z",
        "2026-01-31T23:30:00-0100",
        "2026-01-31T23:30:00+2",
    ]
    got, codes = values_of(zoned, {"operation": "parse_date", "format": "%Y-%m-%dT%H:%M:%S%z"})
    assert got == ["2026-01-31T21:30:00Z", "2026-01-31T23:30:00Z", "2026-02-01T00:30:00Z"]
    assert codes == ["not_a_date"]


def test_fractions_of_a_second_and_zones_are_parsed() -> None:
    """Fractions of 1 to 9 digits, but nothing finer than a microsecond; zones with and without
    minutes.
    """
    day = "2026-01-05 10:00:00"
    fractions = ["123456", "123", "5", "123456000", "1234567", "1234567890", "", "12x", "123 45"]
    texts = [f"{day}.{fraction}" for fraction in fractions]
    got, codes = values_of(texts, {"operation": "parse_date", "format": "%Y-%m-%d %H:%M:%S.%f"})
    assert got == [
        f"2026-01-05T10:00:00.{micros}" for micros in ("123456", "123000", "500000", "123456")
    ]
    assert codes == ["not_a_date"] * 5
    zones = ["+00", "-01", "+05:30", "+0530", "Z", "+24", "+1", "+"]
    got, codes = values_of(
        [day + z for z in zones], {"operation": "parse_date", "format": "%Y-%m-%d %H:%M:%S%z"}
    )
    assert got == [
        f"2026-01-05T{clock}:00Z" for clock in ("10:00", "11:00", "04:30", "04:30", "10:00")
    ]
    assert codes == ["not_a_date"] * 3


@pytest.mark.parametrize("tail", [".123", ".5", ".123456789", "+00", "Z", ".12+02:00"])
def test_a_detected_format_parses_its_values(tail: str) -> None:
    text = f"2026-01-25 10:00:00{tail}".replace("123456789", "123456000")
    pattern = report(of_cells([[text]], ["x"], [1]))[0]["format"]
    got, codes = values_of([text], {"operation": "date_format", "from": pattern, "to": "%d.%m.%Y"})
    assert (got, codes) == (["25.01.2026"], [])


texts_like_dates = st.builds(
    lambda year, left, right, separator, joint, clock, fraction, zone, turned: (
        (
            f"{left}{separator}{right}{separator}{year}"
            if turned
            else f"{year}{separator}{left}{separator}{right}"
        )
        + (f"{joint}{clock}{fraction}{zone}" if clock else "")
    ),
    st.sampled_from(["2026", "2024", "0001", "9999", "1900"]),
    st.sampled_from(["1", "01", "02", "12", "13", "29"]),
    st.sampled_from(["1", "01", "28", "29", "31", "12"]),
    st.sampled_from("-/."),
    st.sampled_from("T "),
    st.sampled_from(["", "10:00", "23:59:59", "00:00:00", "24:00:00", "10:61:00"]),
    st.sampled_from(["", ".5", ".123456", ".1234567", ".1234560", ".000000001", ".123456000"]),
    st.sampled_from(["", "Z", "+02:00", "-14:00", "+14:30", "+02:99", "+0530", "-15:00", "+01"]),
    st.booleans(),
)


@settings(max_examples=400)
@given(st.lists(texts_like_dates, min_size=1, max_size=3))
def test_every_date_that_the_analysis_detects_is_parsed_by_a_transform(texts: list[str]) -> None:
    (found,) = report(of_cells([[text] for text in texts], ["x"], range(1, len(texts) + 1)))
    if found["type"] == "date":
        _, codes = values_of(texts, {"operation": "parse_date", "format": found["format"]})
        assert codes == [], (texts, found["format"])


# ---------------------------------------------------------------------- value tables


@pytest.mark.parametrize(
    ("otherwise", "got", "codes"),
    [("keep", ["x", ""], []), ("empty", [None, None], []), ("reject", [None], ["not_in_table"])],
)
def test_a_value_table_may_be_empty(otherwise: str, got: list[Any], codes: list[str]) -> None:
    """A table as proposed when no value was certain."""
    found, told = values_of(
        ["x", ""], {"operation": "value_table", "table": {}, "otherwise": otherwise}
    )
    assert ([value or None for value in found], told) == ([value or None for value in got], codes)


# ---------------------------------------------------------------------- repeated values

REPEATED = [
    "",
    None,
    "1",
    "-7",
    "00",
    "12.50",
    "1e5",
    "x",
    "Ünï",
    " both ",
    "a,b",
    '"',
    "2026-02-30",
    "2026-11-22",
    "0",
    "true",
]
STEPS: list[list[dict[str, Any]]] = [
    [{"operation": "cast", "to": "integer"}],
    [{"operation": "cast", "to": "decimal", "scale": 1}],
    [{"operation": "cast", "to": "number"}],
    [{"operation": "cast", "to": "boolean"}],
    [{"operation": "trim"}, {"operation": "case", "to": "upper"}],
    [{"operation": "parse_date", "format": "%Y-%m-%d"}],
    [{"operation": "value_table", "table": {"x": "y"}, "otherwise": "reject"}],
    [{"operation": "default", "value": "none"}],
    [],
]


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_repeated_value_gives_the_same_result_as_a_single_one(form: str) -> None:
    """Many rows are transformed by their distinct values, few rows one by one."""
    rng = random.Random(form)
    rows = [[rng.choice(REPEATED), str(i), rng.choice(REPEATED[2:])] for i in range(3000)]
    header = ["a", "id", "b"]
    for steps in STEPS:
        columns: list[dict[str, Any]] = [
            {"name": "id", "from": "id"},
            {"name": "made", "from": "a", "steps": steps},
            {"name": "said", "expression": "if(starts_with(b, '1'), number(b), 0)"},
            {"name": "both", "expression": "concat(a, b)"},
        ]
        more = {"output_format": form, "validation": {"columns": {"made": {"required": True}}}}
        whole = outcome(rows, columns, header, **more)
        pieces = [outcome(rows[i : i + 500], columns, header, **more) for i in range(0, 3000, 500)]
        told = [
            replace(finding, row=finding.row + 500 * i)
            for i, piece in enumerate(pieces)
            for finding in piece.findings
        ]
        assert whole.findings == told
        assert whole.count == sum(piece.count for piece in pieces) > 0
        if form != "parquet":
            assert whole.output == b"".join(piece.output for piece in pieces)
        else:
            tables = [
                pa.ipc.open_stream(piece.output).read_all().drop(["row number"])
                for piece in (whole, *pieces)
            ]
            assert tables[0].combine_chunks() == pa.concat_tables(tables[1:]).combine_chunks()


def test_plain_lines_are_the_same_next_to_lines_that_need_quotes() -> None:
    rows = [[str(i), "é", "", "x" * (i % 5)] for i in range(50)]
    columns = [{"name": name, "from": name} for name in "abcd"]
    plain = outcome(rows, columns, "abcd").output
    quoted = outcome([*rows, ["1", 'say "x", or', "\n", "\r"]], columns, "abcd").output
    assert list(csv.reader(io.StringIO(plain.decode(), newline=""))) == rows
    assert quoted == plain + b'1,"say ""x"", or","\n","\r"\n'


def test_a_byte_order_mark_at_the_start_of_a_chunk_is_data() -> None:
    columns = [{"name": name, "from": name} for name in "ab"]
    document = json.dumps({"mapping": {"columns": columns}, "header": ["a", "b"]}).encode()
    lines = "\ufeffx,1\ny,2\n".encode()
    done = run.of_lines(document, lines, b",", False, ["a", "b"], [1, 2], False)
    assert done.output == lines


def test_integers_are_digits_with_an_optional_minus() -> None:
    texts = ["1", "-1", "0", None, "9223372036854775807", "-9223372036854775808"]
    cast = {"operation": "cast", "to": "integer"}
    assert values_of(texts, cast) == (texts, [])
    for bad in ("-0", "+1", "01", "0x1F", " 1", "1.", "9223372036854775808"):
        assert values_of([*texts, bad], cast)[0][:6] == texts


@settings(max_examples=150)
@given(
    st.lists(
        st.none() | st.text(alphabet="aeiouxyz é.,;$\U0001f600", max_size=12),
        min_size=1,
        max_size=20,
    ),
    st.text(alphabet="aeiouxyz .,;$", min_size=1, max_size=5),
    st.sampled_from(["_", "a", ".", "$", " "]),
)
def test_characters_are_replaced_as_pythons_re_does(
    texts: list[str | None], signs: str, by: str
) -> None:
    step = {"operation": "replace", "find": f"[{signs}]", "by": by, "regex": True}
    got, _ = values_of(texts, step)
    filled = [None if not text else re.sub(f"[{signs}]", lambda _: by, text) for text in texts]
    assert [value or None for value in got] == filled


@settings(max_examples=150)
@given(
    st.lists(
        st.integers(-(10**20), 10**20).map(str) | st.sampled_from(["0", "-0", "", "7", "00", "-"]),
        min_size=1,
        max_size=12,
    ),
    st.integers(0, 6),
)
def test_whole_numbers_are_padded_with_decimals(texts: list[str], scale: int) -> None:
    step = {"operation": "cast", "to": "decimal", "scale": scale}
    got, codes = values_of(texts, step)
    right = [text for text in texts if text not in ("00", "-")]
    assert codes == ["not_a_number"] * (len(texts) - len(right))
    with localcontext(WIDE):
        expected = [f"{Decimal(int(text)):.{scale}f}" if text else None for text in right]
    assert [value or None for value in got] == expected
