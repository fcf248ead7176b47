"""What an undo answers."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import Field

from app.api.answers import JOB_ID, Answer


class Undone(Answer):
    """How far an undo is."""

    job_id: UUID = Field(description=JOB_ID)
    status: Literal["undone", "undoing"] = Field(
        description="`undoing` if there is more to do than a moment allows."
    )
    removed: int = Field(description="Rows that were there because of the job alone.")
    restored: int = Field(description="Rows that are again what an earlier job had written.")
