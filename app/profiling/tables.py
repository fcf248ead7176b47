"""A table, column by column: from the bytes or rows of a chunk to a state
that merges, is stored, and is told in the end."""

from __future__ import annotations

import base64
import codecs
import json
import math
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from pyarrow import csv

from app.profiling.columns import Column

MAX_COLUMNS = 1000
"""More are counted and not looked at: keys of JSON objects may be data."""


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


def of_lines(data: bytes, delimiter: bytes, columns: Sequence[str], first_row: int) -> str:
    """The packed table of clean UTF-8 lines: one a row, nothing quoted,
    as many cells in each as there are columns."""
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
            quote_char=False,
            ignore_empty_lines=False,
            newlines_in_values=False,
        ),
        convert_options=csv.ConvertOptions(
            check_utf8=False,
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=False,
        ),
    )
    rows = np.arange(first_row, first_row + table.num_rows)
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

    def column(i: int) -> Column:
        texts = [row[i] if i < len(row) else None for row in cells]
        return Column.of(pa.array(texts, pa.string()), rows)

    described = ((name, column(i)) for i, name in enumerate(names[:MAX_COLUMNS]))
    return _table(names, described, len(cells))


def of_objects(raw: Sequence[bytes], numbers: Sequence[int]) -> str:
    """The packed table of JSON objects, by their keys."""
    gathered: dict[str, _Values] = {}
    left_out: set[str] = set()
    decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
    for number, text in zip(numbers, raw, strict=True):
        for name, value in decoder.decode(text).items():
            if name not in gathered:
                if len(gathered) == MAX_COLUMNS:
                    left_out.add(name)
                    continue
                gathered[name] = _Values()
            gathered[name].add(number, bytes(value))
    columns = {name: values.column() for name, values in gathered.items()}
    return Table(len(raw), columns, len(left_out)).packed()


class _Values:
    """The values of one key, by the kinds that JSON has."""

    def __init__(self) -> None:
        self._strings: tuple[list[str], list[int]] = ([], [])
        self._natives: tuple[list[str], list[int]] = ([], [])
        self._others: dict[str, list[tuple[int, str]]] = {}
        """By class: values that are neither."""
        self._nulls = 0

    def add(self, number: int, raw: bytes) -> None:
        head = raw[:1]
        if head == b'"':
            self._strings[0].append(msgspec.json.decode(raw, type=str))
            self._strings[1].append(number)
        elif head == b"n":
            self._nulls += 1
        elif head in (b"{", b"["):
            self._others.setdefault("nested", []).append((number, canonical(raw)))
        elif head not in (b"t", b"f") and math.isinf(float(raw)):
            self._others.setdefault("too_long", []).append((number, raw.decode()))
        else:
            self._natives[0].append(raw.decode())
            self._natives[1].append(number)

    def column(self) -> Column:
        natives = _of_kind("native", *self._natives)
        strings = _of_kind("string", *self._strings)
        column = natives.merged(strings).merged(Column(nulls=self._nulls))
        for name, values in self._others.items():
            rows = np.array([row for row, _ in values], np.int64)
            texts = pa.array([text for _, text in values], pa.string())
            of_class = Column.of_class(name, texts, rows, has_lengths=name != "nested")
            column = column.merged(of_class)
        return column


def _of_kind(kind: str, texts: list[str], rows: list[int]) -> Column:
    return Column.of(pa.array(texts, pa.string()), np.array(rows, np.int64), json=kind)


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
