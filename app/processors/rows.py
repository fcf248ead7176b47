"""The default processor: stores every row unchanged."""

from __future__ import annotations

from app.formats.base import Rows
from app.processors.base import ChunkContext, ChunkOutcome, Processor


class RowsProcessor(Processor):
    name = "rows"
    title = "Rows: check and store"
    runs_apart = True
    version: str | None = "1"

    def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        return ChunkOutcome(rows)
