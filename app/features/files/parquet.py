"""Parquet downloads. Separate from the other encoders because pyarrow takes 80 MB of memory that
few processes need.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from app.db.rows import PageRow
from app.features.files.encoders import GROUP_BYTES, GROUP_CELLS, cell_text
from app.jobs.stored_rows import StoredRow


class ParquetEncoder:
    """Writes every column as text, since nothing has a type here. A row group has some megabytes,
    empty cells included.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._places = {column: position for position, column in enumerate(columns)}
        self._schema = pa.schema([(column, pa.string()) for column in columns])
        self._out = _Drain()
        self._writer = pq.ParquetWriter(self._out, self._schema, compression="zstd")
        self._values: list[list[str | None]] = [[] for _ in columns]
        self._rows = self._size = 0

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


class _Drain(io.RawIOBase):
    """A file that returns what was written to it."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        part = bytes(data)  # type: ignore[call-overload]
        self._parts.append(part)
        self._position += len(part)
        return len(part)

    def tell(self) -> int:
        return self._position

    def take(self) -> bytes:
        data, self._parts = b"".join(self._parts), []
        return data
