"""What the routes of jobs take and answer."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.api.answers import (
    CREATED_AT,
    FILE_ID,
    JOB_ID,
    LIMIT,
    Answer,
    JobError,
    RowCounts,
    RowTotals,
    Shown,
    Status,
    StatusInFive,
    UndoState,
    sometimes,
)
from app.features.analysis.schemas import Profile
from app.features.batch_jobs.schemas import BatchOutcome
from app.features.mapping.schemas import ColumnMapping
from app.features.transform.schemas import TransformReport

NEXT_BEFORE = "`before` of the next page; null at the end."


class PriorityChange(BaseModel):
    model_config = ConfigDict(extra="forbid")

    priority: Annotated[
        int, Field(ge=0, le=10, strict=True, description="0-10; higher goes first.")
    ]


# ---------------------------------------------------------------------- the list


class EndedRows(Answer):
    """Rows by what became of them."""

    ok: int = Field(description="Rows in the results.")
    invalid: int = Field(description="Rows that are wrong themselves.")
    failed: int = Field(
        description="Rows that could not be processed, those of failed chunks included."
    )


class JobItem(Answer):
    """A job as the list shows it."""

    file_id: UUID = Field(description=FILE_ID)
    job_id: UUID = Field(description=JOB_ID)
    number: int = Field(description="Later jobs have larger numbers.")
    user_id: str = Field(description="Whose job it is.")
    filename: str = Field(description="The name of the file, or the URI of the object.")
    processor: str = Field(description="What is done with each row.")
    status: Status = Field(description="`completed_with_errors` if some rows are rejects.")
    waiting_on: str | None = Field(
        description="What the job waits for, such as a model service; null if nothing."
    )
    parent_id: UUID | None = Field(description="The job that this is a part of; null if of none.")
    parts: int | None = Field(description="How many parts it has; null if it has rows of its own.")
    priority: int = Field(description="0-10; higher goes first.")
    progress_percent: float = Field(description="By bytes, 0 to 100 in tenths.")
    rows: EndedRows = Field(description="Rows so far.")
    counts: RowCounts = Field(
        description="Rows so far in four figures that add up to those that are cut into chunks."
    )
    split_complete: bool = Field(description="Whether the whole file is cut into chunks.")
    rows_per_second: float = Field(
        description="Since the start; 0 where there is too little to tell."
    )
    eta_seconds: float | None = Field(
        description="Seconds that are left; null while too little is known, and at the end."
    )
    total_chunks: int = Field(description="Chunks so far.")
    size_bytes: int = Field(description="Bytes that came.")
    error: JobError | None = Field(description="Why the job failed; null if it did not.")
    created_at: datetime = Field(description="When it was accepted.")
    finished_at: datetime | None = Field(description="When it ended; null before.")


class JobPage(Answer):
    """Jobs, newest first."""

    items: list[JobItem] = Field(description="At most `limit`.")
    limit: int = Field(description=LIMIT)
    next_before: int | None = Field(description=NEXT_BEFORE)


# ---------------------------------------------------------------------- the chunk map


class Chunk(Answer):
    """A piece of a file that is run as a whole."""

    chunk_index: int = Field(description="Its place among the chunks, from 0.")
    status: Literal["pending", "processing", "completed", "failed", "cancelled"] = Field(
        description="How far it is."
    )
    byte_start: int = Field(description="Offset of its first byte in the stored file.")
    byte_end: int = Field(description="Offset behind its last byte.")
    first_row: int = Field(description="Number of its first row.")
    row_count: int = Field(description="Its rows.")
    first_line: int = Field(description="Number of its first line.")
    attempt: int = Field(description="How often it was tried.")
    deaths: int = Field(description="How many processes have ended while they ran it.")
    rows_ok: int = Field(description="Its rows in the results.")
    rows_invalid: int = Field(description="Its rows that are wrong themselves.")
    rows_failed: int = Field(description="Its rows that could not be processed.")
    claimed_by: str | None = Field(
        description="The process that runs it or ran it last; null if none has."
    )
    error: JobError | None = Field(description="Why the last attempt failed; null if it did not.")
    timings: dict[str, float] | None = Field(
        description="Seconds of each step; null before it is done."
    )
    available_at: datetime | None = Field(
        description="Not tried again before; null if it is not held back."
    )
    finished_at: datetime | None = Field(description="When it ended; null before.")


class ChunkPage(Answer):
    """Chunks in the order of the file."""

    job_id: UUID = Field(description=JOB_ID)
    items: list[Chunk] = Field(description="At most `limit`.")
    next_after: int | None = Field(description="`after` of the next page; null at the end.")


# ---------------------------------------------------------------------- the proof


class StoredCounts(Answer):
    """What the tables hold."""

    results: int = Field(description="Rows of the results.")
    rejects: int = Field(description="Rows of the rejects.")
    invalid: int = sometimes("Rejects that are wrong themselves.")
    failed: int = sometimes("Rejects that could not be processed.")


class HashSums(Answer):
    """Sums of the hashes of all results, which do not depend on their order."""

    algorithm: str = Field(description="How the hashes are made.")
    read: str = Field(description="Of the rows as they were when they were read, in hexadecimal.")
    stored: str = Field(description="Of the rows as the tables hold them now.")


class Proof(Answer):
    """Whether the tables hold each row of a file once and unchanged."""

    job_id: UUID = Field(description=JOB_ID)
    file_id: UUID = Field(description=FILE_ID)
    status: Status = Field(description="Of the job.")
    verdict: Literal["closes", "broken"] = Field(description="`broken` if there is any problem.")
    closes: bool = Field(description="Whether counts and hashes agree.")
    is_final: bool = Field(
        description="Whether the job has ended; before, what is done so far is looked at."
    )
    rows: RowTotals = Field(description="Rows by what became of them.")
    counts: RowCounts = Field(description="The same in four figures that add up to the rows.")
    stored: StoredCounts = Field(description="What the tables hold.")
    chunks: int = Field(description="How many chunks were looked at.")
    hash: HashSums = Field(description="Hash sums that must agree.")
    sha256: str | None = Field(
        description="Of the bytes that came; null for objects of a bucket and jobs with parts."
    )
    parts: int = sometimes("Of a job with parts: how many were looked at.")
    problems: list[str] = Field(description="The first 20 things that do not agree.")
    problem_count: int = Field(description="How many there are.")


# ---------------------------------------------------------------------- control


class Cancelled(Answer):
    """A job that was cancelled."""

    message: str = Field(description="That it was done.")
    job_id: UUID = Field(description=JOB_ID)
    status: Status = Field(description="`cancelled`.")


class Retried(Answer):
    """A job whose failed chunks run again."""

    message: str = Field(description="How many run again.")
    job_id: UUID = Field(description=JOB_ID)
    chunks: int = Field(description="Chunks that run again.")


class Reprioritised(Answer):
    """A job with a new priority."""

    job_id: UUID = Field(description=JOB_ID)
    priority: int = Field(description="The new one.")
    status: Status = Field(description="Of the job.")


# ---------------------------------------------------------------------- status and result


class Stage(Answer):
    """A stage of a job."""

    name: str = Field(description="What it is called.")
    begins_at: int = Field(description="The percent at which it begins.")


class BatchChild(Answer):
    """A file of a batch."""

    file_id: UUID = Field(description="The file.")
    job_id: UUID = Field(description="Its job.")
    filename: str = Field(description="Its name.")
    status: StatusInFive = Field(description="Of its job.")
    progress: int = Field(description="Whole percents.")
    stage: str = Field(description="The stage of its job.")
    error_message: str | None = Field(description="Why its job failed; null if it did not.")
    cached: bool = sometimes("True if its job is an earlier one.")


class JobState(Answer):
    """How far a job is, in five statuses and whole percents."""

    id: UUID = Field(description=JOB_ID)
    user_id: str = Field(description="Whose job it is.")
    job_type: str = Field(
        description="analyze, mapping, transform, batch, or the name of a processor."
    )
    status: StatusInFive = Field(description="`completed` also where some rows were rejected.")
    progress: int = Field(
        ge=0, le=100, description="By the bytes that were split and worked on; 100 only at the end."
    )
    stage: str = Field(description="The last stage that has begun.")
    stages: list[Stage] = Field(description="Each stage and the percent at which it begins.")
    is_active: bool = Field(description="Whether the job has not ended.")
    input_file_id: UUID = Field(description="The file that it reads.")
    reference_file_id: UUID | None = Field(
        description="Of a mapping: the file with the columns that are wanted."
    )
    template_id: UUID | None = Field(description="Of a transform by a template: which.")
    result_file_id: UUID | None = Field(
        description="Of a transform: the file that it made, once it is there."
    )
    children: list[BatchChild] | None = Field(
        description="Of a batch: each file's job, status and progress."
    )
    waiting_on: str | None = Field(
        description="What the job waits for, such as a model service; null if nothing."
    )
    counts: RowCounts = Field(description="What became of the rows so far.")
    undo: UndoState | None = Field(description="How far its undo is; null if it was not undone.")
    error_message: str | None = Field(description="Why the job failed; null if it did not.")
    created_at: datetime = Field(description=CREATED_AT)
    updated_at: datetime = Field(description="When anything of it changed last.")


class _Result(Answer):
    job_id: UUID = Field(description=JOB_ID)
    status: StatusInFive = Field(description="Of the job.")


class AnalysisResult(_Result):
    """What an analysis found out."""

    job_type: Literal["analyze"] = Field(description="Which kind of job it is.")
    result: Profile = Field(description="What is in the file.")


class MappingResult(_Result):
    """What a mapping proposes."""

    job_type: Literal["mapping"] = Field(description="Which kind of job it is.")
    result: ColumnMapping = Field(description="Which column is which.")


class TransformResult(_Result):
    """What a transform did."""

    job_type: Literal["transform"] = Field(description="Which kind of job it is.")
    result: TransformReport = Field(description="Its report.")


class BatchResult(_Result):
    """What became of a batch."""

    job_type: Literal["batch"] = Field(description="Which kind of job it is.")
    result: BatchOutcome = Field(description="What became of each file.")


OTHER_TYPES: dict[str, Any] = {"not": {"enum": ["analyze", "mapping", "transform", "batch"]}}


class ProcessorResult(_Result):
    """What a processor of yours found out."""

    job_type: str = Field(description="The name of the processor.", json_schema_extra=OTHER_TYPES)
    result: Shown = Field(description="What the processor says.")


AnyResult = AnalysisResult | MappingResult | TransformResult | BatchResult | ProcessorResult


class JobChanges(Answer):
    """The data of an event `jobs`."""

    items: list[JobItem] = Field(
        description="Jobs that have changed; of the first event, all that are active."
    )
    removed: list[UUID] = Field(description="Jobs that are gone.")
