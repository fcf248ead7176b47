"""Response models of /api/v1/retention."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import Field

from app.api.answers import CREATED_AT, Answer, sometimes


class DueItem(Answer):
    """A file or a job whose data is due."""

    file_id: UUID = sometimes("The file, for `bytes` and `jobs`.")
    job_id: UUID = sometimes("The job, for `rows` and `rejects`.")
    filename: str = Field(description="Name of the file.")
    size_bytes: int = Field(description="Size of the stored file.")
    user_id: str = Field(description="Its owner.")
    created_at: datetime = Field(description=CREATED_AT)


class DueItems(Answer):
    """What is due of one kind."""

    items: list[DueItem] = Field(description="The oldest first, at most 1000.")
    is_cut: bool = Field(description="Whether there are more.")
    bytes: int = Field(description="Sum of the sizes of the files in `items`.")


class DueByKind(Answer):
    """What is due, by kind."""

    bytes: DueItems = Field(description="Stored files; results and rejects stay.")
    rows: DueItems = Field(description="Results of jobs.")
    rejects: DueItems = Field(description="Rejects of jobs.")
    jobs: DueItems = Field(description="Files with all their jobs.")


class RetentionPlan(Answer):
    """What rules of retention delete now."""

    rules: dict[str, float] = Field(
        description="Days by kind, `processor.kind` or `label:name.kind`."
    )
    is_in_force: bool = Field(
        description="Whether these are the rules of RETENTION; otherwise nothing is deleted."
    )
    due: DueByKind = Field(description="What is due now, by kind.")
