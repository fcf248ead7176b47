"""Writer of rows to PostgreSQL by COPY, on the connection and in the transaction of SQLAlchemy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.destinations.encoding import (
    REJECT_COLUMNS,
    EncodedRejects,
    as_copy_text,
    pages_as_copy,
    rejects_as_copy,
    whole_copy,
)
from app.destinations.writer import PAGE_COLUMNS, NewRows, Replaced, TableWriter, Upsert
from app.formats.base import Page
from app.processors.tables import KeyedTable, Piece


@cache
def _statements(table: KeyedTable) -> tuple[str, ...]:
    """Return the statements that write the staged rows, for $1 the job's id and $2 its number:

    - insert new rows and lock existing ones, in the order of the key; return the number of new rows
      and of all staged rows.
    If some rows existed, then:
    - keep versions of the existing rows of earlier jobs;
    - keep the staged rows as versions where a later job has written before;
    - write the other rows; return the number of changed rows.
    """
    name, key, columns, versions = table.name, table.key, table.columns, table.versions
    listed = ", ".join(columns)
    all_columns = ("job_id", "job_number", *columns, "created_at", "updated_at")
    changes = ", ".join(f"{c} = g.{c}" for c in columns if c != key)
    replaced = ", ".join(f"{c} = excluded.{c}" for c in all_columns if c not in (key, "created_at"))
    newest = f"""given AS (
            SELECT DISTINCT ON ({key}) * FROM staged_{name} ORDER BY {key}, row_number DESC
        )"""  # noqa: S608
    return (
        f"""
        WITH {newest}, made AS (
            INSERT INTO {name} (job_id, job_number, {listed}, created_at, updated_at)
            SELECT $1::uuid, $2::bigint, {listed}, now(), now() FROM given ORDER BY {key}
            ON CONFLICT ({key}) DO UPDATE SET {key} = excluded.{key} WHERE false
            RETURNING {key}
        )
        SELECT (SELECT count(*) FROM made) AS inserted, (SELECT count(*) FROM given) AS given
        """,  # noqa: S608
        f"""
        WITH {newest}
        INSERT INTO {versions} ({", ".join(all_columns)}, archived_at)
        SELECT {", ".join(f"t.{c}" for c in all_columns)}, now()
        FROM {name} t JOIN given g USING ({key})
        WHERE t.job_number < $1 ON CONFLICT DO NOTHING
        """,  # noqa: S608
        f"""
        WITH {newest}
        INSERT INTO {versions} AS v ({", ".join(all_columns)}, archived_at)
        SELECT $1::uuid, $2::bigint, {", ".join(f"g.{c}" for c in columns)}, now(), now(), now()
        FROM {name} t JOIN given g USING ({key}) WHERE t.job_number > $2
        ON CONFLICT ({key}, job_number) DO UPDATE SET {replaced}
        WHERE v.row_number <= excluded.row_number
        """,  # noqa: S608
        f"""
        WITH {newest}, before AS (
            SELECT {key}, t.content_hash FROM {name} t JOIN given g USING ({key})
        ), written AS (
            UPDATE {name} t SET job_id = $1::uuid, job_number = $2::bigint, {changes},
                updated_at = CASE
                    WHEN t.content_hash = g.content_hash THEN t.updated_at ELSE now()
                END
            FROM given g
            WHERE t.{key} = g.{key} AND (t.job_number, t.row_number) < ($2::bigint, g.row_number)
            RETURNING t.{key}, t.content_hash
        )
        SELECT count(*) FILTER (WHERE b.content_hash <> w.content_hash) AS updated
        FROM written w JOIN before b USING ({key})
        """,  # noqa: S608
    )


class PostgresWriter(TableWriter):
    def __init__(self, rows_per_write: int = 1000) -> None:
        """`rows_per_write` is the limit of one statement for a table with a key."""
        super().__init__(partial(as_copy_text, rows_per_write), rejects_as_copy)

    async def insert(self, connection: AsyncConnection, new: NewRows) -> None:
        records = ((new.job_id, *row) for row in new.rows)
        columns = ("job_id", *new.columns)
        driver = await _driver(connection)
        await driver.copy_records_to_table(new.table, records=records, columns=columns)

    async def insert_pages(
        self, connection: AsyncConnection, job_id: UUID, pages: Sequence[Page]
    ) -> None:
        driver = await _driver(connection)
        await driver.copy_to_table(
            "result_pages",
            source=pages_as_copy(job_id, pages),
            columns=("job_id", *PAGE_COLUMNS),
            format="binary",
        )

    async def insert_rejects(
        self, connection: AsyncConnection, job_id: UUID, rejects: Sequence[EncodedRejects]
    ) -> None:
        driver = await _driver(connection)
        await driver.copy_to_table(
            "rejects",
            source=whole_copy([encoded.data for encoded in rejects]),
            columns=("job_id", *REJECT_COLUMNS),
            format="binary",
        )

    async def _begin(self, connection: AsyncConnection, table: KeyedTable) -> None:
        """Create the staging table, which lasts as long as the connection and is empty outside of
        an upsert.
        """
        driver = await _driver(connection)
        listed = ", ".join(table.columns)
        await driver.execute(
            f"CREATE TEMPORARY TABLE IF NOT EXISTS staged_{table.name}"  # noqa: S608 our own names
            f" ON COMMIT DELETE ROWS AS SELECT {listed} FROM {table.name} WITH NO DATA"
        )

    async def _upsert(self, connection: AsyncConnection, upsert: Upsert, piece: Piece) -> Replaced:
        """COPY into the staging table, then run one INSERT ... ON CONFLICT, and more only if rows
        existed. Rows are in the order of the key, so that two transactions do not wait for each
        other in a ring.
        """
        driver = await _driver(connection)
        table, job_id, number = upsert
        insert, keep_replaced, keep_late, replace = _statements(table)
        # The driver reads a file in a thread, and takes bytes for the name of a file.
        await driver.copy_to_table(
            f"staged_{table.name}",
            source=memoryview(piece.data),
            columns=table.columns,
            format="text",
        )
        done = await driver.fetchrow(insert, job_id, number)
        updated = 0
        if done["inserted"] < done["given"]:
            await driver.execute(keep_replaced, number)
            await driver.execute(keep_late, job_id, number)
            updated = await driver.fetchval(replace, job_id, number)
        await driver.execute(f"DELETE FROM staged_{table.name}")  # noqa: S608
        return Replaced(done["inserted"], updated)


async def _driver(connection: AsyncConnection) -> Any:
    raw = await connection.get_raw_connection()
    assert raw.driver_connection is not None
    return raw.driver_connection
