"""Processor that brings rows into the shape of a mapping. The good rows make a new file, in their
order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from app.formats.base import CellRows, Form, Reject, Rows
from app.processors.base import ChunkContext, ChunkOutcome, MakesFile, Output, OutputMaker
from app.processors.options import Options
from app.processors.pieces import Pieces
from app.processors.stages import By, Stage, Stages

PREVIEWED_CHUNKS = 3
PREVIEW_ROWS = 20


# Called in compute processes: pyarrow takes memory that the service itself need not spend.
def of_lines(*arguments: Any) -> Any:
    from app.features.transform import run

    return run.of_lines(*arguments)


def of_cells(*arguments: Any) -> Any:
    from app.features.transform import run

    return run.of_cells(*arguments)


def of_objects(*arguments: Any) -> Any:
    from app.features.transform import run

    return run.of_objects(*arguments)


FORMS = {Form.LINES: of_lines, Form.CELLS: of_cells, Form.OBJECTS: of_objects}


class StoredOptions(Options):
    """Options that a transform was created with."""

    specification: dict[str, Any]
    dry_run: bool = False
    template_id: str | None = None


def document_of(options: StoredOptions) -> bytes:
    """Return the JSON of a job's specification."""
    return msgspec.json.encode(options.specification)


class TransformOutput(OutputMaker):
    """Output of a transform: the file of the valid rows."""

    preview_rows = PREVIEW_ROWS

    def document(self, options: StoredOptions) -> bytes:
        return document_of(options)

    def format(self, options: StoredOptions) -> str:
        return str(options.specification["output_format"])

    def is_dry_run(self, options: StoredOptions) -> bool:
        return options.dry_run

    def described(self, document: bytes) -> tuple[bytes, list[tuple[str, str]]]:
        from app.features.transform import encode, run

        spec = run.compiled(document)
        header = encode.csv_header(spec.names) if spec.output_format == "csv" else b""
        return header, [(column.name, str(column.type)) for column in spec.columns]

    def find_repeated(self, folder: str, key_files: Sequence[tuple[str, Any]], rows: int) -> int:
        from app.features.transform import unique

        return unique.find_repeated(folder, key_files, rows)

    def repeated_values(
        self, document: bytes, folder: str, part: Any, rows: Sequence[int]
    ) -> list[tuple[str, str, int]]:
        from app.features.transform import assemble

        return assemble.repeated_values(document, folder, part, rows)

    def encoded(
        self, document: bytes, folder: str, parts: Sequence[Any], path: str, without_repeated: bool
    ) -> Any:
        from app.features.transform import assemble

        return assemble.encoded(document, folder, parts, path, without_repeated)


class TransformProcessor(MakesFile):
    name = "transform"
    needs = "analysis"
    runs_apart = True
    title = "Transform: a new file in another shape"
    version = "3"
    options = StoredOptions
    output = TransformOutput()
    chunk_size = 100_000
    stages = Stages(
        (Stage("splitting", 20, By.SPLIT), Stage("transforming", 50, By.ROWS), Stage("writing", 80))
    )

    def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        numbers, preview = rows.numbers, context.chunk_index < PREVIEWED_CHUNKS
        rejects: list[Reject] = []
        bad: set[int] = set()
        summary: dict[str, Any] = {"rows": 0}
        data, keys, key_counts = Pieces(), Pieces(), []
        for start, done in _transformed(
            rows, document_of(context.options), preview, context.compute
        ):
            rejects += [
                Reject(
                    numbers[start + finding.row],
                    0,
                    0,
                    0,
                    b"",
                    finding.code,
                    finding.message,
                    finding.column or None,
                    finding.value,
                )
                for finding in done.findings
            ]
            bad.update(start + finding.row for finding in done.findings)
            summary["rows"] += done.count
            if done.preview and "preview" not in summary:
                summary["preview"] = [[numbers[start + place], row] for place, row in done.preview]
            data.add(done.output)
            keys.add(done.keys)
            key_counts.append(done.key_counts)
        good = (
            [number for place, number in enumerate(numbers) if place not in bad] if bad else numbers
        )
        output = Output(data, keys, key_counts)
        return ChunkOutcome(CellRows((), good, [[]] * len(good)), rejects, summary, output=output)

    def combine(self, summaries: Iterable[dict[str, Any]]) -> dict[str, Any]:
        ordered = list(summaries)
        preview = [row for summary in ordered for row in summary.get("preview", ())]
        combined: dict[str, Any] = {"rows": sum(summary["rows"] for summary in ordered)}
        return combined | ({"preview": preview[:PREVIEW_ROWS]} if preview else {})


def _transformed(
    rows: Rows, document: bytes, preview: bool, compute: Callable[..., Any]
) -> Iterator[tuple[int, Any]]:
    """Yield (position of the first row, outcome of it and the rows after it). Usually there is one
    outcome for all rows, but several if values become so long that only some rows fit into memory.
    """
    start, count = 0, len(rows)
    while start < len(rows):
        end = min(len(rows), start + count)
        done = _of_rows(rows, start, end, document, preview, compute)
        yield start, done
        count = 2 * done.rows
        start += done.rows


def _of_rows(
    rows: Rows, start: int, end: int, document: bytes, preview: bool, compute: Callable[..., Any]
) -> Any:
    form, arguments = rows.held(start, end)
    return compute(FORMS[form], document, *arguments, preview)
