"""Columns of exact numbers: whole numbers, and how many of their last digits are decimals. No
binary fraction anywhere.

The whole numbers are int64 as long as every result surely fits, else Python's, which have no limit.
The same code handles both.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from app.features.transform.types import DIVISION_DECIMALS, MAX_DIGITS

Mask = npt.NDArray[np.bool_]
LIMIT = 10**MAX_DIGITS
INT64_END = 1 << 63
DIGITS_IN_INT64 = 18


@dataclass(slots=True)
class Numbers:
    """`ints` (int64 or object) over 10 ** `scale`; 0 where not `valid`."""

    ints: npt.NDArray[Any]
    scale: int
    valid: Mask

    def __len__(self) -> int:
        return len(self.ints)


def of_literal(value: Decimal, count: int) -> Numbers:
    scale = max(0, -int(value.as_tuple().exponent))
    whole = int(value.scaleb(scale)) if scale else int(value)
    dtype: Any = np.int64 if abs(whole) < INT64_END else object
    return Numbers(np.full(count, whole, dtype), scale, np.ones(count, bool))


def whole(texts: pa.StringArray) -> Numbers | None:
    """Return whole numbers and nulls if every text is the usual form of a 64-bit integer; otherwise
    None.
    """
    try:
        ints = texts.cast(pa.int64())
    except pa.ArrowInvalid:
        return None
    # Writing them again and comparing takes a third of the time of a regular expression.
    if not _are_bare_digits(texts) and not ints.cast(pa.string()).equals(texts):
        return None
    filled = ints.fill_null(0).to_numpy(zero_copy_only=False)
    return Numbers(filled, 0, np.asarray(texts.is_valid()))


def _are_bare_digits(texts: pa.StringArray) -> bool:
    """Return whether all texts have digits alone, and no leading zeros."""
    if not len(texts) or texts.null_count:
        return False
    _, offsets, data = texts.buffers()
    places = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    if data is None or not (places[1:] > places[:-1]).all():
        return False
    bare = np.frombuffer(data, np.uint8)[: places[-1]]
    if not data.slice(places[0], places[-1] - places[0]).to_pybytes().isdigit():
        return False
    first_is_zero = bare[places[:-1]] == ord("0")
    return not (first_is_zero & (np.diff(places) > 1)).any()


def of_texts(texts: pa.StringArray) -> Numbers:
    """Return the numbers of plain texts such as `-12.50`, and nulls."""
    valid = np.asarray(texts.is_valid())
    if not valid.any():
        return Numbers(np.zeros(len(texts), np.int64), 0, valid)
    filled = pc.fill_null(texts, "0")
    points = pc.find_substring(filled, ".").to_numpy(zero_copy_only=False)
    lengths = pc.binary_length(filled).to_numpy(zero_copy_only=False)
    scale = int(np.where(points >= 0, lengths - points - 1, 0).max())
    longest = int(lengths.max())
    try:
        if not scale and longest <= 20:
            ints: npt.NDArray[Any] = filled.cast(pa.int64()).to_numpy(zero_copy_only=False)
            return Numbers(ints, 0, valid)
        if scale and longest + scale <= MAX_DIGITS:
            low, is_small = _words(filled.cast(pa.decimal128(MAX_DIGITS, scale)))
            if is_small:
                return Numbers(low, scale, valid)
    except pa.ArrowInvalid:
        pass
    exact = [int(Decimal(text).scaleb(scale, _WIDE)) for text in filled.to_pylist()]
    return _narrowed(Numbers(np.array(exact, object), scale, valid))


def _words(values: pa.Decimal128Array) -> tuple[npt.NDArray[np.int64], bool]:
    """Return the low halves of 128-bit numbers, and whether the high halves are empty."""
    words = np.frombuffer(values.buffers()[1], np.int64).reshape(-1, 2)
    words = words[values.offset : values.offset + len(values)]
    low, high = words[:, 0], words[:, 1]
    return low.copy(), bool((high == low >> 63).all())


def _narrowed(numbers: Numbers) -> Numbers:
    if numbers.ints.dtype == object and _largest(numbers.ints) < INT64_END:
        return Numbers(numbers.ints.astype(np.int64), numbers.scale, numbers.valid)
    return numbers


def _largest(ints: npt.NDArray[Any]) -> int:
    if not len(ints):
        return 0
    return max(abs(int(ints.max())), abs(int(ints.min())))


def _wide(ints: npt.NDArray[Any], bound: int) -> npt.NDArray[Any]:
    """Return the numbers unchanged if results of this size fit, else as Python's numbers."""
    return ints if bound < INT64_END or ints.dtype == object else ints.astype(object)


def _scaled(numbers: Numbers, scale: int) -> npt.NDArray[Any]:
    """Return the whole numbers at a scale at least as large."""
    if scale == numbers.scale:
        return numbers.ints
    factor = 10 ** (scale - numbers.scale)
    bound = max(_largest(numbers.ints), 1) * factor
    ints: npt.NDArray[Any] = _wide(numbers.ints, bound) * factor
    return ints


def aligned(left: Numbers, right: Numbers) -> tuple[npt.NDArray[Any], npt.NDArray[Any], int]:
    """Return both at one scale, so that whole numbers compare and add as the numbers do."""
    scale = max(left.scale, right.scale)
    return _scaled(left, scale), _scaled(right, scale), scale


def add(left: Numbers, right: Numbers, sign: int = 1) -> Numbers:
    a, b, scale = aligned(left, right)
    bound = _largest(a) + _largest(b)
    a, b = _wide(a, bound), _wide(b, bound)
    return _cleared(a + b if sign > 0 else a - b, scale, left.valid & right.valid)


def multiply(left: Numbers, right: Numbers) -> Numbers:
    bound = _largest(left.ints) * _largest(right.ints)
    a, b = _wide(left.ints, bound), _wide(right.ints, bound)
    return _cleared(a * b, left.scale + right.scale, left.valid & right.valid)


def divide(left: Numbers, right: Numbers) -> Numbers:
    """Divide to DIVISION_DECIMALS decimals, half to even. The caller must have removed divisions by
    0: their result is 0.
    """
    valid = left.valid & right.valid & np.asarray(right.ints != 0, bool)
    a = np.where(valid, left.ints.astype(object), 0) * 10 ** (DIVISION_DECIMALS + right.scale)
    b = np.where(valid, right.ints.astype(object), 1) * 10**left.scale
    quotient = _rounded_quotient(a, b, "half_even")
    return _narrowed(_cleared(quotient, DIVISION_DECIMALS, valid))


def _rounded_quotient(a: npt.NDArray[Any], b: Any, mode: str) -> npt.NDArray[Any]:
    """Return a / b rounded to a whole number; a tie goes to the even one (half_even) or away from 0
    (half_up).
    """
    negative = (a < 0) != (b < 0)
    divisor = np.abs(b)
    quotient, rest = _divmod(np.abs(a), divisor)
    up = rest * 2 > divisor
    tie = rest * 2 == divisor
    up |= tie & (quotient % 2 == 1) if mode == "half_even" else tie
    quotient = quotient + up.astype(np.int64)
    signed: npt.NDArray[Any] = np.where(negative, -quotient, quotient)
    return signed


def _divmod(a: npt.NDArray[Any], b: Any) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    return a // b, a % b  # numpy's divmod takes no Python numbers


def rounded(numbers: Numbers, scale: int, mode: str = "half_even") -> Numbers:
    if scale >= numbers.scale:
        return Numbers(_scaled(numbers, scale), scale, numbers.valid)
    by = numbers.scale - scale
    if by > DIGITS_IN_INT64:
        ints = numbers.ints.astype(object)
    else:
        ints = _negatable(numbers)
    return _narrowed(Numbers(_rounded_quotient(ints, 10**by, mode), scale, numbers.valid))


def negative(numbers: Numbers) -> Numbers:
    return Numbers(-_negatable(numbers), numbers.scale, numbers.valid)


def absolute(numbers: Numbers) -> Numbers:
    return Numbers(np.abs(_negatable(numbers)), numbers.scale, numbers.valid)


def _negatable(numbers: Numbers) -> npt.NDArray[Any]:
    """Return numbers that can be negated: the smallest 64-bit integer has no positive
    counterpart.
    """
    return _wide(numbers.ints, _largest(numbers.ints) + 1)


def choose(mask: Mask, left: Numbers, right: Numbers) -> Numbers:
    """Return `left` where the mask is set, else `right`."""
    a, b, scale = aligned(left, right)
    if a.dtype != b.dtype:
        a, b = a.astype(object), b.astype(object)
    return Numbers(np.where(mask, a, b), scale, np.where(mask, left.valid, right.valid))


def _cleared(ints: npt.NDArray[Any], scale: int, valid: Mask) -> Numbers:
    if not valid.all():
        ints = np.where(valid, ints, 0)
    return _narrowed(Numbers(ints, scale, valid))


def too_long(numbers: Numbers) -> Mask:
    """Return which numbers have more than MAX_DIGITS digits, without trailing zeros."""
    if numbers.ints.dtype != object or _largest(numbers.ints) < LIMIT:
        return np.zeros(len(numbers), bool)
    return np.array([abs(_stripped(value, numbers.scale)) >= LIMIT for value in numbers.ints], bool)


def _stripped(value: int, scale: int) -> int:
    while scale and value and value % 10 == 0:
        value, scale = value // 10, scale - 1
    return int(value)


def without(numbers: Numbers, rows: Mask) -> Numbers:
    """Return the numbers without values in these rows."""
    return _cleared(numbers.ints, numbers.scale, numbers.valid & ~rows)


def decimals(numbers: Numbers) -> npt.NDArray[np.int64]:
    """Return how many decimals each number needs."""
    needed = np.full(len(numbers), numbers.scale, np.int64)
    rest = numbers.ints
    for _ in range(numbers.scale):
        q, r = _divmod(rest, 10)
        even = np.asarray(r == 0, bool)
        if not even.any():
            break
        needed -= even
        rest = np.where(even, q, 1)
    return needed


def to_decimal128(numbers: Numbers, scale: int) -> pa.Decimal128Array:
    """Return an Arrow array of decimals; the numbers must fit."""
    ints = _scaled(numbers, scale) if scale >= numbers.scale else rounded(numbers, scale).ints
    kind = pa.decimal128(MAX_DIGITS, scale)
    if ints.dtype == object:
        exact = [Decimal(int(value)).scaleb(-scale, _WIDE) for value in ints]
        return pa.array(exact, kind, mask=~numbers.valid)
    words = np.empty((len(ints), 2), np.int64)
    words[:, 0], words[:, 1] = ints, ints >> 63
    validity = (
        None if numbers.valid.all() else pa.py_buffer(np.packbits(numbers.valid, bitorder="little"))
    )
    return pa.Array.from_buffers(kind, len(ints), [validity, pa.py_buffer(words)])


def to_int64(numbers: Numbers) -> pa.Int64Array:
    return pa.array(numbers.ints.astype(np.int64), pa.int64(), mask=~numbers.valid)


def to_texts(numbers: Numbers, scale: int | None) -> pa.StringArray:
    """Write exactly `scale` decimals, which must be enough; None writes as many as each number
    needs.
    """
    if scale is not None and scale != numbers.scale:
        numbers = rounded(numbers, scale)
    texts = _written(numbers)
    if scale is None and numbers.scale:
        texts = pc.ascii_rtrim(pc.ascii_rtrim(texts, characters="0"), characters=".")
    return texts


def _written(numbers: Numbers) -> pa.StringArray:
    mask = ~numbers.valid
    if numbers.ints.dtype == object:
        return _written_each(numbers)
    if not numbers.scale:
        return pa.array(numbers.ints, mask=mask).cast(pa.string())
    if numbers.scale <= 6:  # with more decimals Arrow writes small numbers with an exponent
        return to_decimal128(numbers, numbers.scale).cast(pa.string())
    if numbers.scale > DIGITS_IN_INT64 or _largest(numbers.ints) >= 10**DIGITS_IN_INT64:
        return _written_each(numbers)
    one = 10**numbers.scale
    before, behind = np.divmod(np.abs(numbers.ints), one)
    signs = pc.if_else(pa.array(numbers.ints < 0), "-", "")
    whole_digits = pa.array(before).cast(pa.string())
    # Add one, so that leading zeros are written; the 1 is cut off.
    decimal_digits = pc.utf8_slice_codeunits(pa.array(behind + one).cast(pa.string()), 1)
    texts = pc.binary_join_element_wise(signs, whole_digits, ".", decimal_digits, "")
    return pc.if_else(pa.array(numbers.valid), texts, pa.scalar(None, pa.string()))


def _written_each(numbers: Numbers) -> pa.StringArray:
    texts = [_text(int(value), numbers.scale) for value in numbers.ints]
    return pa.array(texts, pa.string(), mask=~numbers.valid)


def _text(value: int, scale: int) -> str:
    sign = "-" if value < 0 else ""
    if not scale:
        return f"{sign}{abs(value)}"
    digits = str(abs(value)).rjust(scale + 1, "0")
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}"


def _wide_context() -> Any:
    from decimal import Context

    return Context(prec=20_000, Emax=999_999, Emin=-999_999)


_WIDE = _wide_context()
