"""A processor that waits until a test opens its gate. Named by PROCESSORS=tests.api.gate:Gate;
TEST_GATES is the folder.
"""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

from app.formats.base import Rows
from app.processors.base import ChunkContext, ChunkOutcome, Processor
from tests.harness import wait_until


class Gate(Processor):
    """Each chunk waits for the file that the first cell of its first row names."""

    name = "gate"

    def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        gate = Path(os.environ["TEST_GATES"]) / rows.records()[0][0]
        wait_until(gate.exists, 30, f"gate {gate.name}")
        return ChunkOutcome(rows)


class GatedFile:
    """A CSV of several chunks of 100 rows, each with a gate of its own. On exit it opens every
    gate.
    """

    def __init__(self, folder: Path, chunks: int) -> None:
        self._folder = folder
        self._gates = [uuid4().hex for _ in range(chunks)]
        self.data = b"gate,n\n" + b"".join(
            f"{gate},{n}\n".encode() for gate in self._gates for n in range(100)
        )

    def __enter__(self) -> GatedFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.open()

    def open(self, *indexes: int) -> None:
        for index in indexes or range(len(self._gates)):
            (self._folder / self._gates[index]).touch()
