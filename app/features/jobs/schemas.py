"""Request and response models of jobs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

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
from app.api.parameters import Integer, Labels, Moment, Name
from app.db.jobs import JobFilter
from app.features.analysis.schemas import Profile
from app.features.batch_jobs.schemas import BatchOutcome
from app.features.jobs.bulk import MOST_JOBS, Action, Bulk, Chosen
from app.features.mapping.schemas import ColumnMapping
from app.features.transform.schemas import TransformReport
from app.states import JobStatus

NEXT_BEFORE = "`before` for the jobs that are left; null if none are."
LABELS = "Its labels, in the order of the alphabet."


class JobPatch(BaseModel):
    """What to change of a job."""

    model_config = ConfigDict(extra="forbid")

    priority: Annotated[int, Field(ge=0, le=10, strict=True)] | None = Field(
        default=None, description="0-10; higher goes first."
    )
    labels: Labels | None = Field(default=None, description="They replace those that it has.")

    @model_validator(mode="after")
    def _changes_something(self) -> JobPatch:
        if self.priority is None and self.labels is None:
            raise ValueError("give `priority` or `labels`")
        return self


# ---------------------------------------------------------------------- list


class EndedRows(Answer):
    """Rows by outcome."""

    ok: int = Field(description="Rows in the results.")
    invalid: int = Field(description="Rows that are invalid.")
    failed: int = Field(
        description="Rows that could not be processed, including those of failed chunks."
    )


class JobItem(Answer):
    """A job as shown in the list."""

    file_id: UUID = Field(description=FILE_ID)
    job_id: UUID = Field(description=JOB_ID)
    number: int = Field(description="Number of the job; later jobs have larger numbers.")
    user_id: str = Field(description="Owner of the job.")
    filename: str = Field(description="Name of the file, or URI of the object.")
    processor: str = Field(description="Processor that runs each row.")
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
    helps: int | None = Field(
        description="Number of the job that it corrects, profiles or tries out; null if none."
    )
    helps_as: str | None = Field(
        description="The same in words: `correction of #55`, `profile of #55`, `trial of #55`."
    )
    parts: int | None = Field(description="Number of its parts; null if it has rows of its own.")
    priority: int = Field(description="0-10; higher goes first.")
    labels: list[str] = Field(description=LABELS)
    is_trial: bool = Field(
        description="Whether it was a dry run, which changed nothing; false before its end."
    )
    is_undone: bool = Field(description="Whether its rows were or are being undone.")
    undo_state: Literal["none", "undoing", "undone"] = Field(
        description="`undoing` while rows are being removed; `undone` once the last one is."
    )
    progress_percent: float = Field(description="Progress by bytes, 0 to 100 in tenths.")
    rows: EndedRows = Field(description="Rows so far.")
    counts: RowCounts = Field(
        description="Rows so far in four figures that add up to those cut into chunks."
    )
    split_complete: bool = Field(description="Whether the whole file has been cut into chunks.")
    rows_per_second: float = Field(
        description="Rows per second since the start; 0 while there is too little data."
    )
    eta_seconds: float | None = Field(
        description="Seconds left; null while too little is known, and at the end."
    )
    total_chunks: int = Field(description="Chunks so far.")
    size_bytes: int = Field(description="Number of received bytes.")
    error: JobError | None = Field(description="Why the job failed; null if it did not fail.")
    created_at: datetime = Field(description="Time when it was accepted.")
    finished_at: datetime | None = Field(description="Time when it ended; null before.")
    duration_seconds: float | None = Field(
        description="Seconds from its start to its end; null before."
    )


class JobPage(Answer):
    """A page of jobs."""

    items: list[JobItem] = Field(description="At most `limit`.")
    limit: int = Field(description=LIMIT)
    next_before: int | None = Field(
        description="`before` of the next page; null at the end, and in another order."
    )
    next_cursor: str | None = Field(description="`cursor` of the next page; null at the end.")


class LabelItem(Answer):
    """A label of some jobs."""

    label: str = Field(description="The label.")
    jobs: int = Field(description="Number of jobs that have it.")


class LabelList(Answer):
    """Labels of jobs."""

    items: list[LabelItem] = Field(description="The most frequent ones first, at most 1000.")


# ---------------------------------------------------------------------- many jobs


class JobWhere(BaseModel):
    """Jobs by the filters of GET /api/v1/jobs; without any, all. Parts go with their jobs."""

    model_config = ConfigDict(extra="forbid")

    status: JobStatus | None = None
    processor: Name | None = None
    search: Name | None = Field(default=None, description="Part of the file's name.")
    label: Labels = Field(default=[], description="All of these.")
    since: Moment | None = Field(default=None, description="Accepted then or later.")
    until: Moment | None = Field(default=None, description="Accepted before.")
    rejected_over: float | None = Field(
        default=None, ge=0, lt=100, description="More than this percentage is rejected."
    )
    helpers: StrictBool = Field(
        default=True, description="Also profiles and trials that help other jobs."
    )


class BulkRequest(BaseModel):
    """An action on many jobs: those in `jobs`, or those that match `where`."""

    model_config = ConfigDict(extra="forbid")

    action: Action = Field(
        description=(
            "`delete` removes the file of each job with all its jobs. `label` adds and removes"
            " labels."
        )
    )
    jobs: list[UUID | Annotated[int, Field(ge=1, lt=2**62, strict=True)]] | None = Field(
        default=None, min_length=1, max_length=MOST_JOBS, description="Ids or numbers of jobs."
    )
    where: JobWhere | None = None
    before: Integer | None = Field(
        default=None, ge=1, le=2**62, description="With `where`: `next_before` of the last answer."
    )
    limit: Integer = Field(
        default=100, ge=1, le=MOST_JOBS, description="With `where`: jobs of this request."
    )
    add_labels: Labels = []
    remove_labels: Labels = []
    priority: Annotated[int, Field(ge=0, le=10, strict=True)] | None = Field(
        default=None, description="For `priority`: 0-10; higher goes first."
    )
    dry_run: StrictBool = Field(default=False, description="Count only; change nothing.")

    @model_validator(mode="after")
    def _is_whole(self) -> BulkRequest:
        if (self.jobs is None) == (self.where is None):
            raise ValueError("give either `jobs` or `where`")
        if self.action == "label" and not (self.add_labels or self.remove_labels):
            raise ValueError("give `add_labels` or `remove_labels`")
        if self.action == "priority" and self.priority is None:
            raise ValueError("give `priority`")
        return self

    def bulk(self) -> Bulk:
        return Bulk(self.action, self.add_labels, self.remove_labels, self.priority or 0)

    def chosen(self) -> Chosen:
        if self.where is None:
            return Chosen(self.jobs or ())
        where = self.where
        job_filter = JobFilter(
            self.before,
            where.status,
            where.processor,
            since=where.since,
            until=where.until,
            search=where.search,
            with_parts=False,
            labels=tuple(where.label),
            rejected_over=where.rejected_over,
            with_helpers=None if where.helpers else False,
        )
        return Chosen(job_filter=job_filter, limit=self.limit)


class BulkItem(Answer):
    """What became of one job."""

    job_id: UUID | None = Field(description="Id of the job; null if only a number was given.")
    number: int | None = Field(description="Its number; null if only an id was given.")
    filename: str | None = Field(description="Name of its file; null for an unknown job.")
    outcome: Literal["done", "unchanged", "refused"] = Field(
        description="`unchanged`: it was so already."
    )
    code: str | None = Field(description="Code of the error if it was refused, else null.")
    detail: str | None = Field(description="Why it was refused, else null.")


class BulkOutcome(Answer):
    """Outcome of an action on many jobs."""

    matched: int = Field(description="Number of jobs that were chosen.")
    can: int = Field(
        description=(
            "In a dry run: jobs that the action would change. Else jobs of `items` that were not"
            " refused."
        )
    )
    items: list[BulkItem] = Field(description="The outcome of each; empty in a dry run.")
    next_before: int | None = Field(description=NEXT_BEFORE)


# ---------------------------------------------------------------------- chunk map


class Chunk(Answer):
    """A run of rows that is processed as a unit."""

    chunk_index: int = Field(description="Index of the chunk, from 0.")
    status: Literal["pending", "processing", "completed", "failed", "cancelled"] = Field(
        description="State of the chunk."
    )
    byte_start: int = Field(description="Byte offset of its start in the stored file.")
    byte_end: int = Field(description="Byte offset of its end.")
    first_row: int = Field(description="Number of its first row.")
    row_count: int = Field(description="Its rows.")
    first_line: int = Field(description="Number of its first line.")
    attempt: int = Field(description="Number of attempts.")
    deaths: int = Field(description="Number of processes that died while running it.")
    rows_ok: int = Field(description="Its rows in the results.")
    rows_invalid: int = Field(description="Its rows that are invalid.")
    rows_failed: int = Field(description="Its rows that could not be processed.")
    claimed_by: str | None = Field(
        description="The process that runs it or ran it last; null if none has."
    )
    error: JobError | None = Field(
        description="Why the last attempt failed; null if it did not fail."
    )
    timings: dict[str, float] | None = Field(
        description="Seconds of each phase; null before it is done."
    )
    available_at: datetime | None = Field(
        description="Earliest time of the next attempt; null if it is not delayed."
    )
    finished_at: datetime | None = Field(description="Time when it ended; null before.")


class ChunkPage(Answer):
    """Chunks in the order of the file."""

    job_id: UUID = Field(description=JOB_ID)
    items: list[Chunk] = Field(description="At most `limit`.")
    next_after: int | None = Field(description="`after` of the next page; null at the end.")


# ---------------------------------------------------------------------- proof


class StoredCounts(Answer):
    """Counts and hash sum of the tables."""

    results: int = Field(description="Rows in the results.")
    rejects: int = Field(description="Rows in the rejects.")
    invalid: int = sometimes("Rejects that are invalid.")
    failed: int = sometimes("Rejects that could not be processed.")


class HashSums(Answer):
    """Sums of the hashes of all results, independent of their order."""

    algorithm: str = Field(description="Hash function.")
    read: str = Field(description="Sum over the rows when they were read, in hexadecimal.")
    stored: str = Field(description="Sum over the rows in the tables now.")


class RowsSince(Answer):
    """Rows that a load wrote, as its table has them now."""

    same: int = Field(description="Rows with the values that were read.")
    changed: int = Field(description="Rows that were changed since; this is not an error.")
    removed: int = Field(description="Rows that were removed since.")
    table: Literal["gone", "redefined"] = sometimes(
        "Why the table cannot be compared: it was dropped, or its columns have changed."
    )


class Proof(Answer):
    """Whether the tables hold each row of a file once and unchanged."""

    job_id: UUID = Field(description=JOB_ID)
    file_id: UUID = Field(description=FILE_ID)
    status: Status = Field(description="Id of the job.")
    verdict: Literal["closes", "broken"] = Field(description="`broken` if there is any problem.")
    closes: bool = Field(description="Whether counts and hashes match.")
    is_final: bool = Field(
        description="Whether the job has ended; before, the proof covers what is done so far."
    )
    rows: RowTotals = Field(description="Rows by outcome.")
    counts: RowCounts = Field(description="The same in four figures that add up to all rows.")
    stored: StoredCounts = Field(description="What the tables hold.")
    chunks: int = Field(description="Number of checked chunks.")
    hash: HashSums = Field(description="Hash sums, which must match.")
    sha256: str | None = Field(
        description="SHA-256 of the received bytes; null for objects of a bucket and for jobs with parts."
    )
    table: RowsSince = sometimes("State of the rows that a load with a record wrote.")
    parts: int = sometimes("Number of checked parts, for a job with parts.")
    problems: list[str] = Field(description="The first 20 problems.")
    problem_count: int = Field(description="Number of problems.")


# ---------------------------------------------------------------------- control


class Cancelled(Answer):
    """A cancelled job."""

    message: str = Field(description="Confirmation.")
    job_id: UUID = Field(description=JOB_ID)
    status: Status = Field(description="`cancelled`.")


class Retried(Answer):
    """A job whose failed chunks run again."""

    message: str = Field(description="How many chunks run again, in a sentence.")
    job_id: UUID = Field(description=JOB_ID)
    chunks: int = Field(description="Number of chunks that run again.")


class PatchedJob(Answer):
    """A job after a change."""

    job_id: UUID = Field(description=JOB_ID)
    priority: int = Field(description="Its priority.")
    labels: list[str] = Field(description=LABELS)
    status: Status = Field(description="Status of the job.")


# ---------------------------------------------------------------------- status and result


class Stage(Answer):
    """A stage of a job."""

    name: str = Field(description="Name of the stage.")
    begins_at: int = Field(description="Percent at which it begins.")


class BatchChild(Answer):
    """A file of a batch."""

    file_id: UUID = Field(description="The file.")
    job_id: UUID = Field(description="Its job.")
    filename: str = Field(description="Its name.")
    status: StatusInFive = Field(description="Id of its job.")
    progress: int = Field(description="Whole percents.")
    stage: str = Field(description="Stage of its job.")
    error_message: str | None = Field(description="Why its job failed; null if it did not fail.")
    cached: bool = sometimes("Whether its job is an earlier one.")


class JobState(Answer):
    """Progress of a job, in five statuses and whole percents."""

    id: UUID = Field(description=JOB_ID)
    user_id: str = Field(description="Owner of the job.")
    job_type: str = Field(
        description="analyze, mapping, transform, batch, or the name of a processor."
    )
    status: StatusInFive = Field(description="`completed` also if some rows were rejected.")
    progress: int = Field(
        ge=0,
        le=100,
        description="Progress by the bytes that were split and processed; 100 only at the end.",
    )
    stage: str = Field(description="The current stage.")
    stages: list[Stage] = Field(description="Each stage and the percent at which it begins.")
    is_active: bool = Field(description="Whether the job has not ended.")
    input_file_id: UUID = Field(description="The file that it reads.")
    reference_file_id: UUID | None = Field(
        description="For a mapping: the file with the target columns."
    )
    template_id: UUID | None = Field(description="For a transform by a template: the template.")
    result_file_id: UUID | None = Field(
        description="For a transform: the output file, once it exists."
    )
    children: list[BatchChild] | None = Field(
        description="For a batch: job, status and progress of each file."
    )
    waiting_on: str | None = Field(
        description=(
            "What the job waits for, such as a model service, or a table with the session that "
            "locks it; null if it does not wait."
        )
    )
    waiting_since: datetime | None = Field(
        description="Time since when it waits; null if it does not wait."
    )
    counts: RowCounts = Field(description="Rows so far by outcome.")
    undo: UndoState | None = Field(description="Progress of its undo; null if it was not undone.")
    error_message: str | None = Field(description="Why the job failed; null if it did not fail.")
    created_at: datetime = Field(description=CREATED_AT)
    updated_at: datetime = Field(description="Time of the last change.")


class _Result(Answer):
    job_id: UUID = Field(description=JOB_ID)
    status: StatusInFive = Field(description="Id of the job.")


class AnalysisResult(_Result):
    """The result of an analysis."""

    job_type: Literal["analyze"] = Field(description="Kind of job.")
    result: Profile = Field(description="Profile of the file.")


class MappingResult(_Result):
    """The result of a mapping."""

    job_type: Literal["mapping"] = Field(description="Kind of job.")
    result: ColumnMapping = Field(description="The proposed mapping of columns.")


class TransformResult(_Result):
    """The result of a transform."""

    job_type: Literal["transform"] = Field(description="Kind of job.")
    result: TransformReport = Field(description="Its report.")


class BatchResult(_Result):
    """The result of a batch."""

    job_type: Literal["batch"] = Field(description="Kind of job.")
    result: BatchOutcome = Field(description="Outcome of each file.")


OTHER_TYPES: dict[str, Any] = {"not": {"enum": ["analyze", "mapping", "transform", "batch"]}}


class ProcessorResult(_Result):
    """The result of a custom processor."""

    job_type: str = Field(description="Name of the processor.", json_schema_extra=OTHER_TYPES)
    result: Shown = Field(description="Result of the processor.")


AnyResult = AnalysisResult | MappingResult | TransformResult | BatchResult | ProcessorResult


class JobChanges(Answer):
    """Data of an event `jobs`."""

    items: list[JobItem] = Field(
        description="Jobs that have changed; in the first event, all active ones."
    )
    removed: list[UUID] = Field(description="Jobs that are gone.")
