"""The heartbeat of running chunks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.config import Settings
from app.db import chunks, files, jobs
from app.db.chunks import Claim
from app.db.engine import Database
from app.db.rows import NewFile, NewJob
from app.formats.base import Span
from app.pipeline.leases import Leases
from app.pipeline.running import load
from app.plugins import make_destinations
from app.processors.registry import Processors
from app.states import ChunkStatus, JobStatus
from tests.harness import Postgres, query, wait_until

LEASE_SECONDS = 15


@pytest.fixture
def url(postgres: Postgres, templates: dict[str, str]) -> Iterator[str]:
    """A database on PostgreSQL: on SQLite nobody claims while somebody writes."""
    name = postgres.create(templates["postgresql"])
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture
async def database(url: str, tmp_path: Path) -> AsyncIterator[Database]:
    made = Database(Settings(database_url=url, storage_dir=tmp_path))
    yield made
    await made.close()


async def a_job_of_two_chunks(database: Database) -> UUID:
    file_id, job_id = uuid4(), uuid4()

    async def record(connection: Any) -> None:
        await files.insert_file(
            connection,
            NewFile(
                id=file_id,
                owner="o",
                filename="f",
                format="csv",
                encoding="utf-8",
                dialect={"kind": "csv", "columns": ["a"], "data_start": 0},
                size_bytes=4,
                stored_bytes=4,
                content_key="k",
                storage_uri="f",
            ),
        )
        await jobs.insert_job(
            connection,
            NewJob(
                id=job_id,
                owner="o",
                file_id=file_id,
                processor="rows",
                options={},
                chunk_size=100,
                priority=0,
                status=JobStatus.PROCESSING,
                columns=["a"],
                split_offset=4,
                split_lines=2,
                split_done=True,
                chunk_count=2,
            ),
        )
        spans = [Span(0, 2, 1, 1, 1, 0), Span(2, 4, 2, 1, 2, 0)]
        await chunks.insert_chunks(connection, job_id, 0, spans, ChunkStatus.PENDING)

    await database.transact(record)
    return job_id


async def test_a_chunk_claimed_during_the_renewal_of_leases_is_not_stray(
    database: Database, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Renewing may take long on a busy database. A chunk claimed meanwhile used to be taken from
    its worker, and all its calls to a model service were repeated.
    """
    job = await load(
        database,
        Processors(),
        make_destinations(is_sqlite=False),
        await a_job_of_two_chunks(database),
    )
    assert job is not None
    leases = Leases(database, "w", LEASE_SECONDS)

    async def until(statement: str) -> None:
        await asyncio.to_thread(wait_until, lambda: query(url, statement)[0][0], 30, statement)

    (first,) = await leases.claim(job.id, 1)
    second: list[Claim] = []
    renew = chunks.renew

    async def long(*given: Any) -> int:
        renewed = await renew(*given)
        second.extend(await leases.claim(job.id, 1))
        await until(
            "SELECT lease_expires_at < clock_timestamp() + interval"
            f" '{LEASE_SECONDS - 2 * chunks.FRESH_SECONDS} s' FROM chunks WHERE chunk_index ="
            f" {second[0].index}"
        )
        return renewed

    monkeypatch.setattr(chunks, "renew", long)
    await leases.renew()
    held = await asyncio.to_thread(
        query, url, "SELECT claim_token FROM chunks ORDER BY chunk_index"
    )
    assert held == [(first.token,), (second[0].token,)]
