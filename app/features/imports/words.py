"""SQL for the words of records: their values in lower case, which the search by meaning reads to
match a text.

A record gets its words in the transaction that gives it its vector. On PostgreSQL with pg_trgm the
service creates an index over them, which is derived data outside the migrations.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import msgspec
import numpy as np
import numpy.typing as npt
from sqlalchemy import (
    ColumnElement,
    String,
    Text,
    and_,
    cast,
    exists,
    func,
    insert,
    literal,
    literal_column,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import File, Job, Record, RecordVector, RecordWords
from app.features.imports import queries as records
from app.features.imports.queries import Filters, TaskRow

SEPARATOR = "\x1f"
"""Separator of two values, so that no text matches across them."""
VALUES = "(SELECT string_agg(lower(v.value), chr(31)) FROM jsonb_each_text(records.data) AS v)"
VALUES_ON_SQLITE = (
    "(SELECT group_concat(folded(v.value), char(31)) FROM json_each(records.data) AS v)"
)
INDEXED_FROM = 5_000
"""Number of records below which a scan is as fast as the index."""
BUILD_LOCK = 4_706_942
"""Advisory lock of the process that builds the index."""
BUILD_SECONDS = 24 * 3600.0

RowsOfJobs = dict[UUID, npt.NDArray[np.int64]]
"""Row numbers in their order, by job."""


async def add(connection: AsyncConnection, task: TaskRow) -> None:
    """Add the words of the records of a task that have a vector."""
    is_sqlite = connection.dialect.name == "sqlite"
    values: ColumnElement[str] = literal_column(VALUES_ON_SQLITE if is_sqlite else VALUES)
    has_words = exists().where(
        RecordWords.job_id == Record.job_id, RecordWords.row_number == Record.row_number
    )
    is_of_vector = and_(
        RecordVector.job_id == Record.job_id, RecordVector.row_number == Record.row_number
    )
    new = (
        select(Record.job_id, Record.row_number, func.coalesce(values, ""))
        .join(RecordVector, is_of_vector)
        .where(
            Record.job_id == task.job_id,
            Record.row_number.between(task.first_row, task.last_row),
            ~has_words,
        )
    )
    columns = ("job_id", "row_number", "words")
    await connection.execute(insert(RecordWords).from_select(columns, new))


def can_tell(filters: Filters) -> bool:
    """Return whether the words show which records match, without the records themselves."""
    return _is_within_a_value(filters.text) and not filters.fields


def _is_within_a_value(part: str | None) -> bool:
    return bool(part) and SEPARATOR not in str(part)


def pattern(part: str) -> str:
    """Build a pattern for LIKE, with `!` before characters that are literal."""
    return f"%{records.literal_part(part)}%"


def holding(part: str, *, is_sqlite: bool) -> ColumnElement[bool]:
    """Build the condition that some value holds this part, in upper or lower case."""
    if is_sqlite:
        return func.instr(RecordWords.words, part.lower()) > 0
    return _like(literal(pattern(part), String))


def _like(pattern: ColumnElement[str]) -> ColumnElement[bool]:
    return RecordWords.words.like(func.lower(pattern), escape="!")


def holds_in(keys: Any, pattern: ColumnElement[str]) -> ColumnElement[bool]:
    """Build the condition for another table, whose columns `keys` are; for PostgreSQL."""
    return exists().where(
        RecordWords.job_id == keys.job_id, RecordWords.row_number == keys.row_number, _like(pattern)
    )


def matching(filters: Filters, *, is_sqlite: bool) -> Any:
    """Build the query for (job, row number) of all records with a vector that match."""
    part = filters.text if _is_within_a_value(filters.text) else None
    if part and not filters.fields:
        query = _of_owner(filters)
    else:
        is_of_record = and_(
            RecordWords.job_id == Record.job_id, RecordWords.row_number == Record.row_number
        )
        others = replace(filters, text=None) if part else filters
        query = (
            records.matching(others, is_sqlite=is_sqlite)
            .join(RecordWords, is_of_record)
            .with_only_columns(RecordWords.job_id, RecordWords.row_number)
        )
    return query.where(holding(part, is_sqlite=is_sqlite)) if part else query


def _of_owner(filters: Filters) -> Any:
    query = (
        select(RecordWords.job_id, RecordWords.row_number)
        .join(Job, Job.id == RecordWords.job_id)
        .join(File, File.id == Job.file_id)
        .where(*records.visible(filters.owner))
    )
    if filters.import_number is not None:
        query = query.where(Job.number == filters.import_number)
    return query


async def rows_of_jobs(connection: AsyncConnection, filters: Filters) -> RowsOfJobs:
    """Return the rows of all records with a vector that match."""
    is_sqlite = connection.dialect.name == "sqlite"
    rows = matching(filters, is_sqlite=is_sqlite).subquery()
    # One text for each job: a row for each record takes many times as long.
    listed = func.json_group_array if is_sqlite else func.json_agg
    numbers = cast(listed(rows.c.row_number), Text)
    query = select(rows.c.job_id, numbers).group_by(rows.c.job_id)
    by_job = (await connection.execute(query)).all()
    return {job_id: _sorted(listed) for job_id, listed in by_job}


def _sorted(listed: str) -> npt.NDArray[np.int64]:
    return np.sort(np.array(msgspec.json.decode(listed, type=list[int]), np.int64))


# ---------------------------------------------------------------------- the index


async def prepare(connection: AsyncConnection) -> None:
    """Create the extension; raises the error of PostgreSQL if it is missing or not allowed."""
    await connection.execute(text("CREATE EXTENSION IF NOT EXISTS pg_trgm"))


async def wants_index(connection: AsyncConnection) -> bool:
    query = text(
        "SELECT (SELECT count(*) FROM (SELECT 1 FROM record_words LIMIT :least) AS few) >= :least"
        " AND NOT EXISTS (SELECT 1 FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid"
        " WHERE c.relname = 'ix_record_words_trigrams' AND i.indisvalid)"
    )
    return bool((await connection.execute(query, {"least": INDEXED_FROM})).scalar_one())


async def build_index(connection: AsyncConnection) -> None:
    """Build the index after the bulk of the words is inserted, which is fastest. It runs outside a
    transaction and blocks nobody. If cancelled, it leaves an invalid index, which the next call
    drops. Does nothing if another process builds it.
    """
    lock = text(f"SELECT pg_try_advisory_lock({BUILD_LOCK})")
    if not (await connection.execute(lock)).scalar_one():
        return
    driver = (await connection.get_raw_connection()).driver_connection
    assert driver is not None
    try:
        await connection.execute(text("DROP INDEX CONCURRENTLY IF EXISTS ix_record_words_trigrams"))
        await driver.execute("ANALYZE record_words, jobs, files", timeout=BUILD_SECONDS)
        await driver.execute(
            "CREATE INDEX CONCURRENTLY ix_record_words_trigrams ON record_words"
            " USING gin (words gin_trgm_ops)",
            timeout=BUILD_SECONDS,
        )
    finally:
        await driver.execute(f"SELECT pg_advisory_unlock({BUILD_LOCK})")
