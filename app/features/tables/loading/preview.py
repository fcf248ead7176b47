"""What a dry run tells of the rows that it would write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SHOWN_CHARACTERS = 200
Row = Sequence[Any]


def samples_of(
    columns: Sequence[str], sampled: Mapping[str, Sequence[Row]], changed: Sequence[Row]
) -> dict[str, Any]:
    """Return the samples and counts of a dry run. `sampled` and `changed` are the answers to
    `Statements.sampled` and `count_changed`.
    """
    samples: dict[str, list[dict[str, Any]]] = {}
    for kind, rows in sampled.items():
        if kind == "updated":
            samples[kind] = [_change(columns, row) for row in rows]
        elif kind == "deleted":
            samples[kind] = [{"data": _values(columns, row)} for row in rows]
        else:
            samples[kind] = [
                {"row_number": row[0], "data": _values(columns, row[1:])} for row in rows
            ]
    counts = dict(zip(columns, changed[0], strict=True)) if changed else {}
    return {
        "samples": samples,
        "updated_columns": {name: int(count) for name, count in counts.items() if count},
    }


def _values(columns: Sequence[str], row: Row) -> dict[str, str | None]:
    return {name: _shown(value) for name, value in zip(columns, row, strict=True)}


def _change(columns: Sequence[str], row: Row) -> dict[str, Any]:
    width = len(columns)
    after, before = _values(columns, row[1 : 1 + width]), _values(columns, row[1 + width :])
    return {
        "row_number": row[0],
        "data": after,
        "before": {name: before[name] for name in columns if before[name] != after[name]},
    }


def _shown(value: str | None) -> str | None:
    return None if value is None else value[:SHOWN_CHARACTERS]
