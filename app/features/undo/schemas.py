"""Response model of an undo."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import Field

from app.api.answers import JOB_ID, Answer, sometimes


class LeftRow(Answer):
    """A row of a table that an undo leaves as it is."""

    reason: str = Field(description="Why it stays.")
    row_number: int = sometimes("Its number in the file, if a row of the file stands for it.")
    key: str = sometimes("Its key, if the table has one.")
    job_id: UUID = sometimes("The later load that has read or written it.")


class Undone(Answer):
    """Progress of an undo."""

    job_id: UUID = Field(description=JOB_ID)
    status: Literal["undone", "undoing", "preview"] = Field(
        description="`undoing` if it takes longer than a moment; `preview` of a dry run."
    )
    removed: int = Field(description="Rows removed because only this job had written them.")
    restored: int = Field(description="Rows restored to what an earlier job had written.")
    left: int = sometimes(
        "Rows of a table of yours that stay, because others have changed or need them."
    )
    left_rows: list[LeftRow] = sometimes("The first 20 of these.")
