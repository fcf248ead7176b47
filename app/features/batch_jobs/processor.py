"""A job over many files: its parts do the work, and it only ends with them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app.processors.base import ChunkContext, ChunkOutcome, Processor
from app.processors.options import Options
from app.processors.stages import By, Stage, Stages


class BatchOptions(Options):
    """What the job is remembered by."""

    job_type: str
    options: dict[str, Any]
    file_ids: list[str]
    cached: dict[str, str]


class BatchProcessor(Processor):
    name = "batch"
    made_by = "A batch is made of many files, by POST /api/v1/jobs/batch."
    options = BatchOptions
    stages = Stages((Stage("processing", 0, By.PARTS),))

    def process(self, rows: Any, context: ChunkContext) -> ChunkOutcome:
        raise AssertionError("a batch has parts, no rows")

    def combine(self, summaries: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """Its parts may be of any type: their summaries are not added up."""
        return {}
