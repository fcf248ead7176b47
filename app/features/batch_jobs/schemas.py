"""What a job for many files takes and answers."""

from __future__ import annotations

from uuid import UUID

from pydantic import Field

from app.api.answers import Answer, sometimes
from app.api.queued import Queued

CACHED = "True if the job is an earlier one."


class QueuedChild(Answer):
    """The part of a file."""

    file_id: UUID = Field(description="The file.")
    job_id: UUID = Field(description="Its job.")
    cached: bool = sometimes(CACHED)


class BatchQueued(Queued):
    """A batch that was accepted."""

    children: list[QueuedChild] = Field(
        description="The part of each file, in the order in which they were named."
    )


class ChildOutcome(Answer):
    """What became of a file."""

    file_id: UUID = Field(description="The file.")
    job_id: UUID | None = Field(description="Its job; null if that was deleted.")
    filename: str | None = Field(description="Its name; null if it was deleted.")
    status: str = Field(description="completed, failed, cancelled or deleted.")
    error_message: str | None = Field(description="Why its job failed; null if it did not.")
    cached: bool = Field(description="Whether its job is an earlier one.")


class BatchOutcome(Answer):
    """What became of each file of a batch."""

    job_type: str = Field(description="Which job was run for each.")
    counts: dict[str, int] = Field(description="Files by status.")
    children: list[ChildOutcome] = Field(description="In the order in which they were named.")
