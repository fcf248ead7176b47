"""Response models of corrections."""

from __future__ import annotations

from uuid import UUID

from pydantic import Field

from app.api.answers import FILE_ID, JOB_ID, Answer, Status


class Corrected(Answer):
    """The corrected job."""

    file_id: UUID = Field(description=FILE_ID)
    job_id: UUID = Field(description=JOB_ID)


class CorrectionAccepted(Answer):
    """A stored correction and its job."""

    job_id: UUID = Field(description="Job of the correction.")
    file_id: UUID = Field(description="File of the correction.")
    corrects: Corrected = Field(description="The corrected job.")
    status: Status = Field(description="`processing`.")
    rows: int = Field(description="Number of rejects that run again.")
    unchanged: int = Field(
        description="Number of rejects that were not edited and stay as they are."
    )
    sha256: str = Field(description="SHA-256 of the corrected rows in hexadecimal.")
    size_bytes: int = Field(description="Their size.")
    status_url: str = Field(description="URL of its status.")
