"""Types for columns of text: a type is used only if every value reads as one and comes back as it was,
but for the zeros at the end of decimals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from app.db.rows import PageRow
from app.features.files.columns import Columns, without_empty

MAX_DIGITS = 38
INTEGER = r"^-?[1-9][0-9]{0,18}$|^0$"
DECIMAL = r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?$"
DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
MOMENT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?"
BOOLEANS = {"true": "false", "True": "False", "TRUE": "FALSE"}
"""Spellings, of which a column may have one."""


class TypeFinder:
    """Finds the types of columns, given all of their pages."""

    def __init__(self, columns: Sequence[str], hints: Mapping[str, str]) -> None:
        """`hints`: what a column may be: number, float, date or boolean. Others stay text."""
        self._columns = Columns(columns)
        self._finders = {
            place: _Candidates(CANDIDATES[hints[column]])
            for place, column in enumerate(columns)
            if hints.get(column) in CANDIDATES
        }

    def are_all_text(self) -> bool:
        """Return whether all columns are known to be text."""
        return not any(finder.candidates for finder in self._finders.values())

    def add(self, page: PageRow) -> None:
        self._columns.add(page)
        values = self._columns.take()
        for place, finder in self._finders.items():
            finder.narrow(values[place])

    def types(self) -> dict[int, pa.DataType]:
        """Return the types of the columns that are not text, by their index."""
        types = {place: finder.type() for place, finder in self._finders.items()}
        return {place: kind for place, kind in types.items() if kind is not None}


class _Candidates:
    """The types that a column may still have, the narrowest first."""

    def __init__(self, candidates: Sequence[str]) -> None:
        self.candidates = list(candidates)
        self._whole = self._scale = 0
        self._has_values = False

    def narrow(self, values: Sequence[str | None]) -> None:
        if not self.candidates:
            return
        texts = pc.drop_null(without_empty(values))
        if not len(texts):
            return
        self._has_values = True
        if "decimal" in self.candidates:
            self._measure(texts)
        self.candidates = [name for name in self.candidates if self._fits(name, texts)]

    def _measure(self, texts: pa.Array) -> None:
        """Note the digits before and behind the point."""
        digits = pc.ascii_ltrim(texts, "-")
        point = pc.find_substring(digits, ".")
        lengths = pc.utf8_length(digits)
        has_point = pc.greater_equal(point, 0)
        before = pc.if_else(has_point, point, lengths)
        behind = pc.if_else(has_point, pc.subtract(pc.subtract(lengths, point), 1), 0)
        self._whole = max(self._whole, pc.max(before).as_py())
        self._scale = max(self._scale, pc.max(behind).as_py())

    def _fits(self, name: str, texts: pa.Array) -> bool:
        match name:
            case "integer":
                return _all_match(texts, INTEGER) and _can_cast(texts, pa.int64())
            case "decimal":
                fits = self._whole + self._scale <= MAX_DIGITS
                return fits and _all_match(texts, DECIMAL) and not _has_minus_zero(texts)
            case "float":
                return _are_floats(texts)
            case "true" | "True" | "TRUE":
                words = pa.array([name, BOOLEANS[name]])
                return bool(pc.all(pc.is_in(texts, words)).as_py())
            case "date":
                return _all_match(texts, DATE) and _can_cast(texts, pa.date32())
            case "moment":
                return _all_match(texts, MOMENT + "$") and _can_cast(texts, pa.timestamp("us"))
            case _:
                local = pc.replace_substring_regex(texts, r"Z$", "")
                return _all_match(texts, MOMENT + "Z$") and _can_cast(local, pa.timestamp("us"))

    def type(self) -> pa.DataType | None:
        if not self.candidates or not self._has_values:
            return None
        if self.candidates[0] == "decimal":
            return pa.decimal128(max(1, self._whole + self._scale), self._scale)
        return TYPES[self.candidates[0]]


CANDIDATES = {
    "number": ("integer", "decimal"),
    "float": ("float",),
    "date": ("date", "moment", "moment in UTC"),
    "boolean": tuple(BOOLEANS),
}
TYPES = {
    "integer": pa.int64(),
    "float": pa.float64(),
    **dict.fromkeys(BOOLEANS, pa.bool_()),
    "date": pa.date32(),
    "moment": pa.timestamp("us"),
    "moment in UTC": pa.timestamp("us", "UTC"),
}


def _all_match(texts: pa.Array, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(texts, pattern)).as_py())


def _has_minus_zero(texts: pa.Array) -> bool:
    return bool(pc.any(pc.match_substring_regex(texts, r"^-0(?:\.0*)?$")).as_py())


def _are_floats(texts: pa.Array) -> bool:
    """Return whether the texts are the shortest ones of their numbers."""
    try:
        numbers = pc.cast(texts, pa.float64())
    except pa.ArrowInvalid:
        return False
    is_finite = pc.all(pc.is_finite(numbers)).as_py()
    return bool(is_finite and pc.all(pc.equal(pc.cast(numbers, pa.string()), texts)).as_py())


def _can_cast(texts: pa.Array, kind: Any) -> bool:
    try:
        pc.cast(texts, kind)
    except pa.ArrowInvalid:
        return False
    return True
