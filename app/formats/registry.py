"""Registry of the formats, by the dialect that is stored with each file. To add one takes a module
with its dialect and its format, and a line in KINDS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from app.formats.base import Format
from app.formats.csv import CsvDialect, CsvFormat
from app.formats.fixed import FixedDialect, FixedFormat, FixedRejects
from app.formats.json import JsonDialect, json_format
from app.formats.reject_layouts import CsvRejects, JsonRejects, RejectLayout

Dialect = CsvDialect | JsonDialect | FixedDialect
"""Each says by `format_name` what its files are called (csv, json, jsonl, fixed), and by `of_size` what it
is for a file of so many bytes. `REPORTS` are its fields that decide nothing about how the file is
read; `ADDED` those that files of earlier versions do not have, with the value that means the same.
"""


@dataclass(frozen=True, slots=True)
class Kind:
    open: Callable[[Any], Format]
    reject_layout: Callable[[Any], RejectLayout]


KINDS: dict[type, Kind] = {
    CsvDialect: Kind(CsvFormat, CsvRejects),
    JsonDialect: Kind(json_format, JsonRejects),
    FixedDialect: Kind(FixedFormat, FixedRejects),
}


def open_format(dialect: Dialect) -> Format:
    return KINDS[type(dialect)].open(dialect)


def reject_layout(dialect: Dialect) -> RejectLayout:
    return KINDS[type(dialect)].reject_layout(dialect)


def to_json(dialect: Dialect) -> dict[str, Any]:
    return msgspec.to_builtins(dialect)  # type: ignore[no-any-return]


def reading_of(dialect: Dialect) -> dict[str, Any]:
    """Return what decides how a file is read, to compare uploads. Members that were added to
    dialects count only if they are used, so that files of earlier versions are found again.
    """
    value = to_json(dialect)
    for report in dialect.REPORTS:
        del value[report]
    for name, usual in dialect.ADDED.items():
        if value[name] == usual:
            del value[name]
    return value


def from_json(value: dict[str, Any]) -> Dialect:
    dialect: Dialect = msgspec.convert(value, Dialect)
    return dialect
