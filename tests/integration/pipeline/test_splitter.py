"""The splitter cuts a file stretch by stretch; of two at the same stretch, one wins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

from app.config import load_settings
from app.db.engine import Database
from app.errors import StoredFileCorrupt
from app.pipeline.queue import JobQueue
from app.pipeline.running import RunningJob, load
from app.pipeline.splitter import Splitter
from app.plugins import make_destinations
from app.processors.registry import Processors
from app.sources.base import Sources
from app.sources.storage import LocalStorage
from tests.crash.service import Input, post
from tests.engine import Engine

INPUT = Input.clean(1_000)


@pytest.fixture
def job_id(engine: Engine) -> str:
    """Return a stored job that is not split yet."""
    engine.start(GRANULA_FAIL="upload.after_commit=kill")
    with engine.api() as api:
        assert post(api, INPUT, chunk_size=100) is None
    ((found,),) = engine.sql("SELECT id FROM jobs")
    return str(UUID(str(found)))


def sources(engine: Engine) -> Sources:
    """With uploaded files alone."""
    nothing: Any = None
    storage = LocalStorage(engine.storage / "uploads")
    return Sources(storage, nothing, storage)


@asynccontextmanager
async def database_of(engine: Engine) -> AsyncIterator[Database]:
    database = Database(load_settings(database_url=engine.url, storage_dir=engine.storage))
    yield database
    await database.close()


async def loaded(database: Database, job_id: str) -> RunningJob:
    destinations = make_destinations(is_sqlite=database.is_sqlite)
    snapshot = await load(database, Processors(), destinations, UUID(job_id))
    assert snapshot is not None
    return RunningJob(snapshot)


async def test_one_of_two_splitters_of_a_stretch_wins_and_no_chunk_is_doubled(
    engine: Engine, job_id: str
) -> None:
    async with database_of(engine) as database:
        splitter = Splitter(database, sources(engine), JobQueue(1.0))
        one, other = await loaded(database, job_id), await loaded(database, job_id)
        assert await splitter.advance(one)
        assert not await splitter.advance(other)
        assert (one.snapshot.split_done, one.snapshot.chunk_count) == (True, 10)
        assert (other.snapshot.split_done, other.snapshot.chunk_count) == (False, 0)
        again = (await loaded(database, job_id)).snapshot
        assert (again.split_done, again.chunk_count) == (True, 10)
        assert again.position == one.snapshot.position


async def test_chunks_tile_the_file_and_get_a_token(engine: Engine, job_id: str) -> None:
    async with database_of(engine) as database:
        queue = JobQueue(1.0)
        await Splitter(database, sources(engine), queue).advance(await loaded(database, job_id))
        assert UUID(job_id) in queue
    columns = "byte_start, byte_end, first_row, row_count"
    chunks = await asyncio.to_thread(
        engine.sql, f"SELECT {columns} FROM chunks ORDER BY chunk_index"
    )
    offset, row = len(b"id,name,value\n"), 1
    for byte_start, byte_end, first_row, row_count in chunks:
        assert (byte_start, first_row) == (offset, row)
        assert INPUT.data[byte_start:byte_end].count(b"\n") == row_count
        offset, row = byte_end, row + row_count
    assert (offset, row) == (len(INPUT.data), INPUT.row_count + 1)


async def test_a_file_that_differs_from_the_received_one_is_detected_at_its_end(
    engine: Engine, job_id: str
) -> None:
    (path,) = (engine.storage / "uploads").iterdir()
    path.write_bytes(INPUT.data[:-2] + bytes([INPUT.data[-2] ^ 1]) + INPUT.data[-1:])
    async with database_of(engine) as database:
        splitter = Splitter(database, sources(engine), JobQueue(1.0))
        with pytest.raises(StoredFileCorrupt):
            await splitter.advance(await loaded(database, job_id))
        assert (await loaded(database, job_id)).snapshot.chunk_count == 0
