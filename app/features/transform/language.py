"""Expression language: parses a text into a tree of a few kinds of nodes. It looks up nothing and
runs nothing.

    or: and ("or" and)*            and: not ("and" not)*             not: "not" not | comparison
    comparison: sum (("==" | "!=" | "<" | "<=" | ">" | ">=") sum | "in" "(" literal ("," literal)* ")")?
    sum: product (("+" | "-") product)*                              product: factor (("*" | "/") factor)*
    factor: "-" factor | number | text | "true" | "false" | "null" | column | function "(" or, ... ")" | "(" or ")"

Texts stand in single or double quotes, doubled inside; columns by
their name if it is a word, else in backticks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from app.features.transform.types import MAX_DIGITS

MAX_CHARACTERS = 2_000
MAX_DEPTH = 40


class ExpressionError(ValueError):
    """An invalid expression: what is wrong, and at which character (from 1)."""

    def __init__(self, message: str, place: int) -> None:
        super().__init__(message)
        self.message, self.place = message, place


@dataclass(frozen=True, slots=True)
class Literal:
    value: str | Decimal | bool | None
    place: int


@dataclass(frozen=True, slots=True)
class ColumnName:
    name: str
    place: int


@dataclass(frozen=True, slots=True)
class Call:
    """Operator or function with its arguments."""

    name: str
    arguments: tuple[Node, ...]
    place: int


Node = Literal | ColumnName | Call

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>[0-9]+(?:\.[0-9]+)?)(?![\w.])|(?P<word>[^\W\d]\w*)|`(?P<quoted>(?:[^`]|``)+)`"""
    r"""|'(?P<single>(?:[^']|'')*)'|"(?P<double>(?:[^"]|"")*)"|(?P<sign>==|!=|<=|>=|[-+*/<>(),])|(?P<end>\Z))"""
)
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
NEGATIVE = "unary -"
"""Name of the sign before a number or a factor, which no function can have."""
WORDS = {"and", "or", "not", "in", "true", "false", "null"}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    place: int


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while True:
        match = _TOKEN.match(text, at)
        if match is None:
            rest = text[at:].lstrip()
            place = len(text) - len(rest) + 1
            raise ExpressionError(f"{rest[:10]!r} is not part of the language.", place)
        kind = match.lastgroup or "end"
        token = match[kind]
        place = match.start(kind) + 1
        if kind == "word" and token in WORDS:
            kind = "sign"
        elif kind == "quoted":
            kind, token = "column", token.replace("``", "`")
        elif kind in ("single", "double"):
            mark = "'" if kind == "single" else '"'
            kind, token = "text", token.replace(mark * 2, mark)
        yield _Token(kind, token, place)
        if kind == "end":
            return
        at = match.end()


def parse(text: str) -> Node:
    """Parse an expression into a tree; raises ExpressionError."""
    if len(text) > MAX_CHARACTERS:
        message = f"The expression has {len(text)} characters; at most {MAX_CHARACTERS} are read."
        raise ExpressionError(message, 1)
    return _Parser(list(_tokens(text))).whole()


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, *signs: str) -> _Token | None:
        token = self._next
        if token.kind != "sign" or token.text not in signs:
            return None
        self._at += 1
        return token

    def _expect(self, sign: str) -> None:
        if self._take(sign) is None:
            raise self._unexpected(f"`{sign}`")

    def _unexpected(self, expected: str) -> ExpressionError:
        token = self._next
        shown = "the end" if token.kind == "end" else f"`{token.text[:20]}`"
        return ExpressionError(f"Expected {expected}, found {shown}.", token.place)

    def whole(self) -> Node:
        node = self._or()
        if self._next.kind != "end":
            raise self._unexpected("an operator or the end")
        return node

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            message = f"The expression is nested deeper than {MAX_DEPTH} levels."
            raise ExpressionError(message, self._next.place)

    def _or(self) -> Node:
        self._deeper()
        node = self._and()
        while sign := self._take("or"):
            node = Call("or", (node, self._and()), sign.place)
        self._depth -= 1
        return node

    def _and(self) -> Node:
        node = self._not()
        while sign := self._take("and"):
            node = Call("and", (node, self._not()), sign.place)
        return node

    def _not(self) -> Node:
        if sign := self._take("not"):
            self._deeper()
            node = Call("not", (self._not(),), sign.place)
            self._depth -= 1
            return node
        return self._comparison()

    def _comparison(self) -> Node:
        node = self._sum()
        if sign := self._take("in"):
            self._expect("(")
            values: list[Node] = [self._literal()]
            while self._take(","):
                values.append(self._literal())
            self._expect(")")
            return Call("in", (node, *values), sign.place)
        if sign := self._take(*COMPARISONS):
            node = Call(sign.text, (node, self._sum()), sign.place)
            if self._next.text in COMPARISONS and self._next.kind == "sign":
                message = "Comparisons cannot be chained; join them with `and`."
                raise ExpressionError(message, self._next.place)
        return node

    def _literal(self) -> Node:
        node = self._factor()
        if isinstance(node, Literal):
            return node
        if isinstance(node, Call) and node.name == NEGATIVE and node.arguments:
            argument = node.arguments[0]
            if isinstance(argument, Literal) and isinstance(argument.value, Decimal):
                return Literal(-argument.value, node.place)
        raise ExpressionError("Expected a text, a number, true or false.", node.place)

    def _sum(self) -> Node:
        node = self._product()
        while sign := self._take("+", "-"):
            node = Call(sign.text, (node, self._product()), sign.place)
        return node

    def _product(self) -> Node:
        node = self._factor()
        while sign := self._take("*", "/"):
            node = Call(sign.text, (node, self._factor()), sign.place)
        return node

    def _factor(self) -> Node:
        token = self._next
        if self._take("-"):
            self._deeper()
            node: Node = Call(NEGATIVE, (self._factor(),), token.place)
            self._depth -= 1
            return node
        if self._take("("):
            node = self._or()
            self._expect(")")
            return node
        if named := self._take("true", "false", "null"):
            return Literal({"true": True, "false": False}.get(named.text), token.place)
        if token.kind not in ("number", "text", "column", "word"):
            raise self._unexpected("a value")
        self._at += 1
        if token.kind == "number":
            if len(token.text.replace(".", "")) > MAX_DIGITS:
                raise ExpressionError(f"A number has at most {MAX_DIGITS} digits.", token.place)
            return Literal(Decimal(token.text), token.place)
        if token.kind == "text":
            return Literal(token.text, token.place)
        if token.kind == "column" or not self._take("("):
            return ColumnName(token.text, token.place)
        return self._call(token)

    def _call(self, name: _Token) -> Node:
        arguments: list[Node] = []
        if not self._take(")"):
            arguments.append(self._or())
            while self._take(","):
                arguments.append(self._or())
            self._expect(")")
        return Call(name.text, tuple(arguments), name.place)


def columns_of(node: Node) -> set[str]:
    """Return the columns that an expression reads."""
    if isinstance(node, ColumnName):
        return {node.name}
    names: set[str] = set()
    if isinstance(node, Call):
        for argument in node.arguments:
            names |= columns_of(argument)
    return names
