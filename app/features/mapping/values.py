"""A column of one of the two tables, and the kind of its values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.profiling.columns import Column

SURE_KINDS = ("email", "phone", "card")
MARKED_NUMBERS = (
    "comma_or_thousands",
    "decimal",
    "decimal_comma",
    "decimal_or_thousands",
    "thousands",
    "unit",
)
"""Classes of numbers with a mark or a sign, for which the profile calls a column text."""


@dataclass(frozen=True, slots=True)
class Side:
    """Column of a table: its name, its report in the profile, and its sketches."""

    name: str
    report: dict[str, Any]
    column: Column

    @property
    def has_values(self) -> bool:
        """Return whether any cell has a value."""
        return self.column.values > 0

    @property
    def shown(self) -> list[str]:
        """Return some of its values, the most frequent first."""
        frequent = [top["value"] for top in self.report["top"]]
        return list(dict.fromkeys([*frequent, *self.report["examples"]]))


def kind_of(side: Side) -> str:
    """Return the type that is meant, even if the profile calls it text because of how the values are
    written.
    """
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
