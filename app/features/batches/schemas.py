"""Response models of batches."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import Field

from app.api.answers import CREATED_AT, FILE_ID, JOB_ID, Answer, RowCounts, StatusInFive

BATCH_ID = "Id of the batch."
TOTAL = "Rows of the file."


class BatchCreated(Answer):
    """A stored batch."""

    batch_id: str = Field(description=BATCH_ID)
    status: str = Field(description="`processing`.")
    total_count: int = Field(description=TOTAL)
    processed_count: int = Field(description="0.")
    file_id: UUID = Field(description=FILE_ID)
    job_id: UUID = Field(description=JOB_ID)


class SentimentCounts(Answer):
    """Results by sentiment."""

    positive: int = Field(description="Positive texts.")
    negative: int = Field(description="Negative texts.")
    neutral: int = Field(description="Neutral texts.")


class BatchStatus(Answer):
    """Progress of a batch."""

    batch_id: str = Field(description=BATCH_ID)
    status: StatusInFive = Field(description="`completed` also if some rows were rejected.")
    total_count: int = Field(description=TOTAL)
    processed_count: int = Field(
        description="Rows that are final results or rejects; never decreases."
    )
    progress_percent: float = Field(
        description="Processed rows as a share of all rows, 0 to 100 in tenths."
    )
    summary: SentimentCounts | None = Field(
        description="Results by sentiment so far; null before the first."
    )
    error_message: str | None = Field(description="Why the batch failed; null if it did not fail.")
    created_at: datetime = Field(description=CREATED_AT)
    completed_at: datetime | None = Field(description="Time of completion; null if not completed.")
    rejected_count: int = Field(
        description="Processed rows without a result; `rejects_url` has the reasons."
    )
    failed_count: int = Field(
        description="Rows of failed chunks; POST /api/v1/jobs/{job_id}/retry runs them again."
    )
    counts: RowCounts = Field(description="Rows so far by outcome.")
    rejects_url: str = Field(description="URL of the rejects.")
    file_id: UUID = Field(description=FILE_ID)
    job_id: UUID = Field(description=JOB_ID)


class ScoredText(Answer):
    """The sentiment of a text."""

    row_id: str = Field(
        description="`id` of the text in the file, or its row number if the file has none."
    )
    text: str = Field(description="The text.")
    sentiment: str = Field(description="positive, negative or neutral.")
    score: float = Field(description="Confidence or strength: see docs/sentiment.md.")


class BatchResults(Answer):
    """Results in the order of the file."""

    batch_id: str = Field(description=BATCH_ID)
    page: int = Field(description="Number of this page, from 1.")
    per_page: int = Field(description="Results per page.")
    total_results: int = Field(description="Number of results so far.")
    total_pages: int = Field(description="Number of pages so far.")
    results: list[ScoredText] = Field(description="Results of this page.")
