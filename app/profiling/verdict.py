"""Verdict on the type of a column, from the classes of all its values. A column has a type only if
every value comes back from it as it was written, in one way alone; else it is text, and the values
against the type are listed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from app.profiling.classes import AMBIGUOUS_DECIMAL, LONG_INTEGER, NUMBERS, WHY
from app.profiling.dates import PREFIX, formats

BOOLEAN = "boolean:"
STYLES = {"lower": "true, false", "title": "True, False", "upper": "TRUE, FALSE"}
NATIVE = "native"


@dataclass(frozen=True, slots=True)
class Verdict:
    type: str
    """One of `number`, `date`, `boolean` and `text`."""
    subtype: str | None = None
    """One of integer, decimal, date and datetime; None for the others."""
    format: str | None = None
    """Format of dates for strftime, or the spelling of booleans."""
    reason: str | None = None
    """Stable code that says why the column is text."""
    explanation: str | None = None
    against: list[str] = field(default_factory=list)
    """Classes that made the column text, the rarest first."""
    readings: list[str] = field(default_factory=list)
    """Formats of dates that all values have, if there are several."""


def decide(classes: dict[str, int]) -> Verdict:
    """Return the type; `classes` has the count of values of each class, without missing values."""
    present = {name: count for name, count in classes.items() if count}
    if not present:
        return _text("no_values", "It has no value to determine a type from.")
    dates = [name for name in present if name.startswith(PREFIX)]
    booleans = [name for name in present if name.startswith(BOOLEAN)]
    numbers = [name for name in present if name in NUMBERS]
    if len(numbers) == len(present):
        return _number(present)
    if len(booleans) == len(present):
        return _boolean(booleans)
    if len(dates) == len(present):
        return _date(dates)
    return _mixed(present, {"number": numbers, "date": dates, "boolean": booleans})


def _number(present: dict[str, int]) -> Verdict:
    if AMBIGUOUS_DECIMAL in present and not present.keys() & {"decimal", LONG_INTEGER}:
        return _text(
            "ambiguous_number",
            "Every value with a point has three digits after it: decimals and thousands look "
            "the same.",
            [AMBIGUOUS_DECIMAL],
        )
    is_integer = present.keys() <= {"integer", LONG_INTEGER}
    return Verdict("number", "integer" if is_integer else "decimal")


def _boolean(styles: list[str]) -> Verdict:
    if len(styles) == 1:
        style = styles[0].removeprefix(BOOLEAN)
        return Verdict("boolean", format=STYLES.get(style, "true, false"))
    return _text(
        "mixed_spelling",
        "Truth values are spelled in several ways, which would be lost.",
        sorted(styles),
    )


def _date(names: list[str]) -> Verdict:
    possible = formats(names)
    if len(possible) == 1:
        (date,) = possible
        return Verdict("date", "datetime" if date.time else "date", date.pattern)
    if possible:
        patterns = [date.pattern for date in possible]
        explanation = f"Every value can be read as {' and as '.join(patterns)}."
        return replace(_text("ambiguous_date", explanation, sorted(names)), readings=patterns)
    return _text("mixed_dates", "The dates are not all written in the same way.", sorted(names))


def _mixed(present: dict[str, int], kinds: dict[str, list[str]]) -> Verdict:
    kind, names = max(kinds.items(), key=lambda item: sum(present[name] for name in item[1]))
    others = [name for name in present if name not in names]
    others.sort(key=lambda name: (present[name], name))
    if names:
        of_kind = sum(present[name] for name in names)
        not_of_kind = sum(present.values()) - of_kind
        return _text(
            f"not_every_value_is_a_{kind}",
            f"{of_kind} values could be a {kind}, {not_of_kind} could not.",
            others,
        )
    if others == ["text"]:
        return _text("text", "No value is a number, a date or a truth value.")
    odd = [name for name in others if name != "text"]
    main = odd[-1]
    return _text(main, f"It holds a value that {WHY.get(main, 'is text')}.", odd)


def _text(reason: str, explanation: str, against: Sequence[str] = ()) -> Verdict:
    return Verdict("text", reason=reason, explanation=explanation, against=list(against))


def why(name: str) -> str:
    """Return the reason of a class, as the end of a sentence about a value."""
    if name in WHY:
        return WHY[name]
    if name.startswith(PREFIX):
        _, orders, _, time = name.removeprefix(PREFIX).split(":", 3)
        possible = " or ".join(orders.split("|"))
        with_time = " with a time" if time else ""
        return f"is a date{with_time}, to be read as {possible}"
    if name.startswith(BOOLEAN):
        spelling = STYLES.get(name.removeprefix(BOOLEAN), "true, false")
        return f"is spelled like {spelling}"
    return "is a number"
