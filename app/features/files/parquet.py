"""Parquet and Arrow downloads. Separate from the other encoders because pyarrow takes 80 MB of memory
that few processes need.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from app.db.rows import PageRow
from app.features.files.drain import Drain
from app.features.files.encoders import GROUP_BYTES, GROUP_CELLS, cell_text
from app.jobs.stored_rows import StoredRow


class _ColumnsEncoder(ABC):
    """Writes every column as text, since nothing has a type here. A group of rows has some
    megabytes, empty cells included.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._places = {column: position for position, column in enumerate(columns)}
        self._schema = pa.schema([(column, pa.string()) for column in columns])
        self._out = Drain()
        self._writer = self._open(self._out, self._schema)
        self._values: list[list[str | None]] = [[] for _ in columns]
        self._rows = self._size = 0

    @abstractmethod
    def _open(self, out: Drain, schema: pa.Schema) -> Any:
        """Return a writer of tables."""

    def encode(self, page: PageRow) -> Iterator[bytes]:
        rows = msgspec.json.decode(page.data, type=list[StoredRow])
        bytes_of_row = len(page.data) // max(1, len(rows))
        for row in rows:
            self._add(row)
            self._size += bytes_of_row
            if self._size >= GROUP_BYTES or self._rows * len(self._values) >= GROUP_CELLS:
                self._write_group()
                yield self._out.take()

    def _add(self, row: StoredRow) -> None:
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
        self._rows += 1

    def _write_group(self) -> None:
        arrays = [pa.array(values, pa.string()) for values in self._values]
        self._writer.write_table(pa.table(arrays, schema=self._schema))
        self._values = [[] for _ in self._values]
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
    """Writes a stream of Arrow, which ends with a mark."""

    def _open(self, out: Drain, schema: pa.Schema) -> Any:
        options = pa.ipc.IpcWriteOptions(compression="zstd", use_threads=False)
        return pa.ipc.new_stream(out, schema, options=options)
