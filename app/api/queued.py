"""The answer to a request that starts a job over uploaded files."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Query
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from app.api.answers import JOB_ID, Answer, sometimes
from app.api.parameters import Flag
from app.jobs.file_jobs import SubmittedJob

Fresh = Annotated[
    Flag, Query(description="Run again even if the same job ran on the same bytes before.")
]


class Queued(Answer):
    """An accepted job."""

    job_id: UUID = Field(description=JOB_ID)
    status: Literal["pending", "completed"] = Field(
        description="`pending`, or `completed` if an earlier job already has the result."
    )
    message: str = Field(description="What was done.")
    cached: bool = sometimes("Whether this is an earlier job that already has the result.")


def accepted(job: SubmittedJob, message: str, *, replayed: bool = False) -> Response:
    """Return the answer for a new job; `replayed` if the same request was answered before."""
    job_id = str(job.job_id)
    body: dict[str, Any] = {"job_id": job_id, "status": "pending", "message": message}
    if job.is_cached:
        body = {
            "job_id": job_id,
            "status": "completed",
            "message": "This job was already run",
            "cached": True,
        }
    headers = {"Location": f"/api/v1/jobs/{job_id}/status"}
    if replayed:
        headers["Idempotency-Replayed"] = "true"
    return JSONResponse(body, 202, headers)
