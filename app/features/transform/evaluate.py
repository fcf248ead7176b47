"""Evaluates an expression over all rows of a chunk. The expression was checked before, so only a
value can fail now.

An argument that a row does not need (the other branch of `if`, the rest of a false `and`) cannot
reject the row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from app.features.transform import casts, dates, growth, numbers, values
from app.features.transform.growth import Memory, Note
from app.features.transform.language import COMPARISONS, NEGATIVE, Call, ColumnName, Literal, Node
from app.features.transform.numbers import Numbers
from app.features.transform.signatures import of_literal
from app.features.transform.types import BOOLEAN, INTEGER, MAX_DIGITS, NUMBER, TEXT, Type
from app.features.transform.values import Findings, Value

Mask = npt.NDArray[np.bool_]
IN_ARROW = {
    "==": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
IN_NUMPY = {
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Evaluator of the expression of `column`, which is the column that rejects name."""

    columns: Mapping[str, Value]
    count: int
    findings: Findings
    memory: Memory
    column: str

    def run(self, node: Node, wanted: Mask | None = None) -> Value:
        """Return the values of the expression. A row that fails has no value, and is among the
        findings. Raises TooMuch.
        """
        return self._run(node, ~self.findings.bad if wanted is None else wanted)

    def _run(self, node: Node, wanted: Mask) -> Value:
        if isinstance(node, Literal):
            return repeated(node.value, of_literal(node.value), self.count, self.memory)
        if isinstance(node, ColumnName):
            return self.columns[node.name]
        name = node.name
        if name in ("and", "or"):
            return self._and_or(node, wanted)
        if name == "if":
            return self._if(node, wanted)
        if name == "coalesce":
            return self._coalesce(node, wanted)
        arguments = [self._run(argument, wanted) for argument in node.arguments]
        if name in ("+", "-", "*", "/", NEGATIVE):
            return self._arithmetic(name, [argument.data for argument in arguments], wanted)
        if name in COMPARISONS:
            return compared(name, *arguments)
        if name == "in":
            is_in = compared("==", arguments[0], arguments[1]).data
            for other in arguments[2:]:
                is_in = pc.or_kleene(is_in, compared("==", arguments[0], other).data)
            return Value(BOOLEAN, is_in)
        if name == "not":
            return Value(BOOLEAN, pc.invert(arguments[0].data))
        literals: list[Any] = [
            argument.value if isinstance(argument, Literal) else None for argument in node.arguments
        ]
        return self._function(name, arguments, literals, wanted)

    def _note(
        self,
        rows: Mask,
        wanted: Mask,
        code: str,
        message: str,
        texts: pa.StringArray | None = None,
    ) -> None:
        self.findings.add(rows & wanted, self.column, code, message, texts)

    # ------------------------------------------------------------------ functions with lazy
    # arguments

    def _and_or(self, node: Call, wanted: Mask) -> Value:
        left = self._run(node.arguments[0], wanted).data
        decides = left if node.name == "or" else pc.invert(left)
        decided = np.asarray(pc.fill_null(decides, False))
        right = self._run(node.arguments[1], wanted & ~decided).data
        combined = pc.and_kleene if node.name == "and" else pc.or_kleene
        return Value(BOOLEAN, combined(left, right))

    def _if(self, node: Call, wanted: Mask) -> Value:
        holds = np.asarray(pc.fill_null(self._run(node.arguments[0], wanted).data, False))
        then = self._run(node.arguments[1], wanted & holds)
        otherwise = self._run(node.arguments[2], wanted & ~holds)
        return self._chosen(holds, then, otherwise)

    def _coalesce(self, node: Call, wanted: Mask) -> Value:
        result = self._run(node.arguments[0], wanted)
        for argument in node.arguments[1:]:
            missing = values.is_missing(result)
            other = self._run(argument, wanted & missing)
            result = self._chosen(~missing, result, other)
        return result

    def _chosen(self, mask: Mask, left: Value, right: Value) -> Value:
        if left.type == right.type == TEXT:
            self.memory.take(growth.size_of(left.data) + growth.size_of(right.data))
        return values.chosen(mask, left, right)

    # ------------------------------------------------------------------ numbers

    def _arithmetic(self, name: str, operands: list[Numbers], wanted: Mask) -> Value:
        if name == NEGATIVE:
            result = numbers.negative(operands[0])
        elif name == "*":
            result = numbers.multiply(*operands)
        elif name == "/":
            left, right = operands
            by_zero = right.valid & left.valid & np.asarray(right.ints == 0, bool)
            self._note(by_zero, wanted, "division_by_zero", "The row is divided by 0.")
            result = numbers.divide(left, right)
        else:
            left, right = operands
            result = numbers.add(left, right, 1 if name == "+" else -1)
        return Value(NUMBER, self._bounded(result, wanted))

    def _bounded(self, result: Numbers, wanted: Mask) -> Numbers:
        long = numbers.too_long(result)
        self._note(long, wanted, "out_of_range", f"A result has more than {MAX_DIGITS} digits.")
        return numbers.without(result, long) if long.any() else result

    # ------------------------------------------------------------------ functions

    def _cast(
        self,
        outcome: tuple[Value, casts.Problems],
        texts: pa.StringArray,
        wanted: Mask,
    ) -> Value:
        value, problems = outcome
        for rows, code, message in problems:
            self._note(rows, wanted, code, message, texts)
        return value

    def _function(
        self,
        name: str,
        arguments: list[Value],
        literals: list[Any],
        wanted: Mask,
    ) -> Value:
        first = arguments[0]
        data = first.data

        def note(rows: Mask) -> None:
            self._note(rows, wanted, growth.VALUE_TOO_LONG, growth.LONGER)

        if name == "number":
            return self._cast(casts.number(data, *literals[1:]), data, wanted)
        if name == "integer":
            return self._cast(casts.integer(data), data, wanted)
        if name == "parse_date":
            return self._cast(casts.moment(data, (literals[1],)), data, wanted)
        if name == "text":
            return values.text(values.to_texts(first))
        if name == "format_date":
            return values.text(written(data, literals[1], self.memory))
        if name in ("year", "month", "day"):
            return _whole(dates.fields(data)[name], values.is_valid(first))
        if name == "days_between":
            last = arguments[1]
            both = values.is_valid(first) & values.is_valid(last)
            return _whole(_days(last) - _days(first), both)
        if name == "is_empty":
            return values.truths(values.is_missing(first))
        if name == "abs":
            return Value(NUMBER, numbers.absolute(data))
        if name == "round":
            scale = int(literals[1]) if len(literals) > 1 else 0
            outcome = casts.to_scale(first, scale, "half_even")
            return self._cast(outcome, values.to_texts(first), wanted)
        if name in ("least", "greatest"):
            return self._extreme(name, arguments)
        if name == "concat":
            texts = [argument.data for argument in arguments]
            return values.text(joined(texts, "", False, self.memory, note))
        return _of_text(name, data, literals, self.memory, note)

    def _extreme(self, name: str, arguments: list[Value]) -> Value:
        best = arguments[0].data
        for other in arguments[1:]:
            a, b, _ = numbers.aligned(best, other.data)
            is_better = np.asarray(a <= b if name == "least" else a >= b, bool)
            chosen = numbers.choose(is_better, best, other.data)
            best = numbers.without(chosen, ~(best.valid & other.data.valid))
        return Value(NUMBER, best)


def _whole(numbers_: npt.NDArray[np.int64], valid: Mask) -> Value:
    return Value(INTEGER, Numbers(np.where(valid, numbers_, 0), 0, valid))


def _days(value: Value) -> npt.NDArray[np.int64]:
    moments = value.data
    if value.type.name != "date":
        moments = moments.cast(pa.timestamp("us"))
    days = pc.fill_null(moments, 0).to_numpy(zero_copy_only=False).astype("M8[D]")
    since_1970: npt.NDArray[np.int64] = days.astype(np.int64)
    return since_1970


def _of_text(
    name: str, data: pa.StringArray, literals: list[Any], memory: Memory, note: Note
) -> Value:
    if name in TESTS:
        return Value(BOOLEAN, TESTS[name](data, literals[1]))
    if name == "matches":
        return Value(BOOLEAN, pc.match_substring_regex(data, whole(literals[1])))
    if name == "length":
        lengths = pc.fill_null(pc.utf8_length(data), 0).to_numpy(zero_copy_only=False)
        return _whole(lengths.astype(np.int64), np.asarray(data.is_valid()))
    if name == "left" or (name == "right" and not literals[1]):
        return values.text(pc.utf8_slice_codeunits(data, 0, int(literals[1])))
    if name == "right":
        return values.text(pc.utf8_slice_codeunits(data, -int(literals[1])))
    if name == "replace":
        return values.text(replaced(data, literals[1], literals[2], memory, note))
    if name == "trim":
        return values.text(pc.utf8_trim_whitespace(data))
    return values.text(growth.of_other_case(data, CASES[name], memory, note))


MAX_FORMAT_GROWTH = 5
"""Most bytes written for a byte of a format: the two of `%B` become `September`."""
TESTS = {
    "contains": pc.match_substring,
    "starts_with": pc.starts_with,
    "ends_with": pc.ends_with,
}
CASES = {"lower": pc.utf8_lower, "upper": pc.utf8_upper, "title": pc.utf8_title}


def whole(pattern: str) -> str:
    """Return a pattern that must fit the whole text."""
    return rf"\A(?:{pattern})\z"


def repeated(value: Any, kind: Type, count: int, memory: Memory) -> Value:
    """Return the same value for each row."""
    memory.take(count * len(value.encode()) if isinstance(value, str) else 0)
    return values.constant(value, kind, count)


def written(moments: pa.Array, pattern: str, memory: Memory) -> pa.StringArray:
    """Write dates as texts of this format."""
    memory.take(len(moments) * MAX_FORMAT_GROWTH * len(pattern.encode()))
    return dates.write(moments, pattern)


def replaced(
    texts: pa.StringArray, find: str, by: str, memory: Memory, note: Note
) -> pa.StringArray:
    def replace(short: pa.StringArray) -> pa.StringArray:
        return pc.replace_substring(short, find, by)

    lengths = growth.of_replaced(texts, find, by)
    return growth.bounded(lengths, [texts], replace, memory, note)


def joined(
    parts: Sequence[pa.StringArray],
    separator: str,
    skip_empty: bool,
    memory: Memory,
    note: Note,
) -> pa.StringArray:
    """Join texts. A null counts as an empty text, and with `skip_empty` both are left out with
    their separator.
    """
    lengths = growth.of_joined(parts, separator)

    def join(*short: pa.StringArray) -> pa.StringArray:
        filled = [pc.fill_null(part, "") for part in short]
        if skip_empty:
            return _without_empty(filled, separator)
        return pc.binary_join_element_wise(*filled, separator)

    return growth.bounded(lengths, parts, join, memory, note)


def _without_empty(parts: Sequence[pa.StringArray], separator: str) -> pa.StringArray:
    # null_handling="skip" would lose the rows in which all parts are null.
    before = parts[0]
    for part in parts[1:]:
        both = pc.binary_join_element_wise(before, part, separator)
        both = pc.if_else(pc.equal(part, ""), before, both)
        before = pc.if_else(pc.equal(before, ""), part, both)
    return before


def compared(name: str, left: Value, right: Value) -> Value:
    """Compare values; null where one side has no value."""
    if isinstance(left.data, Numbers):
        a, b, _ = numbers.aligned(left.data, right.data)
        holds = np.asarray(IN_NUMPY[name](a, b), bool)
        return values.truths(holds, left.data.valid & right.data.valid)
    return Value(BOOLEAN, IN_ARROW[name](left.data, right.data))
