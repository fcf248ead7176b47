"""Types of values in a transform. Pure: nothing here needs pyarrow."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Type:
    """Type of a value. `scale` is the number of decimals, of `decimal` alone."""

    name: str
    scale: int = 0

    @property
    def is_number(self) -> bool:
        return self.name in ("integer", "number", "decimal")

    @property
    def is_moment(self) -> bool:
        return self.name in ("date", "datetime", "instant")

    def __str__(self) -> str:
        return f"decimal with {self.scale} decimals" if self.name == "decimal" else self.name


TEXT, INTEGER, NUMBER, BOOLEAN = Type("text"), Type("integer"), Type("number"), Type("boolean")
DATE, DATETIME, INSTANT, NULL = Type("date"), Type("datetime"), Type("instant"), Type("null")

MAX_DIGITS = 38
MAX_SCALE = 18
DIVISION_DECIMALS = 18
PARQUET_NUMBER_SCALE = 9


def a(type_: Type) -> str:
    """Return the type with its article."""
    if type_ == TEXT:
        return "text"
    article = "an" if type_.name[0] in "aeiou" else "a"
    return f"{article} {type_}"


def common(left: Type, right: Type) -> Type | None:
    """Return the type that can hold both, or None."""
    if left == right or right == NULL:
        return left
    if left == NULL:
        return right
    if left.is_number and right.is_number:
        return NUMBER
    return None


# ---------------------------------------------------------------------- formats of dates

DIRECTIVES: dict[str, tuple[str, int]] = {
    "%Y": ("year", 4),
    "%m": ("month", 2),
    "%d": ("day", 2),
    "%H": ("hour", 2),
    "%M": ("minute", 2),
    "%S": ("second", 2),
    "%f": ("fraction", 6),
    "%-d": ("day", 0),
    "%-m": ("month", 0),
    "%-H": ("hour", 0),
    "%b": ("month", 0),
    "%B": ("month", 0),
    "%I": ("hour12", 2),
    "%p": ("half", 0),
    "%z": ("zone", 0),
    "%%": ("percent", 1),
}
"""Part of a date and number of digits of each directive; 0 digits if that varies. Fractions are
written with 6, and read with 1 to 9.
"""

_PART = re.compile(r"%-?.|[^%]+|%")


class BadFormat(ValueError):
    """A date format cannot be used, for this reason."""


def parts_of_format(pattern: str) -> list[str]:
    """Return the directives and the texts between them; raises BadFormat."""
    parts = _PART.findall(pattern)
    for part in parts:
        if part.startswith("%") and part not in DIRECTIVES:
            directives = " ".join(sorted(DIRECTIVES))
            raise BadFormat(
                f"The date format has the directive {part[:10]!r}; there are {directives}."
            )
    names = [DIRECTIVES[part][0] for part in parts if part in DIRECTIVES and part != "%%"]
    if len(set(names)) != len(names):
        raise BadFormat("The date format has the same part twice.")
    return parts


def type_of_format(pattern: str, *, reading: bool) -> Type:
    """Return date, datetime, or instant (a time with its offset from UTC); raises BadFormat if the
    format does not name a whole day.
    """
    names = {DIRECTIVES[part][0] for part in parts_of_format(pattern) if part in DIRECTIVES}
    if reading:
        if missing := {"year", "month", "day"} - names:
            raise BadFormat(f"The date format lacks the {' or '.join(sorted(missing))}.")
        if ("hour12" in names) != ("half" in names) or ("hour12" in names and "hour" in names):
            raise BadFormat("A date format must have %H, or %I with %p.")
    clock = {"hour", "hour12", "minute", "second", "fraction", "half", "zone"} & names
    if clock and reading and not {"hour", "hour12"} & names:
        raise BadFormat("A date format with a time must have the hour.")
    if "zone" in names:
        return INSTANT
    return DATETIME if clock else DATE
