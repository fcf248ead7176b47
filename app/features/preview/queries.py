"""SQL for previews: how the latest files of an owner were read."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import File, Job
from app.db.rows import fetch_all
from app.states import JobStatus

LATEST_JOBS = 50


class EarlierFile(msgspec.Struct, frozen=True):
    """A file all of whose rows were loaded."""

    job_id: UUID
    filename: str
    format: str
    dialect: dict[str, Any]
    processor: str
    created_at: datetime


async def list_loaded(connection: AsyncConnection, owner: str) -> list[EarlierFile]:
    """Return the files that were loaded without a reject, among the latest jobs, newest first."""
    latest = (
        select(Job.number)
        .where(Job.owner == owner, Job.parent_id.is_(None))
        .order_by(Job.number.desc())
        .limit(LATEST_JOBS)
    )
    query = (
        select(
            Job.id.label("job_id"),
            File.filename,
            File.format,
            File.dialect,
            Job.processor,
            Job.created_at,
        )
        .join(File, File.id == Job.file_id)
        .where(Job.number.in_(latest), Job.status == JobStatus.COMPLETED)
        .where(File.deleted_at.is_(None))
        .order_by(Job.number.desc())
    )
    return await fetch_all(connection, EarlierFile, query)
