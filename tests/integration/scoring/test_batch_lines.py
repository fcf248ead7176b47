"""The lines of `python -m app pipeline`: one for each chunk, in any order of commits and clocks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.batch import Watch
from app.config import load_settings
from app.db import chunks
from app.db.chunks import Claim
from app.db.engine import Database
from app.db.models import Chunk, Job
from app.db.rows import ChunkCompletion
from app.formats.base import Span
from app.states import ChunkStatus
from tests.conftest import Databases
from tests.harness import Postgres
from tests.integration.undo.test_versions import made


def all_ok(claim: Claim) -> ChunkCompletion:
    return ChunkCompletion(
        rows_ok=claim.span.row_count,
        rows_invalid=0,
        rows_failed=0,
        hash_read=f"{0:016x}",
        summary=None,
        reject_codes=None,
    )


@pytest.fixture
def url(postgres: Postgres, templates: dict[str, str]) -> Iterator[str]:
    """On PostgreSQL: SQLite has one writer, so no commit overtakes another."""
    name = postgres.create(templates["postgresql"])
    yield postgres.url(name)
    postgres.drop(name)


async def claimed(connection: AsyncConnection, rows: Sequence[int]) -> list[Claim]:
    """Claim chunks of a new job, of so many rows each."""
    _, job_id = await made(connection)
    spans = [Span(i, i + 1, i + 1, count, i + 1, 0) for i, count in enumerate(rows)]
    await chunks.insert_chunks(connection, job_id, 0, spans, ChunkStatus.PENDING)
    return await chunks.claim(connection, job_id, "w", 60.0, token=uuid4(), limit=len(rows))


async def complete(connection: AsyncConnection, claim: Claim) -> None:
    await chunks.complete(connection, [claim], [all_ok(claim)])


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "pipeline"]


def test_a_chunk_with_a_delayed_commit_gets_its_line(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pipeline")

    async def run() -> None:
        database = Database(load_settings(database_url=url, storage_dir=tmp_path))
        early, late, last = await database.transact(lambda c: claimed(c, (11, 22, 33)))
        watch = Watch(database, early.job_id)
        is_written, may_commit = asyncio.Event(), asyncio.Event()

        async def held_back(connection: AsyncConnection) -> None:
            await complete(connection, early)
            is_written.set()
            await may_commit.wait()

        holding = asyncio.create_task(database.transact(held_back))
        await is_written.wait()
        await database.transact(lambda c: complete(c, late))
        await watch.log_new_chunks()
        assert lines(caplog) == ["Batch 0: processed 22 transactions"]
        may_commit.set()
        await holding
        await watch.log_new_chunks()
        assert lines(caplog)[1:] == ["Batch 1: processed 11 transactions"]
        await watch.log_new_chunks()
        await database.transact(lambda c: complete(c, last))
        await watch.log_new_chunks()
        assert lines(caplog)[2:] == ["Batch 2: processed 33 transactions"]
        await database.close()

    asyncio.run(run())


def test_lines_do_not_depend_on_the_order_in_which_chunks_end(
    databases: Databases, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A clock that was set back; more than a page of chunks that ended in the same moment; parts of
    a job.
    """
    caplog.set_level(logging.INFO, "pipeline")
    count = 700
    url = databases.create(tmp_path)

    async def run() -> None:
        database = Database(load_settings(database_url=url, storage_dir=tmp_path))
        parent: UUID = (await database.transact(lambda c: claimed(c, (1,))))[0].job_id
        parts = [
            await database.transact(lambda c: claimed(c, range(1, count + 1))) for _ in range(2)
        ]
        for part in parts:
            await database.transact(
                lambda c, i=part[0].job_id: c.execute(
                    update(Job).where(Job.id == i).values(parent_id=parent)
                )  # type: ignore[misc]
            )
        watch = Watch(database, parent)

        async def complete_some(connection: AsyncConnection, shift: int, start: int) -> None:
            for part in parts:
                some = part[start::2]
                await chunks.complete(connection, some, [all_ok(c) for c in some])
                ended = update(Chunk).where(
                    Chunk.job_id == part[0].job_id, Chunk.chunk_index.in_([c.index for c in some])
                )
                moment = f"2026-01-01 {12 - shift}:00:00.000000"
                await connection.execute(ended.values(finished_at=text(f"'{moment}'")))

        for shift, start in enumerate((1, 0)):  # the second half ended an hour before the first
            await database.transact(lambda c, h=shift, s=start: complete_some(c, h, s))  # type: ignore[misc]
            await watch.log_new_chunks()
        await watch.log_new_chunks()
        await database.close()

    asyncio.run(run())
    said = lines(caplog)
    assert [line.split(":")[0] for line in said] == [f"Batch {n}" for n in range(2 * count)]
    processed = sorted(int(line.split()[3]) for line in said)
    assert processed == sorted([*range(1, count + 1)] * 2)
