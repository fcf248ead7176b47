"""The time left, computed from the chunks in the database: unknown at first, and the same in the
status and in the list.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from app.db import chunks
from app.db.engine import Database
from app.db.jobs import JobFilter
from app.db.models import Chunk, Job
from app.db.types import now
from app.features.jobs.listing import list_jobs
from app.formats.base import Span
from app.jobs.progress import Statuses
from app.states import ChunkStatus
from tests.conftest import Databases
from tests.integration.db.test_readers import OWNER, opened
from tests.integration.pipeline.test_leases import a_job_of_two_chunks

COUNT = 20


async def told(database: Database, job_id: Any) -> list[float | None]:
    status = await Statuses(database).get(job_id, OWNER)
    page = await list_jobs(database, OWNER, JobFilter(), limit=10)
    return [status["eta_seconds"], page["items"][0]["eta_seconds"]]


async def test_the_time_left_is_unknown_at_first_and_then_the_same_on_both_databases(
    databases: Databases, tmp_path: Path
) -> None:
    async with opened(databases, tmp_path) as database:
        job_id = await a_job_of_two_chunks(database)
        spans = [Span(2 * n, 2 * n + 2, n + 1, 1, n + 1, 0) for n in range(2, COUNT)]
        await database.transact(
            lambda c: chunks.insert_chunks(c, job_id, 2, spans, ChunkStatus.PENDING)
        )
        size = update(Job).values(started_at=now(-10.0), split_rows=COUNT, chunk_count=COUNT)
        await database.transact(lambda c: c.execute(size))

        async def end(index: int, ago: float) -> None:
            one = update(Chunk).where(Chunk.job_id == job_id, Chunk.chunk_index == index)
            done = {"status": "completed", "rows_ok": 1, "finished_at": now(-ago)}
            await database.transact(lambda c: c.execute(one.values(status="processing")))
            await database.transact(lambda c: c.execute(one.values(**done)))

        assert await told(database, job_id) == [None, None]
        for index, ago in enumerate((10.0, 8.0)):
            await end(index, ago)
            assert await told(database, job_id) == [None, None]
        for index, ago in enumerate((6.0, 4.0, 2.0, 0.0), 2):
            await end(index, ago)
        left = (COUNT - 6) * 2.0  # as many rows as chunks, two seconds each
        assert await told(database, job_id) == [pytest.approx(left, abs=2.1)] * 2
        await database.transact(lambda c: c.execute(update(Job).values(waiting_on="ml_api")))
        assert await told(database, job_id) == [None, None]
