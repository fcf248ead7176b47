"""Statistics of a table, column by column: computed from the bytes or rows of a chunk into a state
that merges, is stored, and is reported in the end.
"""

from __future__ import annotations

import base64
import codecs
import json
import math
from collections.abc import Iterable, Sequence
from decimal import Decimal
from operator import itemgetter
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv

from app.profiling.classes import taken
from app.profiling.columns import Column
from app.profiling.json_columns import columns_of, laid_out
from app.profiling.sketches import layout

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
MAX_COLUMNS = 1000
"""Most columns with statistics. More are only counted, since keys of JSON objects may be data."""

DIGITS_OF_ANY = 300
"""Length up to which every number without an exponent is within the range of a double."""


class Table(msgspec.Struct):
    rows: int = 0
    columns: dict[str, Column] = {}
    left_out: int = 0
    """Least number of columns beyond MAX_COLUMNS."""

    def merged(self, other: Table) -> Table:
        """Return the merged table; `self` comes before `other` in the file."""
        columns = dict(self.columns)
        left_out = max(self.left_out, other.left_out)
        for name, column in other.columns.items():
            if name in columns:
                columns[name] = columns[name].merged(column)
            elif len(columns) < MAX_COLUMNS:
                columns[name] = column
            else:
                left_out += 1
        return Table(self.rows + other.rows, columns, left_out)

    def packed(self) -> str:
        """Return the table as it is stored between two steps: for the most part hashes, which no
        compression makes smaller.
        """
        return base64.b64encode(msgspec.msgpack.encode(self)).decode()

    @classmethod
    def unpacked(cls, text: str) -> Table:
        return msgspec.msgpack.decode(base64.b64decode(text), type=cls)


def of_lines(
    data: bytes, delimiter: bytes, is_quoted: bool, columns: Sequence[str], numbers: Sequence[int]
) -> str:
    """Return the packed table of CSV in UTF-8: every cell quoted or none, as many in each row as
    there are columns.
    """
    names = [str(i) for i in range(len(columns))]
    if data.startswith(codecs.BOM_UTF8):
        data = codecs.BOM_UTF8 + data  # Arrow drops one mark, and here it is part of a value
    table = csv.read_csv(
        pa.py_buffer(data),
        read_options=csv.ReadOptions(
            use_threads=False, block_size=len(data) + 1, column_names=names
        ),
        parse_options=csv.ParseOptions(
            delimiter=delimiter.decode(),
            quote_char='"' if is_quoted else False,
            ignore_empty_lines=False,
            newlines_in_values=is_quoted,
        ),
        convert_options=csv.ConvertOptions(
            check_utf8=False,
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=False,
        ),
    )
    rows = _row_numbers(numbers)
    described = (
        (name, Column.of(_in_one_piece(table.column(i)), rows))
        for i, name in enumerate(columns[:MAX_COLUMNS])
    )
    return _table(columns, described, len(rows))


def _row_numbers(numbers: Sequence[int]) -> Rows:
    if isinstance(numbers, range):
        # many times as fast as one number after the other
        return np.arange(numbers.start, numbers.stop, numbers.step, dtype=np.int64)
    return np.array(numbers, np.int64)


def _in_one_piece(cells: pa.ChunkedArray) -> pa.StringArray:
    if cells.num_chunks == 1:
        return cells.chunk(0)
    combined = cells.combine_chunks()
    return combined.chunk(0) if isinstance(combined, pa.ChunkedArray) else combined


def of_cells(
    cells: Sequence[Sequence[str | None]], names: Sequence[str], numbers: Sequence[int]
) -> str:
    """Return the packed table of rows as lists, with a name for each cell of the longest row."""
    rows = _row_numbers(numbers)

    are_whole = min(map(len, cells), default=0) == len(names)

    def column(i: int) -> Column:
        if are_whole:
            texts: list[str | None] = list(map(itemgetter(i), cells))
        else:
            texts = [row[i] if i < len(row) else None for row in cells]
        return Column.of(pa.array(texts, pa.string()), rows)

    described = ((name, column(i)) for i, name in enumerate(names[:MAX_COLUMNS]))
    return _table(names, described, len(cells))


def of_objects(raw: Sequence[bytes], numbers: Sequence[int]) -> str:
    """Return the packed table of JSON objects, by their keys."""
    rows = _row_numbers(numbers)
    columns, left_out = columns_of(raw, MAX_COLUMNS)
    described = {
        column.name: _of_values(
            column.values, rows if column.records is None else rows[column.records]
        )
        for column in columns
    }
    return Table(len(raw), described, left_out).packed()


def _of_values(values: pa.StringArray, rows: Rows) -> Column:
    """Return the column of the values of one key, as written. There must be at least one value."""
    data, offsets = layout(values)
    heads, lengths = data[offsets[:-1]], np.diff(offsets)
    is_string, is_null = heads == ord('"'), heads == ord("n")
    is_nested = (heads == ord("{")) | (heads == ord("["))
    is_word = (heads == ord("t")) | (heads == ord("f"))
    is_number = ~(is_string | is_null | is_nested | is_word)
    is_too_long = is_number & _are_too_long(values, is_number, lengths, data, offsets)
    is_native = (is_number | is_word) & ~is_too_long
    column = Column()
    if is_native.any():
        natives = taken(values, np.flatnonzero(is_native))
        column = column.merged(Column.of(natives, rows[is_native], json="native"))
    if is_string.any():
        strings = _strings(taken(values, np.flatnonzero(is_string)))
        column = column.merged(Column.of(strings, rows[is_string], json="string"))
    column = column.merged(Column(nulls=int(is_null.sum())))
    others = {"nested": np.flatnonzero(is_nested), "too_long": np.flatnonzero(is_too_long)}
    for name, places in sorted(others.items(), key=lambda other: other[1][:1].tolist()):
        if not len(places):
            continue
        texts = taken(values, places)
        if name == "nested":
            texts = pa.array([canonical(text.encode()) for text in texts.to_pylist()], pa.string())
        of_class = Column.of_class(name, texts, rows[places], has_lengths=name != "nested")
        column = column.merged(of_class)
    return column


def _are_too_long(
    values: pa.StringArray,
    is_number: Mask,
    lengths: Rows,
    data: npt.NDArray[np.uint8],
    offsets: Rows,
) -> Mask:
    """Return which numbers are larger than any double: they have an exponent, or many digits."""
    are_too_long = np.zeros(len(values), bool)
    suspects = is_number & (lengths > DIGITS_OF_ANY)
    if is_number.any():
        exponents = np.flatnonzero(data | 0x20 == ord("e"))
        suspects[np.searchsorted(offsets[1:], exponents, "right")] = True
    for place in np.flatnonzero(suspects & is_number).tolist():
        are_too_long[place] = math.isinf(float(values[place].as_py()))
    return are_too_long


def _strings(values: pa.StringArray) -> pa.StringArray:
    """Return the content of JSON strings."""
    data, offsets = layout(values)
    whole = data.tobytes()
    if b"\\" in whole:
        decoded = msgspec.json.decode("[" + ",".join(values.to_pylist()) + "]", type=list[str])
        return pa.array(decoded, pa.string())
    # Without an escape the only quotes are those around each string.
    return laid_out(whole.replace(b'"', b""), np.diff(offsets) - 2)


def canonical(raw: bytes) -> str:
    """Return the JSON of an object or a list so that equal ones have equal texts: without spaces,
    keys in order, numbers as written. A value that is nested too deeply for that stays unchanged.
    """
    try:
        value = json.loads(raw, parse_int=Decimal, parse_float=Decimal)
        return _canonical.encode(value).decode()
    except (ValueError, RecursionError, ArithmeticError):
        return raw.decode("utf-8", "replace")


_canonical = msgspec.json.Encoder(decimal_format="number", order="sorted")


def _table(names: Sequence[str], columns: Iterable[tuple[str, Column]], rows: int) -> str:
    return Table(rows, dict(columns), max(0, len(names) - MAX_COLUMNS)).packed()


def merge(parts: Iterable[str]) -> str:
    """Merge packed tables in the order of the file; return the packed table."""
    total = Table()
    for part in parts:
        total = total.merged(Table.unpacked(part))
    return total.packed()


def report(packed: str) -> list[dict[str, Any]]:
    """Return the columns as the profile shows them."""
    table = Table.unpacked(packed)
    return [column.report(name, table.rows) for name, column in table.columns.items()]
