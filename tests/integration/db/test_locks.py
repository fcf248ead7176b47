"""On PostgreSQL: a process that writes does not block others, and the next one sees what it
wrote.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.config import load_settings
from app.db import chunks, corrections, jobs, undo
from app.db.engine import Database
from app.db.models import Chunk, Job
from app.formats.base import Span
from app.pipeline import undoer
from app.plugins import make_destinations
from app.states import ChunkStatus, JobStatus
from tests.harness import Postgres, query, wait_until
from tests.integration.undo.test_versions import made, stored, tables, undone, writing

WAITS = (
    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


@pytest.fixture
def url(postgres: Postgres, templates: dict[str, str]) -> Iterator[str]:
    name = postgres.create(templates["postgresql"])
    yield postgres.url(name)
    postgres.drop(name)


async def while_open(
    database: Database,
    url: str,
    first: Callable[[AsyncConnection], Awaitable[Any]],
    other: Awaitable[Any],
) -> Any:
    """Return the result of `other`, started after `first` has done its part and before its
    commit.
    """
    done, go = asyncio.Event(), asyncio.Event()

    async def held(connection: AsyncConnection) -> None:
        await first(connection)
        done.set()
        await go.wait()

    holding = asyncio.create_task(database.transact(held))
    await done.wait()
    beside = asyncio.ensure_future(other)
    await asyncio.to_thread(wait_until, lambda: beside.done() or query(url, WAITS))
    found = beside.result() if beside.done() else None
    go.set()
    await holding
    await beside
    return found


def test_the_leases_of_others_are_renewed_while_one_chunk_is_written(
    url: str, tmp_path: Path
) -> None:
    async def run() -> None:
        database = Database(load_settings(database_url=url, storage_dir=tmp_path))
        _, job_id = await database.transact(made)
        spans = [Span(n, n + 1, n + 1, 1, n + 1, 0) for n in range(2)]
        await database.transact(
            lambda c: chunks.insert_chunks(c, job_id, 0, spans, ChunkStatus.PENDING)
        )
        tokens = [uuid4(), uuid4()]

        async def claimed(token: UUID) -> chunks.Claim:
            (claim,) = await database.run_alone(
                lambda c: chunks.claim(c, job_id, "w", 60.0, token=token)
            )
            return claim

        written, _ = [await claimed(token) for token in tokens]
        await database.transact(
            lambda c: c.execute(update(Chunk).values(lease_expires_at=text("now()")))
        )
        renewing = database.transact(lambda c: chunks.renew(c, tokens, 60.0))
        assert await while_open(database, url, lambda c: chunks.hold(c, [written]), renewing) == 1
        await database.close()

    asyncio.run(run())


def test_two_parts_cleared_concurrently_clear_their_parent(url: str, tmp_path: Path) -> None:
    async def run() -> None:
        database = Database(load_settings(database_url=url, storage_dir=tmp_path))
        whole, one, other = [(await database.transact(made))[1] for _ in range(3)]

        async def prepare(connection: AsyncConnection) -> None:
            await connection.execute(update(Job).values(status=JobStatus.COMPLETED_WITH_ERRORS))
            await connection.execute(update(Job).where(Job.id == whole).values(child_count=2))
            await connection.execute(update(Job).where(Job.id != whole).values(parent_id=whole))

        async def clear(connection: AsyncConnection, job_id: Any) -> None:
            await jobs.lock_job(connection, job_id)
            await corrections.clear(connection, job_id)

        await database.transact(prepare)
        clearing = database.transact(lambda c: clear(c, other))
        await while_open(database, url, lambda c: clear(c, one), clearing)
        async with database.reading() as connection:
            assert set((await connection.execute(select(Job.status))).scalars()) == {
                JobStatus.COMPLETED
            }
        await database.close()

    asyncio.run(run())


def test_two_concurrent_undos_leave_no_row_of_either(url: str, tmp_path: Path) -> None:
    """One restores what the other has to remove, and has not committed it yet."""

    async def run() -> None:
        database = Database(load_settings(database_url=url, storage_dir=tmp_path))
        (_, first), (_, second) = [await database.transact(made) for _ in range(2)]
        destinations = make_destinations(is_sqlite=False)
        for job_id, value in ((first, "a"), (second, "b")):
            await database.transact(writing(destinations, job_id, tables([("k", 1, value)])))
        await database.transact(lambda c: undo.begin(c, [first, second]))

        async def step(connection: AsyncConnection) -> None:
            for _ in range(2):  # of both tables
                await undoer.advance(connection, destinations, second)

        await while_open(database, url, step, undone(database, destinations, first))
        await undone(database, destinations, second)
        async with database.reading() as connection:
            assert await stored(connection) == [{}, {}]
        await database.close()

    asyncio.run(run())
