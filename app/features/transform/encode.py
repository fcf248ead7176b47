"""Encoding of the values of the output: CSV, JSON Lines, or Arrow IPC, which becomes the file when
all chunks are done.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from app.features.transform import values
from app.features.transform.plan import Plan
from app.features.transform.types import Type
from app.features.transform.values import Value

ROW = "row number"
"""Column of IPC parts that is not part of the output. The others are named by their places."""
COLUMNAR = ("parquet", "arrow")
ASSEMBLED = (*COLUMNAR, "xlsx")
"""Formats that are made of all parts when all chunks are done."""
SPECIAL = r'[",\r\n]'


def is_final(spec: Plan) -> bool:
    """Return whether the parts of the chunks are pieces of the final file."""
    return spec.output_format not in ASSEMBLED and not spec.uniques


def part(columns: dict[str, Value], rows: npt.NDArray[np.int64], spec: Plan) -> bytes:
    if is_final(spec):
        if spec.dry_run or not len(rows):
            return b""
        if spec.output_format == "csv":
            return csv_lines(list(columns.values()))
        return json_lines(columns)
    if not len(rows):
        return b""
    as_array = values.to_arrow if spec.output_format in COLUMNAR else _writable
    arrays = [as_array(value) for value in columns.values()]
    batch = pa.record_batch([pa.array(rows), *arrays], names=[ROW, *map(str, range(len(arrays)))])
    out = io.BytesIO()
    with pa.ipc.new_stream(out, batch.schema) as writer:
        writer.write_batch(batch)
    return out.getvalue()


def _writable(value: Value) -> pa.Array:
    """Return texts as they will be in the file. Booleans stay booleans, which JSON writes
    differently from texts.
    """
    return value.data if value.type.name == "boolean" else values.to_texts(value)


def written(
    arrays: Sequence[pa.Array], types: Sequence[Type], names: Sequence[str], form: str
) -> bytes:
    """Encode arrays that `_writable` returned, as CSV or JSON Lines."""
    columns = []
    for kind, array in zip(types, arrays, strict=True):
        is_as_written = kind.name not in ("boolean", "text", "null")
        columns.append(Value(kind, array, array if is_as_written else None))
    if form == "csv":
        return csv_lines(columns)
    return json_lines(dict(zip(names, columns, strict=True)))


# ---------------------------------------------------------------------- CSV


def csv_header(names: Sequence[str]) -> bytes:
    return (",".join(_quoted_name(name, len(names)) for name in names) + "\n").encode()


def _quoted_name(name: str, width: int) -> str:
    if any(character in name for character in '",\r\n') or (width == 1 and not name):
        return '"' + name.replace('"', '""') + '"'
    return name


def csv_lines(columns: Sequence[Value]) -> bytes:
    """Encode CSV by RFC 4180 with LF, and quotes where they are needed. A null is an empty cell."""
    cells = [values.to_texts(value) for value in columns]
    if len(columns) > 1 and (lines := _lines_without_quotes(cells)) is not None:
        return lines
    return _lines_with_quotes(columns, cells)


def _lines_without_quotes(cells: list[pa.StringArray]) -> bytes | None:
    """Encode by Arrow, which is faster. None if a cell needs quotes, since Arrow puts them around
    all texts or around none.
    """
    batch = pa.record_batch(cells, names=[str(i) for i in range(len(cells))])
    out = pa.BufferOutputStream()
    options = csv.WriteOptions(
        include_header=False,
        quoting_style="none",
        batch_size=max(1, len(batch)),
    )
    try:
        csv.write_csv(batch, out, options)
    except pa.ArrowInvalid:
        return None
    return out.getvalue().to_pybytes()  # type: ignore[no-any-return]


def _lines_with_quotes(columns: Sequence[Value], texts_of: Sequence[pa.StringArray]) -> bytes:
    cells: list[Any] = []
    for value, texts in zip(columns, texts_of, strict=True):
        texts = pc.fill_null(texts, "")
        if value.type.name == "text" and _holds(texts, b'",\r\n'):
            marked = pc.match_substring_regex(texts, SPECIAL)
            quoted = pc.binary_join_element_wise(
                '"', pc.replace_substring(texts, '"', '""'), '"', ""
            )
            texts = pc.if_else(marked, quoted, texts)
        if len(columns) == 1:  # an empty line would be no row
            texts = pc.if_else(pc.equal(texts, ""), '""', texts)
        cells.append(texts)
    cells[-1] = pc.binary_join_element_wise(cells[-1], "\n", "")
    return _bytes(pc.binary_join_element_wise(*cells, ","))


def _holds(texts: pa.StringArray, characters: bytes) -> bool:
    data = _bytes(texts)
    return any(character in data for character in characters)


def _bytes(texts: pa.StringArray) -> bytes:
    """Return the bytes of all texts one after the other."""
    if not len(texts):
        return b""
    offsets = np.frombuffer(texts.buffers()[1], np.int32)
    start, end = offsets[texts.offset], offsets[texts.offset + len(texts)]
    buffer = texts.buffers()[2]
    return b"" if buffer is None else buffer.slice(start, end - start).to_pybytes()


# ---------------------------------------------------------------------- JSON Lines


def json_lines(columns: dict[str, Value]) -> bytes:
    """Encode numbers as JSON numbers with all their digits, dates as ISO texts, nulls as null."""
    cells: list[Any] = []
    before = "{"
    for name, value in columns.items():
        key = msgspec.json.encode(name).decode()
        cells += [f"{before}{key}:", pc.fill_null(_json(value), "null")]
        before = ","
    return _bytes(pc.binary_join_element_wise(*cells, "}\n", ""))


def _json(value: Value) -> pa.StringArray:
    texts = values.to_texts(value)
    if value.type.is_number or value.type.name == "boolean":
        return texts
    if value.type.name == "text" and _needs_escapes(texts):
        return pa.array([_escaped(text) for text in texts.to_pylist()], pa.string())
    return pc.binary_join_element_wise('"', texts, '"', "")


def _escaped(text: str | None) -> str | None:
    return None if text is None else msgspec.json.encode(text).decode()


def _needs_escapes(texts: pa.StringArray) -> bool:
    data = np.frombuffer(_bytes(texts), np.uint8)
    return bool(((data < 32) | (data == 34) | (data == 92)).any())
