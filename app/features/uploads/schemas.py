"""What the state of a resumable upload answers. (The protocol itself answers in headers.)"""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from app.api.answers import Answer, Uploaded, sometimes


class RefusedPart(Answer):
    """One mistake of a file."""

    code: str = sometimes("Which mistake.")
    pointer: str = sometimes("Where it is.")
    detail: str = sometimes("What is wrong.")


class Refusal(Answer):
    """Why the file was refused."""

    code: str = Field(description="Which error; /errors/{code} says what to do.")
    detail: str = Field(description="What happened.")
    errors: list[RefusedPart] | None = Field(
        description="The mistakes one by one; empty or null if it is one."
    )


class UploadState(Answer):
    """How far a resumable upload is."""

    upload_id: UUID = Field(description="The last part of its Location.")
    state: Literal["uploading", "partial", "storing", "accepted", "refused"] = Field(
        description=(
            "`partial`: a part that is whole and waits for a final upload. `accepted`: there is a"
            " file with a job."
        )
    )
    offset: int = Field(description="Bytes that are stored.")
    length: int | None = Field(
        description="Bytes that it will have; null if that is not known yet."
    )
    metadata: dict[str, str] = Field(description="The Upload-Metadata that it was made with.")
    expires_at: datetime = Field(description="When it is forgotten if nothing more comes.")
    file_id: UUID | None = Field(description="Of the file that was made; null if there is none.")
    job_id: UUID | None = Field(description="Of the job that was made; null if there is none.")
    answer: Uploaded | None = Field(
        description="What POST /api/v1/upload would have answered; null before."
    )
    problem: Refusal | None = Field(description="Why the file was refused; null if it was not.")
