"""Results staged in the transactions of the chunks are published with the final status: readers
never see a part of them, wherever the service dies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app import wiring
from app.db.results import PageHead
from app.db.rows import PageRow
from app.destinations.base import ReadBack, ResultDestination
from app.destinations.output_file import OutputFiles
from app.destinations.pages import Pages
from app.destinations.staged import Assembly, Compute, StagedJob, StagedResults
from app.destinations.writer import TableWriter
from app.formats.base import Page
from app.processors.base import Conclusion
from tests.crash.service import RECOVERY_SECONDS, Input, post
from tests.engine import Engine

INPUT = Input.clean(500)
KIND = "rows"
PUBLISHED = (
    "INSERT INTO published (first_row, row_count)"
    " SELECT first_row, row_count FROM result_pages WHERE job_id = :job_id"
)


class Showcase(StagedResults):
    """Stages pages, and publishes the start of each."""

    incomplete = {"code": "incomplete", "message": "A chunk failed."}  # noqa: RUF012
    discarded = 0

    def __init__(self, writer: TableWriter) -> None:
        self._stage = Pages(writer)

    async def write(
        self, connection: AsyncConnection, job_id: UUID, rows: Sequence[Page]
    ) -> dict[str, int]:
        return await self._stage.write(connection, job_id, rows)

    async def remove(self, connection: AsyncConnection, job_id: UUID, at_most: int) -> bool:
        return await self._stage.remove(connection, job_id, at_most)

    async def count(self, connection: AsyncConnection, job_id: UUID) -> int:
        return await self._stage.count(connection, job_id)

    async def read_back(
        self, connection: AsyncConnection, job_id: UUID, first_rows: Sequence[int]
    ) -> ReadBack:
        return await self._stage.read_back(connection, job_id, first_rows)

    async def heads(
        self, connection: AsyncConnection, job_id: UUID, first_row: int
    ) -> list[PageHead]:
        return await self._stage.heads(connection, job_id, first_row)

    async def pages(
        self, connection: AsyncConnection, job_id: UUID, after: int, limit: int, most_bytes: int
    ) -> Sequence[PageRow]:
        return await self._stage.pages(connection, job_id, after, limit, most_bytes)

    async def assemble(self, job: StagedJob, compute: Compute) -> Assembly | None:
        return Assembly(Conclusion({"rows": job.rows}, {}))

    async def publish(
        self, connection: AsyncConnection, job_id: UUID, assembly: Assembly
    ) -> Conclusion:
        of_job = job_id.hex if connection.dialect.name == "sqlite" else job_id
        pages = await connection.execute(text(PUBLISHED), {"job_id": of_job})
        return Conclusion(assembly.conclusion.summary | {"pages": pages.rowcount}, {})

    async def discard(self, assembly: Assembly) -> None:
        Showcase.discarded += 1

    async def forget(self, job_id: UUID) -> None:
        """Nothing else is staged."""


class Showcases(OutputFiles):
    """Replaces what `wiring` adds, so that it exists before the first turn of a life."""

    def of(self, processor: str, options: Mapping[str, Any]) -> ResultDestination | None:
        if processor == KIND:
            return Showcase(self._rejects._writer)
        return super().of(processor, options)


@pytest.fixture(autouse=True)
def showcases(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiring, "OutputFiles", Showcases)
    monkeypatch.setattr(Showcase, "discarded", 0)
    engine.sql("CREATE TABLE published (first_row INTEGER PRIMARY KEY, row_count INTEGER)")


def published(engine: Engine) -> list[tuple[int, int]]:
    rows = engine.sql("SELECT first_row, row_count FROM published ORDER BY first_row")
    return [(first, count) for first, count in rows]


@pytest.mark.parametrize(
    ("point", "is_published"),
    [
        ("chunk.after_write=kill@2", False),
        ("chunk.after_commit=kill@3", False),
        ("job.before_finish=kill", False),
        ("job.after_finish=kill", True),
    ],
)
def test_staged_results_are_published_with_the_final_status_or_not_at_all(
    engine: Engine, point: str, is_published: bool
) -> None:
    whole = [(first, 100) for first in range(1, 501, 100)]
    engine.start(GRANULA_FAIL=point)
    with engine.api() as api:
        post(api, INPUT, chunk_size=100)
    engine.wait_for_death()
    assert published(engine) == (whole if is_published else [])

    engine.start()
    ((file_id,),) = engine.sql("SELECT id FROM files")
    with engine.api() as api:
        status = api.finished(str(file_id), RECOVERY_SECONDS)
        assert (status["status"], status["summary"]) == (
            "completed",
            {"rows": 500, "pages": 5},
        )
        assert published(engine) == whole
        assert api.rows(str(file_id)) == INPUT.results
        assert api.proof(str(file_id))["closes"]


def test_assembled_results_are_dropped_if_the_job_does_not_end_with_them(engine: Engine) -> None:
    """Fewer rows were assembled than the chunks report."""
    engine.start()

    assembled: list[Assembly] = []

    async def assemble(self: Showcase, job: StagedJob, compute: Compute) -> Assembly:
        assembled.append(Assembly(Conclusion({"rows": job.rows - 1}, {})))
        return assembled[-1]

    engine._patch.setattr(Showcase, "assemble", assemble)
    with engine.api() as api:
        job = api.run(INPUT.data, chunk_size=100)
    assert (job["status"], job["error"]["code"]) == ("failed", "proof_does_not_close")
    assert published(engine) == []
    # a twin of the turn that ended it may have assembled one too
    engine.wait_until(lambda: Showcase.discarded == len(assembled) > 0, 15, "all to be discarded")
