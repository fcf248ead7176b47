"""Parquet and Arrow downloads. Separate from the other encoders because pyarrow takes 80 MB of memory
that few processes need.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from app.db.rows import PageRow
from app.features.files.columns import Columns, converted
from app.features.files.drain import Drain
from app.features.files.encoders import GROUP_BYTES, GROUP_CELLS
from app.jobs.stored_rows import StoredRow

BATCH_ROWS = 1_000
"""Rows that are kept as Python's texts; few columns of many rows take little then, and many columns
of few rows need no array for each row.
"""


class _ColumnsEncoder(ABC):
    """Writes columns of text, or of a type that was found for all of its values
    (typed.TypeFinder). A group of rows has some megabytes, empty cells included.
    """

    def __init__(
        self, columns: Sequence[str], types: Mapping[int, pa.DataType] | None = None
    ) -> None:
        """`types`: by the index of a column; the others are text."""
        self._types = types or {}
        self._schema = pa.schema(
            [(column, self._types.get(place, pa.string())) for place, column in enumerate(columns)]
        )
        self._out = Drain()
        self._writer = self._open(self._out, self._schema)
        self._columns = Columns(columns)
        self._batches: list[pa.RecordBatch] = []
        self._rows = self._size = 0

    @abstractmethod
    def _open(self, out: Drain, schema: pa.Schema) -> Any:
        """Return a writer of tables."""

    def encode(self, page: PageRow) -> Iterator[bytes]:
        rows = msgspec.json.decode(page.data, type=list[StoredRow])
        bytes_of_row = len(page.data) // max(1, len(rows))
        for row in rows:
            self._columns.add_row(row)
            self._rows += 1
            self._size += bytes_of_row
            if self._size >= GROUP_BYTES or self._rows * len(self._schema) >= GROUP_CELLS:
                self._write_group()
                yield self._out.take()
            elif self._columns.rows >= BATCH_ROWS:
                self._convert()

    def _convert(self) -> None:
        """Make a batch of the rows so far: it takes a fraction of the memory of Python's texts."""
        arrays = [
            converted(values, self._types[place])
            if place in self._types
            else pa.array(values, pa.string())
            for place, values in enumerate(self._columns.take())
        ]
        self._batches.append(pa.RecordBatch.from_arrays(arrays, schema=self._schema))

    def _write_group(self) -> None:
        if self._columns.rows:
            self._convert()
        table = pa.Table.from_batches(self._batches, schema=self._schema)
        self._writer.write_table(table.combine_chunks())
        self._batches = []
        self._rows = self._size = 0

    def finish(self) -> bytes:
        if self._rows:
            self._write_group()
        self._writer.close()
        return self._out.take()


class ParquetEncoder(_ColumnsEncoder):
    def _open(self, out: Drain, schema: pa.Schema) -> Any:
        return pq.ParquetWriter(out, schema, compression="zstd")


class ArrowEncoder(_ColumnsEncoder):
    """Writes an Arrow stream, which ends with a marker."""

    def _open(self, out: Drain, schema: pa.Schema) -> Any:
        options = pa.ipc.IpcWriteOptions(compression="zstd", use_threads=False)
        return pa.ipc.new_stream(out, schema, options=options)
