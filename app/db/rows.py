"""Rows of the database as frozen structs: what is read, and what is inserted. No mapping of SQLAlchemy leaves `app/db`.

The fields of a row have the names and the order of the columns that are selected for it: `columns_of` makes the one from the
other, so a statement and its struct cannot differ. What the fields mean is said at the tables (`app/db/models.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID, uuid4

import msgspec
from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncConnection

Row = TypeVar("Row")


def columns_of(row: type[msgspec.Struct], *tables: Any) -> list[ColumnElement[Any]]:
    """The columns that a struct is made of, in its order; each is of the first of the tables that has it."""
    return [
        next(table.__table__.c[name] for table in tables if name in table.__table__.c) for name in row.__struct_fields__
    ]


async def fetch_all(
    connection: AsyncConnection, row: Callable[..., Row], query: Any, values: Mapping[str, Any] | None = None
) -> list[Row]:
    """All rows of a query that selects the columns of the struct `row`, in its order."""
    result = await connection.execute(query, values)
    return [row(*columns) for columns in result.all()]


async def fetch_first(
    connection: AsyncConnection, row: Callable[..., Row], query: Any, values: Mapping[str, Any] | None = None
) -> Row | None:
    """The first of them; None if there is none."""
    columns = (await connection.execute(query, values)).first()
    return None if columns is None else row(*columns)


def values_of(new: msgspec.Struct) -> dict[str, Any]:
    """What is inserted, by column."""
    return msgspec.structs.asdict(new)


class FileRow(msgspec.Struct, frozen=True):
    """A file that was uploaded, is read where it is, or was made."""

    id: UUID
    owner: str
    filename: str
    media_type: str
    format: str
    encoding: str
    dialect: dict[str, Any]
    size_bytes: int
    stored_bytes: int
    sha256: str
    dedup_key: str | None
    content_key: str
    crc32: int | None
    storage_uri: str | None
    etag: str | None
    created_at: datetime
    deleted_at: datetime | None


class NewFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is to be inserted."""

    id: UUID = msgspec.field(default_factory=uuid4)
    owner: str
    filename: str
    media_type: str = ""
    format: str
    encoding: str
    dialect: dict[str, Any]
    size_bytes: int
    stored_bytes: int
    sha256: str = ""
    crc32: int | None = None
    content_key: str
    dedup_key: str | None = None
    storage_uri: str | None = None
    etag: str | None = None


class JobBase(msgspec.Struct, frozen=True):
    """What every row of a job has."""

    number: int
    id: UUID
    owner: str
    door: str
    public_id: str | None
    file_id: UUID
    processor: str
    options: dict[str, Any]
    chunk_size: int
    priority: int
    status: str
    summary: dict[str, Any] | None
    error: dict[str, Any] | None
    vectors_error: dict[str, Any] | None
    parent_id: UUID | None
    child_count: int | None
    result_file_id: UUID | None
    cache_key: str | None
    corrections: int
    corrected_rows: int
    stores_results: bool
    keeps_versions: bool
    undo_state: str | None
    undo_counts: dict[str, Any] | None
    undone_at: datetime | None
    trace: str | None
    waiting_on: str | None
    total_rows: int | None
    split_offset: int
    split_rows: int
    split_lines: int
    split_crc32: int | None
    split_done: bool
    chunk_count: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime


class LockedJob(JobBase, frozen=True):
    """A job without its file, not to be changed by others until the end of the transaction."""

    columns: list[str]


class ListedJob(JobBase, frozen=True):
    """A job with its file, without the columns, of which a job may have a megabyte and a list shows none."""

    filename: str
    media_type: str
    format: str
    encoding: str
    dialect: dict[str, Any]
    size_bytes: int
    stored_bytes: int
    sha256: str
    crc32: int | None
    storage_uri: str | None
    etag: str | None


class JobRow(ListedJob, frozen=True):
    """A job with its file."""

    columns: list[str]


class ActiveJob(msgspec.Struct, frozen=True):
    """A job that may have something to do."""

    id: UUID
    number: int
    priority: int


class JobPart(msgspec.Struct, frozen=True):
    """A part of a job, also of one whose file is being deleted."""

    id: UUID
    parent_id: UUID
    file_id: UUID
    door: str
    priority: int
    status: str


class JobResultRow(msgspec.Struct, frozen=True):
    """What a job found out about its file as a whole."""

    data: dict[str, Any]
    state: str | None


class NewJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that is to be inserted."""

    id: UUID = msgspec.field(default_factory=uuid4)
    owner: str
    door: str = "files"
    public_id: str | None = None
    file_id: UUID
    processor: str
    options: dict[str, Any]
    chunk_size: int
    priority: int
    status: str
    columns: list[str]
    error: dict[str, Any] | None = None
    parent_id: UUID | None = None
    child_count: int | None = None
    cache_key: str | None = None
    stores_results: bool = True
    total_rows: int | None = None
    split_offset: int = 0
    split_rows: int = 0
    split_lines: int = 1
    split_crc32: int | None = None
    split_done: bool = False
    chunk_count: int = 0


class StoredAnswer(msgspec.Struct, frozen=True):
    """The answer to a request that may be sent again."""

    owner: str
    key: str
    fingerprint: str
    status_code: int
    body: dict[str, Any]
