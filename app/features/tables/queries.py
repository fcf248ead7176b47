"""SQL for the loads of a table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import corrections
from app.db.models import File, Job
from app.db.rows import columns_of, fetch_all
from app.features.tables.definition import Column, TableDefinition, quoted
from app.states import ACTIVE_JOBS


class LoadRow(msgspec.Struct, frozen=True):
    """A job that loads a table, or has loaded it."""

    id: UUID
    number: int
    file_id: UUID
    filename: str
    status: str
    options: dict[str, Any]
    summary: dict[str, Any] | None
    created_at: datetime
    finished_at: datetime | None


class RecordedLoad(msgspec.Struct, frozen=True):
    """A load of a table that has ended, whoever its owner is."""

    id: UUID
    number: int
    owner: str
    file_id: UUID
    filename: str
    options: dict[str, Any]
    finished_at: datetime


async def list_ended(
    connection: AsyncConnection,
    job_ids: Sequence[UUID],
    table: str,
    source: str,
    *,
    after: datetime | None = None,
) -> list[RecordedLoad]:
    """Return those of these loads that are of a table, ended after a time and were not undone, in
    their order.
    """
    query = (
        select(*columns_of(RecordedLoad, Job, File))
        .join(File, File.id == Job.file_id)
        .where(
            Job.id.in_(job_ids),
            Job.options["table"].as_string() == table,
            Job.options["connection"].as_string() == source,
            Job.finished_at.is_not(None),
            Job.undo_state.is_distinct_from("undone"),
            Job.origin != corrections.ORIGIN,
        )
        .order_by(Job.finished_at, Job.number)
    )
    if after is not None:
        query = query.where(Job.finished_at > after)
    return await fetch_all(connection, RecordedLoad, query)


async def find_progressive(
    connection: AsyncConnection, table: str, source: str, *, before: int | None = None
) -> UUID | None:
    """Return a job that writes into this table chunk by chunk and has not ended; only one accepted
    earlier than the job with the number `before`, if that is given.
    """
    query = select(Job.id).where(
        Job.status.in_(ACTIVE_JOBS),
        Job.child_count.is_(None),
        Job.options["table"].as_string() == table,
        Job.options["connection"].as_string() == source,
        Job.options["visibility"].as_string() == "progressive",
    )
    if before is not None:
        query = query.where(Job.number < before)
    return (await connection.execute(query.limit(1))).scalar_one_or_none()


async def list_loads(
    connection: AsyncConnection, owner: str, processor: str, table: str, source: str, *, limit: int
) -> list[LoadRow]:
    """Return the loads of this owner, the newest first. `table` is written with its schema,
    `source` is the name of the connection.
    """
    query = (
        select(*columns_of(LoadRow, Job, File))
        .join(File, File.id == Job.file_id)
        .where(
            Job.owner == owner,
            Job.processor == processor,
            Job.options["table"].as_string() == table,
            Job.options["connection"].as_string() == source,
        )
        .order_by(Job.number.desc())
        .limit(limit)
    )
    return await fetch_all(connection, LoadRow, query)


# ---------------------------------------------------------------------- rows of a table


async def read_rows(
    connection: AsyncConnection,
    definition: TableDefinition,
    order: Sequence[Column],
    start: Sequence[str],
    *,
    limit: int,
    offset: int,
    characters: int,
) -> Sequence[Sequence[Any]]:
    """Return rows of a table of the user in the order of these columns, or else in that in which
    the database keeps them. `start`: texts of the values of the order after which they begin; none
    for the beginning. Values have at most so many characters.
    """
    is_sqlite = definition.dialect == "sqlite"
    shown = _shown_on_sqlite if is_sqlite else _shown_on_postgresql
    columns = ", ".join(shown(column, characters) for column in definition.columns)
    sql = f"SELECT {columns} FROM {definition.name.sql} AS t"
    if start:
        types = [column.base_type or column.type or "TEXT" for column in order]
        marks = [
            f"CAST(? AS {type_})" if is_sqlite else f"CAST(${place}::text AS {type_})"
            for place, type_ in enumerate(types, 1)
        ]
        names = ", ".join(f"t.{quoted(column.name)}" for column in order)
        sql += f" WHERE ({names}) > ({', '.join(marks)})"
    by = [f"t.{quoted(column.name)}" for column in order]
    if not by and definition.kind == "table" and definition.has_rowid:
        by = ["t.rowid" if is_sqlite else "t.ctid"]
    if by:
        sql += f" ORDER BY {', '.join(by)}"
    sql += f" LIMIT {limit} OFFSET {offset}"
    result = await connection.exec_driver_sql(sql, tuple(start))
    return result.all()


def _shown_on_postgresql(column: Column, characters: int) -> str:
    return f"left(CAST(t.{quoted(column.name)} AS text), {characters})"


def _shown_on_sqlite(column: Column, characters: int) -> str:
    """Return the value with its type, which is the value's own on SQLite; bytes in hexadecimal."""
    value = f"t.{quoted(column.name)}"
    return (
        f"CASE typeof({value}) WHEN 'text' THEN substr({value}, 1, {characters})"
        f" WHEN 'blob' THEN '\\x' || lower(hex(substr({value}, 1, {characters // 2})))"
        f" ELSE {value} END"
    )
