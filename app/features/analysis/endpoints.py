"""POST /api/v1/jobs/analyze: profiles of the columns of a file."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from app.api.errors import problem_responses
from app.api.parameters import checked_query
from app.api.queued import Fresh, Queued, accepted
from app.api.services import App, Owner, check_open
from app.features.analysis.schemas import AnalyzeRequest
from app.features.job_types.requests import NewJob
from app.features.job_types.service import JobStarter

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"], dependencies=[Depends(checked_query)])


@router.post(
    "/analyze",
    status_code=202,
    response_model=Queued,
    responses=problem_responses(400, 404, 409, 422, 503),
)
async def analyze_file(
    body: AnalyzeRequest, app: App, owner: Owner, fresh: Fresh = False
) -> Response:
    """Profile a file in one pass over all of it. The result has the type, counts, distinct values,
    quantiles, frequent values and personal data of each column.
    """
    check_open(app)
    job = NewJob(type="analyze", file_id=body.file_id, priority=body.priority)
    started = await app.of(JobStarter).start(owner, job, fresh=fresh)
    return accepted(started.job, "Analysis job created and queued")
