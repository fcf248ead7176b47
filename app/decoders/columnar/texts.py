"""Columns of Arrow as JSON texts, a whole column at a time.

A value that JSON has no text for is written as a bare word, such as `NaN` or `timestamp(9e18)`: the
line is then no JSON, so its row is rejected and nothing is changed silently.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from app.decoders.unreadable import Unreadable
from app.formats.base import unique_names

QUOTE, BACKSLASH, FIRST_PLAIN = 0x22, 0x5C, 0x20
SHORT_ESCAPES = {8: r"\b", 9: r"\t", 10: r"\n", 12: r"\f", 13: r"\r", 34: r"\"", 92: r"\\"}
MUST_ESCAPE = re.compile(rb'[\x00-\x1f"\\]')
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
COARSER = {"ms": "s", "us": "ms", "ns": "us"}
FIRST_DAY, LAST_DAY = -719_162, 2_932_896
"""0001-01-01 and 9999-12-31 in days from 1970."""
DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Texts:
    """JSON texts of the values of a column."""

    values: pa.Array
    """Strings; null where the value is null."""
    before: str = ""
    """Beginning of each text that is not null, such as a quote."""
    after: str = ""
    """End of each text that is not null."""

    def whole(self) -> pa.Array:
        """Return the texts with beginning and end, and `null` for nulls."""
        values = self.values
        if self.before or self.after:
            values = _joined(self.before, values, self.after)
        return pc.fill_null(values, "null") if values.null_count else values


def objects(
    names: Sequence[str], columns: Sequence[pa.Array], before: str, after: str, rows: int
) -> pa.Array:
    """Return JSON objects with these keys, unique and in this order, one for each of `rows` rows.
    `before` and `after` are written around each.
    """
    if not columns:
        return pa.array([f"{before}{{}}{after}"] * rows, pa.string())
    parts: list[Any] = []
    literal = before + "{"
    for name, column in zip(names, columns, strict=True):
        texts = texts_of(column)
        if texts.values.null_count:  # a null has no quotes
            texts = Texts(_joined(texts.before, texts.values, texts.after))
        literal += f"{_key(name)}:{texts.before}"
        parts += [pa.scalar(literal), texts.values]
        literal = texts.after + ","
    parts += [pa.scalar(literal[:-1] + "}" + after), pa.scalar("")]
    return pc.binary_join_element_wise(*parts, null_handling="replace", null_replacement="null")


def texts_of(values: pa.Array) -> Texts:
    """Return the JSON texts of a column of any type; raises Unreadable for unknown types."""
    kind = values.type
    if isinstance(values, pa.ExtensionArray):
        return _uuids(values.storage) if kind == pa.uuid() else texts_of(values.storage)
    if pa.types.is_null(kind):
        return Texts(pa.nulls(len(values), pa.string()))
    if pa.types.is_dictionary(kind):
        return _from_dictionary(values)
    if pa.types.is_run_end_encoded(kind):
        return texts_of(pc.run_end_decode(values))
    for recognises, convert in CONVERSIONS:
        if recognises(kind):
            return convert(values)
    raise Unreadable(f"a column has the type {kind}, which is not supported")


# ---------------------------------------------------------------------- numbers


def _cast(values: pa.Array) -> Texts:
    return Texts(pc.cast(values, pa.string()))


def _floats(values: pa.Array) -> Texts:
    if pa.types.is_float16(values.type):
        values = pc.cast(values, pa.float32())
    texts = pc.cast(values, pa.string())
    is_finite = pc.is_finite(values)
    if pc.all(is_finite, min_count=0).as_py():
        return Texts(texts)
    infinity = pc.if_else(pc.greater(values, 0), "Infinity", "-Infinity")
    words = pc.if_else(pc.is_nan(values), "NaN", infinity)
    return Texts(pc.if_else(is_finite, texts, words))


# ---------------------------------------------------------------------- text and bytes


def _strings(values: pa.Array) -> Texts:
    values = pc.cast(values, pa.string())
    try:
        values.validate(full=True)
    except pa.ArrowInvalid as error:
        if "UTF8" not in str(error):
            raise
        return _without_validation(values)
    for code in _codes_to_escape(values):
        escape = SHORT_ESCAPES.get(code, f"\\u{code:04x}")
        values = pc.replace_substring(values, chr(code), escape)
    return Texts(values, '"', '"')


def _codes_to_escape(values: pa.Array) -> list[int]:
    """Return the characters of the texts that JSON escapes, the backslash first."""
    data = _content(values)
    codes = [code for code in (BACKSLASH, QUOTE) if bool((data == code).any())]
    is_control = data < FIRST_PLAIN
    if is_control.any():
        codes += np.unique(data[is_control]).tolist()
    return codes


def _content(values: pa.Array) -> npt.NDArray[np.uint8]:
    """Return the bytes of all texts, one after the other."""
    _, offsets, data = values.buffers()
    if data is None or not len(values):
        return np.empty(0, np.uint8)
    bounds = np.frombuffer(offsets, np.int32, len(values) + 1, values.offset * 4)
    return np.frombuffer(data, np.uint8)[bounds[0] : bounds[-1]]


def _without_validation(values: pa.Array) -> Texts:
    """Return texts with bytes that are not UTF-8 as they are, so that their rows are rejected."""
    texts = [
        None if value is None else MUST_ESCAPE.sub(_escaped, value)
        for value in pc.cast(values, pa.binary()).to_pylist()
    ]
    options = pc.CastOptions(pa.string(), allow_invalid_utf8=True)
    return Texts(pc.cast(pa.array(texts, pa.binary()), options=options), '"', '"')


def _escaped(match: re.Match[bytes]) -> bytes:
    code = match[0][0]
    return SHORT_ESCAPES.get(code, f"\\u{code:04x}").encode()


def _base64(values: pa.Array) -> Texts:
    values = pc.cast(values, pa.binary())
    return _one_by_one(values, lambda value: base64.b64encode(value).decode())


def _uuids(values: pa.Array) -> Texts:
    def text(value: bytes) -> str:
        digits = value.hex()
        parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
        return "-".join(parts)

    return _one_by_one(values, text)


def _one_by_one(values: pa.Array, text: Callable[[Any], str]) -> Texts:
    texts = [None if value is None else text(value) for value in values.to_pylist()]
    return Texts(pa.array(texts, pa.string()), '"', '"')


# ---------------------------------------------------------------------- dates and times


def _dates(values: pa.Array) -> Texts:
    if pa.types.is_date64(values.type):
        days = _integers(values)
        if (days % (DAY_SECONDS * 1000)).any():  # no whole days
            return _timestamps(values.view(pa.timestamp("ms")))
        values = pc.cast(values, pa.date32())
    ints = values.view(pa.int32())
    return _within(values, ints, FIRST_DAY, LAST_DAY, "date", _quoted)


def _quoted(values: pa.Array) -> Texts:
    return Texts(pc.cast(values, pa.string()), '"', '"')


def _timestamps(values: pa.Array) -> Texts:
    """Return times by ISO 8601. With a time zone they are in UTC, and end in Z."""
    unit, zone = values.type.unit, values.type.tz
    per_second = PER_SECOND[unit]
    ints = values.view(pa.int64())

    def texts(some: pa.Array) -> Texts:
        text = pc.binary_replace_slice(_clock(some, unit, pa.timestamp), 10, 11, "T")
        return Texts(text, '"', 'Z"' if zone else '"')

    first, last = FIRST_DAY * DAY_SECONDS, (LAST_DAY + 1) * DAY_SECONDS
    low = max(first * per_second, -(2**63))
    high = min(last * per_second - 1, 2**63 - 1)
    return _within(values.view(pa.timestamp(unit)), ints, low, high, "timestamp", texts)


def _times(values: pa.Array) -> Texts:
    unit = values.type.unit
    ints = values.view(pa.int32() if values.type.bit_width == 32 else pa.int64())

    def texts(some: pa.Array) -> Texts:
        return Texts(_clock(some, unit, _time_of), '"', '"')

    return _within(values, ints, 0, DAY_SECONDS * PER_SECOND[unit] - 1, "time", texts)


def _time_of(unit: str) -> pa.DataType:
    return pa.time32(unit) if unit in ("s", "ms") else pa.time64(unit)


def _clock(values: pa.Array, unit: str, kind_of: Callable[[str], pa.DataType]) -> pa.Array:
    """Return times as texts, with 0, 3, 6 or 9 digits behind the seconds: as few as say all.
    `kind_of` returns the type of a time by its unit.
    """
    if unit == "s":
        return pc.cast(values, pa.string())
    coarser = COARSER[unit]
    whole, rest = np.divmod(_integers(values), 1000)
    is_null = _is_null(values)
    is_exact = (rest == 0) & ~is_null
    if not is_exact.any() and not is_null.all():
        return pc.cast(values, pa.string())
    if (is_exact | is_null).all():
        return _clock(_of_integers(whole, is_null, kind_of(coarser)), coarser, kind_of)
    exact = _clock(_of_integers(whole[is_exact], None, kind_of(coarser)), coarser, kind_of)
    return pc.replace_with_mask(pc.cast(values, pa.string()), pa.array(is_exact), exact)


def _of_integers(
    integers: npt.NDArray[np.int64], is_null: npt.NDArray[np.bool_] | None, kind: pa.DataType
) -> pa.Array:
    stored = pa.int32() if kind.bit_width == 32 else pa.int64()
    return pa.array(integers.astype(stored.to_pandas_dtype()), stored, mask=is_null).view(kind)


def _within(
    values: pa.Array,
    ints: pa.Array,
    low: int,
    high: int,
    name: str,
    texts: Callable[[pa.Array], Texts],
) -> Texts:
    """Return `texts` of the values whose integers are between `low` and `high`, and bare words
    with the `name` of the type for the others.
    """
    bounds = pc.min_max(ints).as_py()
    if bounds["min"] is None or (bounds["min"] >= low and bounds["max"] <= high):
        return texts(values)
    is_good = pc.and_(pc.greater_equal(ints, low), pc.less_equal(ints, high))
    good = texts(pc.if_else(is_good, values, pa.scalar(None, values.type)))
    bare = _joined(f"{name}(", pc.cast(ints, pa.string()), ")")
    return Texts(pc.if_else(is_good, _joined(good.before, good.values, good.after), bare))


def _durations(values: pa.Array) -> Texts:
    """Return durations in seconds, by ISO 8601: `PT90.5S`, `-PT1S`."""
    per_second = PER_SECOND[values.type.unit]
    digits = len(str(per_second)) - 1

    def text(value: int) -> str:
        seconds, fraction = divmod(abs(value), per_second)
        behind = f".{fraction:0{digits}}" if fraction else ""
        return f"{'-' if value < 0 else ''}PT{seconds}{behind}S"

    return _one_by_one(values.view(pa.int64()), text)


def _intervals(values: pa.Array) -> Texts:
    """Return months, days and seconds, by ISO 8601: `P1M2DT3.5S`."""

    def text(value: Any) -> str:
        seconds, fraction = divmod(abs(value.nanoseconds), 10**9)
        behind = f".{fraction:09}" if fraction else ""
        sign = "-" if value.nanoseconds < 0 else ""
        return f"P{value.months}M{value.days}DT{sign}{seconds}{behind}S"

    return _one_by_one(values, text)


# ---------------------------------------------------------------------- nested values


def _from_dictionary(values: pa.Array) -> Texts:
    if len(values.dictionary) > len(values):
        return texts_of(values.dictionary_decode())
    texts = texts_of(values.dictionary)
    return Texts(pc.take(texts.values, values.indices), texts.before, texts.after)


def _lists(values: pa.Array) -> Texts:
    lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
    items = texts_of(values.flatten()).whole()
    return Texts(_masked(_lists_of(lengths, items), values), "[", "]")


def _lists_of(lengths: npt.NDArray[Any], items: pa.Array) -> pa.Array:
    """Return the items of each list, with commas."""
    ends = np.cumsum(lengths, dtype=np.int64)
    offsets = pa.array(np.concatenate(([0], ends)).astype(np.int32))
    return pc.binary_join(pa.ListArray.from_arrays(offsets, items), ",")


def _structs(values: pa.Array) -> Texts:
    names = unique_names([field.name for field in values.type])
    return Texts(_masked(objects(names, values.flatten(), "", "", len(values)), values))


def _maps(values: pa.Array) -> Texts:
    """Return objects, with keys of other types as their text. A map that has a key twice is a bare
    word with an object: JSON readers drop one of the two.
    """
    bounds = values.offsets.to_numpy()
    first, count = int(bounds[0]), int(bounds[-1] - bounds[0])
    lengths = np.diff(bounds)
    keys = _map_keys(values.keys.slice(first, count))
    items = texts_of(values.items.slice(first, count)).whole()
    entries = pc.binary_join_element_wise(keys, items, ":")
    maps = _joined("{", _lists_of(lengths, entries), "}")
    rows = np.repeat(np.arange(len(values)), lengths)
    numbered = pc.binary_join_element_wise(pc.cast(pa.array(rows), pa.string()), keys, " ")
    if pc.count_distinct(numbered).as_py() < count:
        names = np.split(np.array(keys.to_pylist(), object), np.cumsum(lengths)[:-1])
        has_twice = [len(set(of_row)) < len(of_row) for of_row in names]
        bare = _joined("a key twice in ", maps, "")
        maps = pc.if_else(pa.array(has_twice), bare, maps)
    return Texts(_masked(maps, values))


def _map_keys(keys: pa.Array) -> pa.Array:
    texts = texts_of(keys)
    if texts.before.startswith('"'):
        return texts.whole()
    whole = texts.whole()
    if pa.types.is_nested(keys.type):
        return pa.array([_key(text) for text in whole.to_pylist()], pa.string())
    quoted = Texts(pc.fill_null(texts.values, "null"), '"', '"').whole()
    return pc.if_else(pc.starts_with(whole, '"'), whole, quoted)


def _unions(values: pa.Array) -> Texts:
    kind = values.type
    children = [texts_of(values.field(place)).whole() for place in range(kind.num_fields)]
    starts = np.cumsum([0, *map(len, children)])[:-1]
    place_of = np.zeros(128, np.int64)
    place_of[kind.type_codes] = range(kind.num_fields)
    # `type_codes` and `offsets` of pyarrow begin with the first value of an array before its slice.
    _, codes, *more = values.buffers()
    members = np.frombuffer(codes, np.int8, len(values), values.offset)
    inner = np.arange(len(values))
    if kind.mode == "dense":
        inner = np.frombuffer(more[0], np.int32, len(values), values.offset * 4)
    places = starts[place_of[members]] + inner
    return Texts(pc.take(pa.concat_arrays(children), pa.array(places)))


# ---------------------------------------------------------------------- help


def _joined(before: str, values: pa.Array, after: str) -> pa.Array:
    """Return the texts that are not null with something around them."""
    if not before and not after:
        return values
    return pc.binary_join_element_wise(before, values, after, "")


def _masked(texts: pa.Array, values: pa.Array) -> pa.Array:
    """Return the texts, null where the value is null."""
    if not values.null_count:
        return texts
    return pc.if_else(values.is_valid(), texts, pa.scalar(None, pa.string()))


def _is_null(values: pa.Array) -> npt.NDArray[np.bool_]:
    is_null: npt.NDArray[np.bool_] = values.is_null().to_numpy(zero_copy_only=False)
    return is_null


def _integers(values: pa.Array) -> npt.NDArray[np.int64]:
    """Return the integers that stand for dates or times, 0 for nulls."""
    kind = pa.int32() if values.type.bit_width == 32 else pa.int64()
    ints = pc.fill_null(values.view(kind), 0)
    return ints.to_numpy(zero_copy_only=False).astype(np.int64)  # type: ignore[no-any-return]


def _key(name: str) -> str:
    return msgspec.json.encode(name).decode()


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _is_binary(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
        or pa.types.is_list_view(kind)
        or pa.types.is_large_list_view(kind)
    )


CONVERSIONS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], Texts]], ...] = (
    (pa.types.is_integer, _cast),
    (pa.types.is_floating, _floats),
    (_is_text, _strings),
    (pa.types.is_boolean, _cast),
    (pa.types.is_decimal, _cast),
    (pa.types.is_timestamp, _timestamps),
    (pa.types.is_date, _dates),
    (pa.types.is_time, _times),
    (pa.types.is_duration, _durations),
    (pa.types.is_interval, _intervals),
    (_is_binary, _base64),
    (_is_list, _lists),
    (pa.types.is_struct, _structs),
    (pa.types.is_map, _maps),
    (pa.types.is_union, _unions),
)
"""By type, how its values become texts."""
