"""Writer of rows to SQLite, on the one writing connection."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from itertools import chain
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from app.destinations.encoding import (
    MAX_VARIABLES,
    REJECT_COLUMNS,
    EncodedRejects,
    as_parameters,
    rejects_as_parameters,
)
from app.destinations.writer import PAGE_COLUMNS, NewRows, Replaced, TableWriter, Upsert
from app.formats.base import Page
from app.processors.tables import KeyedTable, Piece

INSERTED_AT_ONCE = 400
"""Most rows of one INSERT."""
NOW = "strftime('%Y-%m-%d %H:%M:%f', 'now')"


class SqliteWriter(TableWriter):
    def __init__(self, rows_per_write: int = 1000) -> None:
        """`rows_per_write` is the limit of one statement for a table with a key."""
        super().__init__(partial(as_parameters, rows_per_write), rejects_as_parameters)

    async def insert(self, connection: AsyncConnection, new: NewRows) -> None:
        values = tuple(chain.from_iterable(new.rows))
        await self._insert(connection, new.job_id, new.table, tuple(new.columns), values)

    async def _insert(
        self,
        connection: AsyncConnection,
        job_id: UUID,
        table: str,
        columns: tuple[str, ...],
        values: tuple[Any, ...],
    ) -> None:
        """Insert rows, whose values stand one after the other, with statements for many rows:
        `executemany` takes two to three times as long for short rows.
        """
        width = len(columns)
        step = width * min(INSERTED_AT_ONCE, MAX_VARIABLES // width)
        for start in range(0, len(values), step):
            some = values[start : start + step]
            statement = _insert_statement(table, columns, len(some) // width)
            await connection.exec_driver_sql(statement, (job_id.hex, *some))

    async def insert_pages(
        self, connection: AsyncConnection, job_id: UUID, pages: Sequence[Page]
    ) -> None:
        rows = [
            (page.first_row, page.row_count, _json(page.numbers), page.data.decode())
            for page in pages
        ]
        await self.insert(connection, NewRows(job_id, "result_pages", PAGE_COLUMNS, rows))

    async def insert_rejects(
        self, connection: AsyncConnection, job_id: UUID, rejects: Sequence[EncodedRejects]
    ) -> None:
        values = tuple(chain.from_iterable(encoded.data for encoded in rejects))
        await self._insert(connection, job_id, "rejects", REJECT_COLUMNS, values)

    async def _upsert(self, connection: AsyncConnection, upsert: Upsert, piece: Piece) -> Replaced:
        """Write many rows with one statement. The driver releases the interpreter once for a
        statement, and then competes for it with the threads that parse: with `executemany` that is
        once for each row.
        """
        table, job_id, number = upsert
        count, looked_up, parameters = piece.data
        looked: Any = await connection.exec_driver_sql(
            _before_statement(table, count), (*looked_up, number)
        )
        [(existing, changed)] = looked.all()
        if existing:
            await _keep_versions(connection, table, looked_up[::3], parameters, job_id, number)
        await connection.exec_driver_sql(
            _upsert_statement(table, count), (job_id.hex, number, *parameters)
        )
        return Replaced(count - existing, changed)


def _json(numbers: list[int] | None) -> str | None:
    return None if numbers is None else msgspec.json.encode(numbers).decode()


def _marks(columns: int, rows: int) -> str:
    return ", ".join([f"({', '.join('?' * columns)})"] * rows)


async def _keep_versions(
    connection: AsyncConnection,
    table: KeyedTable,
    keys: tuple[Any, ...],
    parameters: tuple[Any, ...],
    job_id: UUID,
    number: int,
) -> None:
    """Keep versions of replaced rows of earlier jobs, and of the new rows where later jobs have
    written before.
    """
    name, key, versions = table.name, table.key, table.versions
    own = ("job_id", "job_number", *table.columns)
    among = f"{key} IN ({', '.join('?' * len(keys))})"
    listed = ", ".join((*own, "created_at", "updated_at"))
    await connection.exec_driver_sql(
        f"INSERT OR IGNORE INTO {versions} ({listed}, archived_at)"  # noqa: S608
        f" SELECT {listed}, {NOW} FROM {name} WHERE {among} AND job_number < ?",
        (*keys, number),
    )
    newer: Any = await connection.exec_driver_sql(
        f"SELECT {key} FROM {name} WHERE {among} AND job_number > ?",  # noqa: S608
        (*keys, number),
    )
    late = {row[0] for row in newer.all()}
    if not late:
        return
    place, width = table.columns.index(key), len(table.columns)
    rows = [parameters[start : start + width] for start in range(0, len(parameters), width)]
    replaced = ", ".join(
        f"{c} = excluded.{c}" for c in (*own, "updated_at", "archived_at") if c != key
    )
    marks = ", ".join("?" * len(own))
    await connection.exec_driver_sql(
        f"INSERT INTO {versions} ({listed}, archived_at)"  # noqa: S608
        f" VALUES ({marks}, {NOW}, {NOW}, {NOW})"
        f" ON CONFLICT ({key}, job_number) DO UPDATE SET {replaced}"
        " WHERE row_number <= excluded.row_number",
        [(job_id.hex, number, *row) for row in rows if row[place] in late],
    )


@lru_cache(64)
def _insert_statement(table: str, columns: tuple[str, ...], rows: int) -> str:
    listed = ", ".join(("job_id", *columns))
    row = f"(?1, {', '.join('?' * len(columns))})"  # the job's id, once for all rows
    return f"INSERT INTO {table} ({listed}) VALUES {', '.join([row] * rows)}"  # noqa: S608


@lru_cache(16)
def _before_statement(table: KeyedTable, rows: int) -> str:
    """Build the statement for (key, row number, hash) of each row and the job's number. It returns
    how many of them exist, and how many will change.
    """
    key = table.key
    return f"""
        WITH given (key, row_number, content_hash) AS (VALUES {_marks(3, rows)})
        SELECT count(*), coalesce(sum(
            (t.job_number, t.row_number) <= (?, g.row_number) AND t.content_hash <> g.content_hash
        ), 0)
        FROM given g CROSS JOIN {table.name} t WHERE t.{key} = g.key
    """  # noqa: S608 our own names


@lru_cache(16)
def _upsert_statement(table: KeyedTable, rows: int) -> str:
    key = table.key
    columns = ("job_id", "job_number", *table.columns)
    changes = ", ".join(f"{column} = excluded.{column}" for column in columns if column != key)
    # the job's id and number, once for all rows
    row = f"(?1, ?2, {', '.join('?' * len(table.columns))}, {NOW}, {NOW})"
    return f"""
        INSERT INTO {table.name} ({", ".join(columns)}, created_at, updated_at)
        VALUES {", ".join([row] * rows)}
        ON CONFLICT ({key}) DO UPDATE SET {changes},
            updated_at = CASE
                WHEN content_hash = excluded.content_hash THEN updated_at ELSE excluded.updated_at
            END
        WHERE (job_number, row_number) <= (excluded.job_number, excluded.row_number)
    """  # noqa: S608 our own names
