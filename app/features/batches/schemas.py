"""What the routes of batches answer."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import Field

from app.api.answers import CREATED_AT, FILE_ID, JOB_ID, Answer, RowCounts, StatusInFive

BATCH_ID = "Of the batch."
TOTAL = "Rows of the file."


class BatchCreated(Answer):
    """A batch that is stored for good."""

    batch_id: str = Field(description=BATCH_ID)
    status: str = Field(description="`processing`.")
    total_count: int = Field(description=TOTAL)
    processed_count: int = Field(description="0.")
    file_id: UUID = Field(description=FILE_ID)
    job_id: UUID = Field(description=JOB_ID)


class SentimentCounts(Answer):
    """Results by sentiment."""

    positive: int = Field(description="Texts that are positive.")
    negative: int = Field(description="Texts that are negative.")
    neutral: int = Field(description="Texts that are neither.")


class BatchStatus(Answer):
    """How far a batch is."""

    batch_id: str = Field(description=BATCH_ID)
    status: StatusInFive = Field(description="`completed` also where some rows were rejected.")
    total_count: int = Field(description=TOTAL)
    processed_count: int = Field(
        description="Rows that are results or rejects for good; it never falls."
    )
    progress_percent: float = Field(description="Processed rows of all rows, 0 to 100 in tenths.")
    summary: SentimentCounts | None = Field(
        description="Results by sentiment, so far; null before the first."
    )
    error_message: str | None = Field(description="Why the batch failed; null if it did not.")
    created_at: datetime = Field(description=CREATED_AT)
    completed_at: datetime | None = Field(description="When it was completed; null if it is not.")
    rejected_count: int = Field(
        description="Processed rows that have no result; `rejects_url` says why."
    )
    failed_count: int = Field(
        description="Rows of chunks that were given up; POST /api/v1/jobs/{job_id}/retry."
    )
    counts: RowCounts = Field(description="What became of the rows so far.")
    rejects_url: str = Field(description="Where the rejects are.")
    file_id: UUID = Field(description=FILE_ID)
    job_id: UUID = Field(description=JOB_ID)


class ScoredText(Answer):
    """The sentiment of a text."""

    row_id: str = Field(description="Its `id` in the file, or its row number if the file has none.")
    text: str = Field(description="The text.")
    sentiment: str = Field(description="positive, negative or neutral.")
    score: float = Field(description="How sure that is, or how strong: see docs/sentiment.md.")


class BatchResults(Answer):
    """Results in the order of the file."""

    batch_id: str = Field(description=BATCH_ID)
    page: int = Field(description="The number of this page, from 1.")
    per_page: int = Field(description="Results a page.")
    total_results: int = Field(description="Results so far.")
    total_pages: int = Field(description="Pages so far.")
    results: list[ScoredText] = Field(description="The results of this page.")
