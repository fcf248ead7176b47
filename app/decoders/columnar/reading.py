"""Parquet, Arrow and ORC files, read in batches of some thousand rows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO, Any, Protocol

import pyarrow as pa

from app.decoders.unreadable import Damaged, Encrypted

BATCH_ROWS, BATCH_CELLS = 16_384, 262_144
"""Limits of a batch that is decoded at once."""
PARQUET_ENCRYPTED, FEATHER_1 = b"PARE", b"FEA1"
STREAM_START = b"\xff\xff\xff\xff"
STREAM_END = STREAM_START + bytes(4)
READ_BUFFER_BYTES = 1 << 20


class Table(Protocol):
    """A file that is read in its groups: row groups of Parquet, batches of Arrow, stripes of ORC."""

    kind: str
    schema: pa.Schema

    def groups(self) -> Iterator[Iterator[pa.RecordBatch]]:
        """Yield the batches of each group."""


def open_table(file: IO[bytes]) -> Table:
    """Return the table in a file, by its first bytes. Raises Damaged, Encrypted."""
    start = file.read(8)
    file.seek(0)
    source = pa.memory_map(f"/dev/fd/{file.fileno()}")
    if start.startswith(PARQUET_ENCRYPTED):
        raise Encrypted
    if start.startswith(b"PAR1"):
        return ParquetTable(source)
    if start.startswith(b"ORC"):
        return OrcTable(source)
    if start.startswith(b"ARROW1"):
        return ArrowFile(source)
    return ArrowStream(source)


class ParquetTable:
    kind = "parquet"

    def __init__(self, source: pa.NativeFile) -> None:
        import pyarrow.parquet as pq  # takes time, so only where it is needed

        self._file = pq.ParquetFile(
            source,
            buffer_size=READ_BUFFER_BYTES,
            pre_buffer=False,
            page_checksum_verification=True,
            coerce_int96_timestamp_unit="us",
        )
        self.schema = self._file.schema_arrow

    def groups(self) -> Iterator[Iterator[pa.RecordBatch]]:
        metadata = self._file.metadata
        rows = batch_rows(self.schema)
        for group in range(metadata.num_row_groups):
            batches = self._file.iter_batches(rows, row_groups=[group], use_threads=False)
            yield _counted(batches, metadata.row_group(group).num_rows, f"row group {group + 1}")


def _counted(
    batches: Iterator[pa.RecordBatch], expected: int, what: str
) -> Iterator[pa.RecordBatch]:
    count = 0
    for batch in batches:
        count += batch.num_rows
        yield batch
    if count != expected:
        raise Damaged(f"{what} has {count} rows, and the footer says {expected}")


class ArrowFile:
    kind = "arrow"

    def __init__(self, source: pa.NativeFile) -> None:
        self._reader = pa.ipc.open_file(source, options=_ipc_options())
        self.schema = self._reader.schema

    def groups(self) -> Iterator[Iterator[pa.RecordBatch]]:
        for place in range(self._reader.num_record_batches):
            yield iter((_checked(self._reader.get_batch(place)),))


class ArrowStream:
    kind = "arrow"

    def __init__(self, source: pa.NativeFile) -> None:
        self._source = source
        self._reader = pa.ipc.open_stream(source, options=_ipc_options())
        self.schema = self._reader.schema

    def groups(self) -> Iterator[Iterator[pa.RecordBatch]]:
        for batch in self._reader:
            yield iter((_checked(batch),))
        end, size = self._source.tell(), self._source.size()
        self._source.seek(max(0, end - len(STREAM_END)))
        if self._source.read(len(STREAM_END)) != STREAM_END:
            raise Damaged("the stream has no mark of its end, so it may be incomplete")
        if end < size:
            raise Damaged(f"{size - end} bytes follow the end of the stream")


class OrcTable:
    kind = "orc"

    def __init__(self, source: pa.NativeFile) -> None:
        import pyarrow.orc as orc

        self._file = orc.ORCFile(source)
        self.schema = self._file.schema

    def groups(self) -> Iterator[Iterator[pa.RecordBatch]]:
        count = 0
        for stripe in range(self._file.nstripes):
            batch = self._file.read_stripe(stripe)
            count += batch.num_rows
            yield iter((batch,))
        if count != self._file.nrows:
            raise Damaged(f"it has {count} rows, and its footer says {self._file.nrows}")


def batch_rows(schema: pa.Schema) -> int:
    """Return how many rows of a table are decoded at once."""
    return max(1, min(BATCH_ROWS, BATCH_CELLS // max(1, len(schema))))


def _ipc_options() -> Any:
    return pa.ipc.IpcReadOptions(use_threads=False)


def _checked(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch after a check of its offsets, which a file of Arrow may have wrong. Text that
    is not UTF-8 is found row by row later.
    """
    for column in batch.columns:
        try:
            column.validate(full=True)
        except pa.ArrowInvalid as error:
            if "UTF8" not in str(error):
                raise
    return batch


def limit_threads() -> None:
    """Use one thread and the memory allocator of the system, whose use is limited."""
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    pa.set_memory_pool(pa.system_memory_pool())
    os.environ.setdefault("TZDIR", "/usr/share/zoneinfo")
