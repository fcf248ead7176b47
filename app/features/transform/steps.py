"""Steps of a column, applied to all rows of a chunk."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from app.features.transform import casts, growth, values
from app.features.transform.evaluate import CASES, joined, replaced, written
from app.features.transform.growth import Memory, Note
from app.features.transform.spec import (
    Case,
    Cast,
    DateFormat,
    Default,
    FormatDate,
    Join,
    ParseDate,
    Replace,
    Round,
    Split,
    Step,
    Trim,
    ValueTable,
)
from app.features.transform.types import NULL, TEXT
from app.features.transform.values import NO_TEXT, Findings, Value

Mask = npt.NDArray[np.bool_]
SIDES = {
    "both": pc.utf8_trim_whitespace,
    "left": pc.utf8_ltrim_whitespace,
    "right": pc.utf8_rtrim_whitespace,
}


def taken(step: Step, value: Value, findings: Findings, memory: Memory, column: str) -> Value:
    """Return the values after a step. Rows that the step fails for are among the findings, and have
    no value. Raises TooMuch.
    """
    if value.type == NULL:
        value = Value(TEXT, pa.nulls(len(value), pa.string()))
    if isinstance(step, Cast):
        return _noted(*_cast(step, value), value, findings, column)
    if isinstance(step, Round):
        return _noted(*casts.to_scale(value, step.scale, step.rounding), value, findings, column)
    if isinstance(step, FormatDate):
        return values.text(written(value.data, step.format, memory))
    texts: pa.StringArray = value.data
    if isinstance(step, ParseDate):
        formats = (step.format,) if isinstance(step.format, str) else tuple(step.format)
        return _noted(*casts.moment(texts, formats), value, findings, column)
    if isinstance(step, DateFormat):
        moments = _noted(*casts.moment(texts, (step.from_,)), value, findings, column)
        return values.text(written(moments.data, step.to, memory))
    if isinstance(step, ValueTable):
        return _looked_up(step, texts, findings, memory, column)
    return values.text(_of_text(step, texts, memory, _notes(findings, column)))


def _noted(
    after: Value,
    problems: casts.Problems,
    before: Value,
    findings: Findings,
    column: str,
) -> Value:
    """Return `after`, and add its problems to the findings."""
    shown = values.to_texts(before) if any(rows.any() for rows, _, _ in problems) else None
    for rows, code, message in problems:
        findings.add(rows, column, code, message, shown)
    return after


def _cast(step: Cast, value: Value) -> tuple[Value, casts.Problems]:
    if step.to == "text":
        return values.text(values.to_texts(value)), []
    if step.to == "integer":
        return casts.integer(value.data)
    if step.to == "boolean":
        return casts.boolean(value.data, tuple(step.true), tuple(step.false))
    number, problems = value, casts.Problems()
    if not value.type.is_number:
        number, problems = casts.number(value.data, step.decimal, step.thousands or "")
    if step.to != "decimal":
        return number, problems
    decimal, more = casts.to_scale(number, step.scale or 0, step.rounding)
    return decimal, [*problems, *more]


def _notes(findings: Findings, column: str) -> Note:
    def note(rows: Mask) -> None:
        findings.add(rows, column, growth.VALUE_TOO_LONG, growth.LONGER)

    return note


def _of_text(step: Step, texts: pa.StringArray, memory: Memory, note: Note) -> pa.StringArray:
    if isinstance(step, Trim):
        return SIDES[step.side](texts)
    if isinstance(step, Case):
        return growth.of_other_case(texts, CASES[step.to], memory, note)
    if isinstance(step, Default):
        filled = values.without_empty(texts)
        memory.take(growth.size_of(filled) + filled.null_count * len(step.value.encode()))
        return pc.fill_null(filled, step.value)
    if isinstance(step, Split):
        return _piece(step, texts)
    assert isinstance(step, Replace)
    if step.regex:
        return _replaced_matches(step, texts, memory, note)
    return replaced(texts, step.find, step.by, memory, note)


def _replaced_matches(
    step: Replace, texts: pa.StringArray, memory: Memory, note: Note
) -> pa.StringArray:
    if exchange := _exchange(step.find, step.by):

        def swap(short: pa.StringArray) -> pa.StringArray:
            return _exchanged(short, exchange)

        return growth.bounded(growth.of_exchanged(texts), [texts], swap, memory, note)

    def replace(short: pa.StringArray) -> pa.StringArray:
        return pc.replace_substring_regex(short, step.find, step.by)

    lengths = growth.of_replaced_matches(texts, step.find, step.by)
    return growth.bounded(lengths, [texts], replace, memory, note)


_ONE_OF = re.compile(r"\[([A-Za-z0-9 ,;:._/|+*?!#%&@=<>~'\"$(){}]+)\]")
"""Pattern of a class of characters that stand for themselves."""


def _exchange(find: str, by: str) -> bytes | None:
    """Return the table of bytes that replaces some characters by one: many times as fast as a
    regular expression.
    """
    one_of = _ONE_OF.fullmatch(find)
    if one_of is None or len(by) != 1 or not by.isascii() or by == "\\":
        return None
    signs = one_of[1].encode()
    return bytes.maketrans(signs, by.encode() * len(signs))


def _exchanged(texts: pa.StringArray, exchange: bytes) -> pa.StringArray:
    """Replace the bytes of all texts by this table, which changes only ASCII."""
    if len(texts) == texts.null_count:
        return texts
    _, offsets, data = texts.buffers()
    places = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    used = data.slice(places[0], places[-1] - places[0]).to_pybytes() if data else b""
    exchanged = pa.StringArray.from_buffers(
        len(texts), pa.py_buffer(places - places[0]), pa.py_buffer(used.translate(exchange))
    )
    return exchanged if not texts.null_count else pc.if_else(texts.is_valid(), exchanged, NO_TEXT)


def _piece(step: Split, texts: pa.StringArray) -> pa.StringArray:
    """Return one piece of each text; a missing piece is empty."""
    place = {"first": 1, "last": -1}.get(str(step.part)) or int(step.part)
    pieces = pc.split_pattern(texts, step.separator)
    counts = pc.fill_null(pc.list_value_length(pieces), 0)
    counts = counts.to_numpy(zero_copy_only=False).astype(np.int64)
    starts = np.asarray(pieces.offsets)[:-1].astype(np.int64)
    at = place - 1 if place > 0 else counts + place
    inside = (at >= 0) & (at < counts) & (place != 0)
    places = pa.array(np.where(inside, starts + at, 0), mask=~inside)
    chosen = pc.fill_null(pieces.values.take(places), "")
    return pc.if_else(texts.is_valid(), chosen, NO_TEXT)


def _looked_up(
    step: ValueTable,
    texts: pa.StringArray,
    findings: Findings,
    memory: Memory,
    column: str,
) -> Value:
    keys = pa.array(list(step.table), pa.string())
    results = pa.array(list(step.table.values()), pa.string())
    places = pc.index_in(texts, value_set=keys)
    size_of_results = pc.sum(pc.binary_length(results).take(places)).as_py() or 0
    memory.take(growth.size_of(texts) + size_of_results)
    replacements = results.take(places)
    unknown = ~np.asarray(places.is_valid()) & np.asarray(texts.is_valid())
    if step.otherwise == "reject":
        findings.add(
            unknown & ~values.is_missing(values.text(texts)),
            column,
            "not_in_table",
            "`{value}` is not in the table.",
            texts,
        )
    elif step.otherwise == "keep":
        replacements = pc.if_else(pa.array(unknown), texts, replacements)
    return values.text(replacements)


def join(parts: list[Value], step: Join, findings: Findings, memory: Memory, column: str) -> Value:
    texts = [part.data for part in parts]
    note = _notes(findings, column)
    return values.text(joined(texts, step.separator, step.skip_empty, memory, note))
