"""What a cell says: a number, a moment, or a text. A number with leading zeros is a text, since it
is a code; a moment is ISO 8601.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

Number = int | float | Decimal
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_SIMPLE_NUMBERS = re.compile(r"(?:-?(?:0|[1-9][0-9]{0,8})(?:\.[0-9]{1,5})?\n)*")
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
MOST_FLOAT_CHARACTERS = 15
"""A float keeps this many digits."""
MOST_INT_CHARACTERS = 300


def number_of(text: str) -> Number | None:
    """Return the number that a text says, exactly up to its 15th digit at least; None if it says
    none.
    """
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    has_fraction, has_exponent = match[1] is not None, match[2] is not None
    if not has_fraction and not has_exponent and len(text) <= MOST_INT_CHARACTERS:
        return int(text)
    if not has_exponent and len(text.rstrip("0")) <= MOST_FLOAT_CHARACTERS:
        return float(text)
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent that no machine can hold
        return None


def with_point(text: str) -> str:
    """Return a number with a decimal comma with a point; any other text as it is."""
    return text.replace(",", ".") if text.count(",") == 1 and "." not in text else text


def numbers_of(cells: list[str]) -> list[Number] | None:
    """Return the numbers of the cells, none of which is empty; None if one is no number."""
    joined = "\n".join(cells) + "\n"
    if _SIMPLE_NUMBERS.fullmatch(joined) and joined.count("\n") == len(cells):
        return list(map(float, cells))
    numbers = [number_of(cell) for cell in cells]
    known = [number for number in numbers if number is not None]
    return known if len(known) == len(numbers) else None


def moment_of(text: str) -> datetime | None:
    """Return the moment that a text says, without its offset: in UTC if it has one. A date is its
    first moment.
    """
    if _MOMENT.fullmatch(text) is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:  # the 30th of February
        return None
    if moment.tzinfo is None:
        return moment
    try:
        return moment.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        return None
