"""Rows of the database as frozen structs, for reading and inserting. No mapping of SQLAlchemy
leaves `app/db`.

The fields of a row have the names and the order of the selected columns: `columns_of` derives the
columns from the struct, so a statement and its struct cannot differ. The meaning of fields is
documented at the tables (`app/db/models.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID, uuid4

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

Row = TypeVar("Row")


def columns_of(
    row: type[msgspec.Struct], *tables: Any, **computed: Any
) -> list[ColumnElement[Any]]:
    """Return the columns of a struct in its order: the expression in `computed` with this name, or
    the column of the first table that has one. Raises LookupError if neither exists.
    """
    columns: list[ColumnElement[Any]] = []
    for name in row.__struct_fields__:
        if name in computed:
            columns.append(computed[name].label(name))
            continue
        holders = [table.__table__ for table in tables if name in table.__table__.c]
        if not holders:
            raise LookupError(
                f"{row.__name__}.{name} is no column of {[table.__name__ for table in tables]}"
            )
        columns.append(holders[0].c[name])
    return columns


async def fetch_all(
    connection: AsyncConnection,
    row: Callable[..., Row],
    query: Any,
    values: Mapping[str, Any] | None = None,
) -> list[Row]:
    """Return all rows of a query that selects the columns of the struct `row`, in its order."""
    result = await connection.execute(query, values)
    return [row(*columns) for columns in result.all()]


async def fetch_first(
    connection: AsyncConnection,
    row: Callable[..., Row],
    query: Any,
    values: Mapping[str, Any] | None = None,
) -> Row | None:
    """Return the first row; None if there is none."""
    columns = (await connection.execute(query, values)).first()
    return None if columns is None else row(*columns)


async def delete_first(
    connection: AsyncConnection, table: Any, key: Any, at_most: int, *where: ColumnElement[bool]
) -> int:
    """Delete the rows that fulfil `where`, `at_most` of them, those with the lowest keys. Return
    their number.

    The rows are named by a range of keys. `key IN (SELECT ... LIMIT)` compares each row with each
    key in the plan that PostgreSQL makes from old statistics: 2 000 of 40 000 rows take 12 s then,
    and 2 ms here.
    """
    first = select(key.label("key")).where(*where).order_by(key).limit(at_most).subquery()
    last = select(func.max(first.c.key)).scalar_subquery()
    return (await connection.execute(delete(table).where(*where, key <= last))).rowcount


def values_of(new: msgspec.Struct) -> dict[str, Any]:
    """Return the values to insert, by column."""
    return msgspec.structs.asdict(new)


def changes_of(change: msgspec.Struct) -> dict[str, Any]:
    """Return the values to change, by column: the fields that are set."""
    values = msgspec.structs.asdict(change)
    return {column: value for column, value in values.items() if value is not UNSET}


class FileRow(msgspec.Struct, frozen=True):
    """A file: uploaded, read in place, or created by a job."""

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
    decoding: list[dict[str, Any]] | None
    fetched: dict[str, Any] | None
    created_at: datetime
    deleted_at: datetime | None


class FilePlaces(msgspec.Struct, frozen=True):
    """Where the rows of a file come from."""

    places: dict[str, Any] | None


class JobSummary(msgspec.Struct, frozen=True):
    """Summary of a job."""

    summary: dict[str, Any] | None


class NewFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file to insert."""

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
    decoding: list[dict[str, Any]] | None = None
    places: dict[str, Any] | None = None
    fetched: dict[str, Any] | None = None


class JobBase(msgspec.Struct, frozen=True):
    """The fields that every job row has."""

    number: int
    id: UUID
    owner: str
    origin: str
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
    is_withdrawn: bool
    undo_state: str | None
    undo_counts: dict[str, Any] | None
    undone_at: datetime | None
    rows_removed_at: datetime | None
    rejects_removed_at: datetime | None
    trace: str | None
    waiting_on: str | None
    waiting_detail: str | None
    waiting_since: datetime | None
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
    """A job without its file, locked until the end of the transaction."""

    columns: list[str]


class ListedJob(JobBase, frozen=True):
    """A job with its file, without the columns, which may take a megabyte and are not listed."""

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
    decoding: list[dict[str, Any]] | None
    fetched: dict[str, Any] | None


class JobRow(ListedJob, frozen=True):
    """A job with its file."""

    columns: list[str]


def data_start(file: FileRow | NewFile | ListedJob) -> int:
    """Return the byte offset of the first row of a file; 0 if it has no rows to read."""
    return int(file.dialect.get("data_start", 0))


def data_bytes(file: FileRow | NewFile | ListedJob) -> int:
    """Return the number of bytes of its rows."""
    return file.stored_bytes - data_start(file)


class ActiveJob(msgspec.Struct, frozen=True):
    """A job that may have work."""

    id: UUID
    number: int
    priority: int


class JobWork(msgspec.Struct, frozen=True):
    """What determines the destination of a job's rows."""

    processor: str
    options: dict[str, Any]


class UndoneJob(JobWork, frozen=True):
    """A job whose undo is in progress, locked until the end of the transaction."""

    undo_state: str | None
    undo_counts: dict[str, Any]


class UndoCounts(msgspec.Struct, frozen=True):
    """Rows of an undo by outcome, and some of those that it leaves."""

    removed: int
    restored: int
    left: int
    left_rows: list[Any]


class JobPart(msgspec.Struct, frozen=True):
    """A part of a job, even if its file is being deleted."""

    id: UUID
    parent_id: UUID
    file_id: UUID
    origin: str
    priority: int
    status: str


class JobResultRow(msgspec.Struct, frozen=True):
    """The result of a job over its file as a whole."""

    data: dict[str, Any]
    state: str | None


class NewJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job to insert."""

    id: UUID = msgspec.field(default_factory=uuid4)
    owner: str
    origin: str = "files"
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
    labels: tuple[str, ...] = ()
    """Stored in a table of their own."""


class SplitPosition(msgspec.Struct, frozen=True, kw_only=True):
    """Split position in the file of a job."""

    split_offset: int
    split_rows: int
    split_lines: int
    split_crc32: int | None
    split_done: bool
    chunk_count: int


class JobCorrection(msgspec.Struct, frozen=True, kw_only=True):
    """Changes of a correction to the corrected job."""

    corrected_rows: int
    columns: list[str] | UnsetType = UNSET
    summary: dict[str, Any] | UnsetType | None = UNSET


class StoredAnswer(msgspec.Struct, frozen=True):
    """The stored answer for a repeated request."""

    owner: str
    key: str
    fingerprint: str
    status_code: int
    body: dict[str, Any]


class ChunkRow(msgspec.Struct, frozen=True):
    """A contiguous run of rows of a job's file."""

    job_id: UUID
    chunk_index: int
    byte_start: int
    byte_end: int
    first_row: int
    row_count: int
    first_line: int
    crc32: int
    status: str
    attempt: int
    deaths: int
    is_suspect: bool
    claimed_by: str | None
    available_at: datetime
    rows_ok: int
    rows_invalid: int
    rows_failed: int
    hash_read: str | None
    summary: dict[str, Any] | None
    reject_codes: dict[str, Any] | None
    error: dict[str, Any] | None
    timings: dict[str, Any] | None
    finished_at: datetime | None


class ChunkContents(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of a chunk that describe its rows."""

    rows_ok: int
    rows_invalid: int
    rows_failed: int
    hash_read: str
    summary: dict[str, Any] | None
    reject_codes: dict[str, int] | None


class ChunkCompletion(ChunkContents, frozen=True, kw_only=True):
    """The columns of a chunk that are set at its completion."""

    timings: dict[str, float] | None = None
    """Seconds by phase."""


class ChunkProof(msgspec.Struct, frozen=True):
    """The columns of a chunk that the proof reads."""

    chunk_index: int
    first_row: int
    row_count: int
    rows_ok: int
    rows_invalid: int
    rows_failed: int
    status: str
    hash_read: str | None
    byte_start: int
    byte_end: int


class FailedChunk(msgspec.Struct, frozen=True):
    """A failed chunk and its error."""

    chunk_index: int
    first_row: int
    row_count: int
    attempt: int
    error: dict[str, Any] | None


class CompletedChunk(msgspec.Struct, frozen=True):
    """A chunk whose rows are stored."""

    job_id: UUID
    chunk_index: int
    rows_ok: int
    finished_at: datetime


class ChunkTally(msgspec.Struct, frozen=True):
    """The chunks of a job in one status: their number, their rows by kind, their bytes."""

    status: str
    chunks: int
    rows: int
    ok: int
    invalid: int
    failed: int
    bytes: int


class JobTally(msgspec.Struct, frozen=True):
    """All chunks of a job: their rows by kind, their bytes, and the bytes of the final ones."""

    rows: int
    ok: int
    invalid: int
    failed: int
    in_failed_chunks: int
    done_bytes: int
    bytes: int


class JobTotals(msgspec.Struct, frozen=True):
    """Rows of a job's chunks by outcome, and sums over their summaries."""

    rows: int
    ok: int
    rejected: int
    """Rejected rows of completed chunks."""
    failed: int
    """Rows of failed chunks."""
    sums: dict[str, int]


NO_TOTALS = JobTotals(0, 0, 0, 0, {})
"""Totals of a job without chunks."""


class PageRow(msgspec.Struct, frozen=True):
    """A page of results; `data` is a JSON array of its rows."""

    first_row: int
    row_count: int
    row_numbers: list[int] | None
    data: str


class RejectRow(msgspec.Struct, frozen=True):
    """A row that was not loaded."""

    job_id: UUID
    row_number: int
    kind: str
    line: int
    byte_start: int
    byte_end: int
    raw: bytes
    column_name: str | None
    value: str | None
    code: str
    message: str
    corrections: int


class RejectPlace(msgspec.Struct, frozen=True):
    """The location of a reject in the file, and its number of corrections."""

    row_number: int
    kind: str
    code: str
    line: int
    byte_start: int
    byte_end: int
    corrections: int


class UploadRow(msgspec.Struct, frozen=True):
    """A resumable upload."""

    id: UUID
    owner: str
    length: int | None
    sent_metadata: str
    submission: dict[str, Any]
    is_partial: bool
    parts: list[str] | None
    verified_offset: int | None
    reserved_bytes: int
    answer: dict[str, Any] | None
    problem: dict[str, Any] | None
    created_at: datetime
    expires_at: datetime
    is_expired: bool

    @property
    def is_open(self) -> bool:
        """Whether it has neither become a file nor been rejected."""
        return self.answer is None and self.problem is None


class NewUpload(msgspec.Struct, frozen=True, kw_only=True):
    """A resumable upload to insert."""

    id: UUID = msgspec.field(default_factory=uuid4)
    owner: str
    length: int | None
    sent_metadata: str
    submission: dict[str, Any]
    is_partial: bool
    parts: list[str] | None
    reserved_bytes: int


class CallerRow(msgspec.Struct, frozen=True):
    """The signed-in user and the key."""

    user_id: str
    is_admin: bool
    key_id: UUID
    label: str
    expires_at: datetime | None
    is_long_unused: bool


class UserRow(msgspec.Struct, frozen=True):
    """A user."""

    id: str
    is_admin: bool
    created_at: datetime
    revoked_at: datetime | None
    valid_keys: int
    last_used_at: datetime | None


class KeyRow(msgspec.Struct, frozen=True):
    """A key of a user, without its digest."""

    id: UUID
    label: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    is_valid: bool


class NewKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key to insert."""

    id: UUID
    user_id: str
    label: str
    digest: bytes


class InstallationRow(msgspec.Struct, frozen=True):
    """The id of this Granula database, and the result of the last sweep of its storage."""

    id: UUID
    created_at: datetime
    swept_at: datetime | None
    lost_files: int
    held_files: int
    backed_up_at: datetime | None


class DeliveryRow(msgspec.Struct, frozen=True):
    """A message for a webhook."""

    number: int
    id: UUID
    webhook_id: UUID
    job_id: UUID | None
    event: str
    body: str
    status: str
    attempt: int
    claim_token: UUID | None
    next_attempt_at: datetime
    attempts: list[dict[str, Any]]
    created_at: datetime
    finished_at: datetime | None
