"""What a correction answers."""

from __future__ import annotations

from uuid import UUID

from pydantic import Field

from app.api.answers import FILE_ID, JOB_ID, Answer, Status


class Corrected(Answer):
    """The job that is corrected."""

    file_id: UUID = Field(description=FILE_ID)
    job_id: UUID = Field(description=JOB_ID)


class CorrectionAccepted(Answer):
    """A correction that is stored for good, and its job."""

    job_id: UUID = Field(description="The job of the correction.")
    file_id: UUID = Field(description="The file of the correction.")
    corrects: Corrected = Field(description="What it corrects.")
    status: Status = Field(description="`processing`.")
    rows: int = Field(description="Rejects that are run again.")
    unchanged: int = Field(
        description="Rejects that came back as they went out, and are left as they are."
    )
    sha256: str = Field(description="Of the corrected rows, in hexadecimal.")
    size_bytes: int = Field(description="Their size.")
    status_url: str = Field(description="Where its status is.")
