"""A type is reported only if every value round trips; the result does not depend on the chunks."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from app.features.analysis import processor as profile
from app.profiling import columns
from app.profiling.columns import Column
from app.profiling.tables import Table, merge, of_cells, of_lines, of_objects, report
from tests.unit.analysis.columns import COLUMNS


def column(values: list[str], *, pieces: int = 1) -> dict[str, Any]:
    size = -(-len(values) // pieces)
    rows = [[value] for value in values]
    starts = range(0, len(rows), size)
    parts = [
        of_cells(rows[i : i + size], ["x"], range(1, len(rows) + 1)[i : i + size]) for i in starts
    ]
    return report(merge(parts))[0]


def test_the_corpus_is_large_enough_to_mean_something() -> None:
    assert len(COLUMNS) >= 90


@pytest.mark.parametrize("name", COLUMNS)
def test_no_adversarial_column_gets_a_wrong_type(name: str) -> None:
    kind, detail, values = COLUMNS[name]
    for pieces in (1, len(values)):
        found = column(values, pieces=pieces)
        assert found["type"] == kind
        assert detail in (None, found["format"] if kind == "date" else found["reason"])
        if kind == "text":
            assert found["explanation"]
            if detail not in ("text", "no_values"):
                assert found["counter_examples"]


def test_counterexamples_have_their_row_and_reason() -> None:
    found = column(["1", "2", "NA", "4", "007"])
    assert found["counter_examples"] == [
        {"row": 5, "value": "007", "why": "begins with a zero that a number would lose"},
        {"row": 3, "value": "NA", "why": "is a word for a missing value, or a value of its own"},
    ]


def test_json_values_keep_their_declared_types() -> None:
    rows = [
        (
            b'{"n": 1, "s": "1", "e": 1e5, "b": true, "mixed": 1, "id": 1234567890123456789, "o":'
            b' {"a": 1}, "d": "2026-03-04"}'
        ),
        (
            b'{"n": 2.5, "s": "2", "e": 2, "b": false, "mixed": "x", "id": 2, "o": [1], "d":'
            b' "2026-03-05", "late": 1}'
        ),
        b'{"n": null}',
    ]
    found = {c["name"]: c for c in report(of_objects(rows, [1, 2, 3]))}
    types = {name: c["type"] for name, c in found.items()}
    assert types == {
        "n": "number",
        "s": "text",
        "e": "number",
        "b": "boolean",
        "mixed": "text",
        "id": "text",
        "o": "text",
        "d": "date",
        "late": "number",
    }
    assert found["s"]["reason"] == "string"
    assert (found["n"]["nulls"], found["late"]["nulls"]) == (1, 2)


@pytest.mark.parametrize(
    ("name", "values", "kinds"),
    [
        ("contact", ["ann@example.com", "bob.x@mail.example.org"], ["email"]),
        ("number", ["+49 30 1234567", "+1 (212) 555-0123"], ["phone"]),
        ("Mobile", ["01711234567", "01712345678"], ["phone"]),
        ("ref", ["4111 1111 1111 1111", "5500005555555559"], ["card"]),
        ("ref", ["4111 1111 1111 1112", "5500005555555558"], []),
        ("who", ["Maria Gomez", "John Smith"], ["name"]),
        ("last_name", ["Kowalczyk", "Okafor"], ["name"]),
        ("day", ["2026-03-04", "2026-03-05"], []),
        ("city", ["Berlin", "Lagos"], []),
        ("amount", ["1234567.50", "7654321.25"], []),
        ("id", ["1234567", "7654321"], []),
    ],
)
def test_personal_data_is_flagged_by_the_form_of_its_values(
    name: str, values: list[str], kinds: list[str]
) -> None:
    assert report(of_cells([[v] for v in values], [name], [1, 2]))[0]["personal_data"] == kinds


def test_a_chunk_gives_the_same_profile_for_every_path_and_split() -> None:
    """Clean lines, cells and pieces of them give equal counts, types, bounds, examples and distinct
    values.
    """
    rows = [
        [str(i), f"{i % 7}.5", f"2026-01-{1 + i % 28:02}", f"word {i % 300}", ""]
        for i in range(1, 2001)
    ]
    names = ["id", "amount", "day", "word", "none"]
    data = "".join(",".join(row) + "\n" for row in rows).encode()
    whole = report(of_lines(data, b",", False, names, range(1, 2001)))
    cells = report(of_cells(rows, names, range(1, 2001)))
    pieces = report(
        merge(
            [
                of_cells(rows[i : i + 333], names, range(1, 2001)[i : i + 333])
                for i in range(0, 2000, 333)
            ]
        )
    )
    for other in (cells, pieces):
        for mine, theirs in zip(whole, other, strict=True):
            for key in mine.keys() - {"quantiles", "histogram", "mean", "stddev", "top"}:
                assert mine[key] == theirs[key], (mine["name"], key)
    assert whole[1]["top"] == pieces[1]["top"]  # few values are counted exactly


def test_frequent_values_are_found_across_chunks() -> None:
    """Misra-Gries: a value more frequent than the error is always found, and its count is within
    the error.
    """
    parts = []
    for piece in range(20):
        values = [f"rare {piece} {i}" for i in range(900)] + ["often"] * 80 + ["some"] * 40
        parts.append(of_cells([[v] for v in values], ["x"], range(1, 1021)))
    top = report(merge(parts))[0]["top"]
    assert [t["value"] for t in top[:2]] == ["often", "some"]
    assert top[0]["count"] <= 1600 <= top[0]["count_at_most"]


def test_ragged_rows_and_many_columns_are_bounded() -> None:
    for second in ("b", "column_3"):
        found = report(profile.of_cells([["1"], ["2", "x", "y"]], ["a", second], [1, 2]))
        third = "column_3" if second == "b" else "column_3_2"
        assert [(c["name"], c["count"], c["nulls"]) for c in found] == [
            ("a", 2, 0),
            (second, 1, 1),
            (third, 1, 1),
        ]
    keys = b"{" + b",".join(b'"k%d":%d' % (i, i) for i in range(1500)) + b"}"
    table = Table.unpacked(of_objects([keys], [1]))
    assert (len(table.columns), table.left_out) == (1000, 500)


def test_json_that_no_database_accepts_is_shown_anyway() -> None:
    """Numbers beyond any double, NULs: the report is JSON that can be stored."""
    rows = [b'{"n": 1e400, "z": "\\u0000", "m": 1E5}', b'{"n": -5, "m": -0}']
    found = {c["name"]: c for c in report(of_objects(rows, [1, 2]))}
    json.dumps(list(found.values()), allow_nan=False).encode("utf-8", "strict")
    assert (found["n"]["type"], found["m"]["type"]) == ("text", "text")
    assert found["n"]["counter_examples"][0]["value"] == "1e400"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize("greatest", ["1.7976931348623157e308", "1e200"])
def test_a_mean_beyond_any_double_is_not_reported(greatest: str, pieces: int) -> None:
    rows = [b'{"n": %s}' % n.encode() for n in (greatest, greatest, "1", "-" + greatest, "2", "3")]
    size = len(rows) // pieces
    parts = [
        of_objects(rows[i : i + size], range(i + 1, i + size + 1))
        for i in range(0, len(rows), size)
    ]
    (found,) = report(merge(parts))
    json.dumps(found, allow_nan=False)
    assert (found["type"], found["stddev"], found["max"]) == ("number", None, greatest)


def test_a_byte_order_mark_at_the_start_of_a_chunk_is_data() -> None:
    found = report(of_lines("\ufeff1\n2\n".encode(), b",", False, ["x"], [1, 2]))
    assert found[0]["examples"] == ["\ufeff1", "2"]
    assert found == report(of_cells([["\ufeff1"], ["2"]], ["x"], [1, 2]))


def test_an_empty_chunk_of_a_column_changes_nothing() -> None:
    import numpy as np

    some = Column.of(pa.array(["1", "2"]), np.array([1, 2]))
    none = Column.of(pa.array([], pa.string()), np.array([], np.int64))
    assert (
        some.merged(none).report("x", 2) == none.merged(some).report("x", 2) == some.report("x", 2)
    )


@pytest.mark.parametrize("name", COLUMNS)
def test_every_path_to_distinct_values_agrees_with_python(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Distinct values are found by their hashes, or by numbering them."""
    values = [
        *COLUMNS[name][2] * 3,
        "",
        *(f"v{i}" for i in range(100)),
        None,
        "v7",
        "é" * 40,
        "é" * 40,
    ]
    random.Random(name).shuffle(values)
    rows = np.arange(10, 10 + len(values))
    found = []
    for alike in (-1, 2):
        monkeypatch.setattr(columns, "ALIKE", alike)
        found.append(Column.of(pa.array(values, pa.string()), rows))
        found[-1].numbers.digest = b""  # chosen at random
    assert found[0] == found[1]
    there = [(value, int(row)) for value, row in zip(values, rows, strict=True) if value]
    assert (found[0].values, found[0].empty, found[0].nulls) == (len(there), values.count(""), 1)
    assert found[0].distinct.count() == len({value for value, _ in there})
    first = dict(reversed(there))
    for examples in found[0].examples.values():
        assert [example.number for example in examples] == [
            first[example.text] for example in examples
        ]
        assert examples == sorted(examples)
    counts = Counter(value for value, _ in there).most_common(columns.SHOWN_TOP)
    shown = [each["count_at_most"] for each in found[0].top.best(columns.SHOWN_TOP)]
    assert shown == [count for _, count in counts][: len(shown)]


def test_values_with_equal_hashes_stay_distinct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        columns, "hash_texts", lambda texts: np.arange(len(texts), dtype=np.uint64) // 2
    )
    found = Column.of(pa.array(["1", "x", "2", "3"]), np.arange(4))
    assert sum(found.classes.values()) == 4
    assert found.classes["text"] == 1


# ---------------------------------------------------------------------- nested and long values


def test_nested_values_are_counted_by_content() -> None:
    """Values that differ only in spaces and the order of keys are equal; numbers are equal if
    written alike.
    """
    values = [
        '{"a": 1, "b": [1, 2.50]}', '{ "b" : [1,2.50], "a":1 }', '{"a": 1, "b": [1, 2.5]}', "[]", "[ ]", '["x", null, true]',
        '{"n": 12345678901234567890123456789.10}', '{"n": 12345678901234567890123456789.1}', '{"a": {"c": 1, "b": 2}}',
        '{"a": {"b": 2, "c": 1}}', "[" * 500 + "]" * 500,
    ]  # fmt: skip
    raw = [f'{{"x": {value}}}'.encode() for value in values]
    for pieces in (1, 2, len(raw)):
        size = -(-len(raw) // pieces)
        parts = [
            of_objects(raw[i : i + size], range(i + 1, i + 1 + len(raw[i : i + size])))
            for i in range(0, len(raw), size)
        ]
        (found,) = report(merge(parts))
        assert (found["count"], found["distinct"], found["distinct_is_exact"]) == (
            len(values),
            7 + 1,
            True,
        )
        assert found["lengths"] is None
        assert found["top"][0]["count"] == 2
        assert {each["value"] for each in found["top"] if each["count"] == 2} == {
            '{"a":1,"b":[1,2.50]}',
            "[]",
            '{"a":{"b":2,"c":1}}',
        }
        assert (found["type"], found["reason"], found["classes"]) == (
            "text",
            "nested",
            {"nested": len(values)},
        )


def test_lengths_count_only_values_that_have_one() -> None:
    huge = "9" * 400
    raw = [
        b'{"x": "four"}',
        b'{"x": [1, 2, 3]}',
        b'{"x": {}}',
        b'{"x": "seven 7"}',
        f'{{"x": {huge}}}'.encode(),
    ]
    for rows in (raw, raw[::-1]):
        (found,) = report(merge([of_objects([each], [i]) for i, each in enumerate(rows, 1)]))
        assert found["lengths"] == {"min": 4, "max": 400, "mean": (4 + 7 + 400) / 3}
        assert (found["count"], found["distinct"]) == (5, 5)


def test_truncated_values_carry_their_full_length() -> None:
    long = [
        "a" * 199,
        "a" * 200,
        "a" * 200 + "b",
        "a" * 200 + "c" * 300,
        "z" * 1000,
        "z" * 1000,
        "short",
    ]
    found = column(long, pieces=3)
    assert (found["distinct"], found["lengths"]) == (
        6,
        {"min": 5, "max": 1000, "mean": sum(map(len, long)) / 7},
    )
    told = {
        (each["value"], each.get("truncated"), each.get("length")): each["count"]
        for each in found["top"]
    }
    assert told == {
        ("z" * 200, True, 1000): 2,
        ("a" * 199, None, None): 1,
        ("a" * 200, None, None): 1,
        ("a" * 200, True, 201): 1,
        ("a" * 200, True, 500): 1,
        ("short", None, None): 1,
    }
    cut = {(each["member"], each["index"]): each["length"] for each in found["truncated"]}
    assert cut[("max", None)] == 1000
    assert ("min", None) not in cut
    shown = found["examples"]
    assert isinstance(shown, list)
    assert all(len(shown[i]) == 200 for member, i in cut if member == "examples" and i is not None)
    assert column(["x" * 200, "y"])["truncated"] == []
    mixed = column(["1", "2", "0" * 300])
    assert mixed["counter_examples"] == [
        {
            "row": 3,
            "value": "0" * 200,
            "why": "begins with a zero that a number would lose",
            "truncated": True,
            "length": 300,
        }
    ]
