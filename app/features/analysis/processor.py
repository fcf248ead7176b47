"""Processor that profiles a file: it reads each row once and stores none, and the job ends with the
profile of every column.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from app.formats.base import Form, Rows, cell_names
from app.processors.base import ChunkContext, ChunkOutcome, Conclusion, FileFacts, Reduces
from app.processors.stages import By, Stage, Stages

SHOWN_COLUMNS = 200
"""Most columns in the summary, which is part of every status."""


# Called in compute processes: pyarrow takes 80 MB of memory, which the service itself need not
# spend.
def of_lines(*arguments: Any) -> str:
    from app.profiling import tables

    return tables.of_lines(*arguments)


def of_objects(*arguments: Any) -> str:
    from app.profiling import tables

    return tables.of_objects(*arguments)


def of_cells(
    cells: Sequence[Sequence[str | None]], columns: Sequence[str], numbers: Sequence[int]
) -> str:
    from app.profiling import tables

    return tables.of_cells(cells, cell_names(columns, max(map(len, cells), default=0)), numbers)


FORMS = {Form.LINES: of_lines, Form.CELLS: of_cells, Form.OBJECTS: of_objects}


class ProfileProcessor(Reduces):
    name = "profile"
    title = "Profile: analyse only"
    job_type = "analyze"
    version = "4"
    needs = "analysis"
    runs_apart = True
    stages = Stages((Stage("splitting", 10, By.SPLIT), Stage("profiling", 30, By.ROWS)))
    chunk_size = 200_000
    chunk_bytes = 4 << 20
    """Large: the state of a chunk is as large for few rows as for many, and takes as long to store
    and merge.
    """

    def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        form, arguments = rows.held(0, len(rows))
        packed = context.compute(FORMS[form], *arguments)
        return ChunkOutcome(rows, summary={"rows": len(rows), "table": packed})

    def combine(self, summaries: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """Combine the summaries of chunks, in the order of the file. For whole jobs only the rows
        are added.
        """
        from app.profiling import tables

        ordered = list(summaries)
        rows = sum(summary["rows"] for summary in ordered)
        parts = [summary["table"] for summary in ordered if "table" in summary]
        return (
            {"rows": rows, "table": tables.merge(parts)}
            if len(parts) == len(ordered)
            else {"rows": rows}
        )

    def conclude(self, combined: dict[str, Any], facts: FileFacts) -> Conclusion:
        from app.profiling import tables

        packed = combined["table"]
        header = facts.dialect.get("columns")
        # No chunk has brought columns, but the header has them.
        if header and not combined["rows"]:
            packed = of_cells([], header, [])
        columns = tables.report(packed)
        summary = {
            "rows": combined["rows"],
            "columns": len(columns),
            "types": {column["name"]: column["type"] for column in columns[:SHOWN_COLUMNS]},
        }
        file = {
            "filename": facts.filename,
            "format": facts.format,
            "encoding": facts.dialect["encoding"],
            "dialect": facts.dialect,
            "size_bytes": facts.size_bytes,
            "sha256": facts.sha256 or None,
        }
        rejected = sum(facts.rejects.values())
        rows = {
            "total": facts.rows,
            "profiled": combined["rows"],
            "rejected": rejected,
            "ragged": facts.rejects.get("column_count", 0),
            "rejected_by_code": facts.rejects,
            "unread": facts.rows - combined["rows"] - rejected,
        }
        left_out = tables.Table.unpacked(packed).left_out
        result = {"file": file, "rows": rows, "columns": columns, "columns_left_out": left_out}
        return Conclusion(summary, result, packed)
