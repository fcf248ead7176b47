"""Rules for the columns of the output, checked for all rows of a chunk."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from app.features.files.xlsx import MAX_CELL_LETTERS
from app.features.transform import casts, dates, numbers, values
from app.features.transform.evaluate import compared, whole
from app.features.transform.plan import ISO_BOUNDS
from app.features.transform.spec import ColumnRules
from app.features.transform.types import BOOLEAN, NULL, PARQUET_NUMBER_SCALE, TEXT, Type
from app.features.transform.values import Findings, Value

Mask = npt.NDArray[np.bool_]


def hold(rules: ColumnRules, value: Value, findings: Findings, column: str) -> None:
    """Add the rows that break a rule to the findings."""
    if rules.required:
        findings.add(values.is_missing(value), column, "required", "There is no value.")
    # Only `min` and `max` compare this value; the other rules check the text as written.
    typed = value
    if rules.type is not None and value.type == TEXT:
        typed = _of_type(rules.type, value, findings, column)
    shown: list[pa.StringArray] = []

    def note(rows: Mask, code: str, message: str) -> None:
        if (rows & ~findings.bad).any():
            if not shown:
                shown.append(values.to_texts(value))
            findings.add(rows, column, code, message, shown[0])

    for name, sign, word in (("min", "<", "less"), ("max", ">", "more")):
        bound = getattr(rules, name)
        if bound is not None:
            is_beyond = compared(sign, typed, _bound(bound, typed.type, len(typed)))
            note(_true(is_beyond.data), "out_of_range", f"`{{value}}` is {word} than {bound}.")
    if rules.min_length is not None or rules.max_length is not None:
        lengths = pc.fill_null(pc.utf8_length(value.data), 0).to_numpy(zero_copy_only=False)
        has_value = ~values.is_missing(value)
        if (least := rules.min_length) is not None:
            note(
                has_value & (lengths < least), "too_short", f"`{{value}}` is shorter than {least}."
            )
        if (most := rules.max_length) is not None:
            note(has_value & (lengths > most), "too_long", f"`{{value}}` is longer than {most}.")
    if rules.pattern is not None:
        fits = pc.match_substring_regex(value.data, whole(rules.pattern))
        mismatched = _true(pc.invert(fits)) & ~values.is_missing(value)
        note(mismatched, "pattern_mismatch", "`{value}` does not match the pattern.")
    if rules.enum is not None:
        other = ~_among(value, rules.enum) & ~values.is_missing(value)
        note(other, "not_in_enum", "`{value}` is not one of the allowed values.")


def _true(condition: pa.BooleanArray) -> Mask:
    return np.asarray(pc.fill_null(condition, False))


def _of_type(name: str, value: Value, findings: Findings, column: str) -> Value:
    """Return the values of a text that must be of a type, for its rules; the output keeps the
    text.
    """
    if name == "text":
        return value
    cast: Any = {"integer": casts.integer, "number": casts.number, "boolean": _boolean}[name]
    typed, problems = cast(value.data)
    for rows, code, message in problems:
        findings.add(rows, column, code, message, value.data)
    return Value(typed.type, typed.data, value.data)


def _boolean(texts: pa.StringArray) -> tuple[Value, casts.Problems]:
    return casts.boolean(texts, casts.MEANS_TRUE, casts.MEANS_FALSE)


def _bound(bound: Decimal | str, kind: Type, count: int) -> Value:
    if kind.is_number:
        return Value(kind, numbers.of_literal(Decimal(bound), count))
    moment, _ = dates.parse(pa.array([str(bound)]), ISO_BOUNDS[kind.name].replace("Z", "%z"))
    return Value(kind, pa.repeat(moment[0], count))


def _among(value: Value, allowed: list[Any]) -> Mask:
    if value.type.is_number:
        is_allowed = np.zeros(len(value), bool)
        for number in allowed:
            same = Value(value.type, numbers.of_literal(Decimal(number), len(value)))
            is_allowed |= _true(compared("==", value, same).data)
        return is_allowed
    if value.type == NULL:
        return np.zeros(len(value), bool)
    kind = pa.bool_() if value.type == BOOLEAN else pa.string()
    known = value.data.is_valid()
    return np.asarray(pc.and_(known, pc.is_in(value.data, value_set=pa.array(allowed, kind))))


def fit_sheet(value: Value, findings: Findings, column: str) -> None:
    """Check that a text fits into a cell of a worksheet."""
    if value.type.name != "text":
        return
    texts = values.to_texts(value)
    # A character beyond the first 65 536 counts twice.
    sizes = pc.fill_null(pc.binary_length(texts), 0).to_numpy(zero_copy_only=False)
    is_long = sizes > MAX_CELL_LETTERS
    for place in np.flatnonzero(is_long).tolist():
        is_long[place] = len(texts[place].as_py().encode("utf-16-le")) // 2 > MAX_CELL_LETTERS
    message = f"The value has more than {MAX_CELL_LETTERS} characters, the limit of a worksheet."
    findings.add(is_long, column, "value_too_long", message, texts)


def fit_parquet(value: Value, findings: Findings, column: str) -> None:
    """Check that a number without a fixed scale fits into Parquet, which stores it with
    PARQUET_NUMBER_SCALE decimals.
    """
    if value.type.name != "number":
        return
    data = value.data
    finer = data.valid & (numbers.decimals(data) > PARQUET_NUMBER_SCALE)
    message = (
        f"`{{value}}` needs more than {PARQUET_NUMBER_SCALE} decimals; cast the column to decimal."
    )
    findings.add(finer, column, "too_many_decimals", message, values.to_texts(value))
    stored = numbers.rounded(numbers.without(data, finer), PARQUET_NUMBER_SCALE)
    long = numbers.too_long(numbers.Numbers(stored.ints, 0, stored.valid))
    message = "`{value}` has too many digits for Parquet."
    findings.add(long, column, "out_of_range", message, values.to_texts(value))
