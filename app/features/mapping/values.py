"""What the values of two columns say about whether they mean the
same: for, against, or nothing. No names here."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from app.profiling.columns import Column

SMALL_SET = 20
FEW_VALUES = 3
SURE_KINDS = ("email", "phone", "card")
MARKED_NUMBERS = (
    "comma_or_thousands",
    "decimal",
    "decimal_comma",
    "decimal_or_thousands",
    "thousands",
    "unit",
)
"""Classes of numbers with a mark or a sign, which make a column text."""


@dataclass(frozen=True, slots=True)
class Side:
    """A column of one of the tables: how it was reported, and its sketches."""

    name: str
    report: dict[str, Any]
    column: Column

    @property
    def has_values(self) -> bool:
        return self.column.values > 0

    @property
    def shown(self) -> list[str]:
        """Some of its values."""
        frequent = [top["value"] for top in self.report["top"]]
        return list(dict.fromkeys([*frequent, *self.report["examples"]]))


def evidence(one: Side, other: Side) -> tuple[float, float, float, list[str]]:
    """What speaks for the pair and what against it, 0 to 1 each, the
    share of words that both hold, and why."""
    if not (one.has_values and other.has_values):
        return 0.0, 0.0, 0.0, []
    for_, against, reasons = 0.0, 0.0, []
    kinds = [set(side.report["personal_data"]) & set(SURE_KINDS) for side in (one, other)]
    if kinds[0] & kinds[1]:
        for_ += 0.25
        reasons.append(f"both hold {_named(min(kinds[0] & kinds[1]))}")
    elif kinds[0] or kinds[1]:
        against += 0.35
        reasons.append(f"only one holds {_named(min(kinds[0] | kinds[1]))}")
    mine, theirs = kind_of(one), kind_of(other)
    if mine != theirs:
        against += 0.3 if "text" not in (mine, theirs) else 0.12
        reasons.append(f"one holds {mine} values, the other {theirs} values")
    elif mine != "text":
        for_ += 0.08
    if mine == theirs == "number" and (apart := _orders_apart(one, other)) > 1.5:
        against += min(0.3, 0.1 * apart)
        reasons.append("the numbers are of another size")
    shared = _overlap(one, other)
    if shared > 0.05:
        weight = _telling(one, other)
        for_ += weight * shared
        if weight * shared > 0.05:
            reasons.append(f"{shared:.0%} of the values are the same")
    shapes = _shapes(one) & _shapes(other)
    if shapes and mine == theirs == "text":
        for_ += 0.15
        reasons.append(f"values look alike ({min(shapes)})")
    elif mine == theirs == "text" and bool(_shapes(one)) != bool(_shapes(other)):
        against += 0.08
    is_large = min(one.column.values, other.column.values) >= SMALL_SET
    if is_large and abs(_uniqueness(one) - _uniqueness(other)) > 0.75:
        against += 0.08
        reasons.append("values repeat in only one of them")
    shared_words = shared if mine == theirs == "text" else 0.0
    return min(1.0, for_), min(1.0, against), shared_words, reasons


def _named(kind: str) -> str:
    return {"email": "e-mail addresses", "phone": "phone numbers", "card": "card numbers"}[kind]


def kind_of(side: Side) -> str:
    """The type that is meant, also where the type given is text
    because of how values are written."""
    kind = str(side.report["type"])
    if kind != "text":
        return kind
    classes = side.column.classes
    total = max(1, side.column.values)
    marked = sum(classes.get(name, 0) for name in MARKED_NUMBERS)
    integers = classes.get("integer", 0) + classes.get("integer_ungrouped", 0)
    dates = sum(count for name, count in classes.items() if name.startswith("date"))
    if marked and marked + integers > 0.8 * total:
        return "number"
    return "date" if dates > 0.8 * total else "text"


def _orders_apart(one: Side, other: Side) -> float:
    """Powers of ten between the medians."""
    mine, theirs = _median(one), _median(other)
    if not (mine and theirs):
        return 0.0
    return abs(math.log10(mine / theirs))


def _median(side: Side) -> float:
    """Without its sign."""
    numbers = side.column.numbers
    return abs(numbers.quantile(0.5)) if numbers.count else 0.0


def _overlap(one: Side, other: Side) -> float:
    """Share of the smaller set of values that is in the other, too."""
    a, b = one.column.distinct, other.column.distinct
    if min(a.count(), b.count()) < FEW_VALUES:
        return 0.0
    return max(a.containment(b), b.containment(a))


def _telling(one: Side, other: Side) -> float:
    """How much it says that values are the same: small numbers are everywhere, words are not."""
    if kind_of(one) == "number" or kind_of(other) == "number":
        spreads = []
        for side in (one, other):
            numbers = side.column.numbers
            if numbers.maximum and numbers.minimum:
                spreads.append(numbers.maximum[0] - numbers.minimum[0])
        return 0.3 if spreads and min(spreads) > 10_000 else 0.03
    return 0.15 if kind_of(one) == "date" else 0.45


def _shapes(side: Side) -> set[str]:
    """Patterns of codes such as `AA-9999`: letters and digits
    together; words and plain numbers have none."""
    shapes = set()
    for value in side.shown:
        shape = re.sub(r"[a-z]", "a", value)
        shape = re.sub(r"[A-Z]", "A", shape)
        shape = re.sub(r"[0-9]", "9", shape)
        is_code = "9" in shape and re.search(r"[Aa]", shape) and " " not in shape
        if is_code and len(shape) <= 20:
            shapes.add(re.sub(r"(.)\1{3,}", r"\1\1\1+", shape))
    return shapes if len(shapes) <= 3 else set()


def _uniqueness(side: Side) -> float:
    return min(1.0, side.column.distinct.count() / max(1, side.column.values))
