"""/api/v1/undo: remove what a job wrote into tables."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response

from app.api.errors import problem_responses
from app.api.json import encoded
from app.api.parameters import Flag, JobId, checked_query
from app.api.services import App, Owner
from app.features.undo.schemas import Undone
from app.features.undo.service import Undos

router = APIRouter(prefix="/api/v1/undo", tags=["jobs"], dependencies=[Depends(checked_query)])


RESPONSES: dict[int | str, dict[str, Any]] = {
    202: {"model": Undone, "description": "The undo is in progress."},
    **problem_responses(404, 409, 503),
}


@router.post("/{job_id}", response_model=Undone, responses=RESPONSES)
async def undo_job(
    job_id: JobId,
    app: App,
    owner: Owner,
    dry_run: Annotated[
        Flag, Query(description="Return what the undo would do, and change nothing.")
    ] = False,
) -> Response:
    """Remove what the job wrote into tables, and restore what it replaced: records, transactions
    and predictions, and rows of your own tables. The status is 200 when that is done, 202 while it
    is in progress; repeat the request to learn more.
    """
    if dry_run:
        return encoded(await app.of(Undos).preview(job_id, owner), 200)
    undo = await app.of(Undos).undo(job_id, owner)
    return encoded(undo, 200 if undo["status"] == "undone" else 202)
