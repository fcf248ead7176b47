"""Pieces that several answers are made of."""

from __future__ import annotations

from pydantic import BaseModel, Field


class RowCounts(BaseModel):
    """What became of the rows of a job. The four add up to its rows."""

    loaded: int = Field(description="Rows in the results.")
    rejected: int = Field(description="Rows in the rejects, each with its reason.")
    failed: int = Field(description="Rows of chunks that failed; POST /api/v1/jobs/{job_id}/retry runs them again.")
    not_processed: int = Field(description="Rows of chunks that are not done yet, or were cancelled.")
