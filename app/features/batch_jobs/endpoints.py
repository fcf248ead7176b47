"""POST /api/v1/jobs/batch: the same job for many files."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.errors import problem_responses
from app.api.parameters import Priority, checked_query
from app.api.queued import Fresh
from app.api.services import App, Owner, check_open
from app.features.batch_jobs.schemas import BatchQueued
from app.features.batch_jobs.service import MAX_FILES, BatchJobs, BatchSubmission

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"], dependencies=[Depends(checked_query)])


class BatchRequest(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "file_ids": ["0b0e7c9c-2d0a-4b6b-9d6e-4c1f0c1d7a11"],
                    "job_type": "analyze",
                    "options": {},
                }
            ]
        },
    )

    file_ids: list[UUID] = Field(min_length=1, max_length=MAX_FILES, description="Of uploads.")
    job_type: str = Field(max_length=100, description="A type from GET /api/v1/job-types.")
    options: dict[str, Any] = Field(default={}, description="Options of the job type.")
    priority: Priority = 0


@router.post(
    "/batch",
    status_code=202,
    response_model=BatchQueued,
    responses=problem_responses(400, 404, 409, 422, 503),
)
async def create_batch_job(
    body: BatchRequest, app: App, owner: Owner, fresh: Fresh = False
) -> Response:
    """Run the same job over many files: a parent job with a part for each file. A bad file fails
    only its own part. Status and result of the parent list the parts; cancelling it cancels them.
    """
    check_open(app)
    submission = BatchSubmission(
        owner, body.file_ids, body.job_type, body.options, body.priority, fresh
    )
    batch = await app.of(BatchJobs).submit(submission)
    return JSONResponse(batch, 202, {"Location": f"/api/v1/jobs/{batch['job_id']}/status"})
