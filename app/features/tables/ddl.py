"""Tables and columns that a load makes: types from what an analysis found, and the statements.

A type is given only if every value of the file has exactly one reading in it; else it is text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.features.tables.definition import (
    Column,
    Constraint,
    Dialect,
    TableDefinition,
    TableName,
    quoted,
)

INT64_END = 1 << 63
MAX_NAME_BYTES = 63
"""PostgreSQL would cut a longer name."""
MAX_COLUMNS: dict[Dialect, int] = {"postgresql": 1600, "sqlite": 2000}
TEXT: dict[Dialect, str] = {"postgresql": "text", "sqlite": "TEXT"}
SQLITE_TYPES = ("INTEGER", "REAL", "TEXT", "BLOB", "ANY")
POSTGRESQL_TYPE = re.compile(
    r"(?:smallint|int|integer|bigint|real|double precision|bool|boolean|date|uuid|json|jsonb"
    r"|bytea|text|(?:numeric|decimal)(?:\([1-9]\d{0,2}(?:,\d{1,3})?\))?"
    r"|(?:character varying|varchar|character|char)\([1-9]\d{0,6}\)|character varying|varchar"
    r"|(?:timestamp|time)(?:\([0-6]\))?(?: (?:with|without) time zone)?|timestamptz(?:\([0-6]\))?"
    r"|inet|cidr|macaddr)(?:\[\])?"
)
ARRAY = "[]"
ALIASES = {
    "int": "integer",
    "bool": "boolean",
    "decimal": "numeric",
    "varchar": "character varying",
    "char": "character",
    "timestamptz": "timestamp with time zone",
    "timestamp": "timestamp without time zone",
    "time": "time without time zone",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What an analysis found in a column of the file."""

    name: str
    type: str
    """number, date, boolean or text."""
    subtype: str = ""
    """integer, decimal, date or datetime."""
    format: str = ""
    """Form of dates, as strftime names it."""
    least: str | None = None
    """The least number, as it is written."""
    greatest: str | None = None
    decimal_mark: str = ""
    """Empty for numbers that are read as they are."""
    thousands_mark: str = ""

    @property
    def steps(self) -> list[dict[str, str]]:
        """Return the steps of a transform that read the values, unless they are read without."""
        if self.decimal_mark:
            step = {"operation": "cast", "to": "number", "decimal": self.decimal_mark}
            return [step | ({"thousands": self.thousands_mark} if self.thousands_mark else {})]
        return []


def facts_of(profile: Mapping[str, Any]) -> list[Facts]:
    """Return the facts of all columns in the result of an analysis."""
    return [_facts(column) for column in profile["columns"]]


def _facts(column: Mapping[str, Any]) -> Facts:
    # Analyses before version 4 say nothing of marks.
    if marked := column.get("as_number"):
        return Facts(
            column["name"],
            "number",
            marked["subtype"],
            decimal_mark=marked["decimal_mark"],
            thousands_mark=marked["thousands_mark"] or "",
        )
    return Facts(
        column["name"],
        column["type"],
        column["subtype"] or "",
        (column["format"] or "") if column["type"] == "date" else "",
        column["min"],
        column["max"],
    )


def type_for(facts: Facts | None, dialect: Dialect) -> str:
    """Return the type of a column that holds these values; text without facts."""
    if facts is None:
        return TEXT[dialect]
    if dialect == "sqlite":
        return _sqlite_type(facts)
    if facts.type == "number":
        return "bigint" if _fits_bigint(facts) else "numeric"
    if facts.type == "boolean":
        return "boolean"
    if facts.type == "date" and facts.subtype == "date":
        return "date"
    if facts.type == "date":
        zone = "with" if "%z" in facts.format else "without"
        return f"timestamp {zone} time zone"
    return "text"


def _sqlite_type(facts: Facts) -> str:
    """Return the type on SQLite. Decimals are text: a floating-point number would not keep them.
    Dates and truth values have no type of their own.
    """
    if facts.type == "number" and _fits_bigint(facts):
        return "INTEGER"
    return "TEXT"


MADE_TYPES = {
    "integer": "bigint",
    "number": "numeric",
    "boolean": "boolean",
    "date": "date",
    "datetime": "timestamp without time zone",
    "instant": "timestamp with time zone",
}
"""Types in PostgreSQL of what a transform makes."""
MOST_DIGITS = 38


def type_for_made(type_: str, scale: int, dialect: Dialect) -> str:
    """Return the type of a column that steps make, by its type in the transform. `scale`: decimals
    of a `decimal`.
    """
    if dialect == "sqlite":
        return "INTEGER" if type_ == "integer" else "TEXT"
    if type_ == "decimal":
        return f"numeric({MOST_DIGITS},{scale})"
    return MADE_TYPES.get(type_, "text")


def _fits_bigint(facts: Facts) -> bool:
    if facts.decimal_mark:
        return facts.subtype == "integer"  # the analysis has seen that all fit
    if facts.subtype != "integer" or facts.least is None or facts.greatest is None:
        return False
    try:
        return -INT64_END <= int(facts.least) and int(facts.greatest) < INT64_END
    except ValueError:
        return False


def name_problems(
    name: TableName,
    names: Sequence[str],
    dialect: Dialect,
    there: Iterable[str] = (),
) -> list[str]:
    """Return what keeps new columns from having these names; `there` are those that the table has."""
    problems = []
    taken = {_folded(other, dialect) for other in there}
    if _is_too_long(name.table, dialect) or "\0" in name.table:
        problems.append(f"The name {name.table[:60]!r} of the table has more than 63 bytes.")
    if len(names) + len(taken) > MAX_COLUMNS[dialect]:
        problems.append(f"A table has at most {MAX_COLUMNS[dialect]} columns.")
    for column in names:
        folded = _folded(column, dialect)
        if not column or "\0" in column:
            problems.append(f"A column cannot have the name {column[:60]!r}.")
        elif _is_too_long(column, dialect):
            problems.append(f"The name {column[:60]!r} of a column has more than 63 bytes.")
        elif folded in taken:
            problems.append(f"Two columns would have the name {column[:60]!r}.")
        elif dialect == "postgresql" and column in SYSTEM_COLUMNS:
            problems.append(f"{column!r} is the name of a system column.")
        taken.add(folded)
    return problems


SYSTEM_COLUMNS = ("oid", "tableoid", "xmin", "cmin", "xmax", "cmax", "ctid")


def _folded(name: str, dialect: Dialect) -> str:
    """Return the name as SQLite compares it: without regard to the case of ASCII letters."""
    if dialect == "postgresql":
        return name
    return "".join(character.lower() if character.isascii() else character for character in name)


def _is_too_long(name: str, dialect: Dialect) -> bool:
    return dialect == "postgresql" and len(name.encode()) > MAX_NAME_BYTES


def type_problems(
    types: Mapping[str, str], columns: Mapping[str, str], dialect: Dialect
) -> list[str]:
    """Return what is wrong with the types that a user chose."""
    problems = []
    for column, written in types.items():
        if column not in columns:
            problems.append(f"The table has no column {column[:60]!r}.")
        elif not _is_type(written, dialect):
            problems.append(f"{written[:60]!r} is not a type that a column can have.")
    return problems


def _is_type(written: str, dialect: Dialect) -> bool:
    normal = _normal(written, dialect)
    if dialect == "sqlite":
        return normal in SQLITE_TYPES
    return POSTGRESQL_TYPE.fullmatch(normal) is not None


def _normal(written: str, dialect: Dialect) -> str:
    """Return a type in the case of the database, with single spaces, and none before or within
    parentheses.
    """
    words = re.sub(r" ?([(,]) ?| (?=\))", r"\1", " ".join(written.split()))
    return words.upper() if dialect == "sqlite" else words.lower()


def definition_of(
    name: TableName, types: Mapping[str, str], key: tuple[str, ...], dialect: Dialect
) -> TableDefinition:
    """Return the table as the catalogue will describe it."""
    columns = tuple(
        _new_column(column, _in_full(_normal(type_, dialect)), column not in key)
        for column, type_ in types.items()
    )
    constraints = []
    if key:
        constraints.append(Constraint("", "primary_key", key))
    constraints += [Constraint("", "not_null", (column,), "NOT NULL") for column in key]
    return TableDefinition(
        name,
        "table",
        columns,
        tuple(constraints),
        dialect=dialect,
        is_strict=dialect == "sqlite",
    )


def _new_column(name: str, type_: str, is_nullable: bool) -> Column:
    if type_.endswith(ARRAY):
        element = type_.removesuffix(ARRAY)
        return Column(name, type_, is_nullable, base_type=type_, kind="array", element_type=element)
    return Column(name, type_, is_nullable, base_type=type_)


def _in_full(written: str) -> str:
    """Return a type as the catalogue writes it."""
    match = re.fullmatch(r"(\w+)(\(.*?\))?(.*)", written)
    assert match is not None
    name, limits, rest = match[1], match[2] or "", match[3]
    full = ALIASES.get(name, name) if " time zone" not in rest else name
    if full == "numeric" and limits and "," not in limits:
        limits = f"{limits[:-1]},0)"
    word, space, zone = full.partition(" ")
    if zone.endswith("time zone"):
        return f"{word}{limits}{space}{zone}{rest}"
    return f"{full}{limits}{rest}"


def create_table(definition: TableDefinition) -> str:
    lines = [_column(column) for column in definition.columns]
    if key := definition.primary_key:
        lines.append(f"PRIMARY KEY ({', '.join(map(quoted, key))})")
    options = " STRICT" if definition.is_strict else ""
    return f"CREATE TABLE {definition.name.sql} (\n    " + ",\n    ".join(lines) + f"\n){options}"


def add_key(definition: TableDefinition) -> str:
    """Return the statement that adds the primary key to a table that was made without one."""
    key = ", ".join(map(quoted, definition.primary_key))
    return f"ALTER TABLE {definition.name.sql} ADD PRIMARY KEY ({key})"


def _column(column: Column) -> str:
    not_null = "" if column.is_nullable else " NOT NULL"
    return f"{quoted(column.name)} {column.type}{not_null}"


def add_column(name: TableName, column: Column) -> str:
    return f"ALTER TABLE {name.sql} ADD COLUMN {quoted(column.name)} {column.type}"
