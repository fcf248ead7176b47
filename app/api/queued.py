"""The answer to a request that makes a job over files that were uploaded."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Query
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from app.api.answers import JOB_ID, Answer, sometimes
from app.api.parameters import Flag
from app.jobs.file_jobs import Made

Fresh = Annotated[
    Flag, Query(description="Run anew even if the same was asked of the same bytes before.")
]


class Queued(Answer):
    """A job that was accepted."""

    job_id: UUID = Field(description=JOB_ID)
    status: Literal["pending", "completed"] = Field(
        description="`completed` of an earlier job: its result is there."
    )
    message: str = Field(description="What was done.")
    cached: bool = sometimes("True if the job is an earlier one: its result is there.")


def accepted(made: Made, message: str, *, replayed: bool = False) -> Response:
    """`replayed`: the answer to the same request that came before."""
    job_id = str(made.job_id)
    body: dict[str, Any] = {"job_id": job_id, "status": "pending", "message": message}
    if made.is_cached:
        body = {
            "job_id": job_id,
            "status": "completed",
            "message": "This was done before",
            "cached": True,
        }
    headers = {"Location": f"/api/v1/jobs/{job_id}/status"}
    if replayed:
        headers["Idempotency-Replayed"] = "true"
    return JSONResponse(body, 202, headers)
