"""/api/v1/job-types: the types of jobs. POST /api/v1/jobs: start a job of any type."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import Field

from app.api.answers import Answer
from app.api.errors import problem_responses
from app.api.parameters import checked_query
from app.api.queued import Fresh, Queued, accepted
from app.api.receiving import idempotency_key
from app.api.services import App, Owner, check_open
from app.features.job_types.requests import NewJob
from app.features.job_types.service import JobStarter

MESSAGE = "Job created and queued"

router = APIRouter(prefix="/api/v1", tags=["jobs"], dependencies=[Depends(checked_query)])


class JobTypeItem(Answer):
    """A type of job."""

    name: str = Field(
        description="Value for the `type` of POST /api/v1/jobs and the `job_type` of a batch."
    )
    processor: str = Field(description="Processor shown for its jobs.")
    title: str = Field(description="Title for people who choose from a list.")
    is_uploadable: bool = Field(description="Whether an upload may name the processor.")
    takes_source: bool = Field(description="Whether it also reads a `source`; every type does.")
    is_configured: bool = Field(description="Whether all settings that it needs are set.")
    options: dict[str, Any] = Field(description="JSON Schema of its options.")


class JobTypeList(Answer):
    """The types of jobs."""

    items: list[JobTypeItem] = Field(description="By name.")


@router.get("/job-types", response_model=JobTypeList)
async def list_job_types(app: App, owner: Owner) -> JobTypeList:
    """List the types of jobs with their options, sorted by name."""
    return JobTypeList(
        items=[
            JobTypeItem(
                name=job_type.name,
                processor=job_type.processor,
                title=job_type.title,
                is_uploadable=job_type.is_uploadable,
                takes_source=True,
                is_configured=job_type.is_configured,
                options=job_type.options.model_json_schema(),
            )
            for job_type in app.job_types.all
        ]
    )


@router.post(
    "/jobs",
    status_code=202,
    response_model=Queued,
    responses=problem_responses(400, 404, 409, 413, 415, 422, 503, 507),
)
async def create_job(
    request: Request, body: NewJob, app: App, owner: Owner, fresh: Fresh = False
) -> Response:
    """Start a job of any type: over an uploaded file, over a file of a bucket, a web server or a
    folder, or with a part for each file that a prefix or pattern matches. The same request with the
    same Idempotency-Key returns the same job.
    """
    check_open(app)
    starter = app.of(JobStarter)
    key = idempotency_key(request)
    if key is None:
        started = await starter.start(owner, body, fresh=fresh)
        return accepted(started.job, MESSAGE)
    job, is_new = await starter.start_once(owner, body, key, fresh=fresh)
    return accepted(job, MESSAGE, replayed=not is_new)
