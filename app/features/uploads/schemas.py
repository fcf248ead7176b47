"""Response model of the state of a resumable upload. (The protocol itself uses headers.)"""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from app.api.answers import Answer, Uploaded, sometimes


class RefusedPart(Answer):
    """One error of a file."""

    code: str = sometimes("Which mistake.")
    pointer: str = sometimes("Where it is.")
    detail: str = sometimes("What is wrong.")


class Refusal(Answer):
    """Why the file was refused."""

    code: str = Field(description="Code of the error; /errors/{code} has the remedy.")
    detail: str = Field(description="What happened.")
    errors: list[RefusedPart] | None = Field(
        description="The single errors; empty or null if there is only one."
    )


class UploadState(Answer):
    """Progress of a resumable upload."""

    upload_id: UUID = Field(description="Last part of its Location.")
    state: Literal["uploading", "partial", "storing", "accepted", "refused"] = Field(
        description=(
            "`partial`: a complete part that waits for a final upload. `accepted`: the file "
            "and its job exist."
        )
    )
    offset: int = Field(description="Number of stored bytes.")
    length: int | None = Field(description="Total number of bytes; null if it is not known yet.")
    metadata: dict[str, str] = Field(description="The Upload-Metadata of its creation.")
    expires_at: datetime = Field(description="Time when it is deleted if no more bytes arrive.")
    file_id: UUID | None = Field(description="Id of the new file; null if there is none.")
    job_id: UUID | None = Field(description="Id of the new job; null if there is none.")
    answer: Uploaded | None = Field(
        description="What POST /api/v1/upload would have returned; null before."
    )
    problem: Refusal | None = Field(description="Why the file was refused; null if it was not.")
