"""A plan carried out over the rows of one chunk: from its cells to the values of the output, and what is wrong with rows.

This runs in the processes beside the service, for it needs pyarrow.
"""

from __future__ import annotations

import codecs
from collections import Counter
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

from app.transform import encode, rules, steps, unique, values
from app.transform.evaluate import Evaluator
from app.transform.plan import Plan, Planned, plan
from app.transform.spec import Join, Specification
from app.transform.types import TEXT
from app.transform.values import Finding, Findings, Repeated, Value

PREVIEW_ROWS = 20
Cells = dict[str, pa.StringArray]


@dataclass(frozen=True, slots=True)
class Transformed:
    """What became of a chunk, small enough to be handed over: places of rows count from 0."""

    count: int
    findings: list[Finding]
    codes: dict[str, int]
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
    cells = {name: _whole(table.column(places[name])) for name in spec.reads if name in places}
    return transform(spec, cells, range(first_row, first_row + count), preview)


def _whole(column: pa.ChunkedArray) -> pa.StringArray:
    found = column.combine_chunks()
    return found.chunk(0) if isinstance(found, pa.ChunkedArray) else found


def of_cells(
    document: bytes, rows: Sequence[Sequence[str | None]], columns: Sequence[str], numbers: Sequence[int], preview: bool
) -> Transformed:
    spec = compiled(document)
    places = {name: i for i, name in enumerate(columns)}

    def column(name: str) -> pa.StringArray:
        i = places.get(name, len(columns))
        return pa.array([row[i] if i < len(row) else None for row in rows], pa.string())

    return transform(spec, {name: column(name) for name in spec.reads}, numbers, preview)


def of_objects(document: bytes, raw: Sequence[bytes], numbers: Sequence[int], preview: bool) -> Transformed:
    """Numbers keep the digits they were written with; true, false, lists and objects are their JSON; null is no value."""
    spec = compiled(document)
    decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
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


def transform(spec: Plan, cells: Cells, numbers: Sequence[int], preview: bool) -> Transformed:
    count = len(numbers)
    findings = Findings(count)
    given = {name: values.text(array) for name, array in cells.items()}
    repeated = {name: found for name, array in cells.items() if (found := values.repeated(array)) is not None}
    made = {column.name: _made(column, given, repeated, findings) for column in spec.columns}
    for name, each in spec.rules.items():
        rules.hold(each, made[name], findings, name)
    for check_ in spec.checks:
        condition = Evaluator(made, count, findings, check_.column).run(check_.expression)
        holds = np.asarray(pc.fill_null(condition.data, False))
        shown = values.to_texts(made[check_.column]) if check_.column else None
        findings.add(~holds, check_.column, "check_failed", check_.message, shown)
    if spec.output_format == "parquet":
        for name, value in made.items():
            rules.fit_parquet(value, findings, name)
    rows = np.arange(numbers.start, numbers.stop) if isinstance(numbers, range) else np.array(numbers, np.int64)
    kept = np.flatnonzero(~findings.bad)
    if len(kept) < count:
        made = {name: values.taken(value, kept) for name, value in made.items()}
        rows = rows[kept]
    keys, key_counts = unique.keys(made, rows, spec.uniques)
    return Transformed(
        len(kept),
        sorted(findings.found, key=lambda each: each.row),
        dict(Counter(each.code for each in findings.found)),
        encode.part(made, rows, spec),
        keys,
        key_counts,
        _preview(made, kept) if preview else [],
    )


def _made(column: Planned, given: dict[str, Value], repeated: dict[str, Repeated], findings: Findings) -> Value:
    """A column of the output. What is made of one column of the input alone is made once for each of its values."""
    reads = column.reads
    if len(reads) != 1 or reads[0] not in repeated:
        return _calculated(column, given, findings)
    once = repeated[reads[0]]
    found = Findings(len(once.texts))
    value = _calculated(column, {reads[0]: values.text(once.texts)}, found)
    findings.repeat(found, once.places)
    if value.type != TEXT:
        value = Value(value.type, value.data, values.to_texts(value))
    return values.taken(value, once.places)


def _calculated(column: Planned, given: dict[str, Value], findings: Findings) -> Value:
    left, count = list(column.steps), findings.count
    if column.expression is not None:
        value = Evaluator(given, count, findings, column.name).run(column.expression)
    elif not column.sources:
        value = values.constant(column.constant, column.constant_type, count)
    elif left and isinstance(left[0], Join):
        value = steps.join([given[name] for name in column.sources], left.pop(0))  # type: ignore[arg-type]
    else:
        value = given[column.sources[0]]
    for step in left:
        value = steps.taken(step, value, findings, column.name)
    return value


def _preview(made: dict[str, Value], kept: npt.NDArray[np.int64]) -> list[tuple[int, list[Any]]]:
    first = kept[:PREVIEW_ROWS]
    columns = [_as_json(values.taken(value, np.arange(len(first)))) for value in made.values()]
    return [(int(place), list(row)) for place, row in zip(first, zip(*columns, strict=True), strict=True)]


def _as_json(value: Value) -> list[Any]:
    """Numbers as texts: JSON readers would round them."""
    found: list[Any] = (value.data if value.type.name == "boolean" else values.to_texts(value)).to_pylist()
    return found
