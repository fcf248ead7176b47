"""Dates in an explicit format, matched exactly: digits in the widths of the format, days that exist,
nothing around.

numpy handles formats of fixed width for a whole column. Other formats are read and written once for
each distinct value.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from app.features.transform.types import (
    DATE,
    DATETIME,
    DIRECTIVES,
    INSTANT,
    Type,
    parts_of_format,
    type_of_format,
)

Mask = npt.NDArray[np.bool_]
Digits = npt.NDArray[np.uint8]
MONTHS = tuple(
    "January February March April May June July August September October November December".split()
)
ARROW = {DATE: pa.date32(), DATETIME: pa.timestamp("us"), INSTANT: pa.timestamp("us", "UTC")}
ISO = {DATE: "%Y-%m-%d", DATETIME: "%Y-%m-%dT%H:%M:%S", INSTANT: "%Y-%m-%dT%H:%M:%S"}
_RANGES = {
    "month": (1, 12),
    "hour": (0, 23),
    "minute": (0, 59),
    "second": (0, 59),
    "year": (1, 9999),
}
_EPOCH = datetime(1970, 1, 1)


def _fixed(pattern: str) -> list[str] | None:
    """Return the parts of a format of fixed width; None for other formats."""
    parts = parts_of_format(pattern)
    fixed = all(not part.startswith("%") or DIRECTIVES[part][1] for part in parts)
    return parts if fixed and pattern.isascii() else None


def parse(texts: pa.StringArray, pattern: str) -> tuple[pa.Array, Mask]:
    """Return (values of the format's type, mask of texts that are no such values); nulls stay
    nulls.
    """
    kind = type_of_format(pattern, reading=True)
    parts = _fixed(pattern)
    has_value = np.asarray(texts.is_valid())
    moments, good = _parse_fixed(texts, parts) if parts else _parse_each(texts, pattern)
    if parts and "%f" in parts:  # has a fixed width only when written
        rest = np.flatnonzero(has_value & ~good)
        if len(rest):
            moments[rest], good[rest] = _parse_each(texts.take(pa.array(rest)), pattern)
    bad = has_value & ~good
    unit = "D" if kind == DATE else "us"
    values = moments.astype(f"M8[{unit}]")
    return pa.array(values, ARROW[kind], mask=~good), bad


def _parse_fixed(
    texts: pa.StringArray, parts: list[str]
) -> tuple[npt.NDArray[np.datetime64], Mask]:
    widths = [DIRECTIVES[part][1] if part.startswith("%") else len(part) for part in parts]
    width = sum(widths)
    good = np.asarray(pc.fill_null(pc.equal(pc.binary_length(texts), width), False))
    rows = np.flatnonzero(good)
    moments = np.zeros(len(texts), "M8[us]")
    if not len(rows):
        return moments, good
    chosen = texts if len(rows) == len(texts) else texts.take(pa.array(rows))
    offsets = np.frombuffer(chosen.buffers()[1], np.int32)[chosen.offset : chosen.offset + 2]
    data = np.frombuffer(chosen.buffers()[2], np.uint8)
    matrix = data[offsets[0] : offsets[0] + width * len(rows)].reshape(-1, width)
    fits = np.ones(len(rows), bool)
    fields_: dict[str, npt.NDArray[np.int64]] = {}
    at = 0
    for part, size in zip(parts, widths, strict=True):
        piece = matrix[:, at : at + size]
        at += size
        name = DIRECTIVES[part][0] if part.startswith("%") else ""
        if not name or name == "percent":
            between = np.frombuffer(_literal_of(part).encode(), np.uint8)
            fits &= (piece == between).all(axis=1)
            continue
        number = np.zeros(len(rows), np.int64)
        for column in range(size):
            digit = piece[:, column] - np.uint8(48)
            fits &= digit <= 9
            number = number * 10 + digit
        fields_[name] = number
    for name, (low, high) in _RANGES.items():
        if name in fields_:
            fits &= (fields_[name] >= low) & (fields_[name] <= high)
    safe = {name: np.where(fits, number, 1) for name, number in fields_.items()}
    months = (safe["year"] - 1970).astype("M8[Y]").astype("M8[M]") + (safe["month"] - 1)
    days = months.astype("M8[D]")
    last = ((months + 1).astype("M8[D]") - days).astype(np.int64)
    fits &= (safe["day"] >= 1) & (safe["day"] <= last)
    zero = np.int64(0)
    minutes = safe.get("hour", zero) * 60 + safe.get("minute", zero)
    seconds = minutes * 60 + safe.get("second", zero)
    micros = seconds * 1_000_000 + safe.get("fraction", zero)
    moments[rows] = (days + (safe["day"] - 1)).astype("M8[us]") + micros
    good[rows] = fits
    return moments, good


def _literal_of(part: str) -> str:
    """Return the text between directives, of which `%%` is one."""
    return "%" if part == "%%" else part


def _parse_each(texts: pa.StringArray, pattern: str) -> tuple[npt.NDArray[np.datetime64], Mask]:
    read = _reader(pattern)
    coded = texts.dictionary_encode()
    moments = [read(text) for text in coded.dictionary.to_pylist()]
    values = np.array([moment or _EPOCH for moment in moments] or [_EPOCH], "M8[us]")
    is_date = np.array([moment is not None for moment in moments] or [False], bool)
    places = pc.fill_null(coded.indices, 0).to_numpy(zero_copy_only=False)
    return values[places], is_date[places] & np.asarray(texts.is_valid())


@lru_cache(64)
def _reader(pattern: str) -> Any:
    """Make a reader from a text to a datetime without a zone (in UTC, if it had one), or None."""
    short = "|".join(name[:3] for name in MONTHS)
    shapes = {
        "%-d": "[1-9]|[12][0-9]|3[01]",
        "%-m": "[1-9]|1[0-2]",
        "%-H": "[0-9]|1[0-9]|2[0-3]",
        "%b": short,
        "%B": "|".join(MONTHS),
        "%p": "AM|PM|am|pm",
        "%z": r"Z|[+-][0-9]{2}(?::?[0-9]{2})?",
        "%f": "[0-9]{1,9}",
    }
    expression = ""
    for part in parts_of_format(pattern):
        if part == "%%" or not part.startswith("%"):
            expression += re.escape(part.replace("%%", "%"))
        else:
            name, width = DIRECTIVES[part]
            shape = shapes.get(part, f"[0-9]{{{width}}}")
            expression += f"(?P<{name}>{shape})"
    match_whole = re.compile(expression).fullmatch
    month_names = [name[:3] if "%b" in pattern else name for name in MONTHS]

    def read(text: str | None) -> datetime | None:
        match = match_whole(text) if text is not None else None
        if match is None:
            return None
        parts = match.groupdict()
        month = parts["month"]
        if month.isalpha():
            month = month_names.index(month) + 1
        hour = int(parts.get("hour") or 0)
        if "hour12" in parts:
            hour = int(parts["hour12"])
            if not 1 <= hour <= 12:
                return None
            hour %= 12
            if parts["half"].lower() == "pm":
                hour += 12
        fraction = (parts.get("fraction") or "0").ljust(6, "0")
        if fraction[6:].strip("0"):
            return None  # a fraction finer than a microsecond would be cut
        try:
            moment = datetime(
                int(parts["year"]),
                int(month),
                int(parts["day"]),
                hour,
                int(parts.get("minute") or 0),
                int(parts.get("second") or 0),
                int(fraction[:6]),
            )
            return moment - _offset(parts.get("zone"))
        except (ValueError, OverflowError):
            return None

    return read


def _offset(zone: str | None) -> timedelta:
    if zone in (None, "Z"):
        return timedelta()
    assert zone is not None
    digits = zone[1:].replace(":", "").ljust(4, "0")
    if int(digits[:2]) > 23 or int(digits[2:]) > 59:
        raise ValueError(zone)
    size = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return size if zone[0] == "+" else -size


# ---------------------------------------------------------------------- writing


def write(moments: pa.Array, pattern: str) -> pa.StringArray:
    """Write times in this format; nulls stay nulls. Parts that the format does not name are not
    written.
    """
    parts = _fixed(pattern)
    values = _moments(moments)
    mask = ~np.asarray(moments.is_valid())
    if parts is None:
        unique, places = np.unique(values, return_inverse=True)
        texts = [_written(moment, pattern) for moment in unique.astype("M8[us]").tolist()]
        return pa.array(np.array(texts or [""], object)[places], pa.string(), mask=mask)
    return _write_fixed(values, parts, mask)


def to_iso(moments: pa.Array, kind: Type) -> pa.StringArray:
    """Write `2026-01-31`, `2026-01-31T10:00:00`, `...T10:00:00.250000` where there is a fraction,
    `...Z` for instants.
    """
    texts = write(moments, ISO[kind])
    if kind == DATE:
        return texts
    micros = _moments(moments).astype(np.int64) % 1_000_000
    if micros.any():
        texts = pc.if_else(pa.array(micros != 0), write(moments, ISO[kind] + ".%f"), texts)
    return pc.binary_join_element_wise(texts, "Z", "") if kind == INSTANT else texts


def _moments(moments: pa.Array) -> npt.NDArray[np.datetime64]:
    unit, kind = "M8[us]", pa.int64()
    if pa.types.is_date32(moments.type):
        unit, kind = "M8[D]", pa.int32()
    numbers = pc.fill_null(moments.view(kind), 0).to_numpy(zero_copy_only=False)
    in_numpy: npt.NDArray[np.datetime64] = numbers.astype(np.int64).view(unit)
    return in_numpy


def fields(moments: pa.Array) -> dict[str, npt.NDArray[np.int64]]:
    """Return year, month, day, hour, minute, second and fraction (microseconds) of each; for nulls
    those of 1970.
    """
    return _fields(_moments(moments))


def _fields(values: npt.NDArray[np.datetime64]) -> dict[str, npt.NDArray[np.int64]]:
    days = values.astype("M8[D]")
    months, years = days.astype("M8[M]"), days.astype("M8[Y]")
    micros = (values.astype("M8[us]") - days.astype("M8[us]")).astype(np.int64)
    seconds = micros // 1_000_000
    return {
        "year": years.astype(np.int64) + 1970,
        "month": (months - years.astype("M8[M]")).astype(np.int64) + 1,
        "day": (days - months.astype("M8[D]")).astype(np.int64) + 1,
        "hour": seconds // 3600,
        "minute": seconds // 60 % 60,
        "second": seconds % 60,
        "fraction": micros % 1_000_000,
    }


def _write_fixed(
    values: npt.NDArray[np.datetime64], parts: list[str], mask: Mask
) -> pa.StringArray:
    widths = [DIRECTIVES[part][1] if part.startswith("%") else len(part) for part in parts]
    width, count = sum(widths), len(values)
    matrix: Digits = np.empty((count, width), np.uint8)
    field_values = _fields(values)
    at = 0
    for part, size in zip(parts, widths, strict=True):
        name = DIRECTIVES[part][0] if part.startswith("%") else ""
        if not name or name == "percent":
            matrix[:, at : at + size] = np.frombuffer(_literal_of(part).encode(), np.uint8)
        else:
            rest = field_values[name]
            if name == "hour12":
                rest = (rest + 11) % 12 + 1
            for column in range(at + size - 1, at - 1, -1):
                rest, digit = np.divmod(rest, 10)
                matrix[:, column] = digit + 48
        at += size
    offsets = (np.arange(count + 1, dtype=np.int64) * width).astype(np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(matrix.tobytes())]
    texts = pa.Array.from_buffers(pa.string(), count, buffers)
    if not mask.any():
        return texts
    return pc.if_else(pa.array(mask), pa.scalar(None, pa.string()), texts)


def _written(moment: Any, pattern: str) -> str:
    at = moment if isinstance(moment, datetime) else datetime(moment.year, moment.month, moment.day)
    known = {
        "%Y": f"{at.year:04}",
        "%m": f"{at.month:02}",
        "%d": f"{at.day:02}",
        "%H": f"{at.hour:02}",
        "%M": f"{at.minute:02}",
        "%S": f"{at.second:02}",
        "%f": f"{at.microsecond:06}",
        "%-d": str(at.day),
        "%-m": str(at.month),
        "%-H": str(at.hour),
        "%b": MONTHS[at.month - 1][:3],
        "%B": MONTHS[at.month - 1],
        "%I": f"{(at.hour + 11) % 12 + 1:02}",
        "%p": "PM" if at.hour >= 12 else "AM",
        "%z": "+00:00",
        "%%": "%",
    }
    return "".join(known.get(part, part) for part in parts_of_format(pattern))
