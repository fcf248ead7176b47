"""The kinds of file, by the dialect that is stored with each."""

from __future__ import annotations

from typing import Any

import msgspec

from app.formats.base import Format
from app.formats.csv import CsvDialect, CsvFormat
from app.formats.json import (
    JsonArrayFormat,
    JsonDialect,
    JsonLinesFormat,
    JsonObjectFormat,
    JsonObjectsFormat,
    JsonSequenceFormat,
)

Dialect = CsvDialect | JsonDialect
JSON_ROOTS = {
    "array": JsonArrayFormat,
    "object": JsonObjectFormat,
    "objects": JsonObjectsFormat,
    "lines": JsonLinesFormat,
    "sequence": JsonSequenceFormat,
}


def open_format(dialect: Dialect) -> Format:
    return CsvFormat(dialect) if isinstance(dialect, CsvDialect) else JSON_ROOTS[dialect.root](dialect)


def to_json(dialect: Dialect) -> dict[str, Any]:
    return msgspec.to_builtins(dialect)  # type: ignore[no-any-return]


def reading_of(dialect: Dialect) -> dict[str, Any]:
    """What decides how a file is read, for comparing uploads. `skipped` and `blank_lines` only report, and what has been
    added to dialects counts only where it is used, so that files of earlier versions are found again."""
    value = to_json(dialect)
    for report in ("skipped", "blank_lines"):
        value.pop(report, None)
    if not value.get("skip_initial_space"):
        value.pop("skip_initial_space", None)
    if isinstance(dialect, JsonDialect) and dialect.newline == "lf":
        value.pop("newline")
    return value


def from_json(value: dict[str, Any]) -> Dialect:
    dialect: Dialect = msgspec.convert(value, Dialect)
    return dialect
