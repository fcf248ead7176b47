"""Strict validators: values are read as in docs/values.md. Pydantic alone reads digits as Unix
time, `1_000` as a number and `on` as true, also in its strict mode; a check of the raw value
precedes each of its types here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any, LiteralString

from pydantic import TypeAdapter
from pydantic_core import CoreSchema, PydanticCustomError, SchemaValidator

WHOLE = re.compile(r"0|-?[1-9][0-9]*", re.ASCII)
DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?", re.ASCII)
FLOAT = re.compile(DECIMAL.pattern + r"(?:[eE][+-]?[0-9]+)?", re.ASCII)
TRUTH = frozenset(("true", "True", "TRUE", "false", "False", "FALSE"))
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
MINUTES = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
CLOCK = (
    rf"({MINUTES})(?::([0-5][0-9])(?:[.,]([0-9]+))?)?(?:(Z)|([+-][0-9]{{2}})(?::?([0-9]{{2}}))?)?"
)
TIME = re.compile(CLOCK, re.ASCII)
DATETIME = re.compile(rf"({DATE.pattern})(?:[T ]{CLOCK})?", re.ASCII)
DURATION = re.compile(
    r"[+-]?(?:P[0-9A-Z.,]+|(?:[0-9]+ days?,? )?[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?)",
    re.ASCII,
)
FRACTION = re.compile(r"[.,]([0-9]+)", re.ASCII)
MICROSECOND_DIGITS = 6
EDGES = ("0001-01-01", "9999-12-31")
"""Days on which a time may fall outside of years 1 to 9999 once it is in UTC."""

NOT_SCHEMAS = frozenset(
    ("metadata", "default", "serialization", "expected", "members", "cls", "config")
)


class Number(float):
    """A JSON number with a point or an exponent, with its raw text."""

    text: str

    def __new__(cls, text: str) -> Number:
        number = super().__new__(cls, text)
        number.text = text
        return number


@cache
def strict_validator(kind: Any, *, of_cells: bool) -> SchemaValidator:
    """Return a validator like Pydantic's own for this type, with the checks before it.

    With `of_cells`, every value is text. In JSON a strict model accepts no quoted numbers; decoded
    JSON must have its numbers as `Number`.
    """
    schema: CoreSchema = _checked(TypeAdapter(kind).core_schema, of_cells, is_strict=False)
    # the models' own validators lack the checks
    return SchemaValidator(schema, None, _use_prebuilt=False)


def _checked(node: Any, of_cells: bool, is_strict: bool) -> Any:
    if isinstance(node, list | tuple):
        return type(node)(_checked(value, of_cells, is_strict) for value in node)
    if not isinstance(node, dict):
        return node
    kind = node.get("type")
    if not isinstance(kind, str):  # schemas by field name
        return {name: _checked(value, of_cells, is_strict) for name, value in node.items()}
    is_strict = node.get("strict", node.get("config", {}).get("strict", is_strict))
    copied = {
        name: value if name in NOT_SCHEMAS else _checked(value, of_cells, is_strict)
        for name, value in node.items()
    }
    has_own_types = is_strict and not of_cells  # strict JSON: a quoted number is not a number
    if has_own_types and kind in ("int", "bool"):
        return copied
    check = _CHECKS.get(node.get("sub_type", "") if kind == "enum" else kind)
    if check is None:
        return copied
    if has_own_types and kind == "enum" and check is _int:
        check = _unquoted_int
    if not (has_own_types and kind == "float"):
        copied["strict"] = False  # the check accepts only what a strict type would
    # the name that other schemas refer to
    outer = {"ref": copied.pop("ref")} if "ref" in copied else {}
    return {
        "type": "function-before",
        "function": {"type": "no-info", "function": check},
        "schema": copied,
        **outer,
    }


# ---------------------------------------------------------------------- numbers


def _int(value: Any) -> Any:
    if isinstance(value, bool | float) or (isinstance(value, str) and not WHOLE.fullmatch(value)):
        raise PydanticCustomError("whole_number", "must be a whole number, written in digits only")
    return value


def _unquoted_int(value: Any) -> Any:
    return _int(float("nan") if isinstance(value, str) else value)


def _decimal(value: Any) -> Any:
    if isinstance(value, Number):
        return value.text
    if isinstance(value, bool) or (isinstance(value, str) and not DECIMAL.fullmatch(value)):
        raise PydanticCustomError(
            "decimal_number", "must be a number, written in digits with a point before decimals"
        )
    return value


def _float(value: Any) -> Any:
    if isinstance(value, bool) or (isinstance(value, str) and not FLOAT.fullmatch(value)):
        raise PydanticCustomError(
            "number", "must be a number, written in digits with a point before decimals"
        )
    text = value.text if isinstance(value, Number) else value
    if isinstance(text, str | int) and not _fits_double(text):
        raise PydanticCustomError(
            "number_not_exact", "has more digits than a number of the type float keeps"
        )
    return float(value) if isinstance(value, Number) else value


def _fits_double(number: str | int) -> bool:
    try:
        double = float(number)
    except OverflowError:
        return False
    return math.isfinite(double) and Decimal(number) == Decimal(repr(double))


def _bool(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number or (isinstance(value, str) and value not in TRUTH):
        raise PydanticCustomError("truth_value", "must be true or false")
    return value


# ---------------------------------------------------------------------- times


def datetime_text(value: Any) -> Any:
    """Return a text in one of the accepted forms for Pydantic; raises PydanticCustomError."""
    match = _matched(
        DATETIME, value, "datetime", "must be a date and a time like 2026-01-05T10:00:00Z"
    )
    if match is None:
        return value
    day, *clock = match.groups()
    text = f"{day}T{_clock(clock)}" if clock[0] else f"{day}T00:00:00"
    if day in EDGES:
        _in_range(text)
    return text


def _in_range(text: str) -> None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return  # Pydantic reports the error
    try:
        moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError(
            "datetime_range", "must be within the years 1 to 9999 in UTC"
        ) from None


def _date(value: Any) -> Any:
    _matched(DATE, value, "date", "must be a date like 2026-01-05")
    return value


def _time(value: Any) -> Any:
    match = _matched(TIME, value, "time", "must be a time like 10:00:00")
    return value if match is None else _clock(match.groups())


def _timedelta(value: Any) -> Any:
    if _matched(DURATION, value, "duration", "must be a duration like PT1H30M or 01:30:00") is None:
        return value
    for fraction in FRACTION.findall(value):
        _microseconds(fraction)
    return value


def _matched(
    pattern: re.Pattern[str], value: Any, code: LiteralString, message: LiteralString
) -> re.Match[str] | None:
    """Return None for a value that the model's own validator has produced. Numbers are not times:
    their unit would be unknown.
    """
    match = pattern.fullmatch(value) if isinstance(value, str) else None
    if match is None and isinstance(value, str | int | float | Decimal | bytes):
        raise PydanticCustomError(code, message)
    return match


def _clock(parts: Any) -> str:
    """Return hh:mm:ss with fraction and offset in Pydantic's form."""
    minutes, seconds, fraction, zulu, hours_east, minutes_east = parts
    text = f"{minutes}:{seconds or '00'}"
    if fraction:
        text += f".{_microseconds(fraction)}"
    return text + (zulu or "" if hours_east is None else f"{hours_east}:{minutes_east or '00'}")


def _microseconds(fraction: str) -> str:
    if fraction[MICROSECOND_DIGITS:].strip("0"):
        raise PydanticCustomError("too_precise", "has parts that are finer than a microsecond")
    return fraction[:MICROSECOND_DIGITS]


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "int": _int,
    "decimal": _decimal,
    "float": _float,
    "bool": _bool,
    "datetime": datetime_text,
    "date": _date,
    "time": _time,
    "timedelta": _timedelta,
}
