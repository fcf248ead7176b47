"""The models of answers, for the OpenAPI document, and the pieces that several of them are made of.

An answer itself is made by the code behind the route and sent as it is: nothing here is run for a
request. The tests hold every JSON answer that they get against the document.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """A JSON object with these members and no others."""

    model_config = ConfigDict(extra="forbid")


def sometimes(description: str) -> Any:
    """The default of a member that is left out where there is nothing to say."""
    return Field(default=None, description=description, json_schema_extra=_without_default)


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


Status = Literal[
    "queued", "processing", "completed", "completed_with_errors", "failed", "cancelled"
]
StatusInFive = Literal["pending", "processing", "completed", "failed", "cancelled"]
"""`completed` also where some rows were rejected."""

FILE_ID = "Of the file: its status, results and rejects are under this id."
JOB_ID = "Of the job: proof, chunks, cancel and retry are under this id."
LIMIT, OFFSET = "As it was asked for.", "As it was asked for."
NEXT_AFTER = "`after` of the next page; null at the end."
NEXT_OFFSET = "`offset` of the next page; null at the end."
CREATED_AT = "When it was made."


class RowCounts(Answer):
    """What became of the rows of a job. The four add up to its rows."""

    loaded: int = Field(description="Rows in the results.")
    rejected: int = Field(description="Rows in the rejects, each with its reason.")
    failed: int = Field(
        description="Rows of chunks that failed; POST /api/v1/jobs/{job_id}/retry runs them again."
    )
    not_processed: int = Field(
        description="Rows of chunks that are not done yet, or were cancelled."
    )


class JobError(Answer):
    """Why something failed."""

    code: str = Field(description="Which error; it never changes.")
    message: str = Field(description="What happened, in a sentence.")


class UndoState(Answer):
    """How far the undo of a job is."""

    state: Literal["undoing", "undone"] = Field(description="`undoing` while rows are taken back.")
    removed: int = sometimes("Rows that were there because of the job alone.")
    restored: int = sometimes("Rows that are again what an earlier job had written.")
    undone_at: datetime | None = Field(description="When it was done; null before.")


class SkippedLines(Answer):
    """Lines above the table that are no rows."""

    lines: Annotated[list[int], Field(min_length=2, max_length=2)] = Field(
        description="The first and the last line."
    )
    why: str = Field(
        description="`delimiter` (`sep=;`), `comment`, `title`, `metadata` or `empty`."
    )
    text: str = Field(description="The first of the lines.")


class CsvDialect(Answer):
    """How a CSV file is read."""

    kind: Literal["csv"] = Field(description="Which dialect this is.")
    encoding: str = Field(description="The encoding of the text.")
    delimiter: str = Field(description="The character between cells.")
    quote: str = Field(description="The character around cells; empty if there is none.")
    escape: str = Field(
        description=(
            "The character before a quote that is part of a cell; empty if quotes are doubled."
        )
    )
    newline: Literal["lf", "crlf", "cr", "any"] = Field(description="What ends a row.")
    skip_initial_space: bool = sometimes("Spaces before a cell are no part of it.")
    skip_rows: int = Field(description="Lines before the header.")
    skipped: list[SkippedLines] = sometimes(
        "Lines that were skipped although nobody had named them, and why."
    )
    header_rows: int = Field(description="Rows of the header; 0 if there is none.")
    blank_lines: int = sometimes(
        "Of a file of one column: lines that are no rows, and could be meant as empty values."
    )
    skip_footer: int = Field(description="Records at the end that are no rows.")
    columns: list[str] = Field(description="Names of the columns, in the order of the file.")
    on_bad_row: Literal["reject", "keep"] = Field(
        description="What is done with short, long and badly quoted rows."
    )
    data_start: int = Field(description="Offset of the first byte of the first row.")
    data_line: int = Field(description="Number of the line where the first row begins.")


class JsonDialect(Answer):
    """How a JSON file is read."""

    kind: Literal["json"] = Field(description="Which dialect this is.")
    root: Literal["array", "object", "objects", "lines", "sequence"] = Field(
        description=(
            "What the file is: an array, one object, objects one after the other, or lines;"
            " `sequence` of corrections."
        )
    )
    newline: Literal["lf", "cr", "any"] = sometimes("What ends a line.")
    encoding: str = Field(description="The encoding of the text.")
    columns: list[str] = Field(
        description="Columns that are named before the first record; mostly none."
    )
    data_start: int = Field(description="Offset of the first byte of the first record.")
    data_line: int = Field(description="Number of the line where the first record begins.")
    data_end: int = Field(description="Offset behind the last byte of the records.")
    skip_footer: int = sometimes("Records at the end that are no rows.")


Dialect = Annotated[CsvDialect | JsonDialect, Field(discriminator="kind")]


class Message(Answer):
    """That it was done."""

    message: str = Field(description="What was done.")


class ObjectsAccepted(Answer):
    """A job for objects of a bucket."""

    job_id: UUID = Field(description=JOB_ID)
    file_id: UUID = Field(description=FILE_ID)
    public_id: str = sometimes("Another name of the job, for interfaces that have such.")
    status: Status = Field(description="`queued`; `processing` of a job with parts.")
    source: str = sometimes(
        "The object, prefix or pattern that was asked for; absent where a file was named."
    )
    processor: str = Field(description="What is done with each row.")
    priority: int = Field(description="0-10; higher goes first.")
    objects: int = sometimes("Objects that were found.")
    size_bytes: int = sometimes("Bytes of all objects.")
    parts: list[UUID] = sometimes("The job of each object, if there are several.")


Shown = dict[str, Any]
"""JSON whose members the user has chosen, or a processor."""


class Uploaded(Answer):
    """An upload that is stored for good, and its job."""

    file_id: UUID = Field(description=FILE_ID)
    job_id: UUID = Field(description=JOB_ID)
    number: int = Field(description="Of the job: later ones have larger numbers.")
    public_id: str = sometimes("Of a batch of /batch/upload: its `batch_id`.")
    status: Status = Field(
        description="`queued`; of an earlier upload (`duplicate`), that of its job now."
    )
    filename: str = Field(description="The name of the file.")
    sha256: str = Field(description="Of the bytes that came, in hexadecimal.")
    size_bytes: int = Field(description="Bytes that came: compressed, if they came so.")
    format: str = Field(description="csv, json or jsonl.")
    dialect: Dialect = Field(
        description="How the file is read: as you said, the rest as it was detected."
    )
    columns: list[str] = Field(
        description="Columns of the results; empty where they show only when the rows are read."
    )
    processor: str = Field(description="What is done with each row.")
    priority: int = Field(description="0-10; higher goes first.")
    duplicate: bool = Field(
        description="Whether this is an earlier upload of the same bytes with the same options."
    )


class ChunksByStatus(Answer):
    """How many chunks have each status."""

    pending: int = Field(description="Chunks that wait.")
    processing: int = Field(description="Chunks at work.")
    completed: int = Field(description="Chunks whose rows are results or rejects.")
    failed: int = Field(description="Chunks that were given up.")
    cancelled: int = Field(description="Chunks that will not be run.")


class RowTotals(Answer):
    """Rows that are cut into chunks so far, by what became of them. `counts` says the same in
    plainer words.
    """

    total: int = Field(
        description=(
            "Rows that are cut into chunks; those of the file once `split_complete` is true."
        )
    )
    ok: int = Field(description="Rows in the results.")
    invalid: int = Field(description="Rows that are wrong themselves.")
    failed: int = Field(
        description="Rows that could not be processed, those of failed chunks included."
    )
    unprocessed: int = Field(description="Rows of chunks that are not done yet, or were cancelled.")


class ByteTotals(Answer):
    """Bytes of the rows of a file."""

    total: int = Field(description="Bytes of all rows.")
    processed: int = Field(description="Bytes of chunks that are done.")


class CorrectionTotals(Answer):
    """Corrections of the file so far."""

    accepted: int = Field(description="Corrections that were taken.")
    rows: int = Field(description="Rejects that became results by them.")


class PartsByStatus(Answer):
    """The parts of a job, by status."""

    total: int = Field(description="All parts.")
    queued: int = Field(description="Parts that wait.")
    processing: int = Field(description="Parts at work.")
    completed: int = Field(description="Parts of which every row is a result.")
    completed_with_errors: int = Field(description="Parts that are done, with rejects.")
    failed: int = Field(description="Parts that failed.")
    cancelled: int = Field(description="Parts that were cancelled.")


class FailedChunk(Answer):
    """A chunk that was given up."""

    chunk_index: int = Field(description="Its place among the chunks, from 0.")
    first_row: int = Field(description="Number of its first row.")
    row_count: int = Field(description="Its rows.")
    attempt: int = Field(description="How often it was tried.")
    error: JobError | None = Field(description="Why it failed.")


class FailedPart(Answer):
    """A part that has an error."""

    job_id: UUID = Field(description="The job of the part.")
    filename: str = Field(description="Its file or object.")
    error: JobError = Field(description="Why it failed.")


class FileStatus(Answer):
    """How far a file is: chunks, rows, bytes, speed, and the time left."""

    file_id: UUID = Field(description=FILE_ID)
    job_id: UUID = Field(description=JOB_ID)
    number: int = Field(description="Of the job: later ones have larger numbers.")
    user_id: str = Field(description="Whose job it is.")
    status: Status = Field(description="`completed_with_errors` if some rows are rejects.")
    waiting_on: str | None = Field(
        description="What the job waits for, such as a model service; null if nothing."
    )
    parent_id: UUID | None = Field(description="The job that this is a part of; null if of none.")
    total_chunks: int = Field(description="Chunks so far; final once `split_complete` is true.")
    processed_chunks: int = Field(description="Chunks that are completed.")
    failed_chunks: int = Field(description="Chunks that were given up.")
    progress_percent: float = Field(
        description=(
            "By bytes, 0 to 100 in tenths; 100 only when the job has ended and was not cancelled."
        )
    )
    chunks: ChunksByStatus = Field(description="Chunks by status.")
    split_complete: bool = Field(description="Whether the whole file is cut into chunks.")
    rows: RowTotals = Field(description="Rows by what became of them.")
    counts: RowCounts = Field(description="The same in four figures that add up to the rows.")
    bytes: ByteTotals = Field(description="Bytes of the rows, decompressed.")
    rows_per_second: float = Field(
        description=(
            "Rows that became results or rejects, by the seconds since the start; 0 where there is"
            " too little to tell."
        )
    )
    eta_seconds: float | None = Field(
        description=(
            "Seconds that are left; null while too little is known, while the job waits, and at the"
            " end."
        )
    )
    corrections: CorrectionTotals = Field(description="Corrections of the rejects of this job.")
    priority: int = Field(description="0-10; higher goes first.")
    processor: str = Field(description="What is done with each row.")
    filename: str = Field(description="The name of the file, or the URI of the object.")
    format: str = Field(
        description="csv, json, jsonl or parquet; objects or batch of a job with parts."
    )
    dialect: Dialect = Field(description="How the file is read.")
    columns: list[str] = Field(description="Columns of the results.")
    size_bytes: int = Field(description="Bytes that came: compressed, if they came so.")
    sha256: str | None = Field(
        description="Of the bytes that came; null for objects of a bucket and jobs with parts."
    )
    etag: str | None = Field(
        description="Of the object in its bucket; null for what is not in one."
    )
    summary: Shown | None = Field(
        description="What the processor counted over all rows; null before the end, or if nothing."
    )
    undo: UndoState | None = Field(description="How far its undo is; null if it was not undone.")
    error: JobError | None = Field(description="Why the job failed; null if it did not.")
    errors: list[FailedChunk | FailedPart] = Field(
        description=(
            "The first 20 failed chunks; of a job with parts, the first 20 parts with an error."
        )
    )
    parts: PartsByStatus = sometimes("Of a job with parts: how many there are, by status.")
    created_at: datetime = Field(description="When it was accepted.")
    started_at: datetime | None = Field(description="When work began; null before.")
    finished_at: datetime | None = Field(description="When the job ended; null before.")
    updated_at: datetime = Field(description="When anything of it changed last.")
