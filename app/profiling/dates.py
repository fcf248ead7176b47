"""Dates: which orders of day, month and year fit a value, and which of them fit every value of a
column.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from app.profiling.sketches import layout

PREFIX = "date:"
_TIME = r"([T ])(99:99(?::99(?:\.9{1,9})?)?)(Z|[+-]99(?::?99)?)?"
_DAY = re.compile(rf"^(9{{1,4}})([-/.])(9{{1,2}})\2(9{{1,4}})(?:{_TIME})?$")
"""Pattern of a date whose digits are all written as 9."""
ORDERS = {"ymd": "%Y{0}%m{0}%d", "dmy": "%d{0}%m{0}%Y", "mdy": "%m{0}%d{0}%Y"}
FRACTION_DIGITS = 6
NO_BITS = -1
_SHAPE = bytes(0x39 if 48 <= code <= 57 else code for code in range(256))


@dataclass(frozen=True, slots=True)
class Format:
    """One way to read and write dates."""

    separator: str
    order: str
    padded: bool
    time: str
    """Shape of the part after the day: `T99:99:99Z`; empty for a date alone."""

    @property
    def pattern(self) -> str:
        """Return the pattern of strftime, with `%-d` for a day without a leading zero."""
        day = ORDERS[self.order].format(self.separator)
        if not self.padded:
            day = day.replace("%d", "%-d").replace("%m", "%-m")
        if not self.time:
            return day
        joint, clock = self.time[0], self.time[1:]
        clock, offset, _ = clock.partition("±")
        zone = "%z" if offset else ""
        if clock.endswith("Z"):
            clock, zone = clock.rstrip("Z"), "Z"
        seconds = ":%S" if clock.count(":") == 2 else ""
        fraction = ".%f" if "." in clock else ""
        return f"{day}{joint}%H:%M{seconds}{fraction}{zone}"


def classify_dates(values: pa.StringArray) -> dict[str, npt.NDArray[np.int64]]:
    """Return the places of the values of each class: `date:separator:orders that fit:paddings that
    fit:time`, `invalid_date`, `date_unknown` or `date_too_fine`. A value that is no date is in
    none.
    """
    data, offsets = layout(values)
    lengths = np.diff(offsets)
    by_class: dict[str, list[npt.NDArray[np.int64]]] = {}
    for length in np.unique(lengths).tolist():
        places = np.flatnonzero(lengths == length)
        matrix = data[offsets[places][:, None] + np.arange(length)]
        shapes = np.frombuffer(matrix.tobytes().translate(_SHAPE), f"S{length}")
        # Most columns are written in one way, and sorting shapes takes long.
        kinds = shapes[:1] if (shapes == shapes[0]).all() else np.unique(shapes)
        for shape in kinds.tolist():
            rows = np.flatnonzero(shapes == shape)
            for name, here in _of_shape(shape.decode("latin-1"), matrix[rows]):
                by_class.setdefault(name, []).append(places[rows[here]])
    return {name: np.concatenate(parts) for name, parts in by_class.items()}


def _of_shape(
    shape: str, digits: npt.NDArray[np.uint8]
) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    """Yield the classes of values that differ in their digits only, and which values have each
    class.
    """
    match = _DAY.match(shape)
    if match is None:
        return
    left, separator, _, right, joint, time, zone = match.groups()
    places = (match.span(1), match.span(3), match.span(4))
    left_part, middle_part, right_part = (_number(digits[:, slice(*place)]) for place in places)
    if len(left) == 4 and len(right) <= 2:
        orders = {"ymd": (left_part, middle_part, right_part)}
        short = (places[1], places[2])
    elif len(right) == 4 and len(left) <= 2:
        orders = {
            "dmy": (right_part, middle_part, left_part),
            "mdy": (right_part, left_part, middle_part),
        }
        short = (places[0], places[1])
    elif len(right) == 2:
        yield "date_unknown", np.ones(len(digits), bool)
        return
    else:
        return  # a version, a telephone number, ...
    fits = {name: _is_day(*fields) for name, fields in orders.items()}
    on_clock = np.ones(len(digits), bool)
    clock = digits[:, slice(*match.span(6))]
    if time:
        on_clock &= _is_clock(time, clock)
    if zone and zone != "Z":
        on_clock &= _is_zone(digits[:, match.start(7) + 1 : match.end(7)])
        # The time in UTC must also have a year of four digits.
        for name, (year, _, _) in orders.items():
            fits[name] &= (year > 1) & (year < 9999)
    padded, unpadded = np.ones(len(digits), bool), np.ones(len(digits), bool)
    for start, end in short:
        padded &= end - start == 2
        unpadded &= (end - start == 1) | (digits[:, start] != ord("0"))
    suffix = f"{joint}{time}{_sign(zone)}" if joint else ""
    weights = {name: 1 << i for i, name in enumerate([*orders, "p", "u"])}
    bits = weights["p"] * padded + weights["u"] * unpadded
    for name, fit in fits.items():
        bits += weights[name] * fit
    bits = np.where(on_clock, bits, 0)
    too_fine = _is_too_fine(time, clock) & (bits > 0)
    if too_fine.any():
        yield "date_too_fine", too_fine
        bits = np.where(too_fine, NO_BITS, bits)
    for value in np.unique(bits[bits != NO_BITS]).tolist():
        names = "|".join(name for name in orders if value & weights[name])
        paddings = "".join(name for name in "pu" if value & weights[name])
        key = f"{PREFIX}{separator}:{names}:{paddings}:{suffix}" if paddings else "date_unknown"
        yield key if names else "invalid_date", bits == value


def _sign(zone: str | None) -> str:
    return re.sub(r"[+-]", "±", zone or "")


def _number(digits: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    value = np.zeros(len(digits), np.int64)
    for column in digits.T:
        value = value * 10 + (column.astype(np.int64) - 48)
    return value


def _last_days(year: int) -> list[int]:
    """Return the last day of each month; 0 for month 0, which no date has."""
    return [0, *(monthrange(year, month)[1] for month in range(1, 13))]


_LAST_DAY = np.array([_last_days(2001), _last_days(2004)])
"""Last days of the months of a common year and of a leap year. Shape (2, 13)."""


def _is_day(
    year: npt.NDArray[np.int64], month: npt.NDArray[np.int64], day: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    is_leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    in_year = (month >= 1) & (month <= 12) & (year >= 1)
    last = _LAST_DAY[is_leap.astype(int), np.where(in_year, month, 0)]
    return in_year & (day >= 1) & (day <= last)  # type: ignore[no-any-return]


def _is_clock(time: str, digits: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    fine = (_number(digits[:, 0:2]) < 24) & (_number(digits[:, 3:5]) < 60)
    if len(time) > 5:
        fine &= _number(digits[:, 6:8]) < 60
    return fine


def _is_zone(digits: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Return which values are hours, and perhaps minutes, with or without a colon."""
    fine = _number(digits[:, 0:2]) <= 14
    return fine & (_number(digits[:, -2:]) < 60)


def _is_too_fine(time: str | None, digits: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Return which values have a fraction finer than a microsecond: most programs cannot keep
    it.
    """
    behind = (time or "").partition(".")[2]
    if len(behind) <= FRACTION_DIGITS:
        return np.zeros(len(digits), bool)
    too_many = digits[:, FRACTION_DIGITS - len(behind) :]
    return (too_many != ord("0")).any(axis=1)  # type: ignore[no-any-return]


def formats(codes: Iterable[str]) -> list[Format]:
    """Return the formats in which all values of these date classes can be read and written back:
    none, one, or several.
    """
    possible: set[Format] | None = None
    for code in codes:
        separator, orders, paddings, time = code.removeprefix(PREFIX).split(":", 3)
        of_code = {
            Format(separator, order, padding == "p", time)
            for order in orders.split("|")
            for padding in paddings
        }
        possible = of_code if possible is None else possible & of_code
    ordered = sorted(possible or (), key=lambda date: (not date.padded, date.order))
    padded_orders = {date.order for date in ordered if date.padded}
    return [date for date in ordered if date.padded or date.order not in padded_orders]


def sort_key(text: str, order: str) -> tuple[int, int, int, str]:
    """Return the key that orders dates of one format."""
    parts = re.split(r"[-/.T ]", text, maxsplit=3)
    day = dict(zip(order, map(int, parts[:3]), strict=True))
    return day["y"], day["m"], day["d"], parts[3] if len(parts) > 3 else ""
