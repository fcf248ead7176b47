"""Loads into the file of the embedded database, on the one writing connection."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import InvalidParameter
from app.features.tables.definition import Column, TableName, quoted
from app.features.tables.loading.loader import Loader, LoadRefused, Range, RowsRefused, Stepwise
from app.features.tables.loading.refusals import Diagnosis, Refusal, refused_by_database
from app.features.tables.loading.statements import (
    ROW,
    Statements,
)
from app.features.tables.plan import LoadPlan

STATES = {
    sqlite3.SQLITE_CONSTRAINT_NOTNULL: "23502",
    sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: "23503",
    sqlite3.SQLITE_CONSTRAINT_UNIQUE: "23505",
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: "23505",
    sqlite3.SQLITE_CONSTRAINT_ROWID: "23505",
    sqlite3.SQLITE_CONSTRAINT_CHECK: "23514",
    3091: "22000",  # SQLITE_CONSTRAINT_DATATYPE
}
"""The SQLSTATE of PostgreSQL for the same."""
NAMED = re.compile(r"\w+ constraint failed: (.*)")
INTEGER = re.compile(r"[+-]?\d{1,19}", re.ASCII)


class SqliteLoader(Loader):
    async def stage(
        self, connection: AsyncConnection, job_id: UUID, plan: LoadPlan, pieces: Sequence[bytes]
    ) -> None:
        statements = Statements(plan, job_id)
        if not await self.has_stage(connection, job_id):
            await connection.exec_driver_sql(statements.create_stage)
        for piece in pieces:
            rows = await asyncio.to_thread(
                msgspec.msgpack.decode, piece, type=list[tuple[Any, ...]]
            )
            await connection.exec_driver_sql(statements.insert_staged, rows)

    async def has_table(self, connection: AsyncConnection, name: str) -> bool:
        query = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?"
        return (await connection.exec_driver_sql(query, (name,))).first() is not None

    async def list_tables(self, connection: AsyncConnection, prefix: str) -> list[str]:
        query = "SELECT name FROM sqlite_schema WHERE type = 'table' AND substr(name, 1, ?) = ?"
        names = await connection.exec_driver_sql(query, (len(prefix), prefix))
        return [name for (name,) in names.all()]

    async def rename(self, connection: AsyncConnection, old: str, new: str) -> None:
        """Rename in the way of older versions, which ignore views of the user that are broken."""
        await connection.exec_driver_sql("PRAGMA legacy_alter_table = ON")
        try:
            await self.run(connection, f"ALTER TABLE {quoted(old)} RENAME TO {quoted(new)}")
        finally:
            await connection.exec_driver_sql("PRAGMA legacy_alter_table = OFF")

    async def take_turns(self, connection: AsyncConnection, table: TableName) -> None:
        """Do nothing: nobody else writes meanwhile."""

    async def mark(
        self, connection: AsyncConnection, work: str, refusals: Sequence[Refusal]
    ) -> None:
        query = f"INSERT INTO {work} VALUES (?, 'refused', NULL)"  # noqa: S608
        numbers = [(refusal.row_number,) for refusal in refusals]
        if numbers:
            await connection.exec_driver_sql(query, numbers)

    async def run(self, connection: AsyncConnection, sql: str) -> int:
        with _translated():
            return int((await connection.exec_driver_sql(sql)).rowcount)

    async def fetch(self, connection: AsyncConnection, sql: str) -> list[tuple[Any, ...]]:
        with _translated():
            rows: Any = await connection.exec_driver_sql(sql)
        return [tuple(row) for row in rows.all()]

    async def look_up(
        self,
        connection: AsyncConnection,
        sql: str,
        alias: str,
        columns: Sequence[Column],
        values: Sequence[str],
    ) -> list[tuple[Any, ...]]:
        conditions: list[str] = []
        for column, value in zip(columns, values, strict=True):
            if "INT" in column.type.upper() and not INTEGER.fullmatch(value):
                raise InvalidParameter(f"`key`: {value[:60]!r} is not an integer.")
            conditions.append(f"{alias}.{quoted(column.name)} = CAST(? AS {column.type or 'TEXT'})")
        query = sql.replace("{condition}", " AND ".join(conditions))
        rows: Any = await connection.exec_driver_sql(query, tuple(values))
        return [tuple(row) for row in rows.all()]

    async def count(self, connection: AsyncConnection, sql: str) -> int:
        return int((await connection.exec_driver_sql(sql)).scalar_one())

    async def begin(self, connection: AsyncConnection) -> None:
        """Do nothing: nobody else writes meanwhile."""

    async def hold(self, connection: AsyncConnection, plan: LoadPlan) -> None:
        """Do nothing: nobody else writes meanwhile."""

    async def end(self, connection: AsyncConnection) -> None:
        """Do nothing: deferred foreign keys were checked before, since SQLite does it at the
        commit.
        """

    async def attempt(
        self, connection: AsyncConnection, statements: Stepwise, ranges: Sequence[Range]
    ) -> list[Refusal]:
        refused: list[Refusal] = []
        left = [*reversed(ranges)]
        while left:
            low, high = left.pop()
            await connection.exec_driver_sql("SAVEPOINT granula_try")
            try:
                for step in statements.steps(str(low), str(high)):
                    await connection.exec_driver_sql(step.sql)
            except DBAPIError as error:
                await connection.exec_driver_sql("ROLLBACK TO granula_try")
                if not isinstance(error.orig, sqlite3.IntegrityError):
                    raise
                if low == high:
                    refused.append(refused_by_database(low, _diagnosis(error.orig)))
                else:
                    middle = low + (high - low) // 2
                    left += [(middle + 1, high), (low, middle)]
            await connection.exec_driver_sql("RELEASE granula_try")
        return refused

    async def index(self, connection: AsyncConnection, statements: Statements) -> None:
        """Do nothing: the numbers are the key of the staging table."""

    async def analyze(self, connection: AsyncConnection, statements: Statements) -> None:
        """Do nothing: the planner needs no statistics for these queries."""

    async def unstage(
        self, connection: AsyncConnection, statements: Statements, numbers: Sequence[int]
    ) -> None:
        if not numbers:
            return
        query = f"DELETE FROM {statements.stage} WHERE {ROW} = ?"  # noqa: S608
        await connection.exec_driver_sql(query, [(number,) for number in numbers])


def _diagnosis(error: sqlite3.Error) -> Diagnosis:
    state = STATES.get(error.sqlite_errorcode, "")
    named = NAMED.fullmatch(str(error))
    column = constraint = ""
    if named is not None and state in ("23502", "23505"):
        column = ", ".join(part.rpartition(".")[2] for part in named[1].split(", "))
    elif named is not None and state == "23514":
        constraint = named[1]
    return Diagnosis(str(error), state, "", constraint, column)


@contextmanager
def _translated() -> Iterator[None]:
    """Raise what the database refuses as errors of the load."""
    try:
        yield
    except DBAPIError as error:
        if isinstance(error.orig, sqlite3.IntegrityError):
            raise RowsRefused(str(error.orig)) from error
        if isinstance(error.orig, sqlite3.OperationalError):
            code = error.orig.sqlite_errorcode & 0xFF
            if code == sqlite3.SQLITE_ERROR:
                raise LoadRefused(str(error.orig)[:500]) from error
        raise
