"""The values under the keys of JSON objects, compared with records written from known values."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.profiling import json_columns
from app.profiling.json_columns import columns_of

Pairs = list[tuple[str, str]]
"""Keys and values of a record, both as written."""

FLAT = [
    "0", "-1.50", "1E+5", "true", "false", "null", '""', '"a"', '"a, \\"b\\": 1"', '", "', '": "',
    '"\\\\"', '"\\\\\\""', '"\\u0022:,"', '"{"', '"}{"', '"[1, 2]"', '"é€😀"', '"' + "x" * 300 + '"',
]  # fmt: skip
NESTED = ["{}", "[]", '{"a": 1}', '[{"b": ","}, ":"]', "[1, 2]"]
KEYS = [
    '"a"', '"b"', '"customer name"', '"a:b"', '"a,b"', '"{"', '"q\\"uote"', '"back\\\\"', '"é"',
    '"exactly"', '"eight bytes"', '""',
]  # fmt: skip
SPACINGS = [(", ", ": "), (",", ":"), (" ,\t", " : "), (",  ", ":")]


def written(record: Pairs, spacing: tuple[str, str]) -> bytes:
    comma, colon = spacing
    return ("{" + comma.join(f"{key}{colon}{value}" for key, value in record) + "}").encode()


def expected(records: list[Pairs]) -> dict[str, list[tuple[int, str]]]:
    columns: dict[str, list[tuple[int, str]]] = {}
    for place, record in enumerate(records):
        for key, value in record:
            columns.setdefault(json.loads(key), []).append((place, value))
    return columns


def found(raw: list[bytes]) -> dict[str, list[tuple[int, str]]]:
    columns, left_out = columns_of(raw, 1000)
    assert not left_out
    return {
        column.name: list(
            zip(
                range(len(raw)) if column.records is None else column.records.tolist(),
                column.values.to_pylist(),
                strict=True,
            )
        )
        for column in columns
    }


def of_one_shape(values: st.SearchStrategy[str]) -> st.SearchStrategy[list[Pairs]]:
    keys = st.lists(st.sampled_from(KEYS), min_size=1, max_size=6, unique=True)

    def records(names: list[str]) -> st.SearchStrategy[list[Pairs]]:
        record = st.tuples(*[values] * len(names)).map(
            lambda chosen: list(zip(names, chosen, strict=True))
        )
        return st.lists(record, min_size=1, max_size=8)

    return keys.flatmap(records)


@settings(max_examples=150)
@given(of_one_shape(st.sampled_from(FLAT)), st.sampled_from(SPACINGS))
def test_flat_records_of_one_shape_are_not_decoded(
    records: list[Pairs], spacing: tuple[str, str]
) -> None:
    raw = [written(record, spacing) for record in records]
    with pytest.MonkeyPatch.context() as patch:
        if spacing != SPACINGS[2]:  # blanks before the comma belong to no value
            patch.delattr(json_columns, "_columns_decoded")
        assert found(raw) == expected(records)


@settings(max_examples=150)
@given(
    st.lists(
        st.lists(
            st.tuples(st.sampled_from(KEYS), st.sampled_from([*FLAT, *NESTED])),
            max_size=5,
            unique_by=lambda pair: pair[0],
        ),
        min_size=1,
        max_size=8,
    ),
    st.lists(st.sampled_from(SPACINGS), min_size=8, max_size=8),
)
def test_records_of_any_shape_keep_their_values(
    records: list[Pairs], spacings: list[tuple[str, str]]
) -> None:
    raw = [
        written(record, spacing)
        for record, spacing in zip(records, spacings[: len(records)], strict=True)
    ]
    assert found(raw) == expected(records)


@pytest.mark.parametrize(
    "second",
    [
        [('"b"', "1"), ('"a"', "2")],
        [('"a"', "1"), ('"c"', "2")],
        [('"a"', "1")],
        [('"a"', "1"), ('"b"', "2"), ('"c"', "3")],
        [('"a"', "1"), ('"long key"', "2")],
        [('"a"', '{"b": 1}')],
    ],
)
def test_one_record_of_another_shape_is_noticed(second: Pairs) -> None:
    usual = [('"a"', "1"), ('"b"', '"x"')]
    records = [usual, second, usual]
    raw = [written(record, SPACINGS[0]) for record in records]
    assert found(raw) == expected(records)


def test_records_with_equal_structural_characters_are_told_apart() -> None:
    """One record has an extra key and one lacks a key: together they have the right number."""
    records = [
        [('"a"', "1"), ('"b"', "2")],
        [('"a"', "1"), ('"b"', "2"), ('"c"', "3")],
        [('"a"', "1")],
    ]
    assert found([written(record, SPACINGS[1]) for record in records]) == expected(records)


def test_keys_beyond_the_wanted_ones_are_counted() -> None:
    raw = [b'{"a":1,"b":2,"c":3}'] * 3
    columns, left_out = columns_of(raw, 2)
    assert ([column.name for column in columns], left_out) == (["a", "b"], 1)
    columns, left_out = columns_of([*raw, b'{"d":[]}'], 2)
    assert ([column.name for column in columns], left_out) == (["a", "b"], 2)
