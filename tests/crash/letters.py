"""A processor that writes a file, loaded by PROCESSORS into the services of these tests."""

from __future__ import annotations

from typing import Any

from app.formats.base import CellRows, Reject, Rows
from app.processors.base import ChunkContext, ChunkOutcome, MakesFile, Output, OutputMaker
from app.processors.options import Options
from app.processors.pieces import Pieces


class LetterOptions(Options):
    greeting: str = "Dear"
    dry_run: bool = False


class Letters(OutputMaker):
    preview_rows = 3

    def is_dry_run(self, options: Any) -> bool:
        return bool(options.dry_run)

    def described(self, document: bytes) -> tuple[bytes, list[tuple[str, str]]]:
        return b"letter\n", [("letter", "text")]


class LettersProcessor(MakesFile):
    """Write a line for each row; rows without a name get none."""

    name = "letters"
    options = LetterOptions
    output = Letters()

    def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        pieces = Pieces()
        rejects: list[Reject] = []
        written: list[int] = []
        preview: list[Any] = []
        for number, row in zip(rows.numbers, rows.records(), strict=True):
            if row[0] == "nobody":
                rejects.append(Reject(number, 0, 0, 0, b"", "nobody", "Nobody reads it."))
                continue
            letter = f"{context.options.greeting} {row[0]}"
            pieces.add(f"{letter}\n".encode())
            written.append(number)
            preview.append([number, [letter]])
        results = CellRows((), written, [[]] * len(written))
        summary = {"rows": len(written), "preview": preview[:3]}
        return ChunkOutcome(results, rejects, summary, output=Output(pieces, Pieces()))
