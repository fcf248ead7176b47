"""One bad row costs one row: rows that raise are isolated, whatever their number and place."""

from __future__ import annotations

import zlib
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from app.db.chunks import Claim
from app.errors import TerminalError, TransientError
from app.formats.base import Rows, Span
from app.formats.csv import CsvDialect
from app.formats.registry import open_format
from app.pipeline.bisecting import EveryRowFailed, isolate_bad_rows
from app.pipeline.columns import Columns
from app.pipeline.prepared import Prepared
from app.pipeline.preparing import Read
from app.processors.base import ChunkOutcome
from app.processors.rows import RowsProcessor

ROWS = 37
DATA = b"".join(b"%d,row %d\n" % (number, number) for number in range(1, ROWS + 1))


class Calls:
    """`process` and `rehearse` that raise for some rows, and count their calls."""

    def __init__(self, bad: set[int], error: Exception, *, in_database: bool) -> None:
        self.bad, self.error, self.in_database = bad, error, in_database
        self.count = 0

    async def process(self, rows: Rows, known: Columns) -> ChunkOutcome:
        self.count += 1
        if not self.in_database:
            self._raise_for(rows)
        return ChunkOutcome(rows)

    async def rehearse(self, rows: Rows, outcome: ChunkOutcome) -> None:
        if self.in_database:
            self._raise_for(rows)

    def _raise_for(self, rows: Rows) -> None:
        if self.bad & set(rows.numbers):
            raise self.error


async def isolated(calls: Calls) -> Prepared:
    form = open_format(CsvDialect(columns=["id", "name"]))
    span = Span(0, len(DATA), 1, ROWS, 1, zlib.crc32(DATA))
    job: Any = SimpleNamespace(
        form=form,
        processor=RowsProcessor(),
        columns=Columns(["id", "name"]),
        writes_at_once=False,
    )
    claim = Claim(uuid4(), 0, uuid4(), 3, span)
    read = Read(DATA, form.read(DATA, span))
    return await isolate_bad_rows(job, claim, read, calls.process, calls.rehearse)


@pytest.mark.parametrize("in_database", [False, True], ids=["processor raises", "database refuses"])
@pytest.mark.parametrize(
    "bad", [{1}, {ROWS}, {18, 19}, set(range(1, ROWS)), set(range(1, ROWS + 1, 2)), {7, 8, 9, 30}]
)
async def test_exactly_the_bad_rows_are_rejected_with_their_location(
    bad: set[int], in_database: bool
) -> None:
    prepared = await isolated(Calls(bad, ValueError("no"), in_database=in_database))
    assert [reject.row_number for reject in prepared.rejects] == sorted(bad)
    assert prepared.rows_ok == ROWS - len(bad)
    for reject in prepared.rejects:
        assert (reject.kind, reject.code, reject.message) == (
            "failed",
            "processing_failed",
            "ValueError: no",
        )
        line = b"%d,row %d" % (reject.row_number, reject.row_number)
        assert DATA[reject.byte_start : reject.byte_end].rstrip() == line
        assert reject.raw.rstrip() == line
        assert reject.line == reject.row_number
    kept: list[int] = []
    for page in prepared.pages:
        kept += page.numbers or range(page.first_row, page.first_row + page.row_count)
    assert kept == [number for number in range(1, ROWS + 1) if number not in bad]


async def test_one_bad_row_costs_few_calls() -> None:
    calls = Calls({20}, ValueError("no"), in_database=False)
    await isolated(calls)
    assert calls.count <= 2 * (ROWS - 1).bit_length() + 1


async def test_a_chunk_without_a_passing_row_fails() -> None:
    with pytest.raises(EveryRowFailed, match="ValueError: no"):
        await isolated(Calls(set(range(1, ROWS + 1)), ValueError("no"), in_database=False))


@pytest.mark.parametrize("error", [TransientError("later"), TerminalError("never")])
async def test_errors_that_no_row_causes_are_raised_immediately(error: Exception) -> None:
    calls = Calls({20}, error, in_database=False)
    with pytest.raises(type(error)):
        await isolated(calls)
    assert calls.count == 1
