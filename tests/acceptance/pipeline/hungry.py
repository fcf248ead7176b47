"""A processor that takes as much memory as a row says, in a compute process."""

from __future__ import annotations

import os

from app.formats.base import Rows
from app.processors.base import ChunkContext, ChunkOutcome, Processor


def take(mebibytes: int) -> int:
    """Allocate piece by piece, as most programs do."""
    return len([b"x" * (1 << 20) for _ in range(mebibytes)])


def take_at_once(mebibytes: int) -> int:
    return len(b"x" * (mebibytes << 20))


KEPT: list[bytes] = []


def keep(mebibytes: int) -> int:
    """Does not release its memory."""
    KEPT.extend(b"x" * (1 << 20) for _ in range(mebibytes))
    return os.getpid()


class Hungry(Processor):
    name = "hungry"

    def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        for cells in rows.records():
            context.compute(take, int(cells[1]))
        return ChunkOutcome(rows)
