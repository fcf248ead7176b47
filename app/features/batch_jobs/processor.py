"""A job over many files: its parts do the work, and it only ends with them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app.errors import InvalidParameter
from app.processors.base import ChunkContext, ChunkOutcome
from app.processors.rows import RowsProcessor


class BatchProcessor(RowsProcessor):
    name = "batch"
    version = None
    is_uploadable = False

    def check(self, options: dict[str, Any]) -> None:
        """Raises InvalidParameter: one file is no batch."""
        raise InvalidParameter("A batch is made of many files, by POST /api/v1/jobs/batch.")

    def process(self, rows: Any, context: ChunkContext) -> ChunkOutcome:
        raise AssertionError("a batch has parts, no rows")

    def combine(self, summaries: Iterable[dict[str, Any]]) -> dict[str, Any]:
        return {}
