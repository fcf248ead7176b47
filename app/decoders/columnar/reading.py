"""Parquet, Arrow and ORC files, read in batches of some thousand rows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO, Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from app.decoders.unreadable import Damaged, Encrypted

BATCH_ROWS, BATCH_CELLS = 16_384, 262_144
"""Limits of a batch that is decoded at once."""
PARQUET_ENCRYPTED, FEATHER_1 = b"PARE", b"FEA1"
STREAM_START = b"\xff\xff\xff\xff"
STREAM_END = STREAM_START + bytes(4)
READ_BUFFER_BYTES = 1 << 20
ORC_ROWS = 16_381
"""Rows of a batch of ORC: a prime, so that hardly a stripe is a multiple of it."""


class Table(Protocol):
    """A file that is read in its groups: row groups of Parquet, batches of Arrow, stripes of ORC."""

    kind: str
    schema: pa.Schema
    group_count: int
    """Number of groups; of a stream, as far as it was read."""
    has_known_groups: bool
    """Whether the groups of the batches are those of the file, once all have been read."""

    def batches(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield each batch with the number of its group, from 0 and ascending."""


def open_table(file: IO[bytes]) -> Table:
    """Return the table in a file, by its first bytes. Raises Damaged, Encrypted."""
    start = file.read(8)
    file.seek(0)
    path = f"/dev/fd/{file.fileno()}"
    source = pa.memory_map(path)
    if start.startswith(PARQUET_ENCRYPTED):
        raise Encrypted
    if start.startswith(b"PAR1"):
        return ParquetTable(path)
    if start.startswith(b"ORC"):
        return OrcTable(source, path)
    if start.startswith(b"ARROW1"):
        return ArrowFile(source)
    return ArrowStream(source)


class ParquetTable:
    kind = "parquet"
    has_known_groups = True

    def __init__(self, path: str) -> None:
        self._file = _parquet_file(path, "us")
        self.schema = self._file.schema_arrow
        self.group_count = self._file.metadata.num_row_groups
        columns = [self._file.schema.column(i) for i in range(len(self._file.schema))]
        old = {column.path for column in columns if column.physical_type == "INT96"}
        self._int96 = [place for place, name in enumerate(self.schema.names) if name in old]
        self._finer = _parquet_file(path, "ns") if self._int96 else None

    def batches(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        for group in range(self.group_count):
            expected = self._file.metadata.row_group(group).num_rows
            count = 0
            for batch in self._of_group(group):
                count += batch.num_rows
                yield group, batch
            if count != expected:
                raise Damaged(
                    f"row group {group + 1} has {count} rows, and the footer says {expected}"
                )

    def _of_group(self, group: int) -> Iterator[pa.RecordBatch]:
        def batches_of(file: Any) -> Iterator[pa.RecordBatch]:
            batches = file.iter_batches(
                batch_rows(self.schema), row_groups=[group], use_threads=False
            )
            yield from batches

        if self._finer is None:
            yield from batches_of(self._file)
            return
        for batch, finer in zip(batches_of(self._file), batches_of(self._finer), strict=True):
            yield self._with_nanoseconds(batch, finer)

    def _with_nanoseconds(self, batch: pa.RecordBatch, finer: pa.RecordBatch) -> pa.RecordBatch:
        """Return a batch with the timestamps of `finer` where they are right: INT96 has days and
        nanoseconds, and pyarrow counts nanoseconds only from 1677 to 2262, and wraps others.
        """
        columns = list(batch.columns)
        for place in self._int96:
            microseconds = pc.fill_null(columns[place].view(pa.int64()), 0).to_numpy()
            nanoseconds = pc.fill_null(finer.column(place).view(pa.int64()), 0).to_numpy()
            if (nanoseconds // 1000 == microseconds).all():
                columns[place] = finer.column(place)
        return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _parquet_file(path: str, unit: str) -> Any:
    """Open a file; timestamps in INT96 are read with this unit."""
    import pyarrow.parquet as pq  # takes time, so only where it is needed

    return pq.ParquetFile(
        pa.OSFile(path),
        buffer_size=READ_BUFFER_BYTES,
        pre_buffer=False,
        page_checksum_verification=True,
        coerce_int96_timestamp_unit=unit,
    )


class ArrowFile:
    kind = "arrow"
    has_known_groups = True

    def __init__(self, source: pa.NativeFile) -> None:
        self._reader = pa.ipc.open_file(source, options=_ipc_options())
        self.schema = self._reader.schema
        self.group_count = self._reader.num_record_batches

    def batches(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        for place in range(self.group_count):
            yield place, _checked(self._reader.get_batch(place))


class ArrowStream:
    kind = "arrow"
    has_known_groups = True

    def __init__(self, source: pa.NativeFile) -> None:
        self._source = source
        self._reader = pa.ipc.open_stream(source, options=_ipc_options())
        self.schema = self._reader.schema
        self.group_count = 0

    def batches(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        for batch in self._reader:
            self.group_count += 1
            yield self.group_count - 1, _checked(batch)
        end, size = self._source.tell(), self._source.size()
        self._source.seek(max(0, end - len(STREAM_END)))
        if self._source.read(len(STREAM_END)) != STREAM_END:
            raise Damaged("the stream has no mark of its end, so it may be incomplete")
        if end < size:
            raise Damaged(f"{size - end} bytes follow the end of the stream")


class OrcTable:
    """Reads stripes in batches. A batch ends with its stripe, so a short one is the last of a
    stripe; where a stripe has a multiple of ORC_ROWS, it is not known which rows are its own.
    """

    kind = "orc"

    def __init__(self, source: pa.NativeFile, path: str) -> None:
        import pyarrow.orc as orc

        self._file = orc.ORCFile(source)
        self._path = path
        self.schema = self._file.schema
        self.group_count = self._file.nstripes
        self.has_known_groups = True

    def batches(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        group = count = 0
        for batch in self._all_batches():
            count += batch.num_rows
            yield group, batch
            group += batch.num_rows < ORC_ROWS
        if count != self._file.nrows:
            raise Damaged(f"it has {count} rows, and its footer says {self._file.nrows}")
        self.has_known_groups = group == self.group_count

    def _all_batches(self) -> Iterator[pa.RecordBatch]:
        names = self.schema.names
        if len(set(names)) < len(names):  # a scan takes columns by name
            yield from map(self._file.read_stripe, range(self.group_count))
            return
        import pyarrow.dataset as dataset

        scanner = dataset.dataset(self._path, format="orc").scanner(
            batch_size=ORC_ROWS, use_threads=False, batch_readahead=1, fragment_readahead=1
        )
        yield from (batch for batch in scanner.to_batches() if batch.num_rows)


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
    """Use one thread, and the time zones of the system."""
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    os.environ.setdefault("TZDIR", "/usr/share/zoneinfo")
