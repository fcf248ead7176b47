"""Casts from texts to values. They are strict: a text that is not written exactly as the type is no
value, and its row is rejected.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from app.features.transform import dates, numbers
from app.features.transform.numbers import INT64_END, Numbers
from app.features.transform.types import (
    BOOLEAN,
    INTEGER,
    MAX_DIGITS,
    MAX_SCALE,
    NUMBER,
    Type,
    type_of_format,
)
from app.features.transform.values import NO_TEXT, Value, without_empty

Mask = npt.NDArray[np.bool_]
Problems = list[tuple[Mask, str, str]]
"""(rows, code, message) of each problem."""

WHOLE = r"\A-?(?:0|[1-9][0-9]{0,37})\z"
PLAIN = r"\A-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?\z"
MEANS_TRUE, MEANS_FALSE = ("true",), ("false",)


def _bad(texts: pa.StringArray, pattern: str) -> Mask:
    return np.asarray(pc.fill_null(pc.invert(pc.match_substring_regex(texts, pattern)), False))


def _taken(texts: pa.StringArray, rows: Mask) -> pa.StringArray:
    return pc.if_else(pa.array(rows), NO_TEXT, texts) if rows.any() else texts


def integer(texts: pa.StringArray) -> tuple[Value, Problems]:
    """Cast digits with at most a minus before them, within 64 bits."""
    texts = without_empty(texts)
    if (data := numbers.whole(texts)) is not None:
        return Value(INTEGER, data, texts), []
    wrong = _bad(texts, WHOLE)
    texts = _taken(texts, wrong)
    data = numbers.of_texts(texts)
    problems = [
        (wrong, "not_an_integer", "`{value}` is not a whole number written in digits alone.")
    ]
    if data.ints.dtype == object:
        large = np.array([not -INT64_END <= int(value) < INT64_END for value in data.ints], bool)
        problems.append(
            (large, "out_of_range", "`{value}` does not fit into 64 bits; cast it to decimal.")
        )
        data, texts = numbers.without(data, large), _taken(texts, large)
    return Value(INTEGER, data, texts), problems


def number(
    texts: pa.StringArray, decimal: str = ".", thousands: str = ""
) -> tuple[Value, Problems]:
    """Cast plain numbers of up to 38 digits with these separators. The result has a decimal point
    and no thousands separators if the texts have others, otherwise it is unchanged.
    """
    texts = without_empty(texts)
    if decimal == "." and not thousands:
        if (data := numbers.whole(texts)) is not None:
            return Value(NUMBER, data, texts), []
        wrong = _bad(texts, PLAIN)
        plain = _taken(texts, wrong)
    else:
        point, group = _escaped(decimal), _escaped(thousands)
        grouped = f"[1-9][0-9]{{0,2}}(?:{group}[0-9]{{3}})+|" if thousands else ""
        wrong = _bad(texts, rf"\A-?(?:{grouped}0|[1-9][0-9]*)(?:{point}[0-9]+)?\z")
        plain = _taken(texts, wrong)
        if thousands:
            plain = pc.replace_substring(plain, thousands, "")
        if decimal != ".":
            plain = pc.replace_substring(plain, decimal, ".")
    marks = _with_marks(decimal, thousands)
    problems = [(wrong, "not_a_number", f"`{{value}}` is not a number{marks}.")]
    digits = np.asarray(pc.fill_null(pc.binary_length(plain), 0))
    if int(digits.max(initial=0)) > MAX_SCALE:
        long = _too_long(plain)
        message = f"`{{value}}` has more than {MAX_DIGITS} digits, or {MAX_SCALE} decimals."
        problems.append((long, "out_of_range", message))
        plain = _taken(plain, long)
    return Value(NUMBER, numbers.of_texts(plain), plain), problems


def _too_long(texts: pa.StringArray) -> Mask:
    parts_are_long = _bad(texts, rf"\A-?[0-9]{{1,{MAX_DIGITS}}}(?:\.[0-9]{{1,{MAX_SCALE}}})?\z")
    unsigned = pc.replace_substring(texts, "-", "")
    sum_is_long = _bad(unsigned, rf"\A[0-9.]{{1,{MAX_DIGITS + 1}}}\z")
    longer_whole = pc.match_substring_regex(texts, rf"\A-?[0-9]{{{MAX_DIGITS + 1},}}\z")
    whole_is_long = np.asarray(pc.fill_null(longer_whole, False))
    mask: Mask = parts_are_long | sum_is_long | whole_is_long
    return mask


def _escaped(mark: str) -> str:
    return "\\." if mark == "." else mark


def _with_marks(decimal: str, thousands: str) -> str:
    if decimal == "." and not thousands:
        return ""
    and_thousands = f" and the thousands mark '{thousands}'" if thousands else ""
    return f" with the decimal mark '{decimal}'{and_thousands}"


def to_scale(value: Value, scale: int, rounding: str | None) -> tuple[Value, Problems]:
    """Cast to exactly `scale` decimals. More decimals are a problem unless there is a rounding."""
    data: Numbers = value.data
    problems: Problems = []
    if rounding is None and data.scale > scale:
        finer = numbers.decimals(data) > scale
        message = f"`{{value}}` has more than {scale} decimals."
        problems.append((finer & data.valid, "too_many_decimals", message))
        data = numbers.without(data, finer)
    data = numbers.rounded(data, scale, rounding or "half_even")
    long = numbers.too_long(Numbers(data.ints, 0, data.valid))
    message = f"`{{value}}` has more than {MAX_DIGITS} digits with {scale} decimals."
    problems.append((long, "out_of_range", message))
    written = None
    if value.written is not None and scale and not value.data.scale and not long.any():
        written = _with_zeros(value.written, scale)
    return Value(Type("decimal", scale), numbers.without(data, long), written), problems


def _with_zeros(texts: pa.StringArray, scale: int) -> pa.StringArray | None:
    """Return whole numbers written with `scale` decimals; None if one is a zero with a sign, which
    is not kept.
    """
    if pc.any(pc.equal(texts, "-0")).as_py():
        return None
    return pc.binary_join_element_wise(texts, "0" * scale, ".")


def boolean(
    texts: pa.StringArray, true: tuple[str, ...], false: tuple[str, ...]
) -> tuple[Value, Problems]:
    texts = without_empty(texts)
    yes, no = _is_one_of(texts, true), _is_one_of(texts, false)
    has_value = np.asarray(texts.is_valid())
    wrong = has_value & ~yes & ~no
    words = " or ".join([*true[:5], *false[:5]])
    problems = [(wrong, "not_a_boolean", f"`{{value}}` is not one of {words}.")]
    return Value(BOOLEAN, pa.array(yes, pa.bool_(), mask=~(yes | no))), problems


def _is_one_of(texts: pa.StringArray, words: tuple[str, ...]) -> Mask:
    is_in = pc.is_in(texts, value_set=pa.array(words, pa.string()))
    return np.asarray(pc.fill_null(is_in, False))


def moment(texts: pa.StringArray, patterns: tuple[str, ...]) -> tuple[Value, Problems]:
    """Cast by the first format that fits."""
    texts = without_empty(texts)
    values, bad = dates.parse(texts, patterns[0])
    for pattern in patterns[1:]:
        if not bad.any():
            break
        others, _ = dates.parse(texts, pattern)
        values = pc.if_else(pa.array(bad), others, values)
        bad &= ~np.asarray(others.is_valid())
    shown = " or ".join(patterns[:5])
    problems = [(bad, "not_a_date", f"`{{value}}` is not a date in the form {shown}.")]
    return Value(type_of_format(patterns[0], reading=True), values), problems
