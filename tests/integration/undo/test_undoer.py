"""The undoer finishes every started undo, wherever it stopped, and counts each row once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from app import failpoints
from app.config import load_settings
from app.db import jobs, undo
from app.db.engine import Database
from app.db.models import Job, TransactionRow, TransactionVersion
from app.db.types import now
from app.destinations.registry import Destinations
from app.features.jobs.listing import list_jobs
from app.jobs.progress import find, status_body
from app.pipeline import undoer
from app.pipeline.undoer import Undoer
from app.plugins import make_destinations
from tests.conftest import Databases
from tests.integration.undo.test_versions import Row, made, tables, writing

ROWS = 10
KEEP_DAYS = 7
DAY = 86_400


@pytest.fixture(autouse=True)
def no_fail_point_stays_armed() -> Iterator[None]:
    yield
    failpoints.arm("")


@pytest.fixture
async def database(databases: Databases, tmp_path: Path) -> AsyncIterator[Database]:
    url = await asyncio.to_thread(databases.create, tmp_path)
    database = Database(load_settings(database_url=url, storage_dir=tmp_path))
    yield database
    await database.close()


@pytest.fixture
def destinations(database: Database, monkeypatch: pytest.MonkeyPatch) -> Destinations:
    monkeypatch.setattr(undoer, "ROWS_AT_ONCE", 3)  # so that an undo takes several steps
    return make_destinations(is_sqlite=database.is_sqlite)


def rows(job: int, count: int = ROWS) -> list[Row]:
    return [(f"tx-{job}-{row}", row, "a") for row in range(1, count + 1)]


async def written(database: Database, destinations: Destinations, rows_of_job: list[Row]) -> UUID:
    """Create a job that wrote these rows, each into two tables."""
    _, job_id = await database.transact(made)
    await database.transact(writing(destinations, job_id, tables(rows_of_job)))
    return job_id


async def begin(database: Database, *job_ids: UUID) -> None:
    await database.transact(lambda c: undo.begin(c, list(job_ids)))


async def states(database: Database, *job_ids: UUID) -> list[tuple[str | None, Any]]:
    """Return (state, rows removed) of each undo."""
    query = select(Job.id, Job.undo_state, Job.undo_counts).where(Job.id.in_(job_ids))
    async with database.reading() as connection:
        found = {
            job_id: (state, (counts or {}).get("removed"))
            for job_id, state, counts in (await connection.execute(query)).all()
        }
    return [found[job_id] for job_id in job_ids]


async def keys(database: Database, table: Any = TransactionRow) -> list[str]:
    query = select(table.transaction_id).order_by(table.transaction_id)
    async with database.reading() as connection:
        return list((await connection.execute(query)).scalars())


async def test_every_started_undo_is_finished_and_no_other_job_is_changed(
    database: Database, destinations: Destinations
) -> None:
    first, second, other = [
        await written(database, destinations, rows(number)) for number in (1, 2, 3)
    ]
    await begin(database, first, second)
    service = Undoer(database, destinations, KEEP_DAYS)
    await service.run()
    assert await states(database, first, second, other) == [
        ("undone", 2 * ROWS),
        ("undone", 2 * ROWS),
        (None, None),
    ]
    assert await keys(database) == sorted(key for key, _, _ in rows(3))
    await service.run()
    assert (await states(database, first))[0] == ("undone", 2 * ROWS), "there was nothing left"


async def test_a_list_tells_jobs_being_undone_from_undone_ones(
    database: Database, destinations: Destinations
) -> None:
    """The live list reads a job as long as it is being undone."""
    first, second, third = [
        await written(database, destinations, rows(number)) for number in (1, 2, 3)
    ]
    await database.transact(lambda c: c.execute(update(Job).values(status="completed")))
    await begin(database, first, second)
    await Undoer(database, destinations, KEEP_DAYS).run([second])
    async with database.reading() as connection:
        owner = (await connection.execute(select(Job.owner).limit(1))).scalar_one()
        moving = await jobs.list_moving(connection, owner, above=2**40, ids=[], limit=9)
        page = await list_jobs(database, owner, jobs.JobFilter(), limit=9)
        found = await find(connection, first, owner)
    assert first in [job.id for job in moving]
    assert second not in [job.id for job in moving]
    shown = {UUID(item["job_id"]): item["undo_state"] for item in page["items"]}
    assert shown == {first: "undoing", second: "undone", third: "none"}
    assert status_body(found, {}, [], [])["undo_state"] == "undoing"


async def test_only_the_named_jobs_are_undone(
    database: Database, destinations: Destinations
) -> None:
    first, second = [await written(database, destinations, rows(number)) for number in (1, 2)]
    await begin(database, first, second)
    await Undoer(database, destinations, KEEP_DAYS).run([second])
    assert await states(database, first, second) == [("undoing", 0), ("undone", 2 * ROWS)]


@pytest.mark.parametrize("point", ["undo.before_commit", "undo.after_commit"])
async def test_a_stopped_undo_resumes_where_it_was(
    database: Database, destinations: Destinations, point: str
) -> None:
    job_id = await written(database, destinations, rows(1))
    await begin(database, job_id)
    service = Undoer(database, destinations, KEEP_DAYS)
    failpoints.arm(f"{point}=raise@2")
    with pytest.raises(OSError, match=point):
        await service.run()
    ((state, removed),) = await states(database, job_id)
    assert (state, removed) == ("undoing", 3 if point == "undo.before_commit" else 6)
    await service.run()  # it does not have this job any more
    assert await states(database, job_id) == [("undone", 2 * ROWS)]
    assert await keys(database) == []


async def test_two_processes_that_share_an_undo_take_back_each_row_once(
    database: Database, destinations: Destinations
) -> None:
    job_id = await written(database, destinations, rows(1, 40))
    await begin(database, job_id)
    service = Undoer(database, destinations, KEEP_DAYS)
    await asyncio.gather(service.run(), service.run(), service.run([job_id]))
    assert await states(database, job_id) == [("undone", 80)]


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
async def test_an_undo_of_another_process_is_left_to_it(
    database: Database, destinations: Destinations
) -> None:
    mine, theirs = [await written(database, destinations, rows(number)) for number in (1, 2)]
    await begin(database, mine, theirs)
    service = Undoer(database, destinations, KEEP_DAYS)
    async with database.alone(f"undo {theirs}") as is_alone:
        assert is_alone
        await service.run()
        assert await states(database, mine, theirs) == [("undone", 2 * ROWS), ("undoing", 0)]
    await service.run()
    assert await states(database, theirs) == [("undone", 2 * ROWS)]


async def test_versions_are_deleted_after_their_retention(
    database: Database, destinations: Destinations
) -> None:
    """Three jobs wrote the same ten rows: those of the first two are kept for an undo of the
    last.
    """
    for _ in range(3):
        await written(database, destinations, rows(1))
    names = [key for key, _, _ in rows(1)]
    assert await keys(database, TransactionVersion) == sorted(names * 2)
    old = [key for key in names if key != "tx-1-1"]
    await database.transact(
        lambda c: c.execute(
            update(TransactionVersion)
            .where(TransactionVersion.transaction_id.in_(old))
            .values(archived_at=now(-(KEEP_DAYS * DAY + 60)))
        )
    )
    young = update(TransactionVersion).where(TransactionVersion.transaction_id == "tx-1-1")
    await database.transact(
        lambda c: c.execute(young.values(archived_at=now(-(KEEP_DAYS * DAY - 60))))
    )
    await Undoer(database, destinations, KEEP_DAYS).prune()
    assert await keys(database, TransactionVersion) == ["tx-1-1"] * 2
    assert await keys(database) == sorted(names), "the rows themselves stay"
