"""POST /api/v1/jobs/score: score objects of a bucket in place, or an uploaded file."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from app.api.answers import ObjectsAccepted
from app.api.errors import problem_responses
from app.api.json import encoded
from app.api.services import App, Owner, check_open
from app.features.job_types.requests import Input, NewJob
from app.features.job_types.service import JobStarter

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])


class ScoreRequest(Input):
    """Input of a scoring job: `source` or `file_id`. The dialect of an upload is fixed."""


@router.post(
    "/score",
    status_code=201,
    response_model=ObjectsAccepted,
    responses=problem_responses(400, 404, 409, 413, 415, 422, 503, 507),
)
async def score_transactions(
    request: Request, body: ScoreRequest, app: App, owner: Owner
) -> Response:
    """Start a scoring job over one object or an uploaded file, or with a part for each object of a
    prefix or pattern. Status, cancel, retry, rejects and proof work as for any job.
    """
    check_open(app)
    job = NewJob(type="scoring", **body.model_dump(exclude_unset=True))
    started = await app.of(JobStarter).start(owner, job)
    location = f"/api/v1/jobs/{started.details['job_id']}"
    return encoded(started.details, 201, {"Location": location})
