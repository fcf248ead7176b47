"""Types of the columns in the beginning of a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.formats.base import ObjectRows, Parsed
from app.profiling.columns import Column
from app.profiling.tables import Table, of_cells, of_objects

TYPED_ROWS, TYPED_COLUMNS = 1000, 500
"""Size of the part that decides the types."""


def types_of(
    names: Sequence[str], parsed: Parsed | None, *, is_complete: bool
) -> list[dict[str, Any]]:
    """Return the type of each of the first columns, as an analysis of these rows would find it.
    `is_complete`: no row follows.
    """
    names = names[:TYPED_COLUMNS]
    if parsed is None:
        return [_type(Column(), is_whole=False) for _ in names]
    typed = parsed.rows.select(range(min(TYPED_ROWS, len(parsed.rows))))
    is_whole = is_complete and len(typed) == len(parsed.rows)
    values = typed.undecoded()
    if isinstance(typed, ObjectRows):
        packed = of_objects(values, typed.numbers)
    else:
        cells = [row[: len(names)] for row in values]
        packed = of_cells(cells, names, typed.numbers)
    columns = Table.unpacked(packed).columns
    return [_type(columns.get(name, Column()), is_whole=is_whole) for name in names]


def _type(column: Column, *, is_whole: bool) -> dict[str, Any]:
    verdict = column.verdict()
    confidence = 1.0
    if not is_whole:
        # The rule of succession: how likely the next value is like all values before it.
        confidence = (column.values + 1) / (column.values + 2)
    return {
        "type": verdict.type,
        "subtype": verdict.subtype,
        "format": verdict.format,
        "explanation": verdict.explanation,
        "confidence": round(confidence, 3) if column.values else 0.0,
    }
