"""The default processor: every row is stored as it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from app.formats.base import Rows
from app.processors.base import ChunkContext, ChunkOutcome


class RowsProcessor:
    name = "rows"
    version: str | None = "1"

    def columns(self, header: Sequence[str]) -> Sequence[str]:
        return header

    def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        return ChunkOutcome(rows)

    def combine(self, summaries: Iterable[dict[str, Any]]) -> dict[str, Any]:
        return {}
