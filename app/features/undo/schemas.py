"""Response model of an undo."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import Field

from app.api.answers import JOB_ID, Answer


class Undone(Answer):
    """Progress of an undo."""

    job_id: UUID = Field(description=JOB_ID)
    status: Literal["undone", "undoing"] = Field(
        description="`undoing` if it takes longer than a moment."
    )
    removed: int = Field(description="Rows removed because only this job had written them.")
    restored: int = Field(description="Rows restored to what an earlier job had written.")
