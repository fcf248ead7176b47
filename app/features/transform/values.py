"""Columns of values with their type, and findings about rows."""

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
"""Number of values to probe, and largest share of distinct ones with which a column is transformed
by distinct value.
"""
MAX_VALUE_CHARACTERS = 200
NO_TEXT = pa.scalar(None, pa.string())


@dataclass(frozen=True, slots=True)
class Finding:
    """Problem of one row. `row` is its index in the chunk, `column` that of the output."""

    row: int
    column: str
    code: str
    message: str
    value: str | None


@dataclass(slots=True)
class Value:
    """Column: an Arrow array, or Numbers.

    `written` is the source text, where the value is also written as that.
    """

    type: Type
    data: Any
    written: pa.StringArray | None = None

    def __len__(self) -> int:
        return len(self.data)


def shown(value: str | None) -> str | None:
    """Return the value as a reject shows it."""
    if value is None:
        return None
    return value[:MAX_VALUE_CHARACTERS].replace("\0", "\\x00")


@dataclass(slots=True)
class Findings:
    """First problem of each row."""

    count: int
    bad: Mask = field(init=False)
    all: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bad = np.zeros(self.count, bool)

    def add(
        self,
        rows: Mask,
        column: str,
        code: str,
        message: str,
        values: pa.StringArray | None = None,
    ) -> None:
        """Add a problem; `message` may hold `{value}`. Rows that are bad already keep their
        problem.
        """
        new = rows & ~self.bad
        if not new.any():
            return
        self.bad |= new
        for row in np.flatnonzero(new).tolist():
            value = None if values is None else shown(values[row].as_py())
            with_value = message.replace("{value}", (value or "")[:60])
            self.all.append(Finding(row, column, code, with_value, value))

    def begin_with(self, bad: Sequence[Finding]) -> None:
        """Start with the problems that rows had before, in their order."""
        self.all = [finding for finding in bad if finding.row < self.count]
        self.bad[[finding.row for finding in self.all]] = True

    def extend(self, of_some: Findings, start: int) -> None:
        """Add the problems of rows from `start`, which had none before."""
        self.bad[start : start + of_some.count] = of_some.bad
        self.all += [replace(finding, row=start + finding.row) for finding in of_some.all]

    def repeat(self, of_distinct: Findings, places: Places) -> None:
        """Add the problems of distinct values for all rows that have one of them; `places` maps
        rows to distinct values.
        """
        if not of_distinct.all:
            return
        new = of_distinct.bad[places] & ~self.bad
        self.bad |= new
        by_place = {finding.row: finding for finding in of_distinct.all}
        rows = np.flatnonzero(new)
        for row, place in zip(rows.tolist(), places[rows].tolist(), strict=True):
            self.all.append(replace(by_place[place], row=row))


@dataclass(frozen=True, slots=True)
class Repeated:
    """Distinct values of a column that repeats most of them, and the index of each row's value."""

    texts: pa.StringArray
    places: Places


def repeated(texts: pa.StringArray) -> Repeated | None:
    """Return the distinct values; None if too few of the first values repeat."""
    probe = texts.slice(0, PROBED)
    if len(probe) < PROBED or pc.count_distinct(probe).as_py() > REPEATED * PROBED:
        return None
    coded = pc.dictionary_encode(texts, null_encoding="encode")
    return Repeated(coded.dictionary, coded.indices.to_numpy())


def held(value: Value) -> int:
    """Return the bytes that the column takes."""
    written = 0 if value.written is None else int(value.written.nbytes)
    data = value.data
    if isinstance(data, Numbers):
        return written + data.ints.nbytes + data.valid.nbytes
    return written + int(data.nbytes)


def taken(value: Value, rows: Places) -> Value:
    """Return the values of these rows, in their order."""
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
    in_arrow = pa.bool_() if kind == BOOLEAN else pa.string()
    return Value(kind, pa.repeat(pa.scalar(value, in_arrow), count))


def is_valid(value: Value) -> Mask:
    """Return where there is a value, be it an empty text."""
    if isinstance(value.data, Numbers):
        return value.data.valid
    return np.asarray(value.data.is_valid())


def is_missing(value: Value) -> Mask:
    """Return where the value is null or an empty text."""
    missing = ~is_valid(value)
    if value.type == TEXT:
        missing |= np.asarray(pc.fill_null(pc.equal(value.data, ""), False))
    return missing


def without_empty(texts: pa.StringArray) -> pa.StringArray:
    """Return the texts with nulls for empty texts, which are no values."""
    empty = pc.equal(pc.binary_length(texts), 0)
    return pc.if_else(empty, NO_TEXT, texts) if pc.any(empty).as_py() else texts


def cleared(value: Value, rows: Mask) -> Value:
    """Return the column without values in these rows."""
    if not rows.any():
        return value
    written = None if value.written is None else pc.if_else(pa.array(rows), NO_TEXT, value.written)
    if isinstance(value.data, Numbers):
        return Value(value.type, numbers.without(value.data, rows), written)
    nothing = pa.scalar(None, value.data.type)
    return Value(value.type, pc.if_else(pa.array(rows), nothing, value.data), written)


def chosen(mask: Mask, left: Value, right: Value) -> Value:
    """Return `left` where the mask is set, else `right`. A common type must be able to hold
    both.
    """
    left, right = _typed(left, like=right), _typed(right, like=left)
    kind = left.type if left.type == right.type else NUMBER
    if isinstance(left.data, Numbers):
        return Value(kind, numbers.choose(mask, left.data, right.data))
    return Value(kind, pc.if_else(pa.array(mask), left.data, right.data))


def _typed(value: Value, like: Value) -> Value:
    """Return a null as a column of the other's type."""
    if value.type != NULL:
        return value
    if isinstance(like.data, Numbers):
        nothing = Numbers(np.zeros(len(value), np.int64), 0, np.zeros(len(value), bool))
        return Value(like.type, nothing)
    return Value(like.type, pa.nulls(len(value), like.data.type))


def to_texts(value: Value) -> pa.StringArray:
    """Return texts unchanged; nulls stay nulls."""
    if value.written is not None:
        return value.written
    if isinstance(value.data, Numbers):
        scale = value.type.scale if value.type.name == "decimal" else None
        return numbers.to_texts(value.data, scale)
    if value.type.is_moment:
        return dates.to_iso(value.data, value.type)
    if value.type == BOOLEAN:
        return value.data.cast(pa.string())
    if value.type == NULL:
        return pa.nulls(len(value), pa.string())
    return value.data


def canonical(value: Value) -> pa.StringArray:
    """Return equal texts for equal values: numbers without needless zeros."""
    if isinstance(value.data, Numbers):
        return numbers.to_texts(value.data, None)
    return to_texts(value)


def arrow_type(kind: Type) -> pa.DataType:
    """Return the type in Parquet."""
    if kind.name == "integer":
        return pa.int64()
    if kind.is_number:
        scale = kind.scale if kind.name == "decimal" else PARQUET_NUMBER_SCALE
        return pa.decimal128(MAX_DIGITS, scale)
    if kind == BOOLEAN:
        return pa.bool_()
    return dates.ARROW.get(kind, pa.string())


def to_arrow(value: Value) -> pa.Array:
    if value.type.name == "integer":
        return numbers.to_int64(value.data)
    if value.type.is_number:
        return numbers.to_decimal128(value.data, arrow_type(value.type).scale)
    return to_texts(value) if value.type in (TEXT, NULL) else value.data
