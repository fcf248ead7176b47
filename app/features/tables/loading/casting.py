"""From the cells of a chunk to rows as the staging table takes them. Runs in the processes beside
the service, for it needs pyarrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from app.features.tables import strict
from app.features.tables.casts import Cast
from app.features.tables.loading.stored import from_text
from app.features.tables.plan import LoadPlan
from app.features.transform import objects, run, values
from app.formats.base import Form

Mask = npt.NDArray[np.bool_]
BITS_OF_ARROW = 64


@dataclass(frozen=True, slots=True)
class CastRows:
    findings: list[values.Finding]
    """At most one of each row, in the order of the rows."""
    data: bytes
    """The other rows, the row number first: CSV for COPY, or MessagePack for SQLite."""


def cast_rows(
    document: str, form: Form, arguments: tuple[Any, ...], numbers: Sequence[int]
) -> CastRows:
    plan = from_text(document)
    is_json = form is Form.OBJECTS
    findings = values.Findings(len(numbers))
    cells, others = _cells(plan, form, arguments, findings)
    if any(other is not None for other in others):
        unknown = np.array([other is not None for other in others], bool)
        message = "The table has no column for `{value}`."
        findings.add(unknown, "", "unknown_column", message, pa.array(others, pa.string()))
    columns: list[pa.Array] = []
    for column, texts in zip(plan.columns, cells[: len(plan.columns)], strict=True):
        # cells are taken from JSON as they stand there, and what steps make is text
        as_json = is_json and not (column.is_made and column.cast.kind in strict.READS_JSON)
        done = strict.cast(column.cast, texts, is_json=as_json, empty=plan.empty)
        for problem in done.problems:
            findings.add(problem.rows, column.name, problem.code, problem.message, texts)
        if not column.is_nullable:
            missing = np.asarray(pc.is_null(done.texts))
            message = f"The column {column.name} must have a value."
            findings.add(missing, column.name, "null_not_allowed", message)
        columns.append(_written(plan, column.cast, done.texts))
    columns += cells[len(plan.columns) :]
    rows = _row_numbers(numbers)
    kept = np.flatnonzero(~findings.bad)
    if len(kept) < len(rows):
        columns = [column.take(pa.array(kept)) for column in columns]
        rows = rows[kept]
    encode = _packed if plan.definition.dialect == "sqlite" else _csv_lines
    data = encode([pa.array(rows), *columns]) if len(kept) else b""
    return CastRows(sorted(findings.all, key=lambda finding: finding.row), data)


def _row_numbers(numbers: Sequence[int]) -> npt.NDArray[np.int64]:
    if isinstance(numbers, range):
        return np.arange(numbers.start, numbers.stop, numbers.step)
    return np.array(numbers, np.int64)


def _cells(
    plan: LoadPlan, form: Form, arguments: tuple[Any, ...], findings: values.Findings
) -> strict.ObjectCells:
    """Return the cells, and add to the findings the rows that a step refuses."""
    if form is Form.OBJECTS:
        by_steps: run.Cells = {}
        if plan.transform:
            by_steps = _by_steps(plan, objects.cells_of(arguments[0], plan.steps_read), findings)
        return strict.cells_of_objects(plan, arguments[0], by_steps)
    read = [column.source for column in plan.columns if not column.is_made]
    reads = list(dict.fromkeys([*read, *plan.rescued, *plan.steps_read]))
    others: list[str | None] = []
    if form is Form.LINES:
        data, delimiter, is_quoted, header, _ = arguments
        cells = run.cells_of_lines(reads, data, delimiter, is_quoted, header)
    else:
        rows, header, _ = arguments
        cells = run.cells_of_rows(reads, rows, [*header, *_extra_cells(plan)])
        others = strict.cells_beyond(plan, rows, len(header))
    by_steps = _by_steps(plan, cells, findings) if plan.transform else {}
    columns = [
        by_steps[column.name] if column.is_made else cells[column.source] for column in plan.columns
    ]
    if plan.rescue_column:
        columns.append(strict.rescued_cells(plan, [cells[name] for name in plan.rescued]))
    return strict.ObjectCells(columns, others)


def _by_steps(plan: LoadPlan, cells: run.Cells, findings: values.Findings) -> run.Cells:
    """Return the columns that steps make."""
    read = {name: cells[name] for name in plan.steps_read}
    texts, of_steps = run.texts_of(plan.transform.encode(), read, findings.count)
    findings.extend(of_steps, 0)
    return texts


def _extra_cells(plan: LoadPlan) -> Sequence[str]:
    """Return the names of cells beyond the header that steps read."""
    return run.compiled(plan.transform.encode()).extra_cells if plan.transform else ()


def _written(plan: LoadPlan, cast: Cast, texts: pa.StringArray) -> pa.Array:
    if plan.definition.dialect == "sqlite":
        return strict.native(cast, texts)
    if cast.kind == "integer" and cast.bits <= BITS_OF_ARROW:
        return texts.cast(pa.int64())  # is written without quotes
    return texts


def _csv_lines(columns: list[pa.Array]) -> bytes:
    """Return the lines as COPY reads them: a text in quotes, and nothing at all for NULL."""
    batch = pa.record_batch(columns, names=[str(i) for i in range(len(columns))])
    out = pa.BufferOutputStream()
    options = csv.WriteOptions(
        include_header=False, quoting_style="needed", batch_size=max(1, len(batch))
    )
    csv.write_csv(batch, out, options)
    data: bytes = out.getvalue().to_pybytes()
    return data


def _packed(columns: list[pa.Array]) -> bytes:
    rows = zip(*[column.to_pylist() for column in columns], strict=True)
    return msgspec.msgpack.encode(list(rows))
