"""Columns of pyarrow as JSON texts: a reader of JSON gets the value that pyarrow's own conversion to
Python gives, for every type, nested in any way, sliced and with nulls.
"""

from __future__ import annotations

import base64
import json
import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.decoders.columnar.decoder import COLUMNAR
from app.decoders.columnar.json_lines import Lines
from app.decoders.columnar.reading import open_table
from app.decoders.columnar.texts import objects, texts_of
from app.decoders.places import GroupPlaces
from app.decoders.registry import by_content

EPOCH = datetime(1970, 1, 1)
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
FIRST, LAST = int((datetime(1, 1, 1) - EPOCH) / timedelta(seconds=1)), 253_402_300_799


def texts(values: pa.Array) -> list[str]:
    return texts_of(values).whole().to_pylist()  # type: ignore[no-any-return]


# ---------------------------------------------------------------------- what a value must read as


def expected(value: Any, kind: pa.DataType) -> Any:
    """Return the expected `parsed` form of a value of `to_pylist`, by type."""
    if value is None:
        return None
    if pa.types.is_struct(kind):
        return [(field.name, expected(value[field.name], field.type)) for field in kind]
    if pa.types.is_map(kind):
        return [(key_of(key), expected(item, kind.item_type)) for key, item in value]
    if pa.types.is_nested(kind):
        return ["list", *(expected(item, kind.value_type) for item in value)]
    if pa.types.is_dictionary(kind):
        return expected(value, kind.value_type)
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return ("number", str(value))
    if isinstance(value, float):
        return ("float", float(value))
    if isinstance(value, Decimal):
        return ("number", str(value))
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime | time):
        digits = "milliseconds" if value.microsecond % 1000 == 0 else "microseconds"
        return value.isoformat(timespec=digits if value.microsecond else "seconds")
    if isinstance(value, date):
        return value.isoformat()
    raise AssertionError(kind)


def key_of(key: Any) -> str:
    return key if isinstance(key, str) else str(key)


def parsed(text: str, kind: pa.DataType) -> Any:
    return shaped(
        json.loads(
            text,
            parse_int=lambda digits: ("number", digits),
            parse_float=lambda digits: ("number", digits),
            object_pairs_hook=lambda pairs: ("object", pairs),
        ),
        kind,
    )


def shaped(value: Any, kind: pa.DataType) -> Any:
    """A parsed value in the shape of `expected`; floats as floats."""
    if value is None:
        return None
    if pa.types.is_dictionary(kind):
        return shaped(value, kind.value_type)
    if pa.types.is_struct(kind):
        assert value[0] == "object"
        return [
            (name, shaped(item, field.type))
            for (name, item), field in zip(value[1], kind, strict=True)
        ]
    if pa.types.is_map(kind):
        assert value[0] == "object"
        return [(name, shaped(item, kind.item_type)) for name, item in value[1]]
    if pa.types.is_nested(kind):
        assert isinstance(value, list)
        return ["list", *(shaped(item, kind.value_type) for item in value)]
    if pa.types.is_floating(kind):
        read = np.float32(value[1]) if kind == pa.float32() else float(value[1])
        return ("float", float(read))
    return value


LEAVES: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    *((kind, st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)) for kind, bits in (
        (pa.int8(), 8), (pa.int32(), 32), (pa.int64(), 64))),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.float64(), st.floats(allow_nan=False, allow_infinity=False)),
    (pa.float32(), st.floats(allow_nan=False, allow_infinity=False, width=32)),
    (pa.bool_(), st.booleans()),
    (pa.string(), st.text()),
    (pa.large_string(), st.text(max_size=5)),
    (pa.string_view(), st.text(max_size=20)),
    (pa.binary(), st.binary(max_size=20)),
    (pa.binary(4), st.binary(min_size=4, max_size=4)),
    (pa.decimal128(38, 9), st.decimals(-(10**28), 10**28, places=9)),
    (pa.decimal256(60, 2), st.decimals(-(10**50), 10**50, places=2)),
    (pa.date32(), st.dates()),
    (pa.date64(), st.dates()),
    (pa.time64("us"), st.times()),
    (pa.time32("s"), st.times().map(lambda value: value.replace(microsecond=0))),
    (pa.timestamp("us"), st.datetimes()),
    (pa.timestamp("s"), st.datetimes().map(lambda value: value.replace(microsecond=0))),
    (pa.dictionary(pa.int8(), pa.string()), st.sampled_from(["a", 'b"', "c"])),
]  # fmt: skip


@st.composite
def columns(draw: st.DrawFn, depth: int = 2) -> tuple[pa.DataType, st.SearchStrategy[Any]]:
    """A type with a strategy for its values, nulls among them."""
    shape = draw(st.sampled_from(["leaf", "leaf", "list", "fixed", "view", "struct", "map"]))
    if not depth or shape == "leaf":
        kind, values = draw(st.sampled_from(LEAVES))
    elif shape == "struct":
        fields = [draw(columns(depth - 1)) for _ in range(draw(st.integers(0, 3)))]
        kind = pa.struct([(f"f{place}\n", field[0]) for place, field in enumerate(fields)])
        values = st.fixed_dictionaries(
            {f"f{place}\n": field[1] for place, field in enumerate(fields)}
        )
    elif shape == "map":
        of_key, keys = draw(st.sampled_from([LEAVES[0], LEAVES[7]]))
        of_item, items = draw(columns(depth - 1))
        kind = pa.map_(of_key, of_item)
        values = st.dictionaries(keys, items, max_size=3).map(lambda value: list(value.items()))
    else:
        of_item, items = draw(columns(depth - 1))
        size = {"fixed": 2}.get(shape)
        kind = {"list": pa.list_, "fixed": lambda k: pa.list_(k, 2), "view": pa.list_view}[shape](
            of_item
        )
        values = st.lists(items, min_size=size or 0, max_size=size or 3)
    return kind, st.none() | values


@given(columns(), st.data())
@settings(max_examples=150)
def test_every_value_equals_that_of_pyarrow(
    column: tuple[pa.DataType, st.SearchStrategy[Any]], data: st.DataObject
) -> None:
    kind, values = column
    array = pa.array(data.draw(st.lists(values, max_size=6)), kind)
    first = data.draw(st.integers(0, len(array)))
    array = array.slice(first, data.draw(st.integers(0, len(array) - first)))
    for text, value in zip(texts(array), array.to_pylist(), strict=True):
        assert parsed(text, kind) == expected(value, kind)


@given(st.lists(st.integers(FIRST * 1000, LAST * 1000) | st.none()), st.sampled_from(["s", "ms"]))
@settings(max_examples=50)
def test_times_with_a_zone_are_in_utc(values: list[int | None], unit: str) -> None:
    ints = [None if value is None else value * PER_SECOND[unit] // 1000 for value in values]
    array = pa.array(ints, pa.timestamp(unit, "Europe/Berlin"))
    for text, value in zip(texts(array), ints, strict=True):
        if value is None:
            assert text == "null"
            continue
        moment = EPOCH + timedelta(milliseconds=value * 1000 // PER_SECOND[unit])
        assert datetime.fromisoformat(json.loads(text)) == moment.replace(tzinfo=UTC)


# ---------------------------------------------------------------------- single types


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (pa.array([1.0, -0.0, 1e300, 0.1]), ["1", "-0", "1e+300", "0.1"]),
        (pa.array([0.1, 16777216.0], pa.float32()), ["0.1", "16777216"]),
        (pa.array([math.nan, math.inf, -math.inf, None]), ["NaN", "Infinity", "-Infinity", "null"]),
        (pa.array([Decimal("1.20"), Decimal("-0.001")], pa.decimal128(9, 3)), ["1.200", "-0.001"]),
        (pa.array([Decimal("1E+10")], pa.decimal128(9, -5)), ["1.00000E+10"]),
        (pa.array([0, 1_500], pa.timestamp("ms")), [
            '"1970-01-01T00:00:00"', '"1970-01-01T00:00:01.500"']),
        (pa.array([1_500_000, 0, 1_000, None, 1], pa.timestamp("us")), [
            '"1970-01-01T00:00:01.500"', '"1970-01-01T00:00:00"', '"1970-01-01T00:00:00.001"', "null",
            '"1970-01-01T00:00:00.000001"']),
        (pa.array([1_000, None], pa.time64("ns")), ['"00:00:00.000001"', "null"]),
        (pa.array([-1], pa.timestamp("ns", "UTC")), ['"1969-12-31T23:59:59.999999999Z"']),
        (pa.array([2**62], pa.timestamp("us")), ["timestamp(4611686018427387904)"]),
        (pa.array([0, 2**40, None], pa.timestamp("s")), [
            '"1970-01-01T00:00:00"', "timestamp(1099511627776)", "null"]),
        (pa.array([-719_163, 2_932_897], pa.int32()).view(pa.date32()), [
            "date(-719163)", "date(2932897)"]),
        (pa.array([86_400_000]).view(pa.date64()), ['"1970-01-02"']),
        (pa.array([1_500]).view(pa.date64()), ['"1970-01-01T00:00:01.500"']),
        (pa.array([86_400], pa.int32()).view(pa.time32("s")), ["time(86400)"]),
        (pa.array([-1_500, 90_000, None], pa.duration("ms")), ['"-PT1.500S"', '"PT90S"', "null"]),
        (pa.array([(1, -2, 3_500_000_000)], pa.month_day_nano_interval()), [
            '"P1M-2DT3.500000000S"']),
        (pa.nulls(2), ["null", "null"]),
        (pa.array([UUID(int=5).bytes, None], pa.uuid()), [f'"{UUID(int=5)}"', "null"]),
        (pa.array(['{"a":1}'], pa.json_()), [r'"{\"a\":1}"']),
        (pa.RunEndEncodedArray.from_arrays(pa.array([2, 3]), pa.array(["x", None])), [
            '"x"', '"x"', "null"]),
        (pa.array(["\0\x1f\t\"\\\x7f\u2028é"]), ['"\\u0000\\u001f\\t\\"\\\\\x7f\u2028é"']),
        (pa.array([[(1.5, "a")], [(True and 2.0, "b")]], pa.map_(pa.float64(), pa.string())), [
            '{"1.5":"a"}', '{"2":"b"}']),
        (pa.array([[(date(2024, 1, 2), 1)]], pa.map_(pa.date32(), pa.int8())), [
            '{"2024-01-02":1}']),
        (pa.array([[([1, 2], 1)]], pa.map_(pa.list_(pa.int8()), pa.int8())), ['{"[1,2]":1}']),
        (pa.array([[("a", 1), ("a", 2)], [("a", 1)]], pa.map_(pa.string(), pa.int8())), [
            'a key twice in {"a":1,"a":2}', '{"a":1}']),
        (pa.array([[None], [], None], pa.list_(pa.int8())), ["[null]", "[]", "null"]),
    ],
)  # fmt: skip
def test_each_type_is_named(values: pa.Array, shown: list[str]) -> None:
    assert texts(values) == shown


@pytest.mark.parametrize("mode", ["dense", "sparse"])
def test_a_union_has_the_value_of_its_member(mode: str) -> None:
    types = pa.array([1, 0, 1], pa.int8())
    if mode == "dense":
        offsets = pa.array([0, 0, 1], pa.int32())
        array = pa.UnionArray.from_dense(types, offsets, [pa.array([7]), pa.array(["a", None])])
    else:
        array = pa.UnionArray.from_sparse(types, [pa.array([0, 7, 0]), pa.array(["a", "", None])])
    assert texts(array) == ['"a"', "7", "null"]
    assert texts(array.slice(1)) == ["7", "null"]


def test_bytes_that_are_not_utf_8_are_kept_in_the_line() -> None:
    array = pa.array([b'a"\xff', None, b"ok"]).view(pa.string())
    lines = objects(["c"], [array], "", "\n", 3).cast(pa.binary()).to_pylist()
    assert lines == [b'{"c":"a\\"\xff"}\n', b'{"c":null}\n', b'{"c":"ok"}\n']


def test_keys_are_escaped_and_keep_their_order() -> None:
    line = objects(['b"', "a\n"], [pa.array([1]), pa.array([None])], "", "\n", 1)
    assert line.to_pylist() == ['{"b\\"":1,"a\\n":null}\n']
    assert objects([], [], "", "\n", 2).to_pylist() == ["{}\n", "{}\n"]


def test_fields_of_a_struct_have_one_name_each() -> None:
    array = pa.StructArray.from_arrays(
        [pa.array([1]), pa.array([2]), pa.array([3])], ["a", "a", ""]
    )
    assert texts(array) == ['{"a":1,"a_2":2,"column_3":3}']


# ---------------------------------------------------------------------- which files, and places


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"PAR1\x15\x04\x15", "parquet"),
        (b"PARE\x10\0\0\0", "parquet"),
        (b"PAR1,PAR2\n1,2\n", None),
        (b"ORCID,name\n0000-0001,x\n", None),
        (b"ORC\x0a\x0b\x0a\x03\0\0\0", "orc"),
        (b"ARROW1\0\0\xff\xff\xff\xff", "arrow"),
        (b"ARROW1,ARROW2\n", None),
        (b"\xff\xff\xff\xff\x78\0\0\0\x10\0\0\0\0\0\x0a\0", "arrow"),
        (b"\xff\xff\xff\xff\n", None),
    ],
)
def test_a_file_is_recognised_by_its_first_bytes(start: bytes, name: str | None) -> None:
    kind = by_content(start)
    assert (kind and kind.name) == name
    assert kind is None or kind in COLUMNAR


def test_a_row_is_located_in_its_row_group() -> None:
    places = GroupPlaces("row group", [1, 11, 11, 15], 4)
    assert places.at(1, None) == "row group 1, row 1"
    assert places.at(10, 0) == "row group 1, row 10"
    assert places.at(11, None) == "row group 3, row 1"
    assert places.at(40, None) == "row group 4, row 26"
    cut = GroupPlaces("row group", [1, 11], 7)
    assert cut.at(10, None) == "row group 1, row 10"
    assert cut.at(11, None) == "row 11"


# ---------------------------------------------------------------------- old timestamps


def test_int96_has_nanoseconds_and_years_beyond_them(tmp_path: Path) -> None:
    far = [datetime(9999, 12, 31, 1, 2, 3, 4), datetime(1, 1, 1), None]
    near = pa.array([1, -1, None], pa.timestamp("ns"))
    for values, lines in (
        (near, ["1970-01-01T00:00:00.000000001", "1969-12-31T23:59:59.999999999", None]),
        (pa.array(far, pa.timestamp("us")), [
            "9999-12-31T01:02:03.000004", "0001-01-01T00:00:00", None]),
    ):  # fmt: skip
        path = tmp_path / "old.parquet"
        pq.write_table(
            pa.table({"a": [1, 2, 3], "at": values}), path, use_deprecated_int96_timestamps=True
        )
        with path.open("rb") as file:
            text = b"".join(map(bytes, Lines(open_table(file)).pieces()))
        assert [json.loads(line)["at"] for line in text.splitlines()] == lines
