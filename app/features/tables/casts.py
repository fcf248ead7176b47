"""Chooses the strict cast that a column of a table demands. What the database itself would round,
cut or read in a way of its own is refused before it comes there; `strict` carries the casts out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from app.features.tables.definition import Column, Dialect, TypeKind

CastKind = Literal[
    "text", "integer", "decimal", "float", "boolean", "date", "time", "timetz", "timestamp",
    "timestamptz", "interval", "uuid", "json", "bytea", "enum", "array", "any", "database",
    "refused",
]  # fmt: skip
"""`any`: of SQLite, whatever the value is. `database`: of a type that only the database knows; the
text is given to it as it is, and what it refuses is a reject. `refused`: of a type whose values the
database reads in a way that depends on its settings, or cuts in silence.
"""

MOMENTS: tuple[CastKind, ...] = ("date", "timestamp", "timestamptz")


@dataclass(frozen=True, slots=True)
class Cast:
    kind: CastKind
    type: str
    """As the database writes it, without the domain."""
    bits: int = 64
    """Size of integers and floating-point numbers."""
    precision: int | None = None
    """Digits of a decimal; None if it has no limit."""
    scale: int = 0
    """Its decimals; negative if it ends with zeros."""
    length: int | None = None
    """Characters of a text, or digits of a fraction of a second; None if it has no limit."""
    is_padded: bool = False
    """character(n), which does not keep spaces at the end."""
    labels: tuple[str, ...] = ()
    element: Cast | None = None
    """Cast of the elements of an array."""
    format: str = ""
    """Form of dates and times in the file, as strftime names it; empty for ISO 8601."""
    counts_bytes: bool = False
    """Whether `length` is in bytes, beyond which the database would cut."""
    is_binary: bool = False
    """jsonb, which keeps of keys that are repeated only one, or a BLOB."""


_POSTGRESQL: dict[str, Cast] = {
    "smallint": Cast("integer", "smallint", bits=16),
    "integer": Cast("integer", "integer", bits=32),
    "bigint": Cast("integer", "bigint"),
    "oid": Cast("integer", "oid", bits=-32),
    "real": Cast("float", "real", bits=32),
    "double precision": Cast("float", "double precision"),
    "boolean": Cast("boolean", "boolean"),
    "date": Cast("date", "date"),
    "uuid": Cast("uuid", "uuid"),
    "json": Cast("json", "json"),
    "jsonb": Cast("json", "jsonb", is_binary=True),
    "bytea": Cast("bytea", "bytea"),
    "text": Cast("text", "text"),
    "money": Cast("refused", "money"),
    "name": Cast("text", "name", length=63, counts_bytes=True),
    '"char"': Cast("text", '"char"', length=1, counts_bytes=True),
}
_NUMERIC = re.compile(r"numeric(?:\((\d+),(-?\d+)\))?")
_CHARACTER = re.compile(r"(character varying|character|citext)(?:\((\d+)\))?")
_CLOCK = re.compile(r"(timestamp|time)(?:\((\d)\))? (with|without) time zone")
_INTERVAL = re.compile(r"interval(?:\((\d)\))?")
MICROSECONDS = 6


def cast_for(column: Column, dialect: Dialect, *, is_strict: bool = False) -> Cast:
    """Return the cast for a column. `is_strict`: whether a table of SQLite is STRICT."""
    written = column.base_type or column.type
    if dialect == "sqlite":
        return _sqlite(written, is_strict=is_strict)
    if column.kind == "array":
        element = _postgresql(column.element_type, column.element_kind, column.labels)
        return Cast("array", written, element=element)
    return _postgresql(written, column.kind, column.labels)


def _postgresql(written: str, kind: TypeKind, labels: tuple[str, ...]) -> Cast:
    if kind == "enum":
        return Cast("enum", written, labels=labels)
    if kind != "base":
        return Cast("database", written)
    known = _POSTGRESQL.get(written)
    if known is not None:
        return known
    if match := _NUMERIC.fullmatch(written):
        if match[1] is None:
            return Cast("decimal", written)
        return Cast("decimal", written, precision=int(match[1]), scale=int(match[2]))
    if match := _CHARACTER.fullmatch(written):
        length = None if match[2] is None else int(match[2])
        return Cast("text", written, length=length, is_padded=match[1] == "character")
    if match := _CLOCK.fullmatch(written):
        return _clock(written, match[1], match[2], match[3])
    if match := _INTERVAL.fullmatch(written):
        return Cast("interval", written, length=_fraction(match[1]))
    if written.startswith("interval "):
        return Cast("refused", written)
    return Cast("database", written)


def _clock(written: str, name: str, digits: str | None, zone: str) -> Cast:
    kinds: dict[tuple[str, str], CastKind] = {
        ("timestamp", "with"): "timestamptz",
        ("timestamp", "without"): "timestamp",
        ("time", "with"): "timetz",
        ("time", "without"): "time",
    }
    return Cast(kinds[name, zone], written, length=_fraction(digits))


def _fraction(digits: str | None) -> int:
    return MICROSECONDS if digits is None else int(digits)


_STRICT_SQLITE: dict[str, Cast] = {
    "INT": Cast("integer", "INT"),
    "INTEGER": Cast("integer", "INTEGER"),
    "REAL": Cast("float", "REAL"),
    "TEXT": Cast("text", "TEXT"),
    "BLOB": Cast("bytea", "BLOB", is_binary=True),
    "ANY": Cast("any", "ANY"),
}
_DECLARED = re.compile(r"\s*([^()]*?)\s*(?:\(\s*\+?(\d+)\s*(?:,\s*\+?(\d+)\s*)?\))?\s*")


def _sqlite(written: str, *, is_strict: bool) -> Cast:
    """Return the cast by the declared type, which says what the user means even where SQLite would
    take anything: what does not fit is refused, as PostgreSQL would refuse it.
    """
    if is_strict:
        return _STRICT_SQLITE[written.upper()]
    match = _DECLARED.fullmatch(written)
    name, first, second = match.groups() if match else (written, None, None)
    name = " ".join(name.upper().split())
    if not name or name == "ANY":
        return Cast("any", written)
    if "INT" in name:
        return Cast("integer", written)
    if any(part in name for part in ("CHAR", "CLOB", "TEXT", "STRING")):
        return Cast("text", written, length=int(first) if first is not None else None)
    if "BLOB" in name:
        return Cast("bytea", written, is_binary=True)
    if any(part in name for part in ("REAL", "FLOA", "DOUB")):
        return Cast("float", written)
    if name in ("BOOLEAN", "BOOL"):
        return Cast("boolean", written)
    if name == "DATE":
        return Cast("date", written)
    if name in ("DATETIME", "TIMESTAMP"):
        return Cast("timestamp", written, length=MICROSECONDS)
    if name in ("JSON", "JSONB"):
        return Cast("json", written)
    if name == "UUID":
        return Cast("uuid", written)
    if name in ("NUMERIC", "DECIMAL") and first is not None:
        scale = int(second) if second is not None else 0
        return Cast("decimal", written, precision=int(first), scale=scale)
    return Cast("decimal", written)
