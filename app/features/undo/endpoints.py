"""/api/v1/undo: take back what a job wrote into tables."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field

from app.api.errors import problem_responses
from app.api.parameters import JobId, single_values
from app.api.services import App, Owner
from app.features.undo.service import Undos

router = APIRouter(prefix="/api/v1/undo", tags=["jobs"], dependencies=[Depends(single_values)])


class Undone(BaseModel):
    job_id: UUID
    status: str = Field(description="undone, or undoing if there is more to do than a moment allows.")
    removed: int = Field(description="Rows that were there because of the job alone.")
    restored: int = Field(description="Rows that are what an earlier job had written again.")


RESPONSES: dict[int | str, dict[str, Any]] = {202: {"model": Undone}, **problem_responses(404, 409, 503)}


@router.post("/{job_id}", response_model=Undone, responses=RESPONSES)
async def undo(job_id: JobId, app: App, owner: Owner, response: Response) -> dict[str, Any]:
    """Records, transactions and predictions that the job made are removed, those that it replaced are restored to what they
    were. Answered 200 when that is done, 202 while it goes on; asking again tells."""
    made = await app.of(Undos).undo(job_id, owner)
    response.status_code = 200 if made["status"] == "undone" else 202
    return made
