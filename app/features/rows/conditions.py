"""Conditions on cells, as a person writes them: `amount > 5 and name contains "ab"`.

    condition  column operator value | column is [not] empty
    column     a word, or any name in double quotes
    operator   =  !=  <  <=  >  >=  contains  not contains
    value      a word, or any text in single or double quotes

A number compares with the cells that are numbers (with a decimal comma, if the column has such), a
moment (ISO 8601) with those that are moments, and a text, which is all that is quoted, with all
cells by their letters, in either case.
"""

from __future__ import annotations

import csv
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Any

from app.features.rows.values import Number, moment_of, number_of, numbers_of, with_point

Cells = Sequence[str | None]
Compare = Callable[[Any, Any], bool]

COMPARISONS: Mapping[str, Compare] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
OPERATORS = ("=", "!=", *COMPARISONS, "contains", "not contains", "is empty", "is not empty")
MOST_CONDITIONS = 20
_TOKEN = re.compile(
    r"""\s*(?:(?P<double>"(?:[^"]|"")*")|(?P<single>'(?:[^']|'')*')|(?P<sign><=|>=|!=|<>|==|[<>=])"""
    r"""|(?P<word>[^\s"'<>=!]+)|(?P<wrong>\S))"""
)


class ConditionError(ValueError):
    """Its text is a sentence for the person who wrote the condition."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition on a column."""

    column: int
    """Index of the column."""
    operator: str
    """One of OPERATORS."""
    value: str = ""
    is_text: bool = False
    """Whether the value was quoted, so that it is no number and no moment."""
    has_commas: bool = False
    """Whether numbers of the column, and the value, have a decimal comma."""

    @property
    def is_of_numbers(self) -> bool:
        """Whether the value can be a number, with a point or a comma."""
        return not self.is_text and number_of(with_point(self.value)) is not None

    def results(self, cells: Cells) -> list[bool]:
        """Return for each cell whether it fulfils the condition."""
        match self.operator:
            case "is empty":
                return [not cell for cell in cells]
            case "is not empty":
                return [bool(cell) for cell in cells]
            case "contains":
                return [bool(cell) and self._contains(cell or "") for cell in cells]
            case "not contains":
                return [not (cell and self._contains(cell)) for cell in cells]
            case "=" | "!=":
                is_equal = self._equal(cells)
                return is_equal if self.operator == "=" else [not equal for equal in is_equal]
            case _:
                return self._compared(cells, COMPARISONS[self.operator])

    def _contains(self, cell: str) -> bool:
        return self.value.casefold() in cell.casefold()

    def _number(self) -> Number | None:
        if self.is_text:
            return None
        return number_of(with_point(self.value) if self.has_commas else self.value)

    def _moment(self) -> datetime | None:
        return None if self.is_text else moment_of(self.value)

    def _readable(self, cells: Cells) -> Cells:
        """Return the cells with a decimal point."""
        return [cell and with_point(cell) for cell in cells] if self.has_commas else cells

    def _equal(self, cells: Cells) -> list[bool]:
        value, number = self.value, self._number()
        if number is None:
            return [cell == value for cell in cells]
        has_number = _compared_numbers(self._readable(cells), operator.eq, number)
        return [equal or cell == value for equal, cell in zip(has_number, cells, strict=True)]

    def _compared(self, cells: Cells, compare: Compare) -> list[bool]:
        if (number := self._number()) is not None:
            return _compared_numbers(self._readable(cells), compare, number)
        if (moment := self._moment()) is not None:
            moments = [moment_of(cell) if cell else None for cell in cells]
            return [value is not None and compare(value, moment) for value in moments]
        value = self.value.casefold()
        return [bool(cell) and compare(cell.casefold(), value) for cell in cells]  # type: ignore[union-attr]


def _compared_numbers(cells: Cells, compare: Compare, limit: Number) -> list[bool]:
    filled = [cell for cell in cells if cell]
    numbers: Sequence[Number | None] | None = numbers_of(filled)
    if numbers is None:
        numbers = list(map(number_of, filled))
        results = [number is not None and compare(number, limit) for number in numbers]
    else:
        results = [compare(number, limit) for number in numbers]
    if len(filled) == len(cells):
        return results
    following = iter(results)
    return [bool(cell) and next(following) for cell in cells]


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str

    def is_word(self, *words: str) -> bool:
        return self.kind == "word" and self.text.lower() in words


def parse_conditions(text: str, columns: Sequence[str]) -> tuple[Condition, ...]:
    """Return the conditions of a text, all of which a row must fulfil. Raises ConditionError."""
    tokens = _tokens(text)
    if not tokens:
        return ()
    reader = _Reader(tokens, columns)
    conditions = [reader.condition()]
    while not reader.is_done():
        reader.conjunction()
        conditions.append(reader.condition())
    if len(conditions) > MOST_CONDITIONS:
        raise ConditionError(f"At most {MOST_CONDITIONS} conditions can be combined.")
    return tuple(conditions)


def parse_names(text: str, columns: Sequence[str]) -> tuple[int, ...]:
    """Return the indexes of the columns of a list: `a,"b, c"`. Raises ConditionError."""
    if not text:
        return ()
    try:
        names = next(csv.reader([text], skipinitialspace=True, strict=True))
    except (csv.Error, StopIteration):
        raise ConditionError('Columns are written as a,"b, c".') from None
    places = [column_index(name.strip(), columns) for name in names]
    if len(set(places)) < len(places):
        raise ConditionError("A column is named twice.")
    return tuple(places)


def column_index(name: str, columns: Sequence[str]) -> int:
    """Return the index of a column by its name, in any case if that is clear. Raises
    ConditionError.
    """
    if name in columns:
        return list(columns).index(name)
    folded = [column.casefold() for column in columns]
    if folded.count(name.casefold()) == 1:
        return folded.index(name.casefold())
    nearest = get_close_matches(name, columns, 1)
    hint = f" Did you mean {nearest[0][:100]}?" if nearest else ""
    raise ConditionError(f"There is no column {name[:100]}.{hint}")


def quoted_name(name: str) -> str:
    """Return a name as the column of a condition."""
    return '"' + name.replace('"', '""') + '"'


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    for match in _TOKEN.finditer(text.strip()):
        kind = str(match.lastgroup)
        written = match[kind]
        match kind:
            case "wrong":
                raise ConditionError(f"Cannot read {written}: is a quote missing?")
            case "double":
                written = written[1:-1].replace('""', '"')
            case "single":
                written = written[1:-1].replace("''", "'")
        tokens.append(_Token(kind, written))
    return tokens


class _Reader:
    def __init__(self, tokens: Sequence[_Token], columns: Sequence[str]) -> None:
        self._tokens = tokens
        self._columns = columns
        self._place = 0

    def is_done(self) -> bool:
        return self._place == len(self._tokens)

    def conjunction(self) -> None:
        token = self._next("and")
        if not token.is_word("and"):
            raise ConditionError(f"Expected `and` before {token.text[:60]}.")

    def condition(self) -> Condition:
        column = self._column()
        name = self._operator()
        if name.endswith("empty"):
            return Condition(column, name)
        token = self._next("a value")
        if token.kind == "sign":
            raise ConditionError(f"Expected a value instead of {token.text}.")
        return Condition(column, name, token.text, is_text=token.kind != "word")

    def _column(self) -> int:
        token = self._next("a column")
        if token.kind not in ("word", "double"):
            raise ConditionError(f"Expected a column instead of {token.text[:60]}.")
        return column_index(token.text, self._columns)

    def _operator(self) -> str:
        token = self._next("an operator")
        if token.kind == "sign":
            return {"<>": "!=", "==": "="}.get(token.text, token.text)
        if token.is_word("contains"):
            return "contains"
        if token.is_word("not") and self._next("contains").is_word("contains"):
            return "not contains"
        if token.is_word("is"):
            token = self._next("empty")
            if token.is_word("empty"):
                return "is empty"
            if token.is_word("not") and self._next("empty").is_word("empty"):
                return "is not empty"
        raise ConditionError(
            f"Expected an operator before {token.text[:60]}: {', '.join(OPERATORS)}."
        )

    def _next(self, expected: str) -> _Token:
        if self.is_done():
            raise ConditionError(f"The condition ends where {expected} should follow.")
        token = self._tokens[self._place]
        self._place += 1
        return token
