"""Assembles the file of a transform from the parts of its chunks, in order. Runs in a compute
process, since it may need pyarrow.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from app.destinations.assembly import Assembled, OutputWriter, PartFile, checked, in_folder
from app.errors import TerminalError

GROUP_ROWS, GROUP_BYTES = 65_536, 64 << 20


class TooManyRowsForSheet(TerminalError):
    """The output has more rows than a worksheet holds."""

    code = "too_many_rows"


def encoded(
    document: bytes, folder: str, parts: Sequence[PartFile], path: str, without_repeated: bool
) -> Assembled:
    """Encode the file from parts in Arrow IPC, without rows that repeat a unique value. `path` must
    exist and be empty; it is flushed at the end. Raises PartDamaged, OSError, TooManyRowsForSheet.
    """
    from app.features.transform.run import compiled

    spec = compiled(document)
    rules = np.memmap(Path(folder) / "rule", "u1", "r") if without_repeated else None
    batches = _batches(folder, parts, rules)
    write = {"parquet": _write_columns, "arrow": _write_columns, "xlsx": _write_sheet}
    with open(path, "r+b", buffering=0) as file:
        out = OutputWriter(file)
        count = write.get(spec.output_format, _write_text)(spec, batches, out)
        os.fsync(file.fileno())
        return out.finished(count)


def _write_text(spec: Any, batches: Iterator[Any], out: OutputWriter) -> int:
    from app.features.transform import encode

    kinds = [column.type for column in spec.columns]
    count = 0
    if spec.output_format == "csv":
        out.write(encode.csv_header(spec.names))
    for batch in batches:
        count += batch.num_rows
        out.write(encode.written(batch.columns[1:], kinds, spec.names, spec.output_format))
    return count


def _write_columns(spec: Any, batches: Iterator[Any], out: OutputWriter) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from app.features.transform import values

    types = [values.arrow_type(column.type) for column in spec.columns]
    schema = pa.schema(list(zip(spec.names, types, strict=True)))
    sink = pa.PythonFile(_Sink(out), "w")
    if spec.output_format == "parquet":
        open_writer = pq.ParquetWriter(sink, schema, compression="zstd")
    else:
        options = pa.ipc.IpcWriteOptions(compression="zstd", use_threads=False)
        open_writer = pa.ipc.new_stream(sink, schema, options=options)
    count = 0
    with open_writer as writer:
        waiting: list[Any] = []
        for batch in batches:
            count += batch.num_rows
            waiting.append(pa.record_batch(batch.columns[1:], schema=schema))
            if _is_group(waiting):
                writer.write_table(pa.Table.from_batches(waiting))
                waiting = []
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting))
    return count


def _write_sheet(spec: Any, batches: Iterator[Any], out: OutputWriter) -> int:
    """Write numbers and booleans as such, and all else as text."""
    from app.features.files import xlsx

    cells = [_cell_of(column.type.name) for column in spec.columns]
    sheet = xlsx.SheetWriter(_Sink(out), sheet="Rows", size=xlsx.LARGE_BYTES + 1)
    sheet.write([sheet.line(enumerate(map(xlsx.text_cell, spec.names)))])
    count = 0
    for batch in batches:
        count += batch.num_rows
        if count > xlsx.MAX_ROWS:
            raise TooManyRowsForSheet(
                f"The output has more than {xlsx.MAX_ROWS} rows, which no worksheet holds; use"
                " another output_format."
            )
        columns = [column.to_pylist() for column in batch.columns[1:]]
        lines = []
        for row in zip(*columns, strict=True):
            written = [
                (place, cells[place](value))
                for place, value in enumerate(row)
                if value not in (None, "")
            ]
            lines.append(sheet.line(written))
        sheet.write(lines)
    sheet.close()
    return count


def _cell_of(type_name: str) -> Callable[[Any], str]:
    from app.features.files import xlsx

    if type_name in ("integer", "decimal", "number"):
        return xlsx.number_cell
    if type_name == "boolean":
        return lambda value: xlsx.boolean_cell(str(value).lower())
    return xlsx.text_cell


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
