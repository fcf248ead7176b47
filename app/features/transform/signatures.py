"""Types of expressions, computed before anything runs, so that the author sees a mistake once
instead of every row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from app.features.transform.language import (
    COMPARISONS,
    NEGATIVE,
    Call,
    ColumnName,
    ExpressionError,
    Literal,
    Node,
)
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
from app.suggestions import did_you_mean

MAX_PATTERN = 500
MAX_TEXT_POSITION = 1_000_000


@dataclass(frozen=True, slots=True)
class Signature:
    """Kinds of arguments: `text`, `number`, `boolean`, `moment` (date, datetime or instant), `any`.
    Kinds in capitals must be literals: `TEXT`, `PATTERN` (RE2), `READ` and `WRITE` (date formats),
    `COUNT` (a whole number).
    """

    arguments: tuple[str, ...]
    result: Type
    optional: int = 0
    """Number of the last arguments that may be left out."""
    repeats: bool = False
    """Whether the last argument may be repeated."""


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
KINDS = {
    "any": "a value",
    "text": "text",
    "number": "a number",
    "boolean": "a boolean",
    "moment": "a date",
}
"""Names of the kinds of arguments in messages."""

DECIMAL_MARKS = (".", ",")
THOUSANDS_MARKS = ("", ".", ",", " ", "'", "\u00a0", "\u202f")


def type_of(node: Node, columns: Mapping[str, Type] | None) -> Type:
    """Return the type; raises ExpressionError. With `columns` None every name exists and is
    text.
    """
    if isinstance(node, Literal):
        return of_literal(node.value)
    if isinstance(node, ColumnName):
        if columns is None:
            return TEXT
        if node.name not in columns:
            message = f"There is no column `{node.name[:60]}`.{did_you_mean(node.name, columns)}"
            raise ExpressionError(message, node.place)
        return columns[node.name]
    return _of_call(node, columns)


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
    types = [type_of(argument, columns) for argument in node.arguments]
    if name in ("and", "or", "not"):
        for argument, type_ in zip(node.arguments, types, strict=True):
            message = f"`{name}` takes conditions, but this is {a(type_)}."
            _want(type_ == BOOLEAN, argument, message)
        return BOOLEAN
    if name in ("+", "-", "*", "/", NEGATIVE):
        return _of_arithmetic(node, types)
    if name in COMPARISONS or name == "in":
        return _of_comparison(node, types)
    if name in LAZY:
        return _of_lazy(node, types)
    if name not in FUNCTIONS:
        hint = did_you_mean(name, [*FUNCTIONS, *LAZY])
        raise ExpressionError(f"There is no function `{name[:60]}`.{hint}", node.place)
    return _of_function(node, FUNCTIONS[name], types)


def _of_arithmetic(node: Call, types: list[Type]) -> Type:
    sign = "-" if node.name == NEGATIVE else node.name
    hint_for_text = "; convert it with number(...)"
    if sign == "+":
        hint_for_text = "; join texts with concat(...)"
    for argument, type_ in zip(node.arguments, types, strict=True):
        hint = hint_for_text if type_ == TEXT else ""
        message = f"`{sign}` takes numbers, but this is {a(type_)}{hint}."
        _want(type_.is_number, argument, message)
    return NUMBER


def _want(holds: bool, node: Node, message: str) -> None:
    if not holds:
        raise ExpressionError(message, node.place)


def _of_comparison(node: Call, types: list[Type]) -> Type:
    first = types[0]
    for argument, type_ in zip(node.arguments, types, strict=True):
        _want(type_ != NULL, argument, "Null cannot be compared; use is_empty(...).")
        hint = ""
        if type_ == TEXT and first.is_number:
            hint = "; convert it with number(...)"
        elif type_.is_number and first == TEXT:
            hint = "; convert the other one with number(...)"
        message = f"`{node.name}` compares {a(first)} with {a(type_)}{hint}."
        _want(common(first, type_) is not None, argument, message)
    is_ordered = node.name not in ("==", "!=", "in")
    message = f"`{node.name}` compares by order, which conditions do not have."
    _want(not is_ordered or first != BOOLEAN, node, message)
    return BOOLEAN


def _of_lazy(node: Call, types: list[Type]) -> Type:
    if node.name == "if":
        message = f"`if` takes a condition and two values, but has {len(types)} arguments."
        _want(len(types) == 3, node, message)
        message = f"`if` takes a condition first, but this is {a(types[0])}."
        _want(types[0] == BOOLEAN, node.arguments[0], message)
        types = types[1:]
    _want(len(types) >= 2, node, "`coalesce` takes at least two values.")
    result: Type | None = types[0]
    for type_ in types[1:]:
        result = None if result is None else common(result, type_)
    if result is None:
        names = ", ".join(map(str, types))
        message = f"The values of `{node.name}` are of different types: {names}."
        raise ExpressionError(message, node.place)
    _want(result != NULL, node, f"`{node.name}` is always null.")
    return result


def _of_function(node: Call, signature: Signature, types: list[Type]) -> Type:
    name = node.name
    kinds = _kinds(node, signature)
    result = signature.result
    for kind, type_, argument in zip(kinds, types, node.arguments, strict=False):
        if kind.isupper():
            result = _as_it_stands(kind, argument, name) or result
        else:
            message = f"`{name}` takes {KINDS[kind]} here, but this is {a(type_)}."
            _want(_is_of_kind(type_, kind), argument, message)
    if name == "days_between" and types[0] != types[1]:
        message = f"`days_between` takes two of one type, not {types[0]} and {types[1]}."
        raise ExpressionError(message, node.place)
    literals = [argument.value for argument in node.arguments[1:] if isinstance(argument, Literal)]
    if name == "replace":
        _want(literals[0] != "", node, "`replace` takes a text to find, not ''.")
    if name == "number":
        _check_marks(literals, node)
    if name == "round":
        decimals = literals[0] if literals else 0
        assert isinstance(decimals, int | Decimal)
        result = Type("decimal", int(decimals))
    return result


def _kinds(node: Call, signature: Signature) -> list[str]:
    """Return the kind of each argument; raises ExpressionError if there are too many or too few."""
    kinds = list(signature.arguments)
    count, most = len(node.arguments), len(kinds)
    fewest = most - signature.optional
    if count < fewest or (count > most and not signature.repeats):
        how_many = str(fewest)
        if signature.repeats:
            how_many = f"{fewest} or more"
        elif signature.optional:
            how_many = f"{fewest} to {most}"
        message = f"`{node.name}` takes {how_many} arguments, but has {count}."
        raise ExpressionError(message, node.place)
    return kinds + [kinds[-1]] * (count - most)


def _is_of_kind(type_: Type, kind: str) -> bool:
    if kind == "any":
        return type_ != NULL
    if kind == "number":
        return type_.is_number
    if kind == "moment":
        return type_.is_moment
    return type_ == (TEXT if kind == "text" else BOOLEAN)


def _check_marks(marks: Sequence[object], node: Node) -> None:
    decimal = marks[0] if marks else "."
    thousands = marks[1] if len(marks) > 1 else ""
    is_right = decimal in DECIMAL_MARKS and thousands in THOUSANDS_MARKS and decimal != thousands
    _want(
        is_right,
        node,
        "The decimal mark is '.' or ',', the thousands mark '.', ',', ' ', \"'\" or '', not the"
        " same.",
    )


def _as_it_stands(kind: str, node: Node, name: str) -> Type | None:
    """Check an argument that must be a literal; return the type that it gives the function, or
    None.
    """
    value = node.value if isinstance(node, Literal) else None
    if kind == "COUNT":
        limit = MAX_SCALE if name == "round" else MAX_TEXT_POSITION
        if not isinstance(value, Decimal) or value != value.to_integral_value():
            value = Decimal(-1)
        message = f"`{name}` takes a whole number from 0 to {limit} here, as it stands."
        _want(0 <= value <= limit, node, message)
        return None
    _want(isinstance(value, str), node, f"`{name}` takes a text in quotes here.")
    assert isinstance(value, str)
    if kind == "PATTERN":
        _want(len(value) <= MAX_PATTERN, node, f"A pattern has at most {MAX_PATTERN} characters.")
    if kind in ("READ", "WRITE"):
        try:
            type_ = type_of_format(value, reading=kind == "READ")
        except BadFormat as error:
            raise ExpressionError(str(error), node.place) from None
        return type_ if kind == "READ" else None
    return None


def patterns_of(node: Node) -> list[tuple[str, int]]:
    """Return the regular expressions of an expression, with their places. They are checked where
    they will run.
    """
    if not isinstance(node, Call):
        return []
    patterns = [pattern for argument in node.arguments for pattern in patterns_of(argument)]
    if node.name == "matches" and isinstance(node.arguments[1], Literal):
        pattern = node.arguments[1]
        patterns.append((str(pattern.value), pattern.place))
    return patterns
