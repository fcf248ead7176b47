"""What type an expression has, found before anything runs: so that a mistake is told to who wrote it, not to each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches

from app.features.transform.language import COMPARISONS, Call, ColumnName, ExpressionError, Literal, Node
from app.features.transform.types import (
    BOOLEAN,
    DATE,
    INTEGER,
    MAX_SCALE,
    NULL,
    NUMBER,
    TEXT,
    BadFormat,
    Type,
    a,
    common,
    type_of_format,
)

MAX_PATTERN = 500
MAX_TEXT_POSITION = 1_000_000


@dataclass(frozen=True, slots=True)
class Signature:
    """Kinds of arguments: `text`, `number`, `boolean`, `moment` (date, datetime or instant), `any`; in capitals what must
    stand there as it is: `TEXT`, `PATTERN` (RE2), `READ` and `WRITE` (date formats), `COUNT` (a whole number)."""

    arguments: tuple[str, ...]
    result: Type
    optional: int = 0
    """How many of the last arguments may be left out."""
    repeats: bool = False
    """Whether the last one may be repeated."""


FUNCTIONS: dict[str, Signature] = {
    "number": Signature(("text", "TEXT", "TEXT"), NUMBER, optional=2),
    "integer": Signature(("text",), INTEGER),
    "text": Signature(("any",), TEXT),
    "parse_date": Signature(("text", "READ"), DATE),
    "format_date": Signature(("moment", "WRITE"), TEXT),
    "year": Signature(("moment",), INTEGER),
    "month": Signature(("moment",), INTEGER),
    "day": Signature(("moment",), INTEGER),
    "days_between": Signature(("moment", "moment"), INTEGER),
    "lower": Signature(("text",), TEXT),
    "upper": Signature(("text",), TEXT),
    "title": Signature(("text",), TEXT),
    "trim": Signature(("text",), TEXT),
    "length": Signature(("text",), INTEGER),
    "left": Signature(("text", "COUNT"), TEXT),
    "right": Signature(("text", "COUNT"), TEXT),
    "contains": Signature(("text", "TEXT"), BOOLEAN),
    "starts_with": Signature(("text", "TEXT"), BOOLEAN),
    "ends_with": Signature(("text", "TEXT"), BOOLEAN),
    "matches": Signature(("text", "PATTERN"), BOOLEAN),
    "replace": Signature(("text", "TEXT", "TEXT"), TEXT),
    "concat": Signature(("text", "text"), TEXT, repeats=True),
    "is_empty": Signature(("any",), BOOLEAN),
    "abs": Signature(("number",), NUMBER),
    "round": Signature(("number", "COUNT"), NUMBER, optional=1),
    "least": Signature(("number", "number"), NUMBER, repeats=True),
    "greatest": Signature(("number", "number"), NUMBER, repeats=True),
}
LAZY = ("if", "coalesce")


def type_of(node: Node, columns: Mapping[str, Type] | None) -> Type:
    """Raises ExpressionError. `columns` None: whatever name is there, and all are text."""
    if isinstance(node, Literal):
        return of_literal(node.value)
    if isinstance(node, ColumnName):
        if columns is None:
            return TEXT
        if node.name not in columns:
            raise ExpressionError(f"There is no column `{node.name[:60]}`{nearest(node.name, columns)}.", node.place)
        return columns[node.name]
    return _of_call(node, columns)


def nearest(name: str, among: Mapping[str, Type] | Sequence[str]) -> str:
    """`; the nearest is ...`, or nothing."""
    folded = {each.strip().casefold(): each for each in reversed(list(among))}
    close = get_close_matches(name.strip().casefold(), list(folded), n=1, cutoff=0.5)
    return f"; the nearest is `{folded[close[0]][:60]}`" if close else ""


def of_literal(value: str | Decimal | bool | None) -> Type:
    if value is None:
        return NULL
    if isinstance(value, bool):
        return BOOLEAN
    if isinstance(value, str):
        return TEXT
    return INTEGER if value == value.to_integral_value() and abs(value) < 1 << 63 else NUMBER


def _of_call(node: Call, columns: Mapping[str, Type] | None) -> Type:
    name = node.name
    types = [type_of(each, columns) for each in node.arguments]
    if name in ("and", "or", "not"):
        for each, type_ in zip(node.arguments, types, strict=True):
            _want(type_ == BOOLEAN, each, f"`{name}` takes conditions, and this is {a(type_)}.")
        return BOOLEAN
    if name in ("+", "-", "*", "/", "negative"):
        shown = "-" if name == "negative" else name
        for each, type_ in zip(node.arguments, types, strict=True):
            hint = "; make it one by number(...)" if type_ == TEXT else ""
            hint = "; put texts together by concat(...)" if type_ == TEXT and name == "+" else hint
            _want(type_.is_number, each, f"`{shown}` takes numbers, and this is {a(type_)}{hint}.")
        return NUMBER
    if name in COMPARISONS or name == "in":
        return _of_comparison(node, types)
    if name in LAZY:
        return _of_lazy(node, types)
    if name not in FUNCTIONS:
        raise ExpressionError(f"There is no function `{name[:60]}`{nearest(name, [*FUNCTIONS, *LAZY])}.", node.place)
    return _of_function(node, FUNCTIONS[name], types)


def _want(holds: bool, node: Node, message: str) -> None:
    if not holds:
        raise ExpressionError(message, node.place)


def _of_comparison(node: Call, types: list[Type]) -> Type:
    for each, type_ in zip(node.arguments, types, strict=True):
        _want(type_ != NULL, each, "Nothing is compared with null; ask is_empty(...).")
        hint = "; make it a number by number(...)" if type_ == TEXT and types[0].is_number else ""
        hint = "; make that a number by number(...)" if type_.is_number and types[0] == TEXT else hint
        _want(common(types[0], type_) is not None, each, f"`{node.name}` compares {a(types[0])} with {a(type_)}{hint}.")
    ordered = node.name not in ("==", "!=", "in")
    _want(not ordered or types[0] != BOOLEAN, node, f"`{node.name}` needs an order, and conditions have none.")
    return BOOLEAN


def _of_lazy(node: Call, types: list[Type]) -> Type:
    if node.name == "if":
        _want(len(types) == 3, node, f"`if` takes a condition and two values; here are {len(types)} arguments.")
        _want(types[0] == BOOLEAN, node.arguments[0], f"`if` takes a condition first, and this is {a(types[0])}.")
        types = types[1:]
    _want(len(types) >= 2, node, "`coalesce` takes two values or more.")
    result: Type | None = types[0]
    for type_ in types[1:]:
        result = None if result is None else common(result, type_)
    if result is None:
        raise ExpressionError(
            f"The values of `{node.name}` are of different types: {', '.join(map(str, types))}.", node.place
        )
    _want(result != NULL, node, f"`{node.name}` has no value but null.")
    return result


def _of_function(node: Call, signature: Signature, types: list[Type]) -> Type:
    name, kinds = node.name, list(signature.arguments)
    given = len(types)
    fewest = len(kinds) - signature.optional
    if given < fewest or (given > len(kinds) and not signature.repeats):
        wanted = (
            f"{fewest} or more" if signature.repeats else f"{fewest} to {len(kinds)}" if signature.optional else fewest
        )
        raise ExpressionError(f"`{name}` takes {wanted} arguments; here are {given}.", node.place)
    kinds += [kinds[-1]] * (given - len(kinds))
    result = signature.result
    for kind, type_, argument in zip(kinds, types, node.arguments, strict=False):
        if kind.isupper():
            found = _as_it_stands(kind, argument, name)
            result = found or result
        else:
            is_right = {
                "any": type_ != NULL, "text": type_ == TEXT, "number": type_.is_number, "boolean": type_ == BOOLEAN,
                "moment": type_.is_moment,
            }[kind]  # fmt: skip
            word = (
                "a date"
                if kind == "moment"
                else "a value"
                if kind == "any"
                else "text"
                if kind == "text"
                else f"a {kind}"
            )
            _want(is_right, argument, f"`{name}` takes {word} here, and this is {a(type_)}.")
    if name == "days_between" and types[0] != types[1]:
        raise ExpressionError(f"`days_between` takes two of one type, not {types[0]} and {types[1]}.", node.place)
    if name == "replace":
        _want(
            node.arguments[1] != Literal("", node.arguments[1].place), node, "`replace` takes a text to find, not ''."
        )
    if name == "number":
        _check_marks([each.value for each in node.arguments[1:] if isinstance(each, Literal)], node)
    if name == "round":
        decimals = node.arguments[1].value if len(node.arguments) > 1 and isinstance(node.arguments[1], Literal) else 0
        assert isinstance(decimals, int | Decimal)
        result = Type("decimal", int(decimals))
    return result


def _check_marks(marks: list[object], node: Node) -> None:
    decimal = marks[0] if marks else "."
    thousands = marks[1] if len(marks) > 1 else ""
    is_right = (
        decimal in (".", ",") and thousands in ("", ".", ",", " ", "'", "\u00a0", "\u202f") and decimal != thousands
    )
    _want(
        is_right, node, "The decimal mark is '.' or ',', the thousands mark '.', ',', ' ', \"'\" or '', not the same."
    )


def _as_it_stands(kind: str, node: Node, name: str) -> Type | None:
    """Check an argument that must be a literal; the type that it gives the function, if it does."""
    value = node.value if isinstance(node, Literal) else None
    if kind == "COUNT":
        limit = MAX_SCALE if name == "round" else MAX_TEXT_POSITION
        is_whole = isinstance(value, Decimal) and value == value.to_integral_value() and 0 <= value <= limit
        _want(is_whole, node, f"`{name}` takes a whole number from 0 to {limit} here, as it stands.")
        return None
    _want(isinstance(value, str), node, f"`{name}` takes a text in quotes here.")
    assert isinstance(value, str)
    if kind == "PATTERN":
        _want(len(value) <= MAX_PATTERN, node, f"A pattern has at most {MAX_PATTERN} characters.")
    if kind in ("READ", "WRITE"):
        try:
            found = type_of_format(value, reading=kind == "READ")
        except BadFormat as error:
            raise ExpressionError(str(error), node.place) from None
        return found if kind == "READ" else None
    return None


def patterns_of(node: Node) -> list[tuple[str, int]]:
    """The regular expressions in it, which are checked where they will run, and their places."""
    if not isinstance(node, Call):
        return []
    found = [each for argument in node.arguments for each in patterns_of(argument)]
    if node.name == "matches" and isinstance(node.arguments[1], Literal):
        found.append((str(node.arguments[1].value), node.arguments[1].place))
    return found
