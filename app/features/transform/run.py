"""Runs a plan over the rows of one chunk: from its cells to the values of the output, and the
faults of rows.

It runs in a compute process, since it needs pyarrow.
"""

from __future__ import annotations

import codecs
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from app.features.transform import encode, growth, rules, steps, unique, values
from app.features.transform.evaluate import Evaluator, repeated
from app.features.transform.growth import MAX_HELD_BYTES, MAX_VALUE_BYTES, Memory, TooMuch
from app.features.transform.objects import cells_of
from app.features.transform.plan import Plan, Planned, plan
from app.features.transform.spec import Join, Specification
from app.features.transform.types import TEXT
from app.features.transform.values import Finding, Findings, Repeated, Value

PREVIEW_ROWS, PREVIEW_BYTES = 20, 256 << 10
MAX_CELLS = 2_000_000
"""Limit of cells of the rows transformed at a time, in the input and in the output together."""
KEY_CELLS = 4
"""Number of cells that take as much memory as a key that must be unique."""
NO_INPUT = pa.array([None], pa.string())
JSON_SIGNS = 4
"""Number of characters around the name of a value in JSON."""
Cells = dict[str, pa.StringArray]
Columns = dict[str, Value]


@dataclass(frozen=True, slots=True)
class Transformed:
    """Outcome of the first rows: as many as fit into memory. Their positions count from 0."""

    rows: int
    """Number of these rows."""
    count: int
    """Number of valid rows."""
    findings: list[Finding]
    output: bytes
    """Bytes of the file. They are Arrow IPC for Parquet, and if a rule compares rows of the whole
    file.
    """
    keys: bytes
    """Keys of the values that must be unique, with their rows."""
    key_counts: list[int]
    preview: list[tuple[int, list[Any]]]
    """(position, values for JSON) of the first valid rows."""


@lru_cache(4)
def compiled(document: bytes) -> Plan:
    """Return the plan of a specification's JSON; raises BadSpecification."""
    return plan(Specification.model_validate_json(document))


def check(document: bytes) -> list[tuple[str, str]]:
    """Return (pointer, message) of the regular expressions that cannot be used."""
    problems = []
    for pointer, pattern, by in compiled(document).patterns:
        try:
            if by is None:
                pc.match_substring_regex(pa.array(["x"]), rf"\A(?:{pattern})\z")
            else:
                pc.replace_substring_regex(pa.array(["x"]), pattern, by)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            message = f"The regular expression cannot be used: {str(error)[:200]}"
            problems.append((pointer, message))
    return problems


# ---------------------------------------------------------------------- cells in


def of_lines(
    document: bytes,
    data: bytes,
    delimiter: bytes,
    is_quoted: bool,
    columns: Sequence[str],
    numbers: Sequence[int],
    preview: bool,
) -> Transformed:
    """Transform CSV in UTF-8: every cell quoted or none, as many in each row as there are
    columns.
    """
    spec = compiled(document)
    cells = cells_of_lines(spec.reads, data, delimiter, is_quoted, columns)
    return transform(spec, cells, numbers, preview)


def cells_of_lines(
    reads: Sequence[str], data: bytes, delimiter: bytes, is_quoted: bool, columns: Sequence[str]
) -> Cells:
    """Return the cells of the columns in `reads`; missing columns are null."""
    places = {name: str(i) for i, name in enumerate(columns)}
    read = [places[name] for name in reads if name in places] or ["0"]
    names = [str(i) for i in range(len(columns))]
    if data.startswith(codecs.BOM_UTF8):
        data = (
            codecs.BOM_UTF8 + data
        )  # Arrow drops a leading byte order mark, which is part of the value here
    table = csv.read_csv(
        pa.py_buffer(data),
        read_options=csv.ReadOptions(
            use_threads=False,
            block_size=len(data) + 1,
            column_names=names,
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
            include_columns=read,
        ),
    )
    cells = dict.fromkeys(reads, pa.nulls(table.num_rows, pa.string()))
    for name in reads:
        if name in places:
            cells[name] = _whole(table.column(places[name]))
    return cells


def _whole(column: pa.ChunkedArray) -> pa.StringArray:
    combined = column.combine_chunks()
    return combined.chunk(0) if isinstance(combined, pa.ChunkedArray) else combined


def of_cells(
    document: bytes,
    rows: Sequence[Sequence[str | None]],
    columns: Sequence[str],
    numbers: Sequence[int],
    preview: bool,
) -> Transformed:
    spec = compiled(document)
    most = rows_at_once(spec)
    rows, numbers = rows[:most], numbers[:most]
    lost = _lost_cells(spec, rows, len(columns))
    cells = cells_of_rows(spec.reads, rows, [*columns, *spec.extra_cells])
    return transform(spec, cells, numbers, preview, lost)


def cells_of_rows(
    reads: Sequence[str], rows: Sequence[Sequence[str | None]], columns: Sequence[str]
) -> Cells:
    """Return the cells of the columns in `reads`; a column that is missing, or missing in a row, is
    null.
    """
    places = {name: i for i, name in enumerate(columns)}

    def column(name: str) -> pa.StringArray:
        i = places.get(name, sys.maxsize)
        return pa.array([row[i] if i < len(row) else None for row in rows], pa.string())

    return {name: column(name) for name in reads}


def _lost_cells(spec: Plan, rows: Sequence[Sequence[str | None]], width: int) -> list[Finding]:
    """Return findings for rows with values beyond the header that no column of the output would
    have, although all other cells are kept.
    """
    if spec.kept_extra is None:
        return []
    kept = {i for i, name in enumerate(spec.extra_cells, width) if name in spec.kept_extra}
    findings = []
    for place, row in enumerate(rows):
        beyond = range(width, len(row))
        first = next((i for i in beyond if row[i] and i not in kept), None)
        if first is not None:
            message = (
                f"Cell {first + 1} of the row is beyond the last column and has no name in the "
                "mapping."
            )
            shown = values.shown(row[first])
            findings.append(Finding(place, "", "extra_cells", message, shown))
    return findings


def of_objects(
    document: bytes, raw: Sequence[bytes], numbers: Sequence[int], preview: bool
) -> Transformed:
    """Transform JSON objects. Numbers keep the digits they were written with; true, false, lists
    and objects are their JSON; null is no value.
    """
    spec = compiled(document)
    most = rows_at_once(spec)
    raw, numbers = raw[:most], numbers[:most]
    return transform(spec, cells_of(raw, spec.reads), numbers, preview)


# ---------------------------------------------------------------------- the plan


def rows_at_once(spec: Plan) -> int:
    """Return the limit of rows to transform at a time, whatever they contain."""
    keys = sum(map(len, spec.uniques))
    rows = MAX_CELLS // (len(spec.reads) + len(spec.columns) + KEY_CELLS * keys)
    if spec.output_format == "jsonl":
        names = sum(len(name.encode()) + JSON_SIGNS for name in spec.names)
        rows = min(rows, MAX_HELD_BYTES // names)
    return max(1, rows)


def transform(
    spec: Plan,
    cells: Cells,
    numbers: Sequence[int],
    preview: bool,
    bad: Sequence[Finding] = (),
) -> Transformed:
    """Transform as many of the first rows as fit into memory. A row that does not fit alone is
    rejected, as are the rows in `bad`.
    """
    columns, findings = _of_first_rows(_checked_columns, spec, cells, len(numbers), bad)
    return _finished(spec, columns, numbers[: findings.count], findings, preview)


def texts_of(document: bytes, cells: Cells, count: int) -> tuple[Cells, Findings]:
    """Return the columns of all rows as texts, and the faults of rows. Values that a step refuses
    are null.
    """
    spec = compiled(document)
    findings = Findings(count)
    parts: dict[str, list[pa.StringArray]] = {name: [] for name in spec.names}
    start = 0
    while start < count:
        rest = {name: array.slice(start) for name, array in cells.items()}
        columns, of_some = _of_first_rows(_columns, spec, rest, count - start)
        for name, texts in parts.items():
            has_value = name in columns
            column = values.to_texts(columns[name]) if has_value else pa.nulls(1, pa.string())
            texts.append(column)
        findings.extend(of_some, start)
        start += of_some.count
    whole = {name: _whole(pa.chunked_array(some, pa.string())) for name, some in parts.items()}
    return whole, findings


def _of_first_rows(
    calculate: Callable[[Plan, Cells, Findings, Memory], Columns],
    spec: Plan,
    cells: Cells,
    count: int,
    bad: Sequence[Finding] = (),
) -> tuple[Columns, Findings]:
    """Calculate as many of the first rows as fit into memory. There are no columns if one row
    alone does not fit.
    """
    rows = min(count, rows_at_once(spec))
    while True:
        some = cells
        if rows < count:
            some = {name: array.slice(0, rows) for name, array in cells.items()}
        findings, memory = Findings(rows), Memory(rows)
        findings.begin_with(bad)
        try:
            return calculate(spec, some, findings, memory), findings
        except TooMuch as error:
            if rows == 1:
                break
            rows = max(1, min(error.rows, rows - 1))
    findings.add(np.ones(1, bool), memory.column, growth.VALUE_TOO_LONG, growth.MORE_TO_HOLD)
    return {}, findings


def _columns(spec: Plan, cells: Cells, findings: Findings, memory: Memory) -> Columns:
    source = _Source.of(cells)
    columns: Columns = {}
    sizes = np.zeros(findings.count, np.int64)
    for column in spec.columns:
        memory.begin(column.name)
        value = _calculated(column, source, findings, memory)
        columns[column.name] = _within_row(value, sizes, findings, column.name)
        memory.keep(values.held(columns[column.name]))
    return columns


def _checked_columns(spec: Plan, cells: Cells, findings: Findings, memory: Memory) -> Columns:
    columns = _columns(spec, cells, findings, memory)
    for name, of_column in spec.rules.items():
        rules.hold(of_column, columns[name], findings, name)
    for check_ in spec.checks:
        memory.begin(check_.column)
        evaluator = Evaluator(columns, findings.count, findings, memory, check_.column)
        condition = evaluator.run(check_.expression)
        holds = np.asarray(pc.fill_null(condition.data, False))
        shown = values.to_texts(columns[check_.column]) if check_.column else None
        findings.add(~holds, check_.column, "check_failed", check_.message, shown)
    for name, value in columns.items():
        if spec.output_format in encode.COLUMNAR:
            rules.fit_parquet(value, findings, name)
        elif spec.output_format == "xlsx":
            rules.fit_sheet(value, findings, name)
    return columns


def _finished(
    spec: Plan,
    columns: dict[str, Value],
    numbers: Sequence[int],
    findings: Findings,
    preview: bool,
) -> Transformed:
    """Return the outcome: the valid rows encoded, and the faults of the others."""
    if isinstance(numbers, range):
        rows = np.arange(numbers.start, numbers.stop)
    else:
        rows = np.array(numbers, np.int64)
    kept = np.flatnonzero(~findings.bad)
    if len(kept) < len(numbers):
        columns = {name: values.taken(value, kept) for name, value in columns.items()}
        rows = rows[kept]
    keys, key_counts = b"", [0] * len(spec.uniques)
    if columns:
        keys, key_counts = unique.keys(columns, rows, spec.uniques)
    return Transformed(
        len(numbers),
        len(kept),
        sorted(findings.all, key=lambda finding: finding.row),
        encode.part(columns, rows, spec) if len(kept) else b"",
        keys,
        key_counts,
        _preview(columns, kept) if preview else [],
    )


def _within_row(
    value: Value, sizes: npt.NDArray[np.int64], findings: Findings, column: str
) -> Value:
    """Return the value without the texts that make a row too large; `sizes` are the bytes of the
    row's texts so far.
    """
    if value.type != TEXT:
        return value
    sizes += growth.lengths_of(value.data)
    large = sizes > MAX_VALUE_BYTES
    if not large.any():
        return value
    findings.add(large, column, growth.ROW_TOO_LARGE, growth.ROW_LONGER)
    sizes[large] = 0
    return values.cleared(value, large)


@dataclass(frozen=True, slots=True)
class _Source:
    """Columns of the input, and the distinct values of those that repeat their values."""

    columns: dict[str, Value]
    repeated: dict[str, Repeated]

    @classmethod
    def of(cls, cells: Cells) -> _Source:
        columns = {name: values.text(array) for name, array in cells.items()}
        by_name = ((name, values.repeated(array)) for name, array in cells.items())
        return cls(columns, {name: of_column for name, of_column in by_name if of_column})


def _calculated(column: Planned, source: _Source, findings: Findings, memory: Memory) -> Value:
    """Calculate a column of the output. A column that depends on one column of the input is
    calculated once for each distinct value, and a column that depends on none is calculated once.
    """
    reads = column.reads
    if len(reads) > 1 or (reads and reads[0] not in source.repeated):
        return _for_each_row(column, source.columns, findings, memory)
    once = Repeated(NO_INPUT, np.zeros(findings.count, np.int64))
    if reads:
        once = source.repeated[reads[0]]
    of_distinct = Findings(len(once.texts))
    distinct = {name: values.text(once.texts) for name in reads}
    value = _for_each_row(column, distinct, of_distinct, memory)
    findings.repeat(of_distinct, once.places)
    if value.type != TEXT:
        value = Value(value.type, value.data, values.to_texts(value))
    else:
        memory.take(int(growth.lengths_of(value.data)[once.places].sum()))
    return values.taken(value, once.places)


def _for_each_row(
    column: Planned,
    inputs: dict[str, Value],
    findings: Findings,
    memory: Memory,
) -> Value:
    todo, count, name = list(column.steps), findings.count, column.name
    if column.expression is not None:
        value = Evaluator(inputs, count, findings, memory, name).run(column.expression)
    elif not column.sources:
        value = repeated(column.constant, column.constant_type, count, memory)
    elif todo and isinstance(todo[0], Join):
        step = todo.pop(0)
        assert isinstance(step, Join)
        parts = [inputs[part] for part in column.sources]
        value = steps.join(parts, step, findings, memory, name)
    else:
        value = inputs[column.sources[0]]
    for step in todo:
        memory.begin(name)
        value = steps.taken(step, value, findings, memory, name)
    return value


def _preview(columns: dict[str, Value], kept: npt.NDArray[np.int64]) -> list[tuple[int, list[Any]]]:
    """Return the first valid rows that are short enough to be shown."""
    sizes = np.zeros(min(len(kept), PREVIEW_ROWS), np.int64)
    for value in columns.values():
        if value.type == TEXT:
            sizes += growth.lengths_of(value.data.slice(0, len(sizes)))
    count = int(np.searchsorted(np.cumsum(sizes), PREVIEW_BYTES, side="right"))
    places = np.arange(count)
    cells = [_as_json(values.taken(value, places)) for value in columns.values()]
    rows = zip(*cells, strict=True)
    return [(int(place), list(row)) for place, row in zip(kept[:count], rows, strict=True)]


def _as_json(value: Value) -> list[Any]:
    """Return values for JSON. Numbers become texts, since JSON readers would round them."""
    array = value.data if value.type.name == "boolean" else values.to_texts(value)
    cells: list[Any] = array.to_pylist()
    return cells
