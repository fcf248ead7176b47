"""Request and response models of jobs over many files."""

from __future__ import annotations

from uuid import UUID

from pydantic import Field

from app.api.answers import Answer, sometimes
from app.api.queued import Queued

CACHED = "Whether this is an earlier job."


class QueuedChild(Answer):
    """The part of a file."""

    file_id: UUID = Field(description="The file.")
    job_id: UUID = Field(description="Its job.")
    cached: bool = sometimes(CACHED)


class BatchQueued(Queued):
    """An accepted batch."""

    children: list[QueuedChild] = Field(
        description="The part of each file, in the order of the request."
    )


class ChildOutcome(Answer):
    """The outcome of a file."""

    file_id: UUID = Field(description="The file.")
    job_id: UUID | None = Field(description="Id of its job; null if the job was deleted.")
    filename: str | None = Field(description="Name of the file; null if it was deleted.")
    status: str = Field(description="completed, failed, cancelled or deleted.")
    error_message: str | None = Field(description="Why its job failed; null if it did not fail.")
    cached: bool = Field(description="Whether its job is an earlier one.")


class BatchOutcome(Answer):
    """The outcome of each file of a batch."""

    job_type: str = Field(description="Job type that ran over each file.")
    counts: dict[str, int] = Field(description="Number of files by status.")
    children: list[ChildOutcome] = Field(description="Files in the order of the request.")
