"""Loads into PostgreSQL, on the connection and in the transaction of SQLAlchemy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import InvalidParameter
from app.features.tables.definition import Column, TableName, quoted
from app.features.tables.loading.loader import (
    Loader,
    LoadRefused,
    Range,
    RowsRefused,
    Stepwise,
    TableLocked,
)
from app.features.tables.loading.refusals import (
    Diagnosis,
    Refusal,
    is_of_row,
    refused_by_database,
)
from app.features.tables.loading.statements import (
    ROW,
    Statements,
    stage_of,
)
from app.features.tables.loading.stored import staged_columns
from app.features.tables.plan import LoadPlan

STATEMENT_SECONDS = 86_400.0
"""Limit for a statement that moves all rows of a load: as long as it takes."""
LOOK_UP_SECONDS = 60.0
SENT_BYTES = 512 << 10
"""Most bytes of one message of COPY."""
LOCK_SECONDS = 3
RETURNS_OLD = 18
"""Version of PostgreSQL from which RETURNING gives values before an update."""
HAS_TABLE = """
SELECT EXISTS (
    SELECT FROM pg_class WHERE relname = $1 AND relnamespace = current_schema()::regnamespace
)
"""
"""By what is committed now: to_regclass may answer from a cache of the session."""
TRIAL = """
CREATE FUNCTION pg_temp.granula_try(low bigint, high bigint) RETURNS void LANGUAGE plpgsql AS $granula$
#variable_conflict use_column
DECLARE
    middle bigint;
    told_detail text;
    told_constraint text;
    told_column text;
BEGIN
    BEGIN
        {steps}
        RETURN;
    EXCEPTION WHEN OTHERS THEN
        IF left(SQLSTATE, 2) IN ('08', '0A', '25', '26', '28', '3B', '40', '53', '54', '55', '57', '58', 'XX')
            OR (SQLSTATE LIKE '42%' AND SQLERRM NOT LIKE '%row-level security%') THEN
            RAISE;
        END IF;
        IF low = high THEN
            GET STACKED DIAGNOSTICS told_detail = PG_EXCEPTION_DETAIL,
                told_constraint = CONSTRAINT_NAME, told_column = COLUMN_NAME;
            INSERT INTO pg_temp.granula_refused
            VALUES (low, SQLERRM, SQLSTATE, told_detail, told_constraint, told_column);
            RETURN;
        END IF;
    END;
    middle := low + (high - low) / 2;
    PERFORM pg_temp.granula_try(low, middle);
    PERFORM pg_temp.granula_try(middle + 1, high);
END
$granula$
"""
"""Without a round trip for each half. A row that is refused says so outside of the savepoint that
is rolled back.
"""


ATTEMPT = """
SELECT count(pg_temp.granula_try(low, high))
FROM (SELECT * FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS r (low, high, place)
    ORDER BY place) AS ranges
"""


class PostgresLoader(Loader):
    async def stage(
        self, connection: AsyncConnection, job_id: UUID, plan: LoadPlan, pieces: Sequence[bytes]
    ) -> None:
        driver = await _driver(connection)
        if not await self.has_stage(connection, job_id):
            await self._make_stage(connection, job_id, plan)
        await driver.copy_to_table(
            stage_of(job_id),
            source=sent(pieces),
            columns=[ROW, *(name for name, _ in staged_columns(plan))],
            format="csv",
            timeout=STATEMENT_SECONDS,
        )

    async def _make_stage(self, connection: AsyncConnection, job_id: UUID, plan: LoadPlan) -> None:
        """Make the staging table. Of the first chunks, which may come at the same time, one makes
        it and the others wait.
        """
        driver = await _driver(connection)
        lock = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
        await driver.execute(lock, stage_of(job_id))
        if not await self.has_stage(connection, job_id):
            await self.run(connection, Statements(plan, job_id).create_stage)

    async def has_table(self, connection: AsyncConnection, name: str) -> bool:
        driver = await _driver(connection)
        return bool(await driver.fetchval(HAS_TABLE, name))

    async def list_tables(self, connection: AsyncConnection, prefix: str) -> list[str]:
        driver = await _driver(connection)
        names = await driver.fetch(
            "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND starts_with(relname, $1)"
            " AND relnamespace = current_schema()::regnamespace",
            prefix,
        )
        return [name for (name,) in names]

    async def rename(self, connection: AsyncConnection, old: str, new: str) -> None:
        await self.run(connection, f"ALTER TABLE {quoted(old)} RENAME TO {quoted(new)}")

    async def take_turns(self, connection: AsyncConnection, table: TableName) -> None:
        driver = await _driver(connection)
        lock = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
        with _translated():
            await driver.execute(lock, f"granula table {table.sql}")

    async def mark(
        self, connection: AsyncConnection, work: str, refusals: Sequence[Refusal]
    ) -> None:
        driver = await _driver(connection)
        query = f"INSERT INTO {work} SELECT unnest($1::bigint[]), 'refused', NULL"
        await driver.execute(query, [refusal.row_number for refusal in refusals])

    async def returns_old(self, connection: AsyncConnection) -> bool:
        driver = await _driver(connection)
        return bool(driver.get_server_version().major >= RETURNS_OLD)

    async def run(self, connection: AsyncConnection, sql: str) -> int:
        driver = await _driver(connection)
        with _translated():
            status = await driver.execute(sql, timeout=STATEMENT_SECONDS)
        words = status.split()
        return int(words[-1]) if words[-1].isdigit() else 0

    async def fetch(self, connection: AsyncConnection, sql: str) -> list[tuple[Any, ...]]:
        driver = await _driver(connection)
        with _translated():
            rows = await driver.fetch(sql, timeout=STATEMENT_SECONDS)
        return [tuple(row) for row in rows]

    async def look_up(
        self,
        connection: AsyncConnection,
        sql: str,
        alias: str,
        columns: Sequence[Column],
        values: Sequence[str],
    ) -> list[tuple[Any, ...]]:
        driver = await _driver(connection)
        condition = " AND ".join(
            f"{alias}.{quoted(column.name)} = CAST(${place}::text AS {column.base_type or column.type})"
            for place, column in enumerate(columns, 1)
        )
        query = sql.replace("{condition}", condition)
        try:
            rows = await driver.fetch(query, *values, timeout=LOOK_UP_SECONDS)
        except asyncpg.DataError as error:
            raise InvalidParameter(f"`key`: {str(error).splitlines()[0][:200]}.") from error
        return [tuple(row) for row in rows]

    async def count(self, connection: AsyncConnection, sql: str) -> int:
        driver = await _driver(connection)
        return int(await driver.fetchval(sql, timeout=STATEMENT_SECONDS))

    async def begin(self, connection: AsyncConnection) -> None:
        await self.run(connection, f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")

    async def hold(self, connection: AsyncConnection, plan: LoadPlan) -> None:
        """Hold the definition: who changes it waits, and readers and writers of rows do not."""
        await self.run(connection, f"LOCK TABLE {plan.definition.name.sql} IN ROW EXCLUSIVE MODE")

    async def end(self, connection: AsyncConnection) -> None:
        await self.run(connection, "SET CONSTRAINTS ALL IMMEDIATE")

    async def attempt(
        self, connection: AsyncConnection, statements: Stepwise, ranges: Sequence[Range]
    ) -> list[Refusal]:
        steps = [step.sql for step in statements.steps("$1", "$2")]
        await self.run(connection, "SET CONSTRAINTS ALL IMMEDIATE")
        await self.run(
            connection,
            "CREATE TEMPORARY TABLE granula_refused (number bigint, message text, state text,"
            " detail text, constraint_name text, column_name text) ON COMMIT DROP",
        )
        await self.run(connection, TRIAL.format(steps=";\n".join([*steps, ""])))
        driver = await _driver(connection)
        with _translated():
            firsts, lasts = zip(*ranges, strict=True)
            await driver.execute(ATTEMPT, firsts, lasts, timeout=STATEMENT_SECONDS)
        rows = await driver.fetch("SELECT * FROM pg_temp.granula_refused ORDER BY number")
        await self.run(connection, "DROP FUNCTION pg_temp.granula_try(bigint, bigint)")
        await self.run(connection, "DROP TABLE pg_temp.granula_refused")
        return [
            refused_by_database(row[0], Diagnosis(*(each or "" for each in row[1:])))
            for row in rows
        ]

    async def index(self, connection: AsyncConnection, statements: Statements) -> None:
        await self.run(connection, statements.index_stage)

    async def analyze(self, connection: AsyncConnection, statements: Statements) -> None:
        """Take statistics, without which the planner expects a few values and groups them twice."""
        await self.run(connection, f"ANALYZE {statements.stage}")

    async def unstage(
        self, connection: AsyncConnection, statements: Statements, numbers: Sequence[int]
    ) -> None:
        driver = await _driver(connection)
        query = f"DELETE FROM {statements.stage} WHERE {ROW} = ANY($1::bigint[])"  # noqa: S608
        await driver.execute(query, list(numbers))


async def sent(pieces: Sequence[bytes]) -> AsyncIterator[memoryview]:
    """Yield the pieces in parts that the driver sends one after the other, without a copy of all
    of them.
    """
    for piece in pieces:
        view = memoryview(piece)
        for start in range(0, len(view), SENT_BYTES):
            yield view[start : start + SENT_BYTES]


@contextmanager
def _translated() -> Iterator[None]:
    """Raise what the database refuses as errors of the load."""
    try:
        yield
    except asyncpg.PostgresError as error:
        state = error.sqlstate or ""
        if state == "55P03":
            raise TableLocked("Another session holds a lock on the table.") from error
        if is_of_row(state, str(error)):
            raise RowsRefused(str(error).splitlines()[0]) from error
        if state.startswith(("42", "0A", "2B", "3F", "54")):
            raise LoadRefused(str(error).splitlines()[0][:500]) from error
        raise


async def _driver(connection: AsyncConnection) -> Any:
    raw = await connection.get_raw_connection()
    assert raw.driver_connection is not None
    return raw.driver_connection
