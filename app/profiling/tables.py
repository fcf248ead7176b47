"""A table, column by column: from the bytes or rows of a chunk to a state
that merges, is stored, and is told in the end."""

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

from app.profiling.columns import Column

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
MAX_COLUMNS = 1000
"""More are counted and not looked at: keys of JSON objects may be data."""

DIGITS_OF_ANY = 300
"""Every number of so many characters, without an exponent, is within the range of a double."""


class Table(msgspec.Struct):
    rows: int = 0
    columns: dict[str, Column] = {}
    left_out: int = 0
    """Columns beyond MAX_COLUMNS, at least."""

    def merged(self, other: Table) -> Table:
        """What both say together; `self` comes before `other` in the file."""
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
        """As it is stored between two steps: for the most part
        hashes, which no compression makes smaller."""
        return base64.b64encode(msgspec.msgpack.encode(self)).decode()

    @classmethod
    def unpacked(cls, text: str) -> Table:
        return msgspec.msgpack.decode(base64.b64decode(text), type=cls)


def of_lines(
    data: bytes, delimiter: bytes, is_quoted: bool, columns: Sequence[str], numbers: Sequence[int]
) -> str:
    """The packed table of CSV in UTF-8: every cell quoted or none, as many in each row as there are
    columns.
    """
    names = [str(i) for i in range(len(columns))]
    if data.startswith(codecs.BOM_UTF8):
        data = codecs.BOM_UTF8 + data  # Arrow drops one, and here it is part of a value
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
    rows = np.array(numbers, np.int64)
    described = (
        (name, Column.of(_in_one_piece(table.column(i)), rows))
        for i, name in enumerate(columns[:MAX_COLUMNS])
    )
    return _table(columns, described, len(rows))


def _in_one_piece(cells: pa.ChunkedArray) -> pa.StringArray:
    combined = cells.combine_chunks()
    return combined.chunk(0) if isinstance(combined, pa.ChunkedArray) else combined


def of_cells(
    cells: Sequence[Sequence[str | None]], names: Sequence[str], numbers: Sequence[int]
) -> str:
    """The packed table of rows as lists, with a name for each cell of the longest."""
    rows = np.array(numbers, np.int64)

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
    """The packed table of JSON objects, by their keys."""
    records = _decoder.decode(b"[" + b",".join(raw) + b"]")
    rows = np.array(numbers, np.int64)
    names = list(records[0]) if records else []
    if len(set(map(tuple, records))) > 1:
        return _of_unlike_objects(records, rows)
    columns = {
        name: _of_values(list(map(itemgetter(name), records)), rows) for name in names[:MAX_COLUMNS]
    }
    return Table(len(raw), columns, max(0, len(names) - MAX_COLUMNS)).packed()


_decoder = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


def _of_unlike_objects(records: Sequence[dict[str, msgspec.Raw]], rows: Rows) -> str:
    gathered: dict[str, tuple[list[msgspec.Raw], list[int]]] = {}
    left_out: set[str] = set()
    for place, record in enumerate(records):
        for name, value in record.items():
            if name not in gathered:
                if len(gathered) == MAX_COLUMNS:
                    left_out.add(name)
                    continue
                gathered[name] = [], []
            values, places = gathered[name]
            values.append(value)
            places.append(place)
    columns = {
        name: _of_values(values, rows[places]) for name, (values, places) in gathered.items()
    }
    return Table(len(records), columns, len(left_out)).packed()


def _of_values(values: Sequence[msgspec.Raw], rows: Rows) -> Column:
    """The column of the values of one key, of which there is one at least."""
    whole = b"".join(values)
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    heads = np.frombuffer(whole, np.uint8)[np.cumsum(lengths) - lengths]
    is_string, is_null = heads == ord('"'), heads == ord("n")
    is_nested = (heads == ord("{")) | (heads == ord("["))
    is_word = (heads == ord("t")) | (heads == ord("f"))
    is_number = ~(is_string | is_null | is_nested | is_word)
    is_too_long = is_number & _are_too_long(values, is_number, lengths, whole)
    is_native = (is_number | is_word) & ~is_too_long
    natives = _natives(*_chosen(values, whole, lengths, is_native))
    strings = _strings(*_chosen(values, whole, lengths, is_string))
    column = Column.of(natives, rows[is_native], json="native").merged(
        Column.of(strings, rows[is_string], json="string")
    )
    column = column.merged(Column(nulls=int(is_null.sum())))
    others = {"nested": np.flatnonzero(is_nested), "too_long": np.flatnonzero(is_too_long)}
    for name, places in sorted(others.items(), key=lambda other: other[1][:1].tolist()):
        if not len(places):
            continue
        raw = [bytes(values[place]) for place in places.tolist()]
        texts = [canonical(text) if name == "nested" else text.decode() for text in raw]
        of_class = Column.of_class(
            name, pa.array(texts, pa.string()), rows[places], has_lengths=name != "nested"
        )
        column = column.merged(of_class)
    return column


def _are_too_long(
    values: Sequence[msgspec.Raw], is_number: Mask, lengths: Rows, whole: bytes
) -> Mask:
    """Which numbers are larger than any double: they have an exponent, or many digits."""
    are_too_long = np.zeros(len(values), bool)
    suspects = is_number & (lengths > DIGITS_OF_ANY)
    if is_number.any():
        exponents = np.flatnonzero(np.frombuffer(whole, np.uint8) | 0x20 == ord("e"))
        suspects[np.searchsorted(np.cumsum(lengths), exponents, "right")] = True
    for place in np.flatnonzero(suspects & is_number).tolist():
        are_too_long[place] = math.isinf(float(bytes(values[place])))
    return are_too_long


Values = tuple[Sequence[msgspec.Raw], bytes, Rows]
"""Values, the bytes of all of them, and how many are of each."""


def _chosen(values: Sequence[msgspec.Raw], whole: bytes, lengths: Rows, chosen: Mask) -> Values:
    if chosen.all():
        return values, whole, lengths
    some = [values[place] for place in np.flatnonzero(chosen).tolist()]
    return some, b"".join(some), lengths[chosen]


def _natives(_: Sequence[msgspec.Raw], whole: bytes, lengths: Rows) -> pa.StringArray:
    """Numbers and truth values as they are written."""
    return _laid_out(whole, lengths)


def _strings(values: Sequence[msgspec.Raw], whole: bytes, lengths: Rows) -> pa.StringArray:
    """What the strings say."""
    if b"\\" in whole:
        decoded = msgspec.json.decode(b"[" + b",".join(values) + b"]", type=list[str])
        return pa.array(decoded, pa.string())
    # Without an escape there is no quote but those around each.
    return _laid_out(whole.replace(b'"', b""), lengths - 2)


def _laid_out(data: bytes, lengths: Rows) -> pa.StringArray:
    """Texts of so many bytes each, one behind the other."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.StringArray.from_buffers(len(lengths), pa.py_buffer(offsets), pa.py_buffer(data))


def canonical(raw: bytes) -> str:
    """The JSON of an object or a list so that equal ones have equal texts: without spaces, keys in
    order, numbers as they are written. What is nested too deeply for that stays as it is."""
    try:
        value = json.loads(raw, parse_int=Decimal, parse_float=Decimal)
        return _canonical.encode(value).decode()
    except (ValueError, RecursionError, ArithmeticError):
        return raw.decode("utf-8", "replace")


_canonical = msgspec.json.Encoder(decimal_format="number", order="sorted")


def _table(names: Sequence[str], columns: Iterable[tuple[str, Column]], rows: int) -> str:
    return Table(rows, dict(columns), max(0, len(names) - MAX_COLUMNS)).packed()


def merge(parts: Iterable[str]) -> str:
    """The packed table of packed tables in the order of the file."""
    total = Table()
    for part in parts:
        total = total.merged(Table.unpacked(part))
    return total.packed()


def report(packed: str) -> list[dict[str, Any]]:
    """The columns as the profile shows them."""
    table = Table.unpacked(packed)
    return [column.report(name, table.rows) for name, column in table.columns.items()]
