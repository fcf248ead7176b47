"""The tables. Alembic creates them (alembic/versions); a test compares both on both databases."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Text,
    UniqueConstraint,
    Uuid,
    false,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app.db.types import UTCDateTime
from app.states import ACTIVE_JOBS, ChunkStatus, JobStatus

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {  # noqa: RUF012
        datetime: UTCDateTime(),
        int: BigInteger().with_variant(Integer, "sqlite"),
        dict[str, Any]: JSON(none_as_null=True),
        list[str]: JSON(none_as_null=True),
        list[dict[str, Any]]: JSON(none_as_null=True),
        UUID: Uuid(),
        bytes: LargeBinary(),
        Decimal: Numeric(20, 4),
        float: Double(),
    }


def _only_where(condition: str) -> dict[str, Any]:
    """Return the arguments of a partial index for both databases."""
    return {"postgresql_where": text(condition), "sqlite_where": text(condition)}


def _one_of(column: str, values: Any) -> str:
    return f"{column} IN ({', '.join(repr(str(v)) for v in values)})"


class Installation(Base):
    """The single row with the id of this Granula database. The storage of its files carries the
    same id.
    """

    __tablename__ = "installation"

    key: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    id: Mapped[UUID]
    created_at: Mapped[datetime]
    swept_at: Mapped[datetime | None]
    """Time of the last sweep of the storage."""
    lost_files: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """Number of files in lost+found then."""
    held_files: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """Number of unknown files that the sweep left in place because they were too many."""
    backed_up_at: Mapped[datetime | None]
    """Time of the last `backup` of the database."""

    __table_args__ = (CheckConstraint("key = 1", name="single"),)


class SystemSample(Base):
    """The load in the five minutes from `at`."""

    __tablename__ = "system_samples"

    at: Mapped[datetime] = mapped_column(primary_key=True)
    rows: Mapped[int]
    failed_rows: Mapped[int]
    failed_jobs: Mapped[int]
    queued_jobs: Mapped[int]
    """Waiting and running jobs at the end of the interval."""
    waiting_chunks: Mapped[int]
    workers: Mapped[int]
    disk_free_bytes: Mapped[int | None]
    """Null if the storage cannot report it."""


class File(Base):
    """An upload, immutable once its row exists."""

    __tablename__ = "files"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    owner: Mapped[str] = mapped_column(String(100))
    filename: Mapped[str] = mapped_column(String(255))
    """Name from the client; never part of a path."""
    media_type: Mapped[str] = mapped_column(String(255))
    format: Mapped[str] = mapped_column(String(20))
    encoding: Mapped[str] = mapped_column(String(40))
    dialect: Mapped[dict[str, Any]]
    size_bytes: Mapped[int]
    """Size as received, possibly compressed."""
    stored_bytes: Mapped[int]
    """Size as stored and split, decompressed."""
    sha256: Mapped[str] = mapped_column(String(64))
    """Hash of the bytes as received."""
    dedup_key: Mapped[str | None] = mapped_column(String(64))
    """Hash of content and parameters, for uploads that must be unique."""
    content_key: Mapped[str] = mapped_column(String(64))
    """The same hash for every upload, to find an earlier one."""
    crc32: Mapped[int | None]
    """CRC-32 of the bytes as written; the bytes read later must match. Null for older uploads."""
    storage_uri: Mapped[str | None] = mapped_column(String(1000))
    """`s3://bucket/key`, or a name in the storage of STORAGE_URL; null once the stored bytes are
    deleted.
    """
    etag: Mapped[str | None] = mapped_column(String(300))
    """Version of the object to read; null for files in a folder."""
    decoding: Mapped[list[dict[str, Any]] | None]
    """Findings and actions of each decoder, in the order in which the bytes passed through them;
    null if the bytes were stored as received.
    """
    places: Mapped[dict[str, Any] | None]
    """Where rows come from, by line of the stored bytes; null if those are the received bytes."""
    fetched: Mapped[dict[str, Any] | None]
    """The version of a source that was copied: uri, etag, size_bytes, modified_at; null for others."""
    created_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]
    """Set first; rows and bytes are removed in bounded steps afterwards."""

    __table_args__ = (
        Index("uq_files_owner_dedup_key", "owner", "dedup_key", unique=True),
        Index("ix_files_owner_content_key", "owner", "content_key"),
        Index("ix_files_deleted_at", "deleted_at", **_only_where("deleted_at IS NOT NULL")),
    )


class Job(Base):
    """An accepted request: a file, a processor, its options."""

    __tablename__ = "jobs"

    number: Mapped[int] = mapped_column(Identity(), primary_key=True, autoincrement=True)
    """Ascending in the order of acceptance: the queue's order within a priority, and the cursor of
    lists.
    """
    id: Mapped[UUID] = mapped_column(unique=True, default=uuid4)
    owner: Mapped[str] = mapped_column(String(100))
    origin: Mapped[str] = mapped_column("door", String(20), key="origin", server_default="files")
    """Endpoint that created the job: files, jobs, batches, imports, ... The column is named
    `door`.
    """
    public_id: Mapped[str | None] = mapped_column(String(40))
    """Id that the endpoint uses, if it is neither the id nor the number."""
    file_id: Mapped[UUID] = mapped_column(ForeignKey("files.id", ondelete="CASCADE"))
    processor: Mapped[str] = mapped_column(String(100))
    options: Mapped[dict[str, Any]]
    chunk_size: Mapped[int]
    priority: Mapped[int]
    status: Mapped[str] = mapped_column(String(30))
    columns: Mapped[list[str]]
    """Columns of the results; for JSON they grow with the chunks."""
    summary: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    vectors_error: Mapped[dict[str, Any] | None]
    """Why the records of this job get no vectors."""
    parent_id: Mapped[UUID | None]
    """The job that this one is a part of. Not a foreign key: SQLite cannot add one to an existing
    table.
    """
    child_count: Mapped[int | None]
    """Number of parts; null for a job with its own file."""
    result_file_id: Mapped[UUID | None]
    """The output file of the job. Not a foreign key, as `parent_id`."""
    cache_key: Mapped[str | None] = mapped_column(String(64))
    """Hash of the bytes, their dialect, and the processor with its version and options; null if the
    result must not be reused.
    """
    corrections: Mapped[int] = mapped_column(server_default=text("0"))
    """Number of accepted corrections of its rejects; each is a job whose parent this one is."""
    corrected_rows: Mapped[int] = mapped_column(server_default=text("0"))
    """Results that were rejects before a correction."""
    stores_results: Mapped[bool] = mapped_column(Boolean, server_default=true())
    """False if rows are read and counted but not stored; the result is in job_results
    (docs/decisions/0007).
    """
    keeps_versions: Mapped[bool] = mapped_column(Boolean, server_default=false(), default=True)
    """Whether the rows that it replaced in shared tables were kept. Jobs from before undo existed
    did not keep them.
    """
    is_withdrawn: Mapped[bool] = mapped_column(Boolean, server_default=false())
    """Whether the job ended without publishing what its chunks had staged. No row of it counts as
    loaded then.
    """
    undo_state: Mapped[str | None] = mapped_column(String(10))
    """undoing or undone."""
    undo_counts: Mapped[dict[str, Any] | None]
    """Rows removed and restored so far."""
    undone_at: Mapped[datetime | None]
    rows_removed_at: Mapped[datetime | None]
    """Time when retention removed the results."""
    rejects_removed_at: Mapped[datetime | None]
    """Time when retention removed the rejects."""
    trace: Mapped[str | None] = mapped_column(String(55))
    """W3C traceparent of the spans of its work, in whatever process; null while tracing is off."""
    waiting_on: Mapped[str | None] = mapped_column(String(20))
    """The external service that the job waits for."""
    waiting_detail: Mapped[str | None] = mapped_column(String(300))
    """The same in words, such as a table and the session that holds a lock on it."""
    waiting_since: Mapped[datetime | None]
    total_rows: Mapped[int | None]
    """Rows counted during the upload, for endpoints that return the number immediately."""
    split_offset: Mapped[int]
    """Chunks cover the bytes of the stored file before this offset."""
    split_rows: Mapped[int] = mapped_column(default=0)
    split_lines: Mapped[int]
    split_crc32: Mapped[int | None]
    """CRC-32 of the stored file before `split_offset`."""
    split_done: Mapped[bool] = mapped_column(Boolean, default=False)
    chunk_count: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    updated_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint(_one_of("status", JobStatus), name="status"),
        CheckConstraint("priority BETWEEN 0 AND 10", name="priority"),
        Index("ix_jobs_file_id", "file_id"),
        Index("uq_jobs_public_id", "public_id", unique=True),
        Index("ix_jobs_door", "owner", "origin", "number"),
        Index("ix_jobs_parent_id", "parent_id", **_only_where("parent_id IS NOT NULL")),
        Index("ix_jobs_cache_key", "owner", "cache_key", **_only_where("cache_key IS NOT NULL")),
        Index("ix_jobs_undoing", "number", **_only_where("undo_state = 'undoing'")),
        Index("ix_jobs_finished_at", "finished_at", **_only_where("finished_at IS NOT NULL")),
        Index("ix_jobs_active", "status", "number", **_only_where(_one_of("status", ACTIVE_JOBS))),
    )


class JobLabel(Base):
    """A label that a user gave to a job."""

    __tablename__ = "job_labels"

    job_id: Mapped[UUID] = mapped_column(
        ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True
    )
    label: Mapped[str] = mapped_column(String(40), primary_key=True)

    __table_args__ = (Index("ix_job_labels_label_job_id", "label", "job_id"),)


class Chunk(Base):
    """A contiguous run of rows: the unit of work, retry and transaction."""

    __tablename__ = "chunks"

    job_id: Mapped[UUID] = mapped_column(
        ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True
    )
    chunk_index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    byte_start: Mapped[int]
    byte_end: Mapped[int]
    first_row: Mapped[int]
    row_count: Mapped[int]
    """Rows counted by the splitter; the reader must count the same."""
    first_line: Mapped[int]
    crc32: Mapped[int]
    status: Mapped[str] = mapped_column(String(20))
    attempt: Mapped[int] = mapped_column(default=0)
    deaths: Mapped[int] = mapped_column(default=0)
    """Number of separate processes that this chunk has ended."""
    is_suspect: Mapped[bool] = mapped_column(Boolean, server_default=false(), default=False)
    """Whether a worker vanished while it had the chunk; it runs in a separate process then."""
    claim_token: Mapped[UUID | None]
    """Token of the claim that may write this chunk: it guards every write."""
    claimed_by: Mapped[str | None] = mapped_column(String(100))
    lease_expires_at: Mapped[datetime | None]
    available_at: Mapped[datetime]
    rows_ok: Mapped[int] = mapped_column(default=0)
    rows_invalid: Mapped[int] = mapped_column(default=0)
    rows_failed: Mapped[int] = mapped_column(default=0)
    hash_read: Mapped[str | None] = mapped_column(String(16))
    """Hash sum (16 hex digits) of the results as read and processed, before they were encoded for
    the database.
    """
    summary: Mapped[dict[str, Any] | None]
    reject_codes: Mapped[dict[str, Any] | None]
    """Rejects of a completed chunk by code. Null if there are none, or if it was completed before
    they were kept.
    """
    error: Mapped[dict[str, Any] | None]
    timings: Mapped[dict[str, Any] | None]
    """Seconds of the completing attempt by phase: wait, read, process, write."""
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint(_one_of("status", ChunkStatus), name="status"),
        CheckConstraint(
            "status <> 'completed' OR rows_ok + rows_invalid + rows_failed = row_count",
            name="closes",
        ),
        Index("ix_chunks_claimable", "job_id", "chunk_index", **_only_where("status = 'pending'")),
        Index("ix_chunks_leased", "lease_expires_at", **_only_where("status = 'processing'")),
    )


class ResultPage(Base):
    """Up to 500 results as one JSON array: of cell arrays for CSV, of objects for JSON
    (docs/decisions/0002).
    """

    __tablename__ = "result_pages"

    job_id: Mapped[UUID] = mapped_column(
        ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True
    )
    first_row: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    row_count: Mapped[int]
    row_numbers: Mapped[list[int] | None] = mapped_column(JSON(none_as_null=True))
    """Null if the rows are contiguous."""
    data: Mapped[str] = mapped_column(Text)
    """Text, also on PostgreSQL: it is valid JSON already, and is only replaced as a whole."""


class RejectedRow(Base):
    """A row that was not loaded."""

    __tablename__ = "rejects"

    job_id: Mapped[UUID] = mapped_column(
        ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True
    )
    row_number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(10))
    """invalid or failed."""
    line: Mapped[int]
    byte_start: Mapped[int]
    byte_end: Mapped[int]
    raw: Mapped[bytes]
    """The first 64 KiB of its bytes."""
    column_name: Mapped[str | None] = mapped_column(Text)
    value: Mapped[str | None] = mapped_column(Text)
    code: Mapped[str] = mapped_column(String(60))
    message: Mapped[str] = mapped_column(Text)
    corrections: Mapped[int] = mapped_column(server_default=text("0"))
    """How often it was corrected and rejected again. From 1 on, `raw` has all of the last
    correction, in the form of correction files; line and byte range stay those of the file.
    """


class CorrectionChunk(Base):
    """Contents of a chunk of a correction: rows of one chunk of the corrected job."""

    __tablename__ = "correction_chunks"

    job_id: Mapped[UUID] = mapped_column(
        ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True
    )
    chunk_index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    target_index: Mapped[int]
    """Index of the chunk in the corrected job."""
    row_numbers: Mapped[list[int]] = mapped_column(JSON(none_as_null=True))
    """Row numbers in the corrected job, in the order of the chunk."""
    seen: Mapped[list[int]] = mapped_column(JSON(none_as_null=True))
    """`rejects.corrections` of each row when the correction was accepted. A reject with another
    value is a different one.
    """


class JobResult(Base):
    """The result of a job over its file as a whole."""

    __tablename__ = "job_results"

    job_id: Mapped[UUID] = mapped_column(
        ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True
    )
    data: Mapped[dict[str, Any]]
    state: Mapped[str | None] = mapped_column(Text)
    """State for later jobs, read by the processor that wrote it."""
    created_at: Mapped[datetime]


class MappingTemplate(Base):
    """One version of an accepted mapping. Versions are immutable; an edit creates the next one."""

    __tablename__ = "mapping_templates"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    owner: Mapped[str] = mapped_column(String(100))
    name: Mapped[str] = mapped_column(String(200))
    mapping: Mapped[dict[str, Any]]
    job_id: Mapped[UUID | None]
    """The mapping job that it came from."""
    is_latest: Mapped[bool] = mapped_column(Boolean)
    created_at: Mapped[datetime]

    __table_args__ = (
        Index("ix_mapping_templates_latest", "owner", "created_at", **_only_where("is_latest")),
    )


class Record(Base):
    """A row that was checked against a schema: typed and searchable, valid or not."""

    __tablename__ = "records"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True, autoincrement=True)
    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    row_number: Mapped[int]
    status: Mapped[str] = mapped_column(String(10))
    """valid or invalid."""
    data: Mapped[dict[str, Any]] = mapped_column(
        JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
    )
    errors: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON(none_as_null=True))
    """field, code, value and message of each error."""

    __table_args__ = (
        CheckConstraint("status IN ('valid', 'invalid')", name="status"),
        Index("uq_records_job_id_row_number", "job_id", "row_number", unique=True),
    )


class VectorTask(Base):
    """Valid records that were committed together and get their vectors together."""

    __tablename__ = "vector_tasks"

    job_id: Mapped[UUID] = mapped_column(
        ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True
    )
    first_row: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    last_row: Mapped[int]
    record_count: Mapped[int]
    done: Mapped[bool] = mapped_column(Boolean, default=False)

    __table_args__ = (
        Index("ix_vector_tasks_open", "job_id", "first_row", **_only_where("NOT done")),
    )


class RecordVector(Base):
    """The embedding of one record."""

    __tablename__ = "record_vectors"

    job_id: Mapped[UUID] = mapped_column(
        ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True
    )
    row_number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    model: Mapped[str] = mapped_column(String(100))
    precision: Mapped[str] = mapped_column(String(10))
    text_hash: Mapped[bytes]
    """SHA-256 of the embedded text, to find the vector of an equal text."""
    vector: Mapped[bytes]
    """Unit vector as little-endian float32."""

    __table_args__ = (Index("ix_record_vectors_text_hash", "text_hash", "model", "precision"),)


class RecordWords(Base):
    """The values of a record with a vector, in lower case. The combined search by text and meaning
    reads them many times as fast as the record.
    """

    __tablename__ = "record_words"

    job_id: Mapped[UUID] = mapped_column(
        ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True
    )
    row_number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    words: Mapped[str] = mapped_column(Text().with_variant(Text(collation="C"), "postgresql"))
    """All values, joined by unit separators."""

    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012


class _Origin:
    """The job and row that wrote a row of a shared table."""

    content_hash: Mapped[str] = mapped_column(String(16))
    job_id: Mapped[UUID]
    job_number: Mapped[int]
    row_number: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class _Transaction(_Origin):
    timestamp: Mapped[datetime | None]
    account_id: Mapped[str | None] = mapped_column(Text)
    amount: Mapped[Decimal | None]
    currency: Mapped[str | None] = mapped_column(Text)
    data: Mapped[dict[str, Any]]
    """All fields."""


class _Prediction(_Origin):
    prediction: Mapped[str] = mapped_column(String(40))
    fraud_score: Mapped[float]
    """Probability from 0 to 1."""
    model_version: Mapped[str] = mapped_column(String(100))
    latency_ms: Mapped[float]
    """Latency of the call that returned the prediction."""


class TransactionRow(_Transaction, Base):
    """A scored transaction, as read by the last job that contained it."""

    __tablename__ = "transactions"

    transaction_id: Mapped[str] = mapped_column(String(64), primary_key=True)

    __table_args__ = (Index("ix_transactions_job_id_row_number", "job_id", "row_number"),)


class PredictionRow(_Prediction, Base):
    """The prediction of the model service for a transaction."""

    __tablename__ = "predictions"

    transaction_id: Mapped[str] = mapped_column(String(64), primary_key=True)

    __table_args__ = (Index("ix_predictions_job_id_row_number", "job_id", "row_number"),)


class TransactionVersion(_Transaction, Base):
    """A transaction that a later job replaced, kept for the undo of that job."""

    __tablename__ = "transaction_versions"

    transaction_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    job_number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    archived_at: Mapped[datetime]

    __table_args__ = (
        Index("ix_transaction_versions_job_id_row_number", "job_id", "row_number"),
        Index("ix_transaction_versions_archived_at", "archived_at"),
    )


class PredictionVersion(_Prediction, Base):
    """A prediction that a later job replaced, kept for the undo of that job."""

    __tablename__ = "prediction_versions"

    transaction_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    job_number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    archived_at: Mapped[datetime]

    __table_args__ = (
        Index("ix_prediction_versions_job_id_row_number", "job_id", "row_number"),
        Index("ix_prediction_versions_archived_at", "archived_at"),
    )


class Schedule(Base):
    """A scoring job that runs periodically."""

    __tablename__ = "schedules"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    owner: Mapped[str] = mapped_column(String(100))
    name: Mapped[str] = mapped_column(String(100))
    cron: Mapped[str] = mapped_column(String(100))
    timezone: Mapped[str] = mapped_column(String(60))
    job: Mapped[dict[str, Any]]
    """Body of POST /api/v1/jobs/score."""
    paused: Mapped[bool] = mapped_column(Boolean, default=False)
    next_run_at: Mapped[datetime]
    """Advanced by compare-and-set: the process that wins starts the run."""
    last_run_at: Mapped[datetime | None]
    last_job_id: Mapped[UUID | None]
    last_outcome: Mapped[dict[str, Any] | None]
    """Outcome of the last due run: made, skipped, missed or failed."""
    runs: Mapped[int] = mapped_column(default=0)
    skipped: Mapped[int] = mapped_column(default=0)
    """Due runs that were skipped because the previous one was still in progress."""
    missed: Mapped[int] = mapped_column(default=0)
    """Due runs that were missed because no process was running."""
    created_at: Mapped[datetime]

    __table_args__ = (Index("ix_schedules_due", "next_run_at", **_only_where("NOT paused")),)


class Watch(Base):
    """A bucket or folder whose new and changed objects each become a job."""

    __tablename__ = "watches"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    owner: Mapped[str] = mapped_column(String(100))
    name: Mapped[str] = mapped_column(String(100))
    source: Mapped[str] = mapped_column(String(1000))
    job: Mapped[dict[str, Any]]
    """Body of POST /api/v1/jobs, without a source."""
    every_seconds: Mapped[float]
    settle_seconds: Mapped[float]
    """How long the version of an object must stay the same before its job is created."""
    paused: Mapped[bool] = mapped_column(Boolean, default=False)
    is_requested: Mapped[bool] = mapped_column(Boolean, default=False)
    """Whether a check was requested that has not begun."""
    next_check_at: Mapped[datetime]
    claim_token: Mapped[UUID | None]
    """Token of the process that checks it; only this process may store the outcome."""
    leased_until: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(default=0)
    """Checks in a row that could not be finished."""
    last_checked_at: Mapped[datetime | None]
    last_outcome: Mapped[dict[str, Any] | None]
    jobs: Mapped[int] = mapped_column(default=0)
    """Created jobs."""
    created_at: Mapped[datetime]

    __table_args__ = (
        Index("ix_watches_due", "next_check_at"),
        Index("ix_watches_owner", "owner", "created_at"),
    )


class WatchedObject(Base):
    """One version of an object that a watch has seen."""

    __tablename__ = "watched_objects"

    number: Mapped[int] = mapped_column(Identity(), primary_key=True, autoincrement=True)
    """Cursor of the history."""
    watch_id: Mapped[UUID] = mapped_column(ForeignKey("watches.id", ondelete="CASCADE"))
    uri: Mapped[str] = mapped_column(Text)
    version_key: Mapped[bytes]
    """SHA-256 of the URI and the version."""
    size_bytes: Mapped[int]
    etag: Mapped[str] = mapped_column(String(300))
    status: Mapped[str] = mapped_column(String(10))
    """waiting, queued or failed; `queued` once its job exists."""
    job_id: Mapped[UUID | None]
    error: Mapped[dict[str, Any] | None]
    attempts: Mapped[int] = mapped_column(default=0)
    seen_at: Mapped[datetime]
    """Time when this version was first seen."""
    next_attempt_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    """Time of the last check that saw it while it was waiting."""
    ended_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("status IN ('waiting', 'queued', 'failed')", name="status"),
        UniqueConstraint("watch_id", "version_key"),
        Index("ix_watched_objects_watch_id_number", "watch_id", "number"),
        Index("ix_watched_objects_watch_id_status", "watch_id", "status", "last_seen_at"),
    )


class Webhook(Base):
    """An endpoint of an owner that is notified when jobs end."""

    __tablename__ = "webhooks"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    owner: Mapped[str] = mapped_column(String(100))
    url: Mapped[str] = mapped_column(String(2048))
    events: Mapped[list[str]]
    secret: Mapped[bytes]
    """Secret of the signatures. It is needed in plain, so it cannot be hashed."""
    old_secret: Mapped[bytes | None]
    """The previous secret: messages are signed with both until `old_secret_until`."""
    old_secret_until: Mapped[datetime | None]
    enabled: Mapped[bool] = mapped_column(Boolean)
    disabled_reason: Mapped[str | None] = mapped_column(String(60))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    __table_args__ = (Index("ix_webhooks_owner", "owner", "created_at"),)


class WebhookDelivery(Base):
    """A message for one webhook, stored by the transaction that ends the job. It has no foreign key
    to the job: it is delivered even if the job is deleted.
    """

    __tablename__ = "webhook_deliveries"

    number: Mapped[int] = mapped_column(Identity(), primary_key=True, autoincrement=True)
    """Cursor of the delivery log."""
    id: Mapped[UUID] = mapped_column(unique=True, default=uuid4)
    """Id of the message, the same for every attempt."""
    webhook_id: Mapped[UUID] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    job_id: Mapped[UUID | None]
    event: Mapped[str] = mapped_column(String(60))
    body: Mapped[str] = mapped_column(Text)
    """The exact text that is sent and signed."""
    status: Mapped[str] = mapped_column(String(10))
    """pending, delivered or failed."""
    attempt: Mapped[int] = mapped_column(default=0)
    """Attempts since it was created or replayed."""
    claim_token: Mapped[UUID | None]
    """Token of the sender that is delivering it; only this sender may store the outcome."""
    next_attempt_at: Mapped[datetime]
    """During a delivery: the time when another sender may take it for lost and send it again."""
    attempts: Mapped[list[dict[str, Any]]] = mapped_column(JSON(none_as_null=True))
    """The latest attempts: at, status_code, error, duration_ms, and retry_after if the receiver
    sent it.
    """
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("status IN ('pending', 'delivered', 'failed')", name="status"),
        Index("ix_webhook_deliveries_webhook_id", "webhook_id", "number"),
        Index("ix_webhook_deliveries_due", "next_attempt_at", **_only_where("status = 'pending'")),
        Index(
            "ix_webhook_deliveries_done", "finished_at", **_only_where("finished_at IS NOT NULL")
        ),
    )


class Upload(Base):
    """A resumable upload. Its offset is the number of its stored bytes; its outcome is here."""

    __tablename__ = "uploads"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    owner: Mapped[str] = mapped_column(String(100))
    length: Mapped[int | None]
    """Null until the client has declared it."""
    sent_metadata: Mapped[str] = mapped_column(Text)
    """Upload-Metadata as received; it is returned unchanged."""
    submission: Mapped[dict[str, Any]]
    """The job to create for the bytes."""
    is_partial: Mapped[bool] = mapped_column(Boolean)
    """Whether it is a part of a concatenation, and never a file itself."""
    parts: Mapped[list[str] | None]
    """The uploads that this one concatenates."""
    verified_offset: Mapped[int | None]
    """While bytes with a checksum arrive: their first offset. They count only once the checksum
    matches.
    """
    reserved_bytes: Mapped[int] = mapped_column(server_default=text("0"))
    """Bytes that count in OWNER_MAX_BYTES until it becomes a file: its length, or the received
    bytes.
    """
    answer: Mapped[dict[str, Any] | None]
    """The answer of a plain upload of the bytes; set in the transaction that creates file and job.
    """
    problem: Mapped[dict[str, Any] | None]
    """Why it was rejected."""
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]

    __table_args__ = (
        Index("ix_uploads_expires_at", "expires_at"),
        Index("ix_uploads_owner", "owner"),
    )


class IdempotencyKey(Base):
    """The stored answer for a repeated request."""

    __tablename__ = "idempotency_keys"

    owner: Mapped[str] = mapped_column(String(100), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    """Hash of everything that a repeated request must have in common."""
    status_code: Mapped[int]
    body: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]

    __table_args__ = (Index("ix_idempotency_keys_created_at", "created_at"),)


class User(Base):
    """A user. Users are revoked, never deleted, so that a name never stands for another user."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(String(100), primary_key=True)
    """The name: the `owner` of everything that the user has."""
    is_admin: Mapped[bool] = mapped_column(Boolean)
    """Whether the user may manage users and keys. Data of other users stays invisible."""
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    """While set, no key of the user is valid and no schedule runs."""


class UserKey(Base):
    """A key of a user. There may be several, to replace one without a gap."""

    __tablename__ = "user_keys"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    user_id: Mapped[str] = mapped_column(String(100), ForeignKey("users.id", ondelete="CASCADE"))
    label: Mapped[str] = mapped_column(String(100))
    digest: Mapped[bytes]
    """SHA-256 of the key."""
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    """Rounded to the hour."""

    __table_args__ = (
        Index("uq_user_keys_digest", "digest", unique=True),
        Index("ix_user_keys_user_id", "user_id"),
    )


class UserSession(Base):
    """A signed-in browser; the session ends with its key at the latest."""

    __tablename__ = "user_sessions"

    digest: Mapped[bytes] = mapped_column(primary_key=True)
    """SHA-256 of the cookie's value."""
    key_id: Mapped[UUID] = mapped_column(ForeignKey("user_keys.id", ondelete="CASCADE"))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]

    __table_args__ = (
        Index("ix_user_sessions_key_id", "key_id"),
        Index("ix_user_sessions_expires_at", "expires_at"),
    )
