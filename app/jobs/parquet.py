"""Parquet downloads. Apart from the other encoders because pyarrow is 80 MB of memory that few processes need."""

from __future__ import annotations

import io
from collections.abc import Sequence

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import RowMapping

from app.jobs.results import cell_text


class ParquetEncoder:
    """One row group per call; every column is text, for nothing here has been given a type yet."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns
        self._schema = pa.schema([(column, pa.string()) for column in columns])
        self._out = _Drain()
        self._writer = pq.ParquetWriter(self._out, self._schema, compression="zstd")

    def encode(self, pages: Sequence[RowMapping]) -> bytes:
        rows = [
            [cell_text(row.get(c)) for c in self._columns] if isinstance(row, dict) else row
            for page in pages
            for row in msgspec.json.decode(page["data"], type=list[dict[str, msgspec.Raw] | list[str | None]])
        ]
        values = [[row[i] if i < len(row) else None for row in rows] for i in range(len(self._columns))]
        self._writer.write_table(pa.table(values, schema=self._schema))
        return self._out.take()

    def finish(self) -> bytes:
        self._writer.close()
        return self._out.take()


class _Drain(io.RawIOBase):
    """A file that gives away what was written to it."""

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
