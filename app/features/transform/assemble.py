"""Assembles the file of a transform from the parts of its chunks, in order. Runs in a compute
process, since it may need pyarrow.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from app.destinations.assembly import Assembled, OutputWriter, PartFile, checked, in_folder

GROUP_ROWS, GROUP_BYTES = 65_536, 64 << 20


def encoded(
    document: bytes, folder: str, parts: Sequence[PartFile], path: str, without_repeated: bool
) -> Assembled:
    """Encode the file from parts in Arrow IPC, without rows that repeat a unique value. `path` must
    exist and be empty; it is flushed at the end. Raises PartDamaged, OSError.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from app.features.transform import encode, values
    from app.features.transform.run import compiled

    spec = compiled(document)
    kinds = [column.type for column in spec.columns]
    rules = np.memmap(Path(folder) / "rule", "u1", "r") if without_repeated else None
    count = 0
    with open(path, "r+b", buffering=0) as file:
        out = OutputWriter(file)
        if spec.output_format != "parquet":
            if spec.output_format == "csv":
                out.write(encode.csv_header(spec.names))
            for batch in _batches(folder, parts, rules):
                count += batch.num_rows
                columns = batch.columns[1:]
                out.write(encode.written(columns, kinds, spec.names, spec.output_format))
            os.fsync(file.fileno())
            return out.finished(count)
        schema = pa.schema(list(zip(spec.names, map(values.arrow_type, kinds), strict=True)))
        with pq.ParquetWriter(pa.PythonFile(_Sink(out), "w"), schema, compression="zstd") as writer:
            waiting: list[Any] = []
            for batch in _batches(folder, parts, rules):
                count += batch.num_rows
                waiting.append(pa.record_batch(batch.columns[1:], schema=schema))
                if _is_group(waiting):
                    writer.write_table(pa.Table.from_batches(waiting))
                    waiting = []
            if waiting:
                writer.write_table(pa.Table.from_batches(waiting))
        os.fsync(file.fileno())
        return out.finished(count)


def _is_group(batches: Sequence[Any]) -> bool:
    """Return whether these batches are enough for a row group of Parquet."""
    rows = sum(batch.num_rows for batch in batches)
    size = sum(batch.nbytes for batch in batches)
    return bool(rows >= GROUP_ROWS or size >= GROUP_BYTES)


class _Sink:
    """The methods that pyarrow needs of a file that it writes to."""

    closed = False

    def __init__(self, out: OutputWriter) -> None:
        self._out = out

    def write(self, data: Any) -> int:
        return self._out.write(data)

    def tell(self) -> int:
        return self._out.size

    def flush(self) -> None: ...

    def close(self) -> None:
        self.closed = True

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False


def _batches(folder: str, parts: Sequence[PartFile], rules: Any) -> Iterator[Any]:
    import pyarrow as pa

    for part in parts:
        for batch in _read(folder, part):
            if rules is not None:
                repeated = rules[batch.column(0).to_numpy()] != 0
                if repeated.any():
                    batch = batch.filter(pa.array(~repeated))
            if batch.num_rows:
                yield batch


def _read(folder: str, part: PartFile) -> Iterator[Any]:
    """Yield the batches of a part, which is one IPC stream after another. Raises PartDamaged."""
    import pyarrow as pa

    for _ in checked(in_folder(folder), part):
        pass
    if part.name is None:
        return
    with pa.OSFile(str(Path(folder) / part.name)) as source:
        while source.tell() < part.size:
            with pa.ipc.open_stream(source) as reader:
                yield from reader


def repeated_values(
    document: bytes, folder: str, part: PartFile, rows: Sequence[int]
) -> list[tuple[str, str, int]]:
    """Return (columns, values, first row with them) for these rows of a chunk, which repeat unique
    values.
    """
    from app.features.transform.run import compiled

    spec = compiled(document)
    firsts = np.memmap(Path(folder) / "first", "<i8", "r")
    rules = np.memmap(Path(folder) / "rule", "u1", "r")
    by_row: dict[int, tuple[str, str, int]] = {}
    for batch in _read(folder, part):
        numbers = batch.column(0).to_numpy()
        here = batch.filter(np.isin(numbers, rows))
        numbers = here.column(0).to_numpy()
        broken = rules[numbers]
        for rule in np.unique(broken).tolist():
            mine = broken == rule
            names = spec.uniques[rule - 1]
            places = [1 + spec.names.index(name) for name in names]
            columns = [here.column(place).filter(mine).to_pylist() for place in places]
            texts = [", ".join(map(str, values)) for values in zip(*columns, strict=True)]
            of_rule = numbers[mine]
            first_rows = firsts[of_rule].tolist()
            for number, text, first in zip(of_rule.tolist(), texts, first_rows, strict=True):
                by_row[number] = (", ".join(names), text, first)
    return [by_row[row] for row in rows]
