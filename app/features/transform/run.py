"""A plan carried out over the rows of one chunk: from its cells to the values of the output, and what is wrong with rows.

This runs in the processes beside the service, for it needs pyarrow.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from app.features.transform import encode, growth, rules, steps, unique, values
from app.features.transform.evaluate import Evaluator, repeated
from app.features.transform.growth import MAX_HELD_BYTES, MAX_VALUE_BYTES, Memory, TooMuch
from app.features.transform.plan import Plan, Planned, plan
from app.features.transform.spec import Join, Specification
from app.features.transform.types import TEXT
from app.features.transform.values import Finding, Findings, Repeated, Value

PREVIEW_ROWS, PREVIEW_BYTES = 20, 256 << 10
MAX_CELLS = 2_000_000
"""Of the rows that are worked on at once, in the input and in the output together."""
KEY_CELLS = 4
"""A key that must be unique takes as much as so many cells."""
NO_INPUT = pa.array([None], pa.string())
JSON_SIGNS = 4
"""Around the name of a value."""
Cells = dict[str, pa.StringArray]


@dataclass(frozen=True, slots=True)
class Transformed:
    """What became of the first rows of those given: as many as could be held at once. Their places count from 0."""

    rows: int
    """How many that are."""
    count: int
    """Those that are good."""
    findings: list[Finding]
    output: bytes
    """As it stands in the file, or as Arrow IPC where the whole decides about rows, or for Parquet."""
    keys: bytes
    """Of the values that must be unique, with their rows."""
    key_counts: list[int]
    preview: list[tuple[int, list[Any]]]
    """(place, values as JSON knows them) of the first good rows."""


@lru_cache(4)
def compiled(document: bytes) -> Plan:
    """The plan of a specification's JSON; raises BadSpecification."""
    return plan(Specification.model_validate_json(document))


def check(document: bytes) -> list[tuple[str, str]]:
    """(pointer, message) of the regular expressions that cannot be used."""
    problems = []
    for pointer, pattern, by in compiled(document).patterns:
        try:
            if by is None:
                pc.match_substring_regex(pa.array(["x"]), rf"\A(?:{pattern})\z")
            else:
                pc.replace_substring_regex(pa.array(["x"]), pattern, by)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            problems.append((pointer, f"The regular expression cannot be used: {str(error)[:200]}"))
    return problems


# ---------------------------------------------------------------------- cells in


def of_lines(
    document: bytes, data: bytes, delimiter: bytes, columns: Sequence[str], first_row: int, preview: bool
) -> Transformed:
    """Clean UTF-8 lines: one a row, nothing quoted, as many cells in each as there are columns."""
    spec = compiled(document)
    places = {name: str(i) for i, name in enumerate(columns)}
    wanted = [places[name] for name in spec.reads if name in places] or ["0"]
    names = [str(i) for i in range(len(columns))]
    if data.startswith(codecs.BOM_UTF8):
        data = codecs.BOM_UTF8 + data  # Arrow drops one, and here it is part of a value
    table = csv.read_csv(
        pa.py_buffer(data),
        read_options=csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=names),
        parse_options=csv.ParseOptions(
            delimiter=delimiter.decode(), quote_char=False, ignore_empty_lines=False, newlines_in_values=False
        ),
        convert_options=csv.ConvertOptions(
            check_utf8=False, column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False,
            include_columns=wanted,
        ),
    )  # fmt: skip
    count = table.num_rows
    nothing = pa.nulls(count, pa.string())
    cells = {name: _whole(table.column(places[name])) if name in places else nothing for name in spec.reads}
    return transform(spec, cells, range(first_row, first_row + count), preview)


def _whole(column: pa.ChunkedArray) -> pa.StringArray:
    found = column.combine_chunks()
    return found.chunk(0) if isinstance(found, pa.ChunkedArray) else found


def of_cells(
    document: bytes, rows: Sequence[Sequence[str | None]], columns: Sequence[str], numbers: Sequence[int], preview: bool
) -> Transformed:
    spec = compiled(document)
    places = {name: i for i, name in enumerate([*columns, *spec.extra_cells])}
    most = rows_at_once(spec)
    rows, numbers = rows[:most], numbers[:most]

    def column(name: str) -> pa.StringArray:
        i = places[name]
        return pa.array([row[i] if i < len(row) else None for row in rows], pa.string())

    lost = _lost_cells(spec, rows, len(columns))
    return transform(spec, {name: column(name) for name in spec.reads}, numbers, preview, lost)


def _lost_cells(spec: Plan, rows: Sequence[Sequence[str | None]], width: int) -> list[Finding]:
    """Rows with values beyond the header that no column of the output would have, although all others are kept."""
    if spec.kept_extra is None:
        return []
    kept = {i for i, name in enumerate(spec.extra_cells, width) if name in spec.kept_extra}
    found = []
    for place, row in enumerate(rows):
        left = [i for i in range(width, len(row)) if row[i] and i not in kept] if len(row) > width else []
        if left:
            message = f"Cell {left[0] + 1} of the row is beyond the columns, and has no name in the mapping."
            found.append(Finding(place, "", "extra_cells", message, values.shown(row[left[0]])))
    return found


def of_objects(document: bytes, raw: Sequence[bytes], numbers: Sequence[int], preview: bool) -> Transformed:
    """Numbers keep the digits they were written with; true, false, lists and objects are their JSON; null is no value."""
    spec = compiled(document)
    decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
    most = rows_at_once(spec)
    raw, numbers = raw[:most], numbers[:most]
    found: dict[str, list[str | None]] = {name: [] for name in spec.reads}
    for text in raw:
        record = decode(text)
        for name, cells in found.items():
            cells.append(_cell(record.get(name)))
    return transform(spec, {name: pa.array(cells, pa.string()) for name, cells in found.items()}, numbers, preview)


def _cell(raw: msgspec.Raw | None) -> str | None:
    if raw is None:
        return None
    text = bytes(raw)
    if text[:1] == b'"':
        return msgspec.json.decode(text, type=str)
    return None if text == b"null" else text.decode()


# ---------------------------------------------------------------------- the plan


def rows_at_once(spec: Plan) -> int:
    """So many rows at most, whatever is in them."""
    keys = sum(map(len, spec.uniques))
    rows = MAX_CELLS // (len(spec.reads) + len(spec.columns) + KEY_CELLS * keys)
    if spec.output_format == "jsonl":
        rows = min(rows, MAX_HELD_BYTES // sum(len(name.encode()) + JSON_SIGNS for name in spec.names))
    return max(1, rows)


def transform(
    spec: Plan, cells: Cells, numbers: Sequence[int], preview: bool, bad: Sequence[Finding] = ()
) -> Transformed:
    """As many of the first rows as can be held at once. A row that cannot be held alone is rejected, as are those that are
    bad already."""
    rows = min(len(numbers), rows_at_once(spec))
    while True:
        some = {name: array.slice(0, rows) for name, array in cells.items()} if rows < len(numbers) else cells
        findings, memory = Findings(rows), Memory(rows)
        findings.begin_with(bad)
        try:
            return _transformed(spec, some, numbers[:rows], findings, memory, preview)
        except TooMuch as error:
            if rows == 1:
                break
            rows = max(1, min(error.rows, rows - 1))
    findings.add(np.ones(1, bool), memory.column, growth.VALUE_TOO_LONG, growth.MORE_TO_HOLD)
    return _finished(spec, {}, numbers[:1], findings, preview)


def _transformed(
    spec: Plan, cells: Cells, numbers: Sequence[int], findings: Findings, memory: Memory, preview: bool
) -> Transformed:
    count = len(numbers)
    given = {name: values.text(array) for name, array in cells.items()}
    often = {name: found for name, array in cells.items() if (found := values.repeated(array)) is not None}
    made: dict[str, Value] = {}
    sizes = np.zeros(count, np.int64)
    for column in spec.columns:
        memory.begin(column.name)
        value = _made(column, given, often, findings, memory)
        made[column.name] = _within_row(value, sizes, findings, column.name)
        memory.keep(values.held(made[column.name]))
    for name, each in spec.rules.items():
        rules.hold(each, made[name], findings, name)
    for check_ in spec.checks:
        memory.begin(check_.column)
        condition = Evaluator(made, count, findings, memory, check_.column).run(check_.expression)
        holds = np.asarray(pc.fill_null(condition.data, False))
        shown = values.to_texts(made[check_.column]) if check_.column else None
        findings.add(~holds, check_.column, "check_failed", check_.message, shown)
    if spec.output_format == "parquet":
        for name, value in made.items():
            rules.fit_parquet(value, findings, name)
    return _finished(spec, made, numbers, findings, preview)


def _finished(
    spec: Plan, made: dict[str, Value], numbers: Sequence[int], findings: Findings, preview: bool
) -> Transformed:
    """The good rows as they are handed over, and what is wrong with the others."""
    rows = np.arange(numbers.start, numbers.stop) if isinstance(numbers, range) else np.array(numbers, np.int64)
    kept = np.flatnonzero(~findings.bad)
    if len(kept) < len(numbers):
        made = {name: values.taken(value, kept) for name, value in made.items()}
        rows = rows[kept]
    keys, key_counts = unique.keys(made, rows, spec.uniques) if made else (b"", [0] * len(spec.uniques))
    return Transformed(
        len(numbers),
        len(kept),
        sorted(findings.found, key=lambda each: each.row),
        encode.part(made, rows, spec) if len(kept) else b"",
        keys,
        key_counts,
        _preview(made, kept) if preview else [],
    )


def _within_row(value: Value, sizes: npt.NDArray[np.int64], findings: Findings, column: str) -> Value:
    """Without the values by which a row becomes too large; `sizes` are the bytes of its texts so far."""
    if value.type != TEXT:
        return value
    sizes += growth.lengths_of(value.data)
    large = sizes > MAX_VALUE_BYTES
    if not large.any():
        return value
    findings.add(large, column, growth.ROW_TOO_LARGE, growth.ROW_LONGER)
    sizes[large] = 0
    return values.cleared(value, large)


def _made(
    column: Planned, given: dict[str, Value], often: dict[str, Repeated], findings: Findings, memory: Memory
) -> Value:
    """A column of the output. What is made of one column of the input alone is made once for each of its values, and what is
    made of none is made once."""
    reads = column.reads
    if len(reads) > 1 or (reads and reads[0] not in often):
        return _calculated(column, given, findings, memory)
    once = often[reads[0]] if reads else Repeated(NO_INPUT, np.zeros(findings.count, np.int64))
    found = Findings(len(once.texts))
    value = _calculated(column, {name: values.text(once.texts) for name in reads}, found, memory)
    findings.repeat(found, once.places)
    if value.type != TEXT:
        value = Value(value.type, value.data, values.to_texts(value))
    else:
        memory.take(int(growth.lengths_of(value.data)[once.places].sum()))
    return values.taken(value, once.places)


def _calculated(column: Planned, given: dict[str, Value], findings: Findings, memory: Memory) -> Value:
    left, count, name = list(column.steps), findings.count, column.name
    if column.expression is not None:
        value = Evaluator(given, count, findings, memory, name).run(column.expression)
    elif not column.sources:
        value = repeated(column.constant, column.constant_type, count, memory)
    elif left and isinstance(left[0], Join):
        step = left.pop(0)
        assert isinstance(step, Join)
        value = steps.join([given[each] for each in column.sources], step, findings, memory, name)
    else:
        value = given[column.sources[0]]
    for step in left:
        memory.begin(name)
        value = steps.taken(step, value, findings, memory, name)
    return value


def _preview(made: dict[str, Value], kept: npt.NDArray[np.int64]) -> list[tuple[int, list[Any]]]:
    """The first good rows, as far as they are short enough to be shown."""
    sizes = np.zeros(min(len(kept), PREVIEW_ROWS), np.int64)
    for value in made.values():
        if value.type == TEXT:
            sizes += growth.lengths_of(value.data.slice(0, len(sizes)))
    first = kept[: int(np.searchsorted(np.cumsum(sizes), PREVIEW_BYTES, side="right"))]
    columns = [_as_json(values.taken(value, np.arange(len(first)))) for value in made.values()]
    return [(int(place), list(row)) for place, row in zip(first, zip(*columns, strict=True), strict=True)]


def _as_json(value: Value) -> list[Any]:
    """Numbers as texts: JSON readers would round them."""
    found: list[Any] = (value.data if value.type.name == "boolean" else values.to_texts(value)).to_pylist()
    return found
