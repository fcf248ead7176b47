"""A table as JSON Lines, in pieces of bounded size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from app.decoders.columnar.reading import Table, batch_rows
from app.decoders.columnar.texts import objects
from app.decoders.places import MAX_GROUPS, GroupPlaces
from app.decoders.unreadable import Unreadable
from app.formats.base import MAX_COLUMNS, unique_names

PIECE_BYTES = 32 << 20
"""Limit for the estimated size of the rows that are converted at once. One longer row is converted
alone.
"""
MAX_NAME_LENGTH = 1_000
SHOWN_TYPES, SHOWN_LETTERS = 200, 120
GROUP_NAMES = {"parquet": "row group", "arrow": "batch", "orc": "stripe"}
NO_ROWS = b"[]\n"
"""Canonical bytes of a table without rows: an array without records."""


class BadColumns(Unreadable):
    """Columns that no job can have."""

    code = "bad_columns"


class Lines:
    """Rows of a table on their way to JSON Lines."""

    def __init__(self, table: Table) -> None:
        self._table = table
        names = table.schema.names
        if len(names) > MAX_COLUMNS:
            raise BadColumns(f"it has {len(names)} columns; {MAX_COLUMNS} is the limit")
        for place, name in enumerate(names, start=1):
            if "\0" in name or len(name) > MAX_NAME_LENGTH:
                raise BadColumns(
                    f"the name of column {place} has a NUL or more than {MAX_NAME_LENGTH} characters"
                )
        self._names = unique_names(names)
        self._rows = 0
        self._starts: list[int] = []

    def pieces(self) -> Iterator[Any]:
        """Yield the lines as buffers."""
        most = batch_rows(self._table.schema)
        for group, batch in self._table.batches():
            # Groups without rows begin where the next one does.
            new = min(group + 1, MAX_GROUPS) - len(self._starts)
            self._starts += [self._rows + 1] * new
            for part in _parts(batch, most):
                self._rows += part.num_rows
                yield _content(objects(self._names, part.columns, "", "\n", part.num_rows))
        if not self._rows:
            yield NO_ROWS

    def report(self) -> dict[str, Any]:
        """Return what is worth knowing of the table, after its last piece."""
        types = {
            name: str(field.type)[:SHOWN_LETTERS]
            for name, field in zip(self._names[:SHOWN_TYPES], self._table.schema, strict=False)
        }
        return {"rows": self._rows, "row_groups": self._table.group_count, "types": types}

    @property
    def places(self) -> GroupPlaces:
        starts = self._starts if self._table.has_known_groups else []
        return GroupPlaces(GROUP_NAMES[self._table.kind], starts, self._table.group_count)


def _parts(batch: pa.RecordBatch, most: int) -> Iterator[pa.RecordBatch]:
    """Yield slices of a batch with at most `most` rows, and not many more than PIECE_BYTES."""
    for start in range(0, batch.num_rows, most):
        yield from _halves(batch.slice(start, most))


def _halves(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    if batch.num_rows <= 1 or _estimate(batch) <= PIECE_BYTES:
        yield batch
        return
    half = batch.num_rows // 2
    yield from _halves(batch.slice(0, half))
    yield from _halves(batch.slice(half))


def _estimate(batch: pa.RecordBatch) -> int:
    """Return about how many bytes the values have, each dictionary value as often as it is used at
    most.
    """
    size = 0
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            values = column.dictionary
            is_long = pa.types.is_string(values.type) or pa.types.is_binary(values.type)
            longest = (pc.max(pc.binary_length(values)).as_py() or 0) if is_long else 8
            size += batch.num_rows * longest
        else:
            size += column.nbytes
    return size


def _content(lines: pa.Array) -> memoryview:
    """Return the bytes of all lines, without a copy."""
    _, offsets, data = lines.buffers()
    bounds = memoryview(offsets).cast("i")
    first, last = bounds[lines.offset], bounds[lines.offset + len(lines)]
    return memoryview(data)[first:last]
