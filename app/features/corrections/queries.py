"""SQL for the corrections of earlier jobs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.corrections import ORIGIN, ROWS_AT_ONCE
from app.db.models import File, Job, JobResult, RejectedRow
from app.db.rows import fetch_all

LATEST_JOBS = 20


class CorrectedJob(msgspec.Struct, frozen=True):
    """A job with accepted corrections, and how its file is read."""

    job_id: UUID
    number: int
    file_id: UUID
    filename: str
    format: str
    dialect: dict[str, Any]
    created_at: datetime


class StoredCorrection(msgspec.Struct, frozen=True):
    """A correction whose file is still stored, and what it remembers of the rejects, if it does."""

    job_id: UUID
    storage_uri: str
    etag: str | None
    dialect: dict[str, Any]
    data: dict[str, Any] | None


async def list_corrected(
    connection: AsyncConnection, owner: str, processor: str, before: int
) -> list[CorrectedJob]:
    """Return the latest jobs of a processor before a job number that have corrected rows, newest
    first.
    """
    query = (
        select(
            Job.id.label("job_id"),
            Job.number,
            Job.file_id,
            File.filename,
            File.format,
            File.dialect,
            Job.created_at,
        )
        .join(File, File.id == Job.file_id)
        .where(Job.owner == owner, Job.processor == processor, Job.number < before)
        .where(Job.corrected_rows > 0, Job.undo_state.is_(None), File.deleted_at.is_(None))
        .order_by(Job.number.desc())
        .limit(LATEST_JOBS)
    )
    return await fetch_all(connection, CorrectedJob, query)


async def list_corrections(connection: AsyncConnection, target_id: UUID) -> list[StoredCorrection]:
    """Return the corrections of a job whose files are stored, in order."""
    query = (
        select(Job.id.label("job_id"), File.storage_uri, File.etag, File.dialect, JobResult.data)
        .join(File, File.id == Job.file_id)
        .outerjoin(JobResult, JobResult.job_id == Job.id)
        .where(Job.parent_id == target_id, Job.origin == ORIGIN)
        .where(File.storage_uri.is_not(None), File.deleted_at.is_(None))
        .order_by(Job.number)
    )
    return await fetch_all(connection, StoredCorrection, query)


async def rejected_among(
    connection: AsyncConnection, job_id: UUID, numbers: Sequence[int]
) -> set[int]:
    """Return those of these rows that are rejects of the job."""
    rejected: set[int] = set()
    for start in range(0, len(numbers), ROWS_AT_ONCE):
        some = numbers[start : start + ROWS_AT_ONCE]
        query = select(RejectedRow.row_number).where(
            RejectedRow.job_id == job_id, RejectedRow.row_number.in_(some)
        )
        rejected |= set((await connection.execute(query)).scalars())
    return rejected
