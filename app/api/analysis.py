"""/api/v1/jobs/analyze and mapping: jobs over files that were uploaded, with their statuses and results."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.answers import RowCounts
from app.api.errors import problem_responses
from app.api.parameters import Flag, JobId, Priority, single_values
from app.api.services import App, Owner
from app.errors import Unavailable
from app.jobs import stages
from app.jobs.batch_jobs import MAX_FILES, BatchSubmission
from app.jobs.file_jobs import Made

Fresh = Annotated[Flag, Query(description="Run anew even if the same was asked of the same bytes before.")]
router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"], dependencies=[Depends(single_values)])


class AnalyzeRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    file_id: UUID = Field(description="Of an upload.")
    priority: Priority = 0


class MappingRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    input_file_id: UUID = Field(description="Of the upload in somebody else's shape.")
    reference_file_id: UUID = Field(description="Of an upload with the columns that are wanted; some rows help.")
    provider: Literal["local", "openai"] = Field(
        default="local",
        description="`openai` asks the endpoint of the settings, and falls back to `local` with a note if that fails.",
    )
    priority: Priority = 0


class Queued(BaseModel):
    """A job that was accepted."""

    job_id: UUID
    status: str = "pending"
    message: str
    cached: bool = Field(default=False, description="The job is an earlier one: its result is there.")


class JobState(BaseModel):
    """How far a job is, in the words of this door."""

    id: UUID
    user_id: str
    job_type: str
    status: str = Field(description="pending, processing, completed, failed or cancelled.")
    progress: int = Field(ge=0, le=100)
    stage: str
    stages: list[dict[str, Any]] = Field(description="Each stage and the percent at which it begins.")
    is_active: bool
    input_file_id: UUID
    reference_file_id: UUID | None
    template_id: UUID | None
    result_file_id: UUID | None
    children: list[dict[str, Any]] | None = Field(description="Of a batch: each file's job, status and progress.")
    waiting_on: str | None
    counts: RowCounts
    undo: dict[str, Any] | None = Field(description="state, removed, restored and undone_at, if the job was undone.")
    error_message: str | None
    created_at: str
    updated_at: str


def accepted(made: Made, message: str) -> Response:
    job_id = str(made.job_id)
    body: dict[str, Any] = {"job_id": job_id, "status": "pending", "message": message}
    if made.is_cached:
        body = {"job_id": job_id, "status": "completed", "message": "This was done before", "cached": True}
    return JSONResponse(body, 202, {"Location": f"/api/v1/jobs/{job_id}/status"})


def check_open(app: App) -> None:
    if app.machine.is_draining:
        raise Unavailable("The service is shutting down.", headers={"Retry-After": "10"})


@router.post("/analyze", status_code=202, response_model=Queued, responses=problem_responses(400, 404, 409, 422, 503))
async def analyze(body: AnalyzeRequest, app: App, owner: Owner, fresh: Fresh = False) -> Response:
    """Find out what is in a file: one pass over all of it. The result has the type, counts, distinct values, quantiles,
    frequent values and personal data of each column."""
    check_open(app)
    made = await app.file_jobs.submit(owner, body.file_id, "profile", priority=body.priority, fresh=fresh)
    return accepted(made, "Analysis job created and queued")


@router.post("/mapping", status_code=202, response_model=Queued, responses=problem_responses(400, 404, 409, 422, 503))
async def mapping(body: MappingRequest, app: App, owner: Owner, fresh: Fresh = False) -> Response:
    """Propose which column of a file is which of a reference file, how sure that is, why, and what must be converted.
    What was accepted as a template before is proposed again."""
    check_open(app)
    options = {
        "input_file_id": str(body.input_file_id),
        "reference_file_id": str(body.reference_file_id),
        "provider": body.provider,
        "accepted": await app.templates.accepted(owner),
    }
    made = await app.file_jobs.submit_parts(
        owner,
        [body.input_file_id, body.reference_file_id],
        "mapping",
        "profile",
        priority=body.priority,
        options=options,
        fresh=fresh,
    )
    return accepted(made, "Mapping job created and queued")


class BatchRequest(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"file_ids": ["0b0e7c9c-2d0a-4b6b-9d6e-4c1f0c1d7a11"], "job_type": "analyze", "options": {}}]
        },
    )

    file_ids: list[UUID] = Field(min_length=1, max_length=MAX_FILES, description="Of uploads.")
    job_type: str = Field(max_length=100, description="analyze, mapping, rows, sentiment or scoring.")
    options: dict[str, Any] = Field(
        default={}, description="Of the job type: `reference_file_id` and `provider` of mapping, `model` of sentiment."
    )
    priority: Priority = 0


class BatchQueued(Queued):
    children: list[dict[str, Any]] = Field(
        description="The part of each file: file_id, job_id, and `cached` if that is an earlier job."
    )


@router.post(
    "/batch", status_code=202, response_model=BatchQueued, responses=problem_responses(400, 404, 409, 422, 503)
)
async def batch(body: BatchRequest, app: App, owner: Owner, fresh: Fresh = False) -> Response:
    """The same job for many files: a parent with a part for each of them. One bad file costs one file. Status and result of
    the parent list the parts; cancelling it cancels them."""
    check_open(app)
    submission = BatchSubmission(owner, body.file_ids, body.job_type, body.options, body.priority, fresh)
    made = await app.batch_jobs.submit(submission)
    return JSONResponse(made, 202, {"Location": f"/api/v1/jobs/{made['job_id']}/status"})


@router.get("/{job_id}/status", response_model=JobState, responses=problem_responses(404))
async def status(job_id: JobId, app: App, owner: Owner) -> dict[str, Any]:
    """Status, progress and stage of any job."""
    return await stages.get_status(app.database, job_id, owner)


@router.get("/{job_id}/result", responses=problem_responses(404, 409))
async def result(job_id: JobId, app: App, owner: Owner) -> dict[str, Any]:
    """What the job found out about its file as a whole: of an analysis the profile, of a mapping the mapping. Rows are
    under /api/v1/results."""
    return await stages.get_result(app.database, job_id, owner)
