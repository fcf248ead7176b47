"""Stored rows as columns of pyarrow."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from app.db.rows import PageRow
from app.features.files.encoders import cell_text
from app.jobs.stored_rows import StoredRow


class Columns:
    """Rows of stored pages as columns of text; what has no text is None."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._places = {column: position for position, column in enumerate(columns)}
        self._values: list[list[str | None]] = [[] for _ in columns]
        self.rows = 0

    def add(self, page: PageRow) -> None:
        for row in msgspec.json.decode(page.data, type=list[StoredRow]):
            self.add_row(row)

    def add_row(self, row: StoredRow) -> None:
        cells: list[str | None] = [None] * len(self._values)
        if isinstance(row, list):
            cells[: len(row)] = row
        else:
            for name, value in row.items():
                position = self._places.get(name)
                if position is not None:
                    cells[position] = cell_text(value)
        for values, cell in zip(self._values, cells, strict=True):
            values.append(cell)
        self.rows += 1

    def take(self) -> list[list[str | None]]:
        """Return the columns, and begin anew."""
        values, self._values = self._values, [[] for _ in self._values]
        self.rows = 0
        return values


def converted(values: Sequence[str | None], kind: pa.DataType) -> pa.Array:
    """Return texts as a type that was found for them; empty ones are null. Raises ArrowInvalid."""
    texts = without_empty(values)
    if pa.types.is_boolean(kind):
        texts = pc.utf8_lower(texts)
    if pa.types.is_timestamp(kind) and kind.tz:
        texts = pc.replace_substring_regex(texts, r"Z$", "")
        return pc.cast(texts, pa.timestamp("us")).view(kind)
    return pc.cast(texts, kind)


def without_empty(values: Sequence[str | None]) -> pa.Array:
    return pa.array([value or None for value in values], pa.string())
