"""For any order of writes and undos, the tables look as if the undone jobs had never run."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.config import load_settings
from app.db import files, jobs, undo
from app.db.engine import Database
from app.db.models import Job, PredictionRow, PredictionVersion, TransactionRow, TransactionVersion
from app.db.rows import JobWork, NewFile, NewJob
from app.destinations.registry import Destinations
from app.pipeline import undoer
from app.plugins import make_destinations
from tests.conftest import Databases

KEYS = [f"tx-{n}" for n in range(12)]
Row = tuple[str, int, str]
"""Key, row number, value."""


@dataclass
class Writer:
    """Create a job with chunks left to write."""

    number: int
    id: UUID
    left: list[list[Row]]
    written: list[Row] = field(default_factory=list)


async def made(connection: AsyncConnection) -> tuple[int, UUID]:
    file = NewFile(
        owner="local",
        filename="x",
        format="csv",
        encoding="utf-8",
        dialect={},
        size_bytes=0,
        stored_bytes=0,
        content_key="",
    )
    job = NewJob(
        owner="local",
        file_id=file.id,
        processor="scoring",
        options={},
        chunk_size=100,
        priority=0,
        status="processing",
        columns=[],
    )
    await files.insert_file(connection, file)
    return await jobs.insert_job(connection, job), job.id


def tables(rows: list[Row]) -> dict[str, list[tuple[Any, ...]]]:
    return {
        "transactions": [
            (k, n, None, v, None, None, f'{{"value": "{v}"}}', f"{hash(v) & 2**63 - 1:016x}")
            for k, n, v in rows
        ],
        "predictions": [
            (k, n, v, n / 7, "m", 0.1 * n, f"{hash(v) & 2**63 - 1:016x}") for k, n, v in rows
        ],
    }


def expected(writers: list[Writer]) -> dict[str, tuple[int, int, str]]:
    """Return by key the (job number, row number, value) that wins."""
    best: dict[str, tuple[int, int, str]] = {}
    for writer in writers:
        for key, row, value in writer.written:
            best[key] = max(best.get(key, (0, 0, "")), (writer.number, row, value))
    return best


async def begin(connection: AsyncConnection) -> None:
    """Write as a chunk does after its fence: COPY bypasses SQLAlchemy, which begins a transaction
    with its first statement.
    """
    await connection.execute(text("SELECT 1"))


def writing(
    destinations: Destinations, job_id: UUID, given: dict[str, list[tuple[Any, ...]]]
) -> Any:
    async def write(connection: AsyncConnection) -> None:
        await begin(connection)
        await destinations.of(JobWork("scoring", {})).write(
            connection,
            job_id,
            [],
            [],
            {name: destinations.encode_table(name, rows) for name, rows in given.items()},
        )

    return write


async def stored(connection: AsyncConnection) -> list[dict[str, tuple[int, int, str | None]]]:
    found = []
    for table, value in (
        (TransactionRow, TransactionRow.account_id),
        (PredictionRow, PredictionRow.prediction),
    ):
        query = select(table.transaction_id, table.job_number, table.row_number, value)
        found.append({key: (j, r, v) for key, j, r, v in (await connection.execute(query)).all()})
    return found


async def run(url: str, folder: Path, seed: int) -> None:
    rng = random.Random(seed)
    database = Database(load_settings(database_url=url, storage_dir=folder))
    destinations = make_destinations(is_sqlite=database.is_sqlite, rows_per_write=5)
    writers: list[Writer] = []
    for _ in range(5):
        number, job_id = await database.transact(made)
        rows = [(rng.choice(KEYS), row, rng.choice("abc")) for row in range(1, 13)]
        writers.append(Writer(number, job_id, [rows[start : start + 4] for start in (0, 4, 8)]))
    alive = list(writers)
    while any(writer.left for writer in alive):
        writer = rng.choice([each for each in alive if each.left])
        chunk = writer.left.pop(rng.randrange(len(writer.left)))

        await database.transact(writing(destinations, writer.id, tables(chunk)))
        writer.written += chunk
        if rng.random() < 0.15 and len(alive) > 1:
            alive.remove(gone := rng.choice(alive))
            await undone(database, destinations, gone.id)
        async with database.reading() as connection:
            assert await stored(connection) == [expected(alive)] * 2
    for gone in rng.sample(alive, len(alive)):
        alive.remove(gone)
        await undone(database, destinations, gone.id)
        async with database.reading() as connection:
            assert await stored(connection) == [expected(alive)] * 2
    async with database.reading() as connection:
        for table in (TransactionVersion, PredictionVersion):
            assert (await connection.execute(select(table.transaction_id))).all() == []
    await database.close()


async def undone(database: Database, destinations: Destinations, job_id: UUID) -> None:
    await database.transact(lambda c: undo.begin(c, [job_id]))
    while await database.transact(lambda c: undoer.advance(c, destinations, job_id)):
        pass


def test_the_tables_look_as_if_the_undone_jobs_had_never_run(
    databases: Databases, tmp_path: Path, monkeypatch: Any
) -> None:
    """Random writes of five jobs in random order, with undos between and after them, in steps of
    two rows.
    """
    monkeypatch.setattr(undoer, "ROWS_AT_ONCE", 2)
    for seed in range(3):
        folder = tmp_path / str(seed)
        asyncio.run(run(databases.create(folder), folder, seed))


def test_a_restored_row_is_identical(databases: Databases, tmp_path: Path) -> None:
    asyncio.run(exact(databases.create(tmp_path), tmp_path))


async def exact(url: str, folder: Path) -> None:
    database = Database(load_settings(database_url=url, storage_dir=folder))
    destinations = make_destinations(is_sqlite=database.is_sqlite)
    (_, first), (_, second) = [await database.transact(made) for _ in range(2)]
    odd = 'Zoë "quoted" \\ \t\n'
    before = [("k", 7, odd)]

    async def everything() -> list[Any]:
        async with database.reading() as connection:
            return [
                (await connection.execute(text(f"SELECT * FROM {t}"))).all()
                for t in ("transactions", "predictions")
            ]

    async def write(job_id: UUID, rows: list[Row]) -> None:
        given = tables(rows)
        given["transactions"] = [
            (*row[:6], '{"value": 0.1}', row[7]) for row in given["transactions"]
        ]
        await database.transact(writing(destinations, job_id, given))

    await write(first, before)
    kept = await everything()
    await write(second, [("k", 1, "other")])
    assert await everything() != kept
    await undone(database, destinations, second)
    assert await everything() == kept
    await database.close()


def test_old_versions_are_deleted_and_a_deleted_job_does_not_return(
    databases: Databases, tmp_path: Path
) -> None:
    asyncio.run(forgotten(databases.create(tmp_path), tmp_path))


async def forgotten(url: str, folder: Path) -> None:
    database = Database(load_settings(database_url=url, storage_dir=folder))
    destinations = make_destinations(is_sqlite=database.is_sqlite)
    made_jobs = [await database.transact(made) for _ in range(3)]
    for (_, job_id), value in zip(made_jobs, "abc", strict=True):
        rows = tables([("k", 1, value)])
        await database.transact(writing(destinations, job_id, rows))
    _, (_, second), (_, third) = made_jobs
    destination = destinations.of(JobWork("scoring", {}))
    while await database.transact(lambda c: destination.remove(c, second, 2)):
        pass
    await undone(database, destinations, third)
    async with database.reading() as connection:
        # not those of the deleted job
        assert [found["k"][2] for found in await stored(connection)] == ["a", "a"]
    await database.transact(writing(destinations, second, tables([("k", 1, "d")])))
    # nothing is old enough
    assert not await database.transact(lambda c: destinations.forget_versions(c, 3600.0, 2))
    while await database.transact(lambda c: destinations.forget_versions(c, -1.0, 2)):
        pass
    await database.transact(
        lambda c: c.execute(update(Job).where(Job.id == second).values(undo_state=None))
    )
    await undone(database, destinations, second)
    async with database.reading() as connection:
        assert await stored(connection) == [{}, {}]
    await database.close()
