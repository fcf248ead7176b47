"""Describes the beginning of a file: how it is read, its first rows, the types of its columns, and
what other readings would give. Pure.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from app.errors import RequestError
from app.features.preview.beginning import Beginning
from app.formats.base import Format, Parsed, Reject, Span
from app.formats.csv import CsvDialect
from app.formats.csv_layout import Reading
from app.formats.detect import Declared, csv_readings, detect, spaced_columns
from app.formats.fixed import FixedDialect
from app.formats.json import JsonDialect
from app.formats.json_paths import arrays_in
from app.formats.registry import Dialect, open_format, to_json

MAX_READINGS, MIN_CONFIDENCE = 5, 0.001
SHOWN_REJECTS, SHOWN_NAMES = 20, 100
SIZE_UNKNOWN = 1 << 62
PATHS_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Records:
    """The whole records of the sample."""

    form: Format
    data: bytes
    span: Span

    def lines(self, row_numbers: Sequence[int]) -> list[int]:
        """Return the line on which each of these rows begins."""
        places = self.form.locate(self.data, self.span, row_numbers)
        return [line for _, _, line in places]


@dataclass(frozen=True, slots=True)
class Sampled:
    """Result of one way to read the sample."""

    dialect: Dialect
    records: Records | None
    """None if the sample holds no whole record."""
    parsed: Parsed | None
    """None if the sample holds no whole record."""

    @property
    def ok(self) -> int:
        return 0 if self.parsed is None else len(self.parsed.rows)

    @property
    def rejects(self) -> Sequence[Reject]:
        return [] if self.parsed is None else self.parsed.rejects

    @property
    def columns(self) -> list[str]:
        if self.dialect.columns or self.parsed is None:
            return self.dialect.columns
        return list(self.parsed.rows.columns)


def preview(beginning: Beginning, declared: Declared, rows: int) -> dict[str, Any]:
    """Return how the file is read under these settings, at most `rows` of its rows, and the
    runners-up. Raises the RequestError that an upload would end with.
    """
    from app.features.preview.types import types_of  # takes time to import

    chosen = sampled(beginning, declared)
    dialect = chosen.dialect
    readings: list[dict[str, Any]] = []
    confidence = None
    if isinstance(dialect, CsvDialect):
        ways = csv_readings(beginning.sample, complete=beginning.is_complete, declared=declared)
        confidence = {
            "delimiter": round(ways[0].confidence, 3),
            "header": dialect.header_confidence,
        }
        readings = _runners_up(beginning, declared, dialect, ways)
    elif isinstance(dialect, FixedDialect) and declared.widths is None:
        sure = 1.0 if declared.format else _sure_of_spaces(beginning, declared)
        confidence = {"delimiter": round(sure, 3), "header": dialect.header_confidence}
        readings = _readings(beginning, declared, [(1 - sure, {"format": "csv"})])
    return {
        "dialect": to_json(dialect),
        "confidence": confidence,
        "decoding": list(beginning.decoding),
        "columns": chosen.columns,
        "types": types_of(chosen.columns, chosen.parsed, is_complete=beginning.is_complete),
        "sample": {
            "size_bytes": len(beginning.sample),
            "is_complete": beginning.is_complete,
            "rows": {
                "total": chosen.ok + len(chosen.rejects),
                "ok": chosen.ok,
                "rejected": len(chosen.rejects),
            },
            "rejected_by_code": dict(Counter(each.code for each in chosen.rejects)),
        },
        "rows": _shown_rows(chosen, rows),
        "rejects": [_shown_reject(each) for each in chosen.rejects[:SHOWN_REJECTS]],
        "readings": readings,
        "records": _suggested_records(beginning, dialect),
        "last_time": None,
    }


def _suggested_records(beginning: Beginning, dialect: Dialect) -> list[str]:
    """Paths of arrays of objects inside a document that is read as a single record."""
    if not isinstance(dialect, JsonDialect) or dialect.root != "object":
        return []
    return arrays_in(beginning.sample[:PATHS_BYTES].decode("utf-8", "replace"))[:MAX_READINGS]


def sampled(beginning: Beginning, declared: Declared) -> Sampled:
    """Read the sample with these settings; raises RequestError if that is not possible."""
    dialect = detect(
        beginning.sample,
        complete=beginning.is_complete,
        declared=declared,
        filename=beginning.filename,
        media_type=beginning.media_type,
    )
    size = len(beginning.sample) if beginning.is_complete else SIZE_UNKNOWN
    form = open_format(dialect.of_size(size))
    window = beginning.sample[dialect.data_start : form.data_end or None]
    has_all = beginning.is_complete or 0 < form.data_end <= len(beginning.sample)
    ends = form.scan(window, eof=has_all)
    count = len(ends) - (form.skip_footer if has_all else 0)
    if count <= 0:
        return Sampled(dialect, None, None)
    data = window[: int(ends[count - 1])]
    start = dialect.data_start
    span = Span(start, start + len(data), 1, count, dialect.data_line, zlib.crc32(data))
    return Sampled(dialect, Records(form, data, span), form.read(data, span))


def _runners_up(
    beginning: Beginning, declared: Declared, chosen: CsvDialect, ways: Sequence[Reading]
) -> list[dict[str, Any]]:
    """Other settings that would be read, the likeliest first, with what each gives. `ways` has the
    one that was chosen first.
    """
    changes: list[tuple[float, dict[str, Any]]] = [
        (other.confidence, _settings(chosen, other.dialect)) for other in ways[1:]
    ]
    if declared.delimiter is None:
        # A delimiter that separates cells leaves little room for another reading.
        has_delimiter = len(chosen.columns) > 1 and chosen.delimiter != " "
        left = 1 - ways[0].confidence if has_delimiter else 1.0
        changes.append((left * _sure_of_spaces(beginning, declared), {"format": "fixed"}))
    if declared.header_rows is None:
        other_rows = 0 if chosen.header_rows else 1
        changes.append((1 - chosen.header_confidence, {"header_rows": other_rows}))
    return _readings(beginning, declared, changes)


def _sure_of_spaces(beginning: Beginning, declared: Declared) -> float:
    return spaced_columns(beginning.sample, complete=beginning.is_complete, declared=declared)


def _readings(
    beginning: Beginning, declared: Declared, changes: list[tuple[float, dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Return what each of these changes of the settings would give, the likeliest first."""
    changes = [change for change in changes if change[0] >= MIN_CONFIDENCE]
    changes.sort(key=lambda change: -change[0])
    readings = []
    for confidence, settings in changes[:MAX_READINGS]:
        try:
            other = sampled(beginning, replace(declared, **{"format": "csv", **settings}))
        except RequestError:
            continue  # a header that cannot be one: nobody would want that
        readings.append(
            {
                "settings": settings,
                "confidence": round(confidence, 3),
                "columns": other.columns[:SHOWN_NAMES],
                "column_count": len(other.columns),
                "ok": other.ok,
                "rejected": len(other.rejects),
            }
        )
    return readings


def _settings(chosen: CsvDialect, other: CsvDialect) -> dict[str, Any]:
    """The options of an upload that make the other reading of the chosen one."""
    settings: dict[str, Any] = {"delimiter": other.delimiter}
    if other.quote != chosen.quote:
        settings["quote"] = other.quote
    if other.escape != chosen.escape:
        settings["escape"] = other.escape
    if other.skip_initial_space:
        settings["skip_initial_space"] = True
    return settings


def _shown_rows(sampled: Sampled, rows: int) -> list[dict[str, Any]]:
    if sampled.parsed is None or sampled.records is None:
        return []
    shown = sampled.parsed.rows.select(range(min(rows, sampled.ok)))
    lines = sampled.records.lines(shown.numbers)
    values = [
        msgspec.Raw(value) if isinstance(value, bytes) else value for value in shown.undecoded()
    ]
    return [
        {"row_number": number, "line": line, "data": value}
        for number, line, value in zip(shown.numbers, lines, values, strict=True)
    ]


def _shown_reject(reject: Reject) -> dict[str, Any]:
    return {
        "row_number": reject.row_number,
        "line": reject.line,
        "column": reject.column,
        "code": reject.code,
        "message": reject.message,
        "value": reject.value,
    }
