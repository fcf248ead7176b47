"""Response models of corrections."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import Field

from app.api.answers import FILE_ID, JOB_ID, Answer, Status


class Corrected(Answer):
    """The corrected job."""

    file_id: UUID = Field(description=FILE_ID)
    job_id: UUID = Field(description=JOB_ID)


class CorrectedExample(Answer):
    """A reject, and what it would become."""

    row_number: int = Field(description="Number in the file.")
    code: str = Field(description="Reason of the reject.")
    before: str = Field(description="The row as in the file.")
    cells: list[str] = Field(description="The corrected cells; of a JSON file the record.")


class EarlierJob(Answer):
    """An earlier job whose corrections fit rejects of this one."""

    job_id: UUID = Field(description="The earlier job.")
    number: int = Field(description="Its number.")
    filename: str = Field(description="Name of its file.")
    created_at: datetime = Field(description="When it was accepted.")
    rows: int = Field(description="Number of rejects that would be corrected.")
    examples: list[CorrectedExample] = Field(description="The first of them.")


class EarlierJobs(Answer):
    """Earlier jobs, the one that corrects most rejects first."""

    items: list[EarlierJob] = Field(description="Five at most.")


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
