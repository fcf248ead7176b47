"""Values of cells as text: numbers as they are stored, dates and times by ISO 8601."""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from enum import Enum
from functools import lru_cache
from math import isfinite

EXACT_DIGITS = 15
"""Number of digits that spreadsheets keep of a number that is typed."""
PLAIN_NUMBER = re.compile(r"(?=.{1,16}\Z)(?!-0\Z)-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]*[1-9])?")
NUMBER = re.compile(r"\s*[+-]?(?P<digits>[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,5})?\s*")
MOST_ZEROS = 20
"""Maximum number of zeros before or after the digits; a number with more has an exponent."""
DAY_MS = 86_400_000
LAST_DAY = 2_958_465
"""31 December 9999 in days from the epoch of 1900."""
DAYS_1904 = 1_462
"""Days between the epochs of 1900 and 1904."""

BUILT_IN_DATES = {
    **dict.fromkeys((14, 15, 16, 17, *range(27, 32), 36, *range(50, 55), 57, 58), "yyyy-mm-dd"),
    **dict.fromkeys((18, 19, 20, 21, 32, 33, 34, 35, 55, 56), "hh:mm:ss"),
    22: "yyyy-mm-dd hh:mm",
    45: "mm:ss",
    46: "[h]:mm:ss",
    47: "mm:ss.0",
}
"""Formats that files name only by a number; those from 27 on are of East Asian languages."""
LITERAL = re.compile(r'"[^"]*"?|\\.|_.|\*.')
BRACKETS = re.compile(r"\[([^\]]*)\]")


class Kind(Enum):
    """Meaning of a number according to its format."""

    NUMBER = "number"
    DATE = "date"
    DATE_TIME = "date and time"
    TIME = "time of day"
    ELAPSED = "duration"


def kind_of(code: str) -> Kind:
    """Return the meaning of a number with this format. The first section of a format is that of
    positive numbers.
    """
    section = LITERAL.sub("", code).partition(";")[0].lower()
    for inside in BRACKETS.findall(section):
        if inside and set(inside) in ({"h"}, {"m"}, {"s"}):
            return Kind.ELAPSED
    letters = BRACKETS.sub("", section).replace("am/pm", "h").replace("a/p", "h")
    if "general" in letters:
        return Kind.NUMBER
    has_time = "h" in letters or "s" in letters
    has_date = "y" in letters or "d" in letters or ("m" in letters and not has_time)
    if has_date:
        return Kind.DATE_TIME if has_time else Kind.DATE
    return Kind.TIME if has_time else Kind.NUMBER


def number(text: str) -> str:
    """Return a number as it is stored, without an exponent as long as that is short; of a binary
    fraction the shortest text: `0.1` for `0.10000000000000001`. Raises ValueError if it is no
    number.
    """
    if PLAIN_NUMBER.fullmatch(text):
        return text
    parsed = NUMBER.fullmatch(text)
    if parsed is None:
        raise ValueError(text)
    digits = parsed["digits"].replace(".", "").lstrip("0")
    # More digits than those of any binary fraction come from programs that write decimals.
    value = float(text)
    is_binary = len(digits) <= 17 and isfinite(value) and (value or not digits)
    exact = repr(value) if is_binary else text
    if exact.endswith(".0"):
        exact = exact[:-2]
    if "e" in exact or "E" in exact or exact == "-0":
        return _without_exponent(Decimal(exact).normalize())
    return exact


def _without_exponent(value: Decimal) -> str:
    """Return the number without an exponent unless that would be long."""
    exponent = value.adjusted()
    if exponent > MOST_ZEROS + EXACT_DIGITS or exponent < -MOST_ZEROS:
        return f"{value:e}".replace("e+", "e")
    return f"{value:f}" if value else "0"


def is_rounded(text: str) -> bool:
    """Return whether a number is whole and has more digits than spreadsheets keep, so that it may
    not be the number that was typed.
    """
    return len(text.lstrip("-")) > EXACT_DIGITS and text.lstrip("-").isdigit()


@lru_cache(maxsize=10_000)
def moment(text: str, kind: Kind, is_1904: bool) -> str:
    """Return the date or time that a number stands for. A number that stands for none stays a
    number.
    """
    try:
        milliseconds = int((Decimal(text) * DAY_MS).to_integral_value())
    except (InvalidOperation, ValueError):
        raise ValueError(text) from None
    days, rest = divmod(milliseconds, DAY_MS)
    if kind is Kind.ELAPSED:
        return ("-" if milliseconds < 0 else "") + _clock(abs(milliseconds))
    if milliseconds < 0 or days > LAST_DAY - is_1904 * DAYS_1904:
        return number(text)
    if days == 0 and (kind is Kind.TIME or not is_1904) and (rest or kind is Kind.TIME):
        return _clock(rest)
    day = _day(days, is_1904)
    if kind is Kind.DATE and not rest:
        return day
    return f"{day}T{_clock(rest)}"


def _day(days: int, is_1904: bool) -> str:
    if is_1904:
        return (date(1904, 1, 1) + timedelta(days)).isoformat()
    if days == 60:  # Lotus 1-2-3 took 1900 for a leap year, and all others after it
        return "1900-02-29"
    if days == 0:
        return "1900-01-00"
    return (date(1899, 12, 31 if days < 60 else 30) + timedelta(days)).isoformat()


def _clock(milliseconds: int) -> str:
    """Return hours, minutes and seconds, and milliseconds if there are any."""
    seconds, rest = divmod(milliseconds, 1000)
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{text}.{rest:03}" if rest else text
