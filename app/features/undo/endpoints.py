"""/api/v1/undo: take back what a job wrote into tables."""

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
    202: {"model": Undone, "description": "It goes on."},
    **problem_responses(404, 409, 503),
}


@router.post("/{job_id}", response_model=Undone, responses=RESPONSES)
async def undo_job(job_id: JobId, app: App, owner: Owner) -> Response:
    """Records, transactions and predictions that the job made are removed, those that it replaced
    are restored to what they were. Answered 200 when that is done, 202 while it goes on; asking
    again tells.
    """
    made = await app.of(Undos).undo(job_id, owner)
    return encoded(made, 200 if made["status"] == "undone" else 202)
