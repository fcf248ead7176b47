"""Rows of the database as frozen structs: what is read, and what is inserted. No mapping of
SQLAlchemy leaves `app/db`.

The fields of a row have the names and the order of the columns that are selected for it:
`columns_of` makes the one from the other, so a statement and its struct cannot differ. What the
fields mean is said at the tables (`app/db/models.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID, uuid4

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncConnection

Row = TypeVar("Row")


def columns_of(
    row: type[msgspec.Struct], *tables: Any, **computed: Any
) -> list[ColumnElement[Any]]:
    """The columns that a struct is made of, in its order: what is `computed` under this name, or
    the column of the first of the tables that has one. Raises LookupError where there is neither.
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
    """All rows of a query that selects the columns of the struct `row`, in its order."""
    result = await connection.execute(query, values)
    return [row(*columns) for columns in result.all()]


async def fetch_first(
    connection: AsyncConnection,
    row: Callable[..., Row],
    query: Any,
    values: Mapping[str, Any] | None = None,
) -> Row | None:
    """The first of them; None if there is none."""
    columns = (await connection.execute(query, values)).first()
    return None if columns is None else row(*columns)


def values_of(new: msgspec.Struct) -> dict[str, Any]:
    """What is inserted, by column."""
    return msgspec.structs.asdict(new)


def changes_of(change: msgspec.Struct) -> dict[str, Any]:
    """What is changed, by column: the fields that are set."""
    values = msgspec.structs.asdict(change)
    return {column: value for column, value in values.items() if value is not UNSET}


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


class FilePlaces(msgspec.Struct, frozen=True):
    """Where the rows of a file come from."""

    places: dict[str, Any] | None


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
    decoding: list[dict[str, Any]] | None = None
    places: dict[str, Any] | None = None


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
    """A job with its file, without the columns, of which a job may have a megabyte and a list shows
    none.
    """

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


class JobRow(ListedJob, frozen=True):
    """A job with its file."""

    columns: list[str]


def data_start(file: FileRow | NewFile | ListedJob) -> int:
    """The byte at which the rows of a file begin; 0 where no rows are read."""
    return int(file.dialect.get("data_start", 0))


def data_bytes(file: FileRow | NewFile | ListedJob) -> int:
    """The bytes of its rows."""
    return file.stored_bytes - data_start(file)


class ActiveJob(msgspec.Struct, frozen=True):
    """A job that may have something to do."""

    id: UUID
    number: int
    priority: int


class JobWork(msgspec.Struct, frozen=True):
    """What is done with the rows of a job, which says where they go."""

    processor: str
    options: dict[str, Any]


class UndoneJob(JobWork, frozen=True):
    """A job whose undo goes on, not to be changed by others until the end of the transaction."""

    undo_state: str | None
    undo_counts: dict[str, int]


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


class SplitPosition(msgspec.Struct, frozen=True, kw_only=True):
    """How far the file of a job is split."""

    split_offset: int
    split_rows: int
    split_lines: int
    split_crc32: int | None
    split_done: bool
    chunk_count: int


class JobCorrection(msgspec.Struct, frozen=True, kw_only=True):
    """What a correction changes in the job that it corrects."""

    corrected_rows: int
    columns: list[str] | UnsetType = UNSET
    summary: dict[str, Any] | UnsetType | None = UNSET


class StoredAnswer(msgspec.Struct, frozen=True):
    """The answer to a request that may be sent again."""

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
    """What the row of a chunk says of its rows, once they are stored."""

    rows_ok: int
    rows_invalid: int
    rows_failed: int
    hash_read: str
    summary: dict[str, Any] | None
    reject_codes: dict[str, int] | None


class ChunkCompletion(ChunkContents, frozen=True, kw_only=True):
    """What the row of a chunk says from its completion on."""

    timings: dict[str, float] | None = None
    """Seconds by what they went to."""


class ChunkProof(msgspec.Struct, frozen=True):
    """What a chunk says of its rows, for the proof."""

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
    """A chunk that failed, and why."""

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
    """The chunks of a job that are in one status: how many, their rows by kind, their bytes."""

    status: str
    chunks: int
    rows: int
    ok: int
    invalid: int
    failed: int
    bytes: int


class JobTally(msgspec.Struct, frozen=True):
    """The chunks of a job together: their rows by kind, their bytes, and the bytes of those that
    are final.
    """

    rows: int
    ok: int
    invalid: int
    failed: int
    in_failed_chunks: int
    done_bytes: int
    bytes: int


class JobTotals(msgspec.Struct, frozen=True):
    """What became of the rows of a job's chunks, and sums of what their summaries say."""

    rows: int
    ok: int
    rejected: int
    """Of completed chunks."""
    failed: int
    """Of failed chunks."""
    sums: dict[str, int]


NO_TOTALS = JobTotals(0, 0, 0, 0, {})
"""Of a job without chunks."""


class PageRow(msgspec.Struct, frozen=True):
    """A page of results; `data` is a JSON array of its rows."""

    first_row: int
    row_count: int
    row_numbers: list[int] | None
    data: str


class RejectRow(msgspec.Struct, frozen=True):
    """A row that did not get through."""

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
    """Where a reject stands in the file, and how often it was corrected."""

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
        """Whether it has become nothing yet, and was not refused."""
        return self.answer is None and self.problem is None


class NewUpload(msgspec.Struct, frozen=True, kw_only=True):
    """A resumable upload that is to be inserted."""

    id: UUID = msgspec.field(default_factory=uuid4)
    owner: str
    length: int | None
    sent_metadata: str
    submission: dict[str, Any]
    is_partial: bool
    parts: list[str] | None
    reserved_bytes: int


class CallerRow(msgspec.Struct, frozen=True):
    """Who has signed in, with which key."""

    user_id: str
    is_admin: bool
    key_id: UUID
    label: str
    expires_at: datetime | None
    is_long_unused: bool


class UserRow(msgspec.Struct, frozen=True):
    """Somebody who signs in."""

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
    """A key that is to be inserted."""

    id: UUID
    user_id: str
    label: str
    digest: bytes


class InstallationRow(msgspec.Struct, frozen=True):
    """Which Granula the database is, and what the last sweep of its storage found."""

    id: UUID
    created_at: datetime
    swept_at: datetime | None
    lost_files: int
    held_files: int


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
