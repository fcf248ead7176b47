"""Processors that misbehave on cue, loaded by PROCESSORS into the servers of these tests. Cells and
flag files are the cues.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from app.errors import TransientError
from app.formats.base import Reject, Rows
from app.processors.base import (
    ChunkContext,
    ChunkOutcome,
    Conclusion,
    FileFacts,
    Reduces,
    WritesTables,
)
from app.processors.rows import RowsProcessor
from app.processors.tables import KeyedTable, NewTable, OwnTable

DEADLINE_SECONDS = 60.0


def _flags() -> Path:
    return Path(os.environ.get("CRASH_FLAGS", "."))


def _wait_for(flag: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (_flags() / flag).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody raised the flag {flag}")
        time.sleep(0.005)


def _note(line: str) -> None:
    """Append whole lines to `calls`, even from several processes."""
    with (_flags() / "calls").open("a") as file:
        file.write(f"{line}\n")


class KillerProcessor(RowsProcessor):
    """A row with the cell `poison` kills the process, as a fault in native code would."""

    name = "killer"

    def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        _note(str(context.chunk_index))
        if any("poison" in row for row in rows.records()):
            os.kill(os.getpid(), signal.SIGKILL)
        return ChunkOutcome(rows)


class GatedProcessor(RowsProcessor):
    """Raises the flag `began`, then waits for the flag `open`."""

    name = "gated"

    def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        (_flags() / "began").touch()
        _wait_for("open")
        return ChunkOutcome(rows)


class MortalProcessor(Reduces):
    """Concludes in a process that is killed twice."""

    name = "mortal"

    def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        return ChunkOutcome(rows, summary={"rows": len(rows)})

    def combine(self, summaries: Iterable[dict[str, Any]]) -> dict[str, Any]:
        return {"rows": sum(summary["rows"] for summary in summaries)}

    def conclude(self, combined: dict[str, Any], facts: FileFacts) -> Conclusion:
        for flag in ("first", "second"):
            if not (_flags() / flag).exists():
                (_flags() / flag).touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return Conclusion(combined, {"said": combined["rows"]}, None)


class PatientProcessor(MortalProcessor):
    """Concludes once the flag `open` is raised."""

    name = "patient"

    def conclude(self, combined: dict[str, Any], facts: FileFacts) -> Conclusion:
        _wait_for("open")
        return Conclusion(combined, {"said": combined["rows"]}, None)


class UnsummedProcessor(RowsProcessor):
    """Fails to combine its summaries."""

    name = "unsummed"

    def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        return ChunkOutcome(rows, summary={"rows": len(rows)})

    def combine(self, summaries: Iterable[dict[str, Any]]) -> dict[str, Any]:
        raise ValueError("a bug of its author's")


class PacedProcessor(RowsProcessor):
    """Takes 5 ms per chunk, one chunk at a time: a file of 200 chunks takes a second, however fast
    the machine is.
    """

    name = "paced"
    _lock = threading.Lock()

    def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        with self._lock:
            time.sleep(0.005)
        return ChunkOutcome(rows)


class SlowProcessor(RowsProcessor):
    """Takes 20 ms per chunk, and reports its start."""

    name = "slow"

    def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        _note(str(context.chunk_index))
        time.sleep(0.02)
        return ChunkOutcome(rows)


class FussyProcessor(RowsProcessor):
    """Fails for rows with the cell `bad` until the flag `mended` is raised; rejects rows with the
    cell `refused`.
    """

    name = "fussy"

    def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        _note(str(context.chunk_index))
        bad = [row for row in rows.records() if "bad" in row]
        if bad and not (_flags() / "mended").exists():
            raise ValueError(f"cannot do {bad[0][0]}")
        cells = rows.records()
        kept = [i for i, row in enumerate(cells) if "refused" not in row]
        refused = [i for i, row in enumerate(cells) if "refused" in row]
        rejects = [
            Reject(rows.numbers[i], 0, 0, 0, b"", "refused", "It is not wanted.") for i in refused
        ]
        return ChunkOutcome(rows.select(kept), rejects)


class WaitingProcessor(RowsProcessor):
    """Needs a dependency that exists only once the flag `up` is raised, like a remote service."""

    name = "waiting"

    def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        _note(str(context.chunk_index))
        if not (_flags() / "up").exists():
            raise TransientError("what it needs is not there yet")
        return ChunkOutcome(rows)


class StockProcessor(WritesTables):
    """Fills two tables of its own: the stock by article, and the length of each name. Rejects
    amounts that are not numbers.
    """

    name = "stock"
    tables: tuple[NewTable, ...] = (
        NewTable(
            KeyedTable(
                "stock",
                columns=("article", "row_number", "amount", "is_low", "price", "content_hash"),
                key="article",
                versions="stock_versions",
            ),
            types={"article": "text", "amount": "integer", "is_low": "boolean", "price": "number"},
        ),
        NewTable(
            OwnTable("name_lengths", columns=("row_number", "length", "data"), is_counted=True),
            types={"length": "integer", "data": "json"},
        ),
    )

    def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        stock, lengths, good = [], [], []
        rejects: list[Reject] = []
        for place, (number, cells) in enumerate(zip(rows.numbers, rows.records(), strict=True)):
            article, amount = str(cells[0]), str(cells[1])
            if not amount.isdigit():
                rejects.append(Reject(number, 0, 0, 0, b"", "bad_amount", "It is no number."))
                continue
            good.append(place)
            count = int(amount)
            stock.append((article, number, count, count < 10, count / 4, f"{article}:{amount}"))
            lengths.append((number, len(article), json.dumps({"article": article})))
        encoded = context.encode_table("stock", stock) if stock else []
        tables = {"stock": encoded, "name_lengths": lengths}
        return ChunkOutcome(rows.select(good), rejects, tables=tables)


class OtherStockProcessor(StockProcessor):
    """Expects one of the tables with another column."""

    tables: tuple[NewTable, ...] = (
        NewTable(
            OwnTable("name_lengths", columns=("row_number", "length", "data")),
            types={"length": "text", "data": "json"},
        ),
    )
