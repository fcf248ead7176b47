"""Columns of values with their type, and what is found wrong with rows on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from app.features.transform import dates, numbers
from app.features.transform.numbers import Numbers
from app.features.transform.types import (
    BOOLEAN,
    MAX_DIGITS,
    NULL,
    NUMBER,
    PARQUET_NUMBER_SCALE,
    TEXT,
    Type,
)

Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.integer[Any]]
PROBED, REPEATED = 1000, 0.5
"""A column of which at most this share of so many values differ is worked on by distinct value."""
MAX_VALUE_CHARACTERS = 200
NO_TEXT = pa.scalar(None, pa.string())


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with one row; `row` is its place in the chunk, `column` that of the output."""

    row: int
    column: str
    code: str
    message: str
    value: str | None


@dataclass(slots=True)
class Value:
    """A column: an Arrow array, or Numbers. `written` is the text it was read from, where that is also how it is written."""

    type: Type
    data: Any
    written: pa.StringArray | None = None

    def __len__(self) -> int:
        return len(self.data)


def shown(value: str | None) -> str | None:
    """As a reject tells it."""
    return value[:MAX_VALUE_CHARACTERS].replace("\0", "\\x00") if value is not None else None


@dataclass(slots=True)
class Findings:
    """The first thing that is wrong with each row."""

    count: int
    bad: Mask = field(init=False)
    found: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bad = np.zeros(self.count, bool)

    def add(self, rows: Mask, column: str, code: str, message: str, values: pa.StringArray | None = None) -> None:
        """`message` may hold `{value}`. Rows that are bad already stay what they are."""
        new = rows & ~self.bad
        if not new.any():
            return
        self.bad |= new
        for row in np.flatnonzero(new).tolist():
            value = None if values is None else shown(values[row].as_py())
            self.found.append(Finding(row, column, code, message.replace("{value}", (value or "")[:60]), value))

    def begin_with(self, bad: Sequence[Finding]) -> None:
        """What is known of rows before anything is done with them, in their order."""
        self.found = [each for each in bad if each.row < self.count]
        self.bad[[each.row for each in self.found]] = True

    def repeat(self, found: Findings, places: Places) -> None:
        """What was found among distinct values, for each row that has one of them; `places` says which."""
        if not found.found:
            return
        new = found.bad[places] & ~self.bad
        self.bad |= new
        by_place = {each.row: each for each in found.found}
        rows = np.flatnonzero(new)
        self.found += [
            replace(by_place[place], row=row) for row, place in zip(rows.tolist(), places[rows].tolist(), strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Repeated:
    """The distinct values of a column that has most of them many times, and which each row has."""

    texts: pa.StringArray
    places: Places


def repeated(texts: pa.StringArray) -> Repeated | None:
    """None if too few are alike for it to be worth the while, as far as the first tell."""
    probe = texts.slice(0, PROBED)
    if len(probe) < PROBED or pc.count_distinct(probe).as_py() > REPEATED * PROBED:
        return None
    coded = pc.dictionary_encode(texts, null_encoding="encode")
    return Repeated(coded.dictionary, coded.indices.to_numpy())


def held(value: Value) -> int:
    """The bytes that it takes."""
    written = 0 if value.written is None else int(value.written.nbytes)
    data = value.data
    own = data.ints.nbytes + data.valid.nbytes if isinstance(data, Numbers) else data.nbytes
    return written + int(own)


def taken(value: Value, rows: Places) -> Value:
    """The values of these rows, in their order."""
    places = pa.array(rows)
    written = None if value.written is None else value.written.take(places)
    if isinstance(value.data, Numbers):
        data = value.data
        return Value(value.type, Numbers(data.ints[rows], data.scale, data.valid[rows]), written)
    return Value(value.type, value.data.take(places), written)


def text(array: pa.StringArray) -> Value:
    return Value(TEXT, array)


def truths(mask: Mask, valid: Mask | None = None) -> Value:
    return Value(BOOLEAN, pa.array(mask, pa.bool_(), mask=None if valid is None else ~valid))


def constant(value: str | Decimal | bool | None, kind: Type, count: int) -> Value:
    if kind.is_number:
        assert isinstance(value, Decimal)
        return Value(kind, numbers.of_literal(value, count))
    if value is None:
        return Value(NULL, pa.nulls(count))
    return Value(kind, pa.repeat(pa.scalar(value, pa.bool_() if kind == BOOLEAN else pa.string()), count))


def is_valid(value: Value) -> Mask:
    """Where there is a value, be it an empty text."""
    return value.data.valid if isinstance(value.data, Numbers) else np.asarray(value.data.is_valid())


def is_missing(value: Value) -> Mask:
    """Null, or an empty text."""
    missing = ~is_valid(value)
    if value.type == TEXT:
        missing |= np.asarray(pc.fill_null(pc.equal(value.data, ""), False))
    return missing


def without_empty(texts: pa.StringArray) -> pa.StringArray:
    """Empty texts are no values: null."""
    empty = pc.equal(pc.binary_length(texts), 0)
    return pc.if_else(empty, NO_TEXT, texts) if pc.any(empty).as_py() else texts


def cleared(value: Value, rows: Mask) -> Value:
    """With no value in these rows."""
    if not rows.any():
        return value
    written = None if value.written is None else pc.if_else(pa.array(rows), NO_TEXT, value.written)
    if isinstance(value.data, Numbers):
        return Value(value.type, numbers.without(value.data, rows), written)
    return Value(value.type, pc.if_else(pa.array(rows), pa.scalar(None, value.data.type), value.data), written)


def chosen(mask: Mask, left: Value, right: Value) -> Value:
    """`left` where the mask is set, else `right`; they are of types that one can hold."""
    left, right = (_typed(each, other) for each, other in ((left, right), (right, left)))
    kind = left.type if left.type == right.type else NUMBER
    if isinstance(left.data, Numbers):
        return Value(kind, numbers.choose(mask, left.data, right.data))
    return Value(kind, pc.if_else(pa.array(mask), left.data, right.data))


def _typed(value: Value, like: Value) -> Value:
    """A null as a column of the other's type."""
    if value.type != NULL:
        return value
    if isinstance(like.data, Numbers):
        nothing = Numbers(np.zeros(len(value), np.int64), 0, np.zeros(len(value), bool))
        return Value(like.type, nothing)
    return Value(like.type, pa.nulls(len(value), like.data.type))


def to_texts(value: Value) -> pa.StringArray:
    """As they are written; nulls stay nulls."""
    if value.written is not None:
        return value.written
    if isinstance(value.data, Numbers):
        return numbers.to_texts(value.data, value.type.scale if value.type.name == "decimal" else None)
    if value.type.is_moment:
        return dates.to_iso(value.data, value.type)
    if value.type == BOOLEAN:
        return value.data.cast(pa.string())
    return pa.nulls(len(value), pa.string()) if value.type == NULL else value.data


def canonical(value: Value) -> pa.StringArray:
    """Equal texts for equal values: numbers without needless zeros."""
    if isinstance(value.data, Numbers):
        return numbers.to_texts(value.data, None)
    return to_texts(value)


def arrow_type(kind: Type) -> pa.DataType:
    """In Parquet."""
    if kind.name == "integer":
        return pa.int64()
    if kind.is_number:
        return pa.decimal128(MAX_DIGITS, kind.scale if kind.name == "decimal" else PARQUET_NUMBER_SCALE)
    if kind == BOOLEAN:
        return pa.bool_()
    return dates.ARROW.get(kind, pa.string())


def to_arrow(value: Value) -> pa.Array:
    if value.type.name == "integer":
        return numbers.to_int64(value.data)
    if value.type.is_number:
        return numbers.to_decimal128(value.data, arrow_type(value.type).scale)
    return to_texts(value) if value.type in (TEXT, NULL) else value.data
