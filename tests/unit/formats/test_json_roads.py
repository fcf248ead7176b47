"""JSON records judged in groups and one at a time: rows, rejects, columns, pages and hashes are the
same for any bytes. And the masks of the scanner, compared with a loop over the characters.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from unittest import mock

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.formats import json as json_module
from app.formats import json_records
from app.formats.base import Parsed, Span
from app.formats.json import JsonDialect, JsonFormat, json_format
from app.formats.json_records import GROUP_RECORDS, BadRecord, Judged, judge, judge_all
from app.formats.json_structure import brackets, depth_of, outermost_commas, structure

GOOD = [
    b'{"a":1,"b":"x"}',
    b'{"b":"x","a":1}',
    b'{"a":2,"b":"x:y"}',
    b'{"a":{"b":1,"c":[{"d":":"}]},"b":null}',
    b'{"a":{"b":1,"b":2},"b":3}',
    b'{ "a" : 1 , "b" : 2 }',
    b'{"c":3}',
    b"{}",
    '{"ключ":"значение","😀":"\u2028"}'.encode(),
    rb'{"a":"\u003a","b":"\\u003a\ud83d\ude00"}',
    rb'{"\u0061":1,"b\"":"}{","c":"\\"}',
    b'{"a":"} {","b":"},{"}',
    b'{"a":12345678901234567890123,"b":1.10}',
    b'{"a":"{[","b":"]}"}',
    b'{"a":' + b"[" * 63 + b"]" * 63 + b"}",
    b'{"a":"' + b"[" * 200 + b'"}',
    b'{"a":[' + b"[]," * 80 + b"[]]}",
]
BAD = {
    b'{"a":1,"a":2}': "duplicate_key",
    b'{"a":1,"b":2,"a":3}': "duplicate_key",
    rb'{"a":1,"\u0061":2}': "duplicate_key",
    rb'{"a":"\u003a","a":1}': "duplicate_key",
    b'{"a" :1,"a" :{"b":2}}': "duplicate_key",
    b'{"a":' + b"[" * 64 + b"]" * 64 + b"}": "json_too_deep",
    b'{"a":' * 70 + b"1" + b"}" * 70: "json_too_deep",
    b'{"a":1e999}': "number_out_of_range",
    b'{"a":' + b"7" * 5000 + b"}": "number_out_of_range",
    b'[{"a":1}]': "json_row_not_object",
    b"1": "json_row_not_object",
    b'"{}"': "json_row_not_object",
    rb'{"a":"\ud800"}': "invalid_unicode",
    b'{"a":"\xff"}': "invalid_utf8",
    b'{"\xc3":1}': "invalid_utf8",
    b'{"a":NaN}': "json_syntax",
    b'{"a":1} {"b":2}': "json_syntax",
    b'{"a":1}{"b":2}': "json_syntax",
    b'{"a":1} x': "json_syntax",
    b'{"a":1}\0': "json_syntax",
    b'{"a":"\t"}': "json_syntax",
    b'{"a":1,}': "json_syntax",
    b"x": "json_syntax",
}
# Records that are valid together and invalid alone.
HALVES = [
    b'{"a":[1',
    b"2]}",
    b'{"a":1',
    b'"b":2}',
    b',"b":2}',
    b'{"a":{"b":1}',
    b"}",
    b'{"a":"x',
    b'y"}',
    b'{"a":1},{"b":2}',
    b'{"a":1} \t {"b":2}',
    b'{"a":{}} {"b":{}}',
    b'{"a":[{}',
    b"{}]}",
    b'{"a":{"b":[1,',
]


def one_by_one(
    texts: Sequence[bytes], *, are_apart: bool, refused: Mapping[int, BadRecord] | None = None
) -> Judged:
    columns: dict[str, None] = {}
    bad: dict[int, BadRecord] = {}
    for place, text in enumerate(texts):
        said = (refused or {}).get(place) or judge(text)
        if isinstance(said, BadRecord):
            bad[place] = said
        else:
            columns |= dict.fromkeys(said)
    return Judged(list(columns), bad)


def both(data: bytes, dialect: JsonDialect, span: Span) -> tuple[Parsed, Parsed]:
    """(read many records at a time, read one record at a time)"""
    form = json_format(dialect)
    fast = form.read(data, span)
    with (
        mock.patch.object(type(form), "_texts", JsonFormat._texts),
        mock.patch.object(json_module, "judge_all", one_by_one),
    ):
        return fast, form.read(data, span)


def assert_same(fast: Parsed, careful: Parsed) -> None:
    assert list(fast.rows.numbers) == list(careful.rows.numbers)
    assert fast.rows.undecoded() == careful.rows.undecoded()
    assert fast.rows.columns == careful.rows.columns
    assert fast.rejects == careful.rejects
    assert list(fast.rows.pages()) == list(careful.rows.pages())
    assert fast.rows.hash_sum() == careful.rows.hash_sum()


def file_of(root: str, records: Sequence[bytes], between: bytes) -> tuple[bytes, int]:
    """(a file of these records, whatever they are, where its data begins)"""
    if root == "array":
        return b"[" + (between + b"," + between).join(records) + between + b"]", 1
    return between.join(records) + between, 0


RECORDS = st.lists(
    st.sampled_from([*GOOD, *BAD, *HALVES, b"", b"[", b"]", b'"', b"\\"]), max_size=14
)
USUAL = st.lists(st.sampled_from([*GOOD[:3], *HALVES]), max_size=14)
BETWEEN = {"lines": [b"\n", b"\r\n", b" \n", b"\n\n", b"\r"], "array": [b"", b"\n", b" \n "]}


@pytest.mark.parametrize(
    ("root", "newline"),
    [("lines", "lf"), ("lines", "cr"), ("lines", "any"), ("array", "lf"), ("objects", "lf")],
)
@given(
    data=st.data(), records=RECORDS | USUAL, group=st.integers(1, 6), row=st.sampled_from([1, 9])
)
@settings(max_examples=150)
def test_records_in_groups_are_judged_as_single_records(
    root: str, newline: str, data: st.DataObject, records: list[bytes], group: int, row: int
) -> None:
    between = data.draw(st.sampled_from(BETWEEN.get(root, [b"", b"\n", b" "])))
    text, start = file_of(root, records, between)
    cut = data.draw(st.integers(start, len(text)))
    for begin, end in ((start, cut), (cut, len(text)), (start, len(text))):
        piece = text[begin:end]
        dialect = JsonDialect(root=root, newline=newline, data_start=start, data_end=len(text))
        span = Span(begin, end, 1 if begin == start else row, 99, 1, 0)
        with mock.patch.object(json_records, "GROUP_RECORDS", group):
            assert_same(*both(piece, dialect, span))


@given(texts=RECORDS | USUAL, group=st.integers(1, 6))
@example(texts=[b'{"a":[1', b"2]}", b'{"b":1} {"c":2}'], group=3)
@example(
    texts=[b'{"a":{"b":[1,', b'{"a":1}', b"2]}}", b'{"a":1} {"b":2}', b'{"c":1}{"d":1}'], group=6
)
@example(texts=[b'{"a":1,"b":2,"a":3}', b'{"b":1,"a":1}', b'{"a":1,"b":1}'], group=2)
@settings(max_examples=800)
def test_no_two_records_are_merged_and_none_is_split(texts: list[bytes], group: int) -> None:
    with mock.patch.object(json_records, "GROUP_RECORDS", group):
        assert judge_all(texts, are_apart=False) == one_by_one(texts, are_apart=False)


@pytest.mark.parametrize("root", ["lines", "array", "objects"])
@pytest.mark.parametrize("wrong", list(BAD), ids=lambda text: f"{BAD[text]} {text[:12]!r}")
def test_a_bad_record_at_the_border_of_a_group_costs_only_itself(root: str, wrong: bytes) -> None:
    count = 3 * GROUP_RECORDS
    usual = [b'{"a":%d,"b":"x"}' % i for i in range(count)]
    for place in (0, 1, GROUP_RECORDS - 1, GROUP_RECORDS, GROUP_RECORDS + 1, count - 1):
        records = [*usual[:place], wrong, *usual[place + 1 :]]
        text, start = file_of(root, records, b"\n")
        dialect = JsonDialect(root=root, data_start=start, data_end=len(text))

        fast, careful = both(text[start:], dialect, Span(start, len(text), 1, count, 1, 0))

        assert_same(fast, careful)
        if root != "objects":  # there, the text between two objects is a record of its own
            assert [reject.row_number for reject in fast.rejects] == [place + 1]
            assert fast.rejects[0].code == BAD[wrong]
            assert fast.rows.undecoded() == usual[:place] + usual[place + 1 :]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("root", ["lines", "array", "objects"])
def test_thousands_of_records_with_some_bad_ones_are_read_the_same(root: str, seed: int) -> None:
    rng = random.Random(seed)
    share = rng.choice([0.0, 0.003, 0.05, 0.5])
    shapes = rng.sample(GOOD, rng.choice([1, 2, len(GOOD)]))
    wrong = [*BAD, *HALVES]
    records = [
        rng.choice(wrong) if rng.random() < share else rng.choice(shapes) for _ in range(3000)
    ]
    text, start = file_of(root, records, rng.choice([b"\n", b"\r\n", b"\n  "]))
    dialect = JsonDialect(root=root, data_start=start, data_end=len(text))

    fast, careful = both(text[start:], dialect, Span(start, len(text), 1, 3000, 1, 0))

    assert_same(fast, careful)


def test_each_constructed_record_is_invalid_as_intended() -> None:
    for text, code in BAD.items():
        said = judge(text)
        assert isinstance(said, BadRecord)
        assert said.code == code
    assert not any(isinstance(judge(text), BadRecord) for text in GOOD)


# ---------------------------------------------------------------------- the masks

SIGNS = st.lists(st.sampled_from(list(b'{}[],"\\x\n')), max_size=60).map(bytes) | st.binary(
    max_size=40
)


def outside(text: bytes, in_string: bool) -> tuple[list[tuple[int, int]], int]:
    """([(position, byte) outside strings], number of quotes), character by character."""
    found = []
    quotes = slashes = 0
    for place, byte in enumerate(text):
        if byte == ord('"') and slashes % 2 == 0:
            quotes += 1
        elif (in_string + quotes) % 2 == 0:
            found.append((place, byte))
        slashes = slashes + 1 if byte == ord("\\") else 0
    return found, quotes


@given(text=SIGNS, in_string=st.booleans(), level=st.integers(0, 3))
@settings(max_examples=500)
def test_masks_agree_with_a_loop_over_the_characters(
    text: bytes, in_string: bool, level: int
) -> None:
    codes = np.frombuffer(text, np.uint8)
    signs, quotes = outside(text, in_string)
    expected = [(place, byte) for place, byte in signs if byte in b"{}[]"]
    steps = [1 if byte in b"{[" else -1 for _, byte in expected]

    places, found_steps, found_quotes = brackets(codes, int(in_string))

    assert places.tolist() == [place for place, _ in expected]
    assert found_steps.tolist() == steps
    assert found_quotes == quotes

    expected = [(place, byte) for place, byte in signs if byte in b"{}[],"]
    levels, falls, now = [], [], level
    for place, byte in expected:
        now += (byte in b"{[") - (byte in b"}]")
        if now < 0:
            falls.append(place)
            now = 0
        levels.append(now)

    places, kinds, found_levels, found_falls, _ = structure(codes, level, int(in_string))

    assert list(zip(places.tolist(), kinds.tolist(), strict=True)) == expected
    assert found_levels.tolist() == levels
    assert found_falls.tolist() == falls


PIECES = [
    b'{"a":1}',
    b"{}",
    b'{"a":[{}]}',
    b'{"a":"},{"}',
    b",",
    b",\n",
    b" , ",
    b"]",
    b'"',
    b"x",
    b"{",
]
USUAL_PIECES = [b'{"a":1}', b'{"a":[1,2]}', b",", b",\n "]


@given(
    pieces=st.lists(st.sampled_from(PIECES), max_size=9)
    | st.lists(st.sampled_from(USUAL_PIECES), max_size=9)
)
@example(pieces=[b'{"a":1}', b"," + b" " * 20, b"{}"])
@example(pieces=[b'{"a":1},{"b":"x"},\n{"c":1},'])
@settings(max_examples=1500)
def test_outermost_commas_are_at_level_zero(pieces: list[bytes]) -> None:
    codes = np.frombuffer(b"".join(pieces), np.uint8)
    places, kinds, levels, falls, _ = structure(codes)

    commas, found_falls = outermost_commas(codes)

    assert commas.tolist() == places[(kinds == ord(",")) & (levels == 0)].tolist()
    assert found_falls.tolist() == falls.tolist()


def test_the_depth_counts_brackets_outside_strings() -> None:
    assert depth_of(b"") == 0
    assert depth_of(b'{"a":[{"b":"[[[["}]}') == 3
