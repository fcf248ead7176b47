"""The tables of legal transitions are enforced: the databases of tests refuse every other change of
status, and it has no guard.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import column
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import text

from app.db.engine import Database
from app.db.moves import may_become, origins
from app.states import CHUNK_MOVES, JOB_MOVES, ChunkStatus, JobStatus
from tests.conftest import Databases
from tests.integration.db.test_readers import opened
from tests.integration.pipeline.test_leases import a_job_of_two_chunks


async def changed(database: Database, table: str, before: str, after: str) -> bool:
    """Return whether a row of this table with one status may get the other."""

    async def change(connection: AsyncConnection) -> None:
        await connection.execute(text(f"DELETE FROM {table}"))
        await connection.execute(text(f"INSERT INTO {table} SELECT * FROM kept_{table}"))
        await connection.execute(text(f"UPDATE {table} SET status = '{after}'"))

    async def keep(connection: AsyncConnection) -> None:
        await connection.execute(text(f"DROP TABLE IF EXISTS kept_{table}"))
        await connection.execute(text(f"CREATE TABLE kept_{table} AS SELECT * FROM {table}"))
        await connection.execute(text(f"UPDATE kept_{table} SET status = '{before}'"))
        if table == "chunks":  # a completed chunk has an outcome for each of its rows
            await connection.execute(text("UPDATE kept_chunks SET rows_ok = row_count"))

    await database.transact(keep)
    try:
        await database.transact(change)
    except (DBAPIError, asyncpg.PostgresError) as error:
        if f"illegal move of {table}" not in str(error):
            raise
        return False
    return True


@pytest.mark.parametrize("table", ["jobs", "chunks"])
async def test_every_transition_outside_the_table_is_refused(
    databases: Databases, tmp_path: Path, table: str
) -> None:
    statuses: type[JobStatus | ChunkStatus] = JobStatus if table == "jobs" else ChunkStatus
    moves: dict[Any, Collection[Any]] = dict(JOB_MOVES if table == "jobs" else CHUNK_MOVES)
    async with opened(databases, tmp_path) as database:
        await a_job_of_two_chunks(database)
        if table == "jobs":
            await database.transact(lambda c: c.execute(text("DELETE FROM chunks")))
        for before, after in itertools.product(statuses, repeat=2):
            is_legal = before is after or after in moves[before]
            assert await changed(database, table, before, after) is is_legal, (before, after)


def test_a_guard_names_the_states_that_a_transition_may_start_from() -> None:
    assert set(origins(JobStatus.COMPLETED)) == {
        JobStatus.PROCESSING,
        JobStatus.COMPLETED_WITH_ERRORS,
    }
    assert origins(ChunkStatus.PROCESSING) == (ChunkStatus.PENDING,)
    guard = may_become(column("status"), JobStatus.PROCESSING, among=(JobStatus.FAILED,))
    assert list(guard.compile().params.values()) == [JobStatus.FAILED]


@pytest.mark.parametrize(
    ("to", "among"),
    [
        (ChunkStatus.PROCESSING, (ChunkStatus.COMPLETED,)),
        (JobStatus.QUEUED, None),
        (JobStatus.CANCELLED, (JobStatus.FAILED,)),
    ],
)
def test_an_illegal_transition_has_no_guard(
    to: JobStatus | ChunkStatus, among: tuple[JobStatus | ChunkStatus, ...] | None
) -> None:
    with pytest.raises(ValueError, match="no legal move"):
        may_become(column("status"), to, among=among)
