"""POST /api/v1/jobs/mapping: which column of one file is which of another."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from app.api.errors import problem_responses
from app.api.parameters import checked_query
from app.api.queued import Fresh, Queued, accepted
from app.api.services import App, Owner, check_open
from app.features.job_types.requests import NewJob
from app.features.job_types.service import JobStarter
from app.features.mapping.schemas import MappingRequest

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"], dependencies=[Depends(checked_query)])


@router.post(
    "/mapping",
    status_code=202,
    response_model=Queued,
    responses=problem_responses(400, 404, 409, 422, 503),
)
async def map_columns(
    body: MappingRequest, app: App, owner: Owner, fresh: Fresh = False
) -> Response:
    """Propose which column of a file is which of a reference file or of a template, how sure that is,
    why, and what must be converted. What was accepted as a template before is proposed again.
    """
    check_open(app)
    wanted = {"reference_file_id": body.reference_file_id, "template_id": body.template_id}
    job = NewJob(
        type="mapping",
        file_id=body.input_file_id,
        priority=body.priority,
        options={
            **{name: str(value) for name, value in wanted.items() if value is not None},
            "provider": body.provider,
        },
    )
    started = await app.of(JobStarter).start(owner, job, fresh=fresh)
    return accepted(started.job, "Mapping job created and queued")
