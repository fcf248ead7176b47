"""Classes of the values of a column: one class for each value, from its bytes alone.

`integer`, `decimal`, `boolean:...` and `date:...` are classes of values that round trip through the
type. All others are reasons why a column is text.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from app.profiling.dates import classify_dates
from app.profiling.sketches import layout

Codes = npt.NDArray[np.int16]
Places = npt.NDArray[np.int64]

EXACT = 1 << 53
"""Largest whole number that is the same in every program; programs that compute in doubles change
greater ones.
"""

EXACT_DIGITS = 15
"""Most digits of a decimal that always comes back unchanged from a double."""

AMBIGUOUS_DECIMAL = "decimal_or_thousands"
LONG_INTEGER = "integer_ungrouped"
"""Class of four digits or more without a separator. A column with such values does not write
thousands with dots.
"""

NUMBERS = ("integer", LONG_INTEGER, "decimal", AMBIGUOUS_DECIMAL)

WHY = {
    "leading_zero": "begins with a zero that a number would lose",
    "too_long": "has more digits than a number keeps exactly",
    "too_precise": "has more digits than a number keeps exactly",
    "exponent": "may be a code or a number in scientific notation",
    "plus_sign": "has a plus sign that a number would lose",
    "negative_zero": "is a zero with a minus sign, which a number would lose",
    "decimal_comma": "has a comma, as decimals in many countries do",
    "comma_or_thousands": "is a decimal in some countries and has a thousands separator in others",
    AMBIGUOUS_DECIMAL: "is a decimal in some countries and has a thousands separator in others",
    "thousands": "has thousands separators that a number would lose",
    "unit": "has a currency, percent or other sign beside the number",
    "bare_point": "has a decimal point without a digit on one side",
    "surrounding_space": "begins or ends with white space",
    "blank": "is white space only",
    "null_word": "is a word for a missing value, or a value of its own",
    "yes_no": "may be a truth value or a word",
    "invalid_date": "looks like a date that no calendar has",
    "date_unknown": "looks like a date in no order that is known",
    "date_too_fine": "has a time finer than a microsecond, which a date would lose",
    "string": "is a string in the JSON file, although it looks like a number or a truth value",
    "nested": "is an object or a list",
    "text": "is text",
}
"""Reasons of the classes that make a column text, each as the end of a sentence about a value."""

NULL_WORDS = (
    "na",
    "n/a",
    "#n/a",
    "nan",
    "null",
    "none",
    "nil",
    "-",
    "--",
    "?",
    "missing",
    "unknown",
    "(null)",
    "\\n",
)
BOOLEANS = {
    "boolean:lower": ("true", "false"),
    "boolean:title": ("True", "False"),
    "boolean:upper": ("TRUE", "FALSE"),
}
YES_NO = ("yes", "no", "y", "n", "t", "f", "on", "off", "true", "false")

DIGIT, MINUS, DOT, SLASH, CLOCK, LETTER, SPACE, OTHER = (1 << i for i in range(8))
"""Bits for the characters of a value; CLOCK is for a colon and a plus sign, which times and zones
have.
"""


def _bits() -> npt.NDArray[np.uint8]:
    table = np.full(256, OTHER, np.uint8)
    table[48:58] = DIGIT
    table[65:91] = table[97:123] = LETTER
    for characters, bit in (("-", MINUS), (".", DOT), ("/", SLASH), ("+:", CLOCK)):
        table[list(characters.encode())] = bit
    table[[9, 10, 11, 12, 13, 32]] = SPACE
    return table


_BITS = _bits()


class _Classes:
    """Classes as small numbers. The first is `text`, the class of a value until a better one is
    set.
    """

    def __init__(self, size: int) -> None:
        self.codes: Codes = np.zeros(size, np.int16)
        self.names = ["text"]

    def put(self, places: Places, name: str) -> None:
        if len(places):
            self.codes[places] = self.code(name)

    def code(self, name: str) -> int:
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name)

    def open(self, among: npt.NDArray[np.bool_]) -> Places:
        return np.flatnonzero(among & (self.codes == 0))


def classify(values: pa.StringArray) -> tuple[Codes, list[str]]:
    """Return the place of each text's class among the classes, and the classes. No text may be
    empty.
    """
    classes = _Classes(len(values))
    if not len(values):
        return classes.codes, classes.names
    data, offsets = layout(values)
    # Three times as fast as _BITS[data].
    kinds = np.frombuffer(data.tobytes().translate(_BITS.tobytes()), np.uint8)
    bits = np.bitwise_or.reduceat(kinds, offsets[:-1])
    first, last = data[offsets[:-1]], data[offsets[1:] - 1]
    lengths = np.diff(offsets)
    signed = first == ord("-")
    unsigned = np.where(signed, bits & ~np.uint8(MINUS), bits)
    _integers(values, classes, np.flatnonzero(unsigned == DIGIT), first, lengths, signed)
    _decimals(values, classes, np.flatnonzero(unsigned == DIGIT | DOT))
    dates = (bits & OTHER == 0) & (bits & DIGIT > 0) & (_BITS[first] == DIGIT)
    dates &= (lengths >= 6) & (lengths <= 40) & (bits & (MINUS | DOT | SLASH) > 0)
    places = classes.open(dates)
    if len(places):
        for name, rows in classify_dates(taken(values, places)).items():
            classes.put(places[rows], name)
    short = lengths <= 24
    places = classes.open(short & (bits & DIGIT > 0) & (_BITS[first] & (LETTER | SPACE) == 0))
    for pattern, name in _ODD:
        if not len(places):
            break
        matched = _matches(taken(values, places), pattern)
        classes.put(places[matched], name)
        places = places[~matched]
    places = classes.open((bits & DIGIT == 0) & (lengths <= 9))
    if len(places):
        words = taken(values, places)
        lowered = pc.utf8_lower(words)
        for texts, names, name in ((lowered, NULL_WORDS, "null_word"), (lowered, YES_NO, "yes_no")):
            classes.put(places[_is_in(texts, names)], name)
        for name, spellings in BOOLEANS.items():
            classes.put(places[_is_in(words, spellings)], name)
    space = (_BITS[first] == SPACE) | (_BITS[last] == SPACE)
    classes.put(np.flatnonzero(space & (bits != SPACE)), "surrounding_space")
    classes.put(np.flatnonzero(space & (bits == SPACE)), "blank")
    return classes.codes, classes.names


def taken(values: pa.StringArray, places: Places) -> pa.StringArray:
    return values if len(places) == len(values) else values.take(pa.array(places, pa.int64()))


def _matches(values: pa.StringArray, pattern: str) -> npt.NDArray[np.bool_]:
    matched = pc.match_substring_regex(values, pattern)
    return matched.to_numpy(zero_copy_only=False).astype(bool)  # type: ignore[no-any-return]


def _is_in(values: pa.StringArray, words: Sequence[str]) -> npt.NDArray[np.bool_]:
    is_in = pc.is_in(values, pa.array(words))
    return is_in.to_numpy(zero_copy_only=False).astype(bool)  # type: ignore[no-any-return]


def _integers(
    values: pa.StringArray,
    classes: _Classes,
    places: Places,
    first: npt.NDArray[np.uint8],
    lengths: npt.NDArray[np.int64],
    signed: npt.NDArray[np.bool_],
) -> None:
    """Set the classes of values with only digits, after any minus signs."""
    plain, negative = places[~signed[places]], places[signed[places]]
    if len(negative):
        texts = taken(values, negative)
        classes.put(negative[_matches(texts, r"^-0+$")], "negative_zero")
        classes.put(negative[_matches(texts, r"^-0[0-9]*[1-9]")], "leading_zero")
        negative = negative[_matches(texts, r"^-[1-9][0-9]*$")]
    zero_led = (first[plain] == ord("0")) & (lengths[plain] > 1)
    classes.put(plain[zero_led], "leading_zero")
    whole = np.concatenate([plain[~zero_led], negative])
    digits = lengths[whole] - signed[whole]
    classes.put(whole[digits <= 3], "integer")
    classes.put(whole[(digits > 3) & (digits <= EXACT_DIGITS)], LONG_INTEGER)
    classes.put(whole[digits > EXACT_DIGITS], "too_long")
    for place in whole[digits == EXACT_DIGITS + 1].tolist():
        if abs(int(values[place].as_py())) <= EXACT:
            classes.put(np.array([place]), LONG_INTEGER)


def _decimals(values: pa.StringArray, classes: _Classes, places: Places) -> None:
    """Set the classes of values with digits and points, after any minus signs."""
    if not len(places):
        return
    texts = taken(values, places)
    data, offsets = layout(texts)
    first, last = data[offsets[:-1]], data[offsets[1:] - 1]
    negative = np.flatnonzero(first == ord("-"))
    points = np.add.reduceat(data == ord("."), offsets[:-1], dtype=np.int32)
    canonical = (last != ord(".")) & (first != ord(".")) & (points == 1)
    second = data[np.minimum(offsets[:-1] + 1, len(data) - 1)]
    canonical &= (first != ord("0")) | (second == ord("."))
    canonical[negative] = _matches(taken(texts, negative), r"^-(?:0|[1-9][0-9]*)\.[0-9]+$")
    classes.put(places[canonical], "decimal")
    digits = np.diff(offsets) - 1
    # Three digits after the point, and no more than three before it. Such values are few, so the
    # expression is tried on few.
    some = np.flatnonzero(canonical & (digits >= 4) & (digits <= 7))
    some = some[data[offsets[some + 1] - 4] == ord(".")]
    ambiguous = some[_matches(taken(texts, some), r"^-?[1-9][0-9]{0,2}\.[0-9]{3}$")]
    classes.put(places[ambiguous], AMBIGUOUS_DECIMAL)
    zeros = negative[_matches(taken(texts, negative), r"^-0\.0+$")]
    classes.put(places[zeros], "negative_zero")
    for i in np.flatnonzero(canonical & (digits > EXACT_DIGITS)).tolist():
        text = texts[i].as_py()
        if len(text.lstrip("-0.").replace(".", "")) > EXACT_DIGITS and repr(float(text)) != text:
            classes.put(places[i : i + 1], "too_precise")
    if not canonical.all():
        classes.put(places[_matches(texts, r"^-?(?:[0-9]+\.|\.[0-9]+)$")], "bare_point")
        classes.put(places[_matches(texts, r"^-?0[0-9]+\.[0-9]+$")], "leading_zero")
        classes.put(places[_matches(texts, r"^-?[1-9][0-9]{0,2}(?:\.[0-9]{3}){2,}$")], "thousands")


_ODD = (
    (r"^[+-]?[0-9]+(?:[.,][0-9]+)?[eE][+-]?[0-9]+$", "exponent"),
    (r"^\+[0-9]+(?:[.,][0-9]+)?$", "plus_sign"),
    (r"^-?[1-9][0-9]{0,2},[0-9]{3}$", "comma_or_thousands"),
    (r"^-?[0-9]+,[0-9]+$", "decimal_comma"),
    (r"^-?[0-9]{1,3}(?:[,.' _\x{a0}\x{202f}][0-9]{3})+(?:[.,][0-9]+)?$", "thousands"),
    (r"^[-+]?[$€£¥₹]? ?[-+]?[0-9]+(?:[.,][0-9]+)*(?: ?(?:[$€£¥₹%‰]|[A-Z]{3}))$", "unit"),
    (r"^[-+]?[$€£¥₹] ?[-+]?[0-9]+(?:[.,][0-9]+)*$", "unit"),
    (r"^\([0-9]+(?:[.,][0-9]+)*\)$", "unit"),
)


def as_numbers(values: pa.StringArray) -> npt.NDArray[np.float64]:
    """Return values of the classes in NUMBERS as doubles."""
    numbers = pc.cast(values, pa.float64())
    return numbers.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def total(classes: dict[str, int], *names: str) -> int:
    return sum(classes.get(name, 0) for name in names)
