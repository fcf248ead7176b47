"""Response models for the OpenAPI document, and the parts that several of them share.

Handlers build and send their JSON themselves; no model here validates a response at run time. The
tests compare every JSON response that they get with the document.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """A JSON object with exactly these members."""

    # Only the OpenAPI document needs a schema: a start without it is shorter.
    model_config = ConfigDict(extra="forbid", defer_build=True)


def sometimes(description: str) -> Any:
    """Return the default of a member that is omitted when it has no value."""
    return Field(default=None, description=description, json_schema_extra=_without_default)


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


Status = Literal[
    "queued", "processing", "completed", "completed_with_errors", "failed", "cancelled"
]
StatusInFive = Literal["pending", "processing", "completed", "failed", "cancelled"]
"""Status of a job in five words; `completed` also if some rows were rejected."""

FILE_ID = "Id of the file, for its status, results and rejects."
JOB_ID = "Id of the job, for proof, chunks, cancel and retry."
LIMIT, OFFSET = "The requested limit.", "The requested offset."
NEXT_AFTER = "`after` of the next page; null at the end."
NEXT_OFFSET = "`offset` of the next page; null at the end."
CREATED_AT = "Time of creation."


class RowCounts(Answer):
    """Rows of a job by outcome. The four figures add up to all its rows."""

    loaded: int = Field(description="Rows in the results.")
    rejected: int = Field(description="Rows in the rejects, each with its reason.")
    failed: int = Field(
        description="Rows of failed chunks; POST /api/v1/jobs/{job_id}/retry runs them again."
    )
    not_processed: int = Field(
        description="Rows of chunks that are not done yet or were cancelled."
    )


class JobError(Answer):
    """Reason of a failure."""

    code: str = Field(description="Stable code of the error.")
    message: str = Field(description="What happened, in one sentence.")


class UndoState(Answer):
    """Progress of the undo of a job."""

    state: Literal["undoing", "undone"] = Field(
        description="`undoing` while rows are being removed."
    )
    removed: int = sometimes("Rows removed because only this job had written them.")
    restored: int = sometimes("Rows restored to what an earlier job had written.")
    left: int = sometimes("Rows of a table that stay, because others have changed or need them.")
    left_rows: list[dict[str, Any]] = sometimes("The first 20 of these, each with the reason.")
    undone_at: datetime | None = Field(description="Time when the undo ended; null before.")


class SkippedLines(Answer):
    """Lines above the table that are not rows."""

    lines: Annotated[list[int], Field(min_length=2, max_length=2)] = Field(
        description="The first and the last line."
    )
    why: str = Field(
        description=(
            "`delimiter` (`sep=;`), `comment`, `title`, `metadata` or `empty`; below the table"
            " `count`, `note` or `empty`; `ruler` (`---- -----`)."
        )
    )
    text: str = Field(description="Text of the first line.")


class OtherTable(Answer):
    """A further table in the file."""

    line: int = Field(description="Line of its header.")
    columns: list[str] = Field(description="Its names.")


class CsvDialect(Answer):
    """Dialect of a CSV file."""

    kind: Literal["csv"] = Field(description="Kind of dialect.")
    encoding: str = Field(description="Encoding of the text.")
    delimiter: str = Field(description="Character between cells.")
    quote: str = Field(description="Character around cells; empty if there is none.")
    escape: str = Field(
        description=("Character before a quote inside a cell; empty if quotes are doubled.")
    )
    newline: Literal["lf", "crlf", "cr", "any"] = Field(description="Line ending of a row.")
    skip_initial_space: bool = sometimes("Whether spaces before a cell are dropped.")
    skip_rows: int = Field(description="Lines before the header.")
    skipped: list[SkippedLines] = sometimes("Lines that detection skipped, and why.")
    header_rows: int = Field(description="Header rows; 0 if there is no header.")
    header_confidence: float = sometimes(
        "Confidence in `header_rows` from 0 to 1; 1 if you declared it. Below 0.8 the header is"
        " unsure: one row is taken unless the evidence against it is strong."
    )
    blank_lines: int = sometimes(
        "In a file of one column: blank lines that were skipped but may be empty values."
    )
    other_tables: list[OtherTable] = sometimes(
        "Further tables that seem to begin below a blank line. Their rows are read as rows of this"
        " table, or rejected if they have another width."
    )
    skip_footer: int = Field(description="Records at the end that are not rows.")
    columns: list[str] = Field(description="Column names in the order of the file.")
    on_bad_row: Literal["reject", "keep"] = Field(
        description="Treatment of short, long and badly quoted rows."
    )
    data_start: int = Field(description="Byte offset of the first row.")
    data_line: int = Field(description="Line number of the first row.")
    cell_faults: bool = sometimes(
        "Whether the text comes from a spreadsheet and may mark cells that are errors."
    )
    decoded_from: str = sometimes(
        "Encoding in which the text was received; empty if it is `encoding`."
    )


class JsonDialect(Answer):
    """Dialect of a JSON file."""

    kind: Literal["json"] = Field(description="Kind of dialect.")
    root: Literal["array", "members", "object", "objects", "lines", "sequence"] = Field(
        description=(
            "Layout of the records: items of an array, members of an object, one object, "
            "concatenated objects, or lines; `sequence` for corrections."
        )
    )
    newline: Literal["lf", "cr", "any"] = sometimes("Line ending.")
    encoding: str = Field(description="Encoding of the text.")
    columns: list[str] = Field(
        description="Columns that are named before the first record; usually none."
    )
    data_start: int = Field(description="Byte offset of the first record.")
    data_line: int = Field(description="Line number of the first record.")
    data_end: int = Field(description="Byte offset after the last record.")
    skip_footer: int = sometimes("Records at the end that are not rows.")
    records: str = sometimes("Path of the records in the document; empty for the document itself.")
    record_key: str = sometimes("Column for the keys of members.")
    features: bool = sometimes("Whether the records are features of GeoJSON.")
    flatten: int = sometimes("Levels of nested objects that become columns.")


class FixedDialect(Answer):
    """Dialect of a file with columns of fixed width."""

    kind: Literal["fixed"] = Field(description="Kind of dialect.")
    encoding: str = Field(description="Encoding of the text.")
    starts: list[int] = Field(description="Position of the first character of each column, from 0.")
    ends: list[int] = Field(
        description="Character position after each column; 0 if the last one is the rest of the line."
    )
    newline: Literal["lf", "crlf", "cr", "any"] = Field(description="Line ending of a row.")
    skip_rows: int = Field(description="Lines before the header.")
    skipped: list[SkippedLines] = sometimes("Lines that detection skipped, and why.")
    header_rows: int = Field(description="Header rows; 0 if there is no header.")
    header_confidence: float = sometimes("Confidence in `header_rows` from 0 to 1.")
    skip_footer: int = Field(description="Lines at the end that are not rows.")
    columns: list[str] = Field(description="Column names in the order of the file.")
    on_bad_row: Literal["reject", "keep"] = Field(description="Treatment of short lines.")
    data_start: int = Field(description="Byte offset of the first row.")
    data_line: int = Field(description="Line number of the first row.")
    decoded_from: str = sometimes(
        "Encoding in which the text was received; empty if it is `encoding`."
    )


Dialect = Annotated[CsvDialect | JsonDialect | FixedDialect, Field(discriminator="kind")]


class ReportedReject(Answer):
    """A row that is rejected, or would be."""

    row_number: int = Field(description="Its number in the file, from 1.")
    line: int = Field(description="The line where it begins, from 1.")
    column: str | None = Field(
        description="The column that is wrong; null if it is the row as a whole."
    )
    code: str = Field(description="Which mistake.")
    message: str = Field(description="What is wrong, in a sentence.")
    value: str | None = Field(description="The value that is wrong; null if it is not one.")


class CellNote(Answer):
    """Something about some cells of a sheet."""

    what: str = Field(description="What they are.")
    cells: int = Field(description="How many.")
    first: str = Field(description="The first of them, such as `Sheet1!C17`.")


class SkippedMember(Answer):
    """A member of an archive that was not read."""

    name: str = Field(description="Path in the archive.")
    why: str = Field(description="Why it was skipped: a hidden file, a symbolic link, ...")


class Decoding(Answer):
    """What a decoder did with the bytes of a file."""

    decoder: str = Field(
        description=(
            "gzip, zstd, bzip2, xz, lz4, zlib, zip, tar, xlsx, xlsb, xls, ods, parquet, arrow, orc,"
            " text, json or xml."
        )
    )
    records: str = sometimes("Of a JSON or XML document: the path of its records.")
    encoding: str = sometimes("Of `text`: what it was decoded from into UTF-8.")
    confidence: float = sometimes("Of an encoding that was detected: how sure it is, from 0 to 1.")
    sheet: str = sometimes("Of a workbook: the sheet that was read.")
    sheets: int = sometimes("How many sheets the workbook has.")
    hidden_sheets: list[str] = sometimes("The first 20 sheets that are hidden.")
    rows: int = sometimes("Of a Parquet, Arrow or ORC file: the number of its rows.")
    row_groups: int = sometimes("Number of its row groups, batches or stripes.")
    types: dict[str, str] = sometimes("Types of its first 200 columns, as Arrow names them.")
    notes: list[CellNote] = sometimes("Notes about some cells.")
    member: str = sometimes("Path of the file in the archive.")
    files: int = sometimes("Number of files that the archive became.")
    skipped: list[SkippedMember] = sometimes("The first 20 members that were not read.")
    skipped_count: int = sometimes("Number of members that were not read.")


DECODING = (
    "The decoders that the bytes passed before they were stored, in this order; empty if they were"
    " stored as they came."
)


class Message(Answer):
    """Confirmation of an action."""

    message: str = Field(description="What was done.")


class ObjectsAccepted(Answer):
    """An accepted job for objects of a bucket."""

    job_id: UUID = Field(description=JOB_ID)
    file_id: UUID = Field(description=FILE_ID)
    public_id: str = sometimes("Same as `job_id`, for clients that expect this name.")
    status: Status = Field(description="`queued`, or `processing` for a job with parts.")
    source: str = sometimes("The requested object, prefix or pattern; absent if a file was named.")
    processor: str = Field(description="Processor that runs each row.")
    priority: int = Field(description="0-10; higher goes first.")
    objects: int = sometimes("Number of matching objects.")
    size_bytes: int = sometimes("Total size of the objects in bytes.")
    parts: list[UUID] = sometimes("The job of each object, if there are several.")


Shown = dict[str, Any]
"""JSON whose members are defined by the user or by a processor."""


class PartError(Answer):
    """A file of an archive or a sheet of a workbook that cannot be read. The others can."""

    job_id: UUID = Field(description="The failed job of the part.")
    filename: str = Field(description="Name of the upload, `#`, and its name in the upload.")
    code: str = Field(description="Code of the error.")
    detail: str = Field(description="What is wrong, in one sentence.")


class FetchedVersion(Answer):
    """The version of a source that was copied into the storage."""

    uri: str = Field(description="URI, without a query.")
    etag: str | None = Field(
        description="ETag; of a file in a folder, its time and size; null if the source names none."
    )
    size_bytes: int = Field(description="Number of received bytes.")
    modified_at: str | None = Field(
        description="Time of the last change, as the source writes it; null if it does not say."
    )


class Uploaded(Answer):
    """A stored upload and its job."""

    file_id: UUID = Field(description=FILE_ID)
    job_id: UUID = Field(description=JOB_ID)
    number: int = Field(description="Number of the job; later jobs have larger numbers.")
    public_id: str = sometimes("`batch_id` of the batch, for uploads to /batch/upload.")
    status: Status = Field(
        description="`queued`; for a `duplicate`, the current status of the earlier job."
    )
    filename: str = Field(description="Name of the file.")
    sha256: str = Field(description="SHA-256 of the received bytes in hexadecimal.")
    size_bytes: int = Field(description="Number of received bytes, before decompression.")
    format: str = Field(description="csv, json or jsonl; objects for a job with parts.")
    dialect: Dialect = Field(
        description="How the file is read: your options, and detected values for the rest."
    )
    decoding: list[Decoding] = Field(description=DECODING)
    columns: list[str] = Field(
        description="Columns of the results; empty if they are known only once rows are read."
    )
    processor: str = Field(description="Processor that runs each row.")
    priority: int = Field(description="0-10; higher goes first.")
    parts: list[UUID] = sometimes(
        "The job of each file of an archive or sheet of a workbook, if there are several."
    )
    errors: list[PartError] = sometimes("Parts that failed before they could start.")
    duplicate: bool = Field(
        description="Whether this is an earlier upload of the same bytes with the same options."
    )


class ChunksByStatus(Answer):
    """Number of chunks in each status."""

    pending: int = Field(description="Chunks that wait.")
    processing: int = Field(description="Chunks that are running.")
    completed: int = Field(description="Chunks whose rows are stored as results or rejects.")
    failed: int = Field(description="Chunks that failed for good.")
    cancelled: int = Field(description="Chunks that will not run.")


class RowTotals(Answer):
    """Rows cut into chunks so far, by outcome. `counts` has the same in plainer words."""

    total: int = Field(
        description=("Rows cut into chunks; all rows of the file once `split_complete` is true.")
    )
    ok: int = Field(description="Rows in the results.")
    invalid: int = Field(description="Rows that are invalid.")
    failed: int = Field(
        description="Rows that could not be processed, including those of failed chunks."
    )
    unprocessed: int = Field(description="Rows of chunks that are not done yet or were cancelled.")


class ByteTotals(Answer):
    """Sizes of the rows of a file in bytes."""

    total: int = Field(description="Bytes of all rows.")
    processed: int = Field(description="Bytes of completed chunks.")


class CorrectionTotals(Answer):
    """Corrections of a file so far."""

    accepted: int = Field(description="Number of accepted corrections.")
    rows: int = Field(description="Rejects that a correction turned into results.")


class PartsByStatus(Answer):
    """Number of parts of a job in each status."""

    total: int = Field(description="All parts.")
    queued: int = Field(description="Parts that wait.")
    processing: int = Field(description="Parts that are running.")
    completed: int = Field(description="Parts whose rows are all results.")
    completed_with_errors: int = Field(description="Parts that completed with rejects.")
    failed: int = Field(description="Parts that failed.")
    cancelled: int = Field(description="Parts that were cancelled.")


class FailedChunk(Answer):
    """A chunk that failed for good."""

    chunk_index: int = Field(description="Index of the chunk, from 0.")
    first_row: int = Field(description="Number of its first row.")
    row_count: int = Field(description="Its rows.")
    attempt: int = Field(description="Number of attempts.")
    error: JobError | None = Field(description="Reason of the failure.")


class FailedPart(Answer):
    """A part that has an error."""

    job_id: UUID = Field(description="Id of the part's job.")
    filename: str = Field(description="Name of its file or object.")
    error: JobError = Field(description="Reason of the failure.")


class FileStatus(Answer):
    """Progress of a file: chunks, rows, bytes, speed, and the time left."""

    file_id: UUID = Field(description=FILE_ID)
    job_id: UUID = Field(description=JOB_ID)
    number: int = Field(description="Number of the job; later jobs have larger numbers.")
    user_id: str = Field(description="Owner of the job.")
    status: Status = Field(description="`completed_with_errors` if some rows are rejects.")
    waiting_on: str | None = Field(
        description=(
            "What the job waits for, such as a model service, or a table with the session that "
            "locks it; null if it does not wait."
        )
    )
    waiting_since: datetime | None = Field(
        description="Time since when it waits; null if it does not wait."
    )
    parent_id: UUID | None = Field(description="The job that this one is a part of; null if none.")
    total_chunks: int = Field(description="Chunks so far; final once `split_complete` is true.")
    processed_chunks: int = Field(description="Chunks that are completed.")
    failed_chunks: int = Field(description="Chunks that failed for good.")
    progress_percent: float = Field(
        description=(
            "Progress by bytes, 0 to 100 in tenths; 100 only if the job has ended and was not "
            "cancelled."
        )
    )
    chunks: ChunksByStatus = Field(description="Chunks by status.")
    split_complete: bool = Field(description="Whether the whole file has been cut into chunks.")
    rows: RowTotals = Field(description="Rows by outcome.")
    counts: RowCounts = Field(description="The same in four figures that add up to all rows.")
    bytes: ByteTotals = Field(description="Bytes of the rows, decompressed.")
    rows_per_second: float = Field(
        description=(
            "Results and rejects per second since the start; 0 while there is too little data."
        )
    )
    eta_seconds: float | None = Field(
        description=(
            "Seconds left; null while too little is known, while the job waits, and at the end."
        )
    )
    corrections: CorrectionTotals = Field(description="Corrections of the rejects of this job.")
    priority: int = Field(description="0-10; higher goes first.")
    labels: list[str] = Field(description="Its labels, in the order of the alphabet.")
    processor: str = Field(description="Processor that runs each row.")
    filename: str = Field(description="Name of the file, or URI of the object.")
    format: str = Field(
        description="csv, json, jsonl, parquet, arrow or xlsx; objects or batch for a job with parts."
    )
    dialect: Dialect = Field(description="How the file is read.")
    decoding: list[Decoding] = Field(description=DECODING)
    fetched: FetchedVersion | None = Field(
        description="Which version of its source was copied; null for other files."
    )
    columns: list[str] = Field(description="Columns of the results.")
    size_bytes: int = Field(description="Number of received bytes, before decompression.")
    sha256: str | None = Field(
        description="SHA-256 of the received bytes; null for objects of a bucket and for jobs with parts."
    )
    etag: str | None = Field(
        description="ETag of the object in its bucket; null if there is no object."
    )
    summary: Shown | None = Field(
        description="Result of the processor over all rows; null before the end, or if it has none."
    )
    undo: UndoState | None = Field(
        description="Progress of the undo; null if the job was not undone."
    )
    undo_state: Literal["none", "undoing", "undone"] = Field(
        description="`undoing` while rows are being removed; `undone` once the last one is."
    )
    rows_removed_at: datetime | None = Field(
        description="Time when retention removed the results; null if they are kept."
    )
    rejects_removed_at: datetime | None = Field(
        description="Time when retention removed the rejects; null if they are kept."
    )
    error: JobError | None = Field(description="Why the job failed; null if it did not fail.")
    errors: list[FailedChunk | FailedPart] = Field(
        description=(
            "The first 20 failed chunks, or the first 20 parts with an error for a job with parts."
        )
    )
    parts: PartsByStatus = sometimes("Number of parts by status, for a job with parts.")
    created_at: datetime = Field(description="Time when the job was accepted.")
    started_at: datetime | None = Field(
        description="Time when the first chunk started; null before."
    )
    finished_at: datetime | None = Field(description="Time when the job ended; null before.")
    updated_at: datetime = Field(description="Time of the last change.")
