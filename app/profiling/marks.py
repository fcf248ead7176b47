"""Numbers with a decimal comma or thousands marks: which pair of marks reads every value of a column,
and in one way alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from app.profiling.classes import AMBIGUOUS_DECIMAL, LONG_INTEGER, NUMBERS

COMMA_OR_THOUSANDS = "comma_or_thousands"
MARKED = ("decimal_comma", COMMA_OR_THOUSANDS, "thousands")
"""Classes of values that are numbers once their marks are known."""
MOST_DECIMALS, MOST_GROUPS = 18, 5
"""Limits of what a cast reads, and of groups that fit into 64 bits with three digits before them."""
WHOLE = "#"


@dataclass(frozen=True, slots=True)
class Marks:
    decimal: str
    thousands: str
    """Empty if there is none."""

    @property
    def key(self) -> str:
        return self.decimal + self.thousands

    def role(self, mark: str) -> str:
        if mark == self.decimal:
            return "decimal"
        return "thousands" if mark == self.thousands else ""


def _pairs() -> Iterator[Marks]:
    """Yield the pairs of marks that a cast can be given, the plainest first."""
    for thousands in ("", ".", ",", "'", " ", "\u00a0", "\u202f"):
        for decimal in ".,":
            if decimal != thousands and decimal + thousands != ".":
                yield Marks(decimal, thousands)


PAIRS = tuple(_pairs())


@dataclass(frozen=True, slots=True)
class MarkedNumbers:
    """How all values of a column are read as numbers."""

    marks: Marks
    subtype: Literal["integer", "decimal"]
    """An integer if all values fit into 64 bits."""


def count_marks(texts: pa.StringArray, counts: pa.Array) -> dict[str, int]:
    """Return how many values of the classes in MARKED each pair of marks reads, by its key, and how
    many of these are whole numbers, by the key and WHOLE. `counts`: of each text.
    """
    read: dict[str, int] = {}
    present = {mark for mark in ".,' \u00a0\u202f" if _any(texts, mark)}
    for marks in PAIRS:
        if marks.thousands and marks.thousands not in present:
            # Other chunks may have the mark; here it changes nothing.
            if plain := read.get(marks.decimal, 0):
                read[marks.key] = plain
            continue
        if not present & {marks.decimal, marks.thousands}:
            continue
        grouped = f"[1-9][0-9]{{0,2}}(?:{_escaped(marks.thousands)}[0-9]{{3}})+"
        whole = f"(?:{grouped}|[1-9][0-9]*)" if marks.thousands else "[1-9][0-9]*"
        point, end = _escaped(marks.decimal), f"{{1,{MOST_DECIMALS}}}"
        # A zero with a minus sign would lose the sign.
        fraction = f"{point}[0-9]{end}"
        pattern = rf"\A(?:-?{whole}(?:{fraction})?|0{fraction}|-0{fraction})\z"
        is_read = pc.match_substring_regex(texts, pattern)
        negative_zero = pc.match_substring_regex(texts, rf"\A-0{point}0+\z")
        is_read = pc.and_(is_read, pc.invert(negative_zero))
        _add(read, marks.key, is_read, counts)
        if marks.thousands:
            short = grouped.removesuffix("+") + f"{{1,{MOST_GROUPS}}}"
            is_whole = pc.match_substring_regex(texts, rf"\A-?{short}\z")
            _add(read, marks.key + WHOLE, is_whole, counts)
    return read


def _any(texts: pa.StringArray, mark: str) -> bool:
    return bool(pc.any(pc.match_substring(texts, mark)).as_py())


def _escaped(mark: str) -> str:
    return "\\." if mark == "." else mark


def _add(read: dict[str, int], key: str, mask: pa.BooleanArray, counts: pa.Array) -> None:
    total = pc.sum(counts.filter(mask)).as_py()
    if total:
        read[key] = total


def decide_marks(classes: Mapping[str, int], read: Mapping[str, int]) -> MarkedNumbers | None:
    """Return the marks by which all values are numbers; None if some are none, or if they can be
    read in two ways. `classes` has the number of values of each class, and `read` is what
    `count_marks` returned for all of them.
    """
    present = {name for name, count in classes.items() if count}
    if not present & set(MARKED) or not present <= {*NUMBERS, *MARKED}:
        return None
    marked = sum(classes.get(name, 0) for name in MARKED)
    fitting = [marks for marks in PAIRS if read.get(marks.key, 0) == marked]
    if "decimal" in present:
        fitting = [marks for marks in fitting if marks.decimal == "."]
    if AMBIGUOUS_DECIMAL in present:
        fitting = [marks for marks in fitting if marks.role(".")]
    if not fitting:
        return None
    unsure = [(AMBIGUOUS_DECIMAL, "."), (COMMA_OR_THOUSANDS, ",")]
    for name, mark in unsure:
        roles = {marks.role(mark) for marks in fitting}
        if name in present and len(roles) > 1:
            return None
        # Where some numbers of four digits have no mark, a mark before three digits need not be one
        # of thousands.
        if name in present and roles == {"thousands"} and LONG_INTEGER in present:
            return None
    marks = fitting[0]
    is_whole = read.get(marks.key + WHOLE, 0) == marked and "decimal" not in present
    if AMBIGUOUS_DECIMAL in present:
        is_whole = is_whole and marks.thousands == "."
    return MarkedNumbers(marks, "integer" if is_whole else "decimal")
