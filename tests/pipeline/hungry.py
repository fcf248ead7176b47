"""A processor that takes as much memory as a row asks for, in a process beside the service."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

from app.formats.base import Rows
from app.processors.base import ChunkContext, ChunkOutcome


def take(mebibytes: int) -> int:
    """Piece by piece, as most programs do."""
    return len([b"x" * (1 << 20) for _ in range(mebibytes)])


def take_at_once(mebibytes: int) -> int:
    return len(b"x" * (mebibytes << 20))


KEPT: list[bytes] = []


def keep(mebibytes: int) -> int:
    """Does not give back what it took."""
    KEPT.extend(b"x" * (1 << 20) for _ in range(mebibytes))
    return os.getpid()


class Hungry:
    name = "hungry"

    def columns(self, header: Sequence[str]) -> Sequence[str]:
        return header

    def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        for cells in rows.records():
            context.compute(take, int(cells[1]))
        return ChunkOutcome(rows)

    def combine(self, summaries: Iterable[dict[str, Any]]) -> dict[str, Any]:
        return {}
