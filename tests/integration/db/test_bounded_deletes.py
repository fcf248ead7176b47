"""A bounded delete removes the lowest keys first, and its work is bounded, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.engine import Database
from app.db.models import RejectedRow
from app.db.rows import delete_first
from app.jobs.factory import JobSpec
from tests.conftest import Databases
from tests.integration.db.test_factory import Made, a_file
from tests.integration.db.test_readers import OWNER, opened

ROWS = 3_000
STEP = 500


async def a_job(database: Database, tmp_path: Path) -> UUID:
    made = Made(database, tmp_path)
    file = a_file("a.csv")
    job = made.factory.reading(JobSpec(OWNER, "rows", {}), file, [])
    await made.make([job], [file])
    return job.id


async def add_rejects(connection: AsyncConnection, job_id: UUID, numbers: range) -> None:
    reject = {
        "job_id": job_id,
        "kind": "invalid",
        "line": 1,
        "byte_start": 0,
        "byte_end": 1,
        "raw": b"x",
        "code": "column_count",
        "message": "Expected 2 cells, found 1",
    }
    await connection.execute(
        insert(RejectedRow), [{**reject, "row_number": number} for number in numbers]
    )


async def delete_step(connection: AsyncConnection, job_id: UUID) -> int:
    return await delete_first(
        connection, RejectedRow, RejectedRow.row_number, STEP, RejectedRow.job_id == job_id
    )


async def numbers_of(connection: AsyncConnection, job_id: UUID) -> list[int]:
    query = select(RejectedRow.row_number).where(RejectedRow.job_id == job_id)
    return list((await connection.execute(query.order_by(RejectedRow.row_number))).scalars())


async def test_each_step_deletes_the_lowest_keys_of_one_job(
    databases: Databases, tmp_path: Path
) -> None:
    async with opened(databases, tmp_path) as database:
        job_id = await a_job(database, tmp_path / "a")
        other = await a_job(database, tmp_path / "b")

        async def steps(connection: AsyncConnection) -> None:
            await add_rejects(connection, job_id, range(10, 10 + 7 * 1_200, 7))
            await add_rejects(connection, other, range(20))
            expected = list(range(10, 10 + 7 * 1_200, 7))
            for size in (500, 500, 200, 0):
                assert await delete_step(connection, job_id) == size
                del expected[:size]
                assert await numbers_of(connection, job_id) == expected
            assert await numbers_of(connection, other) == list(range(20))

        await database.transact(steps)


def rows_visited(plan: dict[str, Any]) -> int:
    """Return the number of rows that all nodes of a plan handled, those that a join or filter
    dropped included.
    """
    rows = plan["Actual Rows"]
    rows += plan.get("Rows Removed by Join Filter", 0) + plan.get("Rows Removed by Filter", 0)
    return int(rows * plan["Actual Loops"]) + sum(map(rows_visited, plan.get("Plans", ())))


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
async def test_old_statistics_do_not_make_a_step_quadratic(
    databases: Databases, tmp_path: Path
) -> None:
    async with opened(databases, tmp_path) as database:
        old, job_id = await a_job(database, tmp_path / "a"), await a_job(database, tmp_path / "b")
        statements: list[tuple[str, Any]] = []

        async def step(connection: AsyncConnection) -> dict[str, Any]:
            await add_rejects(connection, old, range(3))
            await connection.execute(text("ANALYZE rejects"))
            await add_rejects(connection, job_id, range(ROWS))
            event.listen(
                connection.sync_connection,
                "before_cursor_execute",
                lambda *seen: statements.append((seen[2], seen[3])),
            )
            assert await delete_step(connection, job_id) == STEP
            [(statement, values)] = statements
            explained = await connection.exec_driver_sql(
                f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values
            )
            plan: dict[str, Any] = explained.scalar_one()[0]["Plan"]
            return plan

        assert rows_visited(await database.transact(step)) < 10 * STEP
