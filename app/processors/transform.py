"""Rows of a file in the shape that a mapping says: the good ones make a new file, in their order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from app.errors import InvalidParameter
from app.formats.base import CellRows, ObjectRows, Reject, Rows
from app.formats.csv import PlainRows
from app.processors.base import ChunkContext, ChunkOutcome, Output

PREVIEWED_CHUNKS = 3
PREVIEW_ROWS = 20


# Called in the processes beside the service: pyarrow is memory that the service itself can do without.
def of_lines(*arguments: Any) -> Any:
    from app.transform import run

    return run.of_lines(*arguments)


def of_cells(*arguments: Any) -> Any:
    from app.transform import run

    return run.of_cells(*arguments)


def of_objects(*arguments: Any) -> Any:
    from app.transform import run

    return run.of_objects(*arguments)


def document_of(options: dict[str, Any]) -> bytes:
    """The specification of a job."""
    return msgspec.json.encode(options["specification"])


class TransformProcessor:
    name = "transform"
    version = "2"
    is_uploadable = False
    stores_results = False
    makes_file = True
    chunk_size = 100_000

    def columns(self, header: Sequence[str]) -> Sequence[str]:
        return header

    def check(self, options: dict[str, Any]) -> None:
        """Raises InvalidParameter: without a mapping there is nothing to do."""
        if "specification" not in options:
            raise InvalidParameter("A transform needs a mapping, by POST /api/v1/jobs/transform.")

    def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        document, compute = document_of(context.options), context.compute
        numbers = rows.numbers
        preview = context.chunk_index < PREVIEWED_CHUNKS
        if isinstance(rows, PlainRows):
            done = compute(of_lines, document, rows.data, rows.delimiter, rows.columns, numbers[0], preview)
        elif isinstance(rows, ObjectRows):
            done = compute(of_objects, document, rows.raw, list(numbers), preview)
        else:
            done = compute(of_cells, document, rows.records(), rows.columns, list(numbers), preview)
        rejects = [
            Reject(numbers[each.row], 0, 0, 0, b"", each.code, each.message, each.column, each.value)
            for each in done.findings
        ]
        bad = {each.row for each in done.findings}
        good = [number for place, number in enumerate(numbers) if place not in bad] if bad else numbers
        summary: dict[str, Any] = {"rows": done.count}
        if done.preview:
            summary["preview"] = [[numbers[place], row] for place, row in done.preview]
        output = Output(done.output, done.keys, done.key_counts)
        return ChunkOutcome(CellRows((), good, [[]] * len(good)), rejects, summary, output=output)

    def combine(self, summaries: Iterable[dict[str, Any]]) -> dict[str, Any]:
        found = list(summaries)
        preview = [row for summary in found for row in summary.get("preview", ())]
        combined: dict[str, Any] = {"rows": sum(summary["rows"] for summary in found)}
        return combined | ({"preview": preview[:PREVIEW_ROWS]} if preview else {})
