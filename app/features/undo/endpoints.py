"""/api/v1/undo: remove what a job wrote into tables."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from app.api.errors import problem_responses
from app.api.json import encoded
from app.api.parameters import JobId, single_values
from app.api.services import App, Owner
from app.features.undo.schemas import Undone
from app.features.undo.service import Undos

router = APIRouter(prefix="/api/v1/undo", tags=["jobs"], dependencies=[Depends(single_values)])


RESPONSES: dict[int | str, dict[str, Any]] = {
    202: {"model": Undone, "description": "The undo is in progress."},
    **problem_responses(404, 409, 503),
}


@router.post("/{job_id}", response_model=Undone, responses=RESPONSES)
async def undo_job(job_id: JobId, app: App, owner: Owner) -> Response:
    """Remove the records, transactions and predictions that the job wrote, and restore those that
    it replaced. The status is 200 when that is done, 202 while it is in progress; repeat the
    request to learn more.
    """
    undo = await app.of(Undos).undo(job_id, owner)
    return encoded(undo, 200 if undo["status"] == "undone" else 202)
