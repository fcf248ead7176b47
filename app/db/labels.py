"""SQL for the labels of jobs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, delete, exists, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import File, Job, JobLabel
from app.db.types import padded

MOST_LABELS = 20
"""Labels of a job."""
LABEL_CHARACTERS = 40


def has_label(job: type[Job], label: str) -> ColumnElement[bool]:
    """Match jobs with this label."""
    return exists().where(JobLabel.job_id == job.id, JobLabel.label == label)


async def labels_of(connection: AsyncConnection, job_ids: Sequence[UUID]) -> dict[UUID, list[str]]:
    """Return the labels of each job that has some, in the order of the alphabet."""
    query = select(JobLabel.job_id, JobLabel.label).where(JobLabel.job_id.in_(padded(job_ids)))
    labels_by_job: dict[UUID, list[str]] = {}
    for job_id, label in (await connection.execute(query)).all():
        labels_by_job.setdefault(job_id, []).append(label)
    return {job_id: sorted(labels) for job_id, labels in labels_by_job.items()}


async def add_labels(connection: AsyncConnection, job_id: UUID, labels: Iterable[str]) -> None:
    """Add labels that the job does not have yet."""
    rows = [{"job_id": job_id, "label": label} for label in labels]
    if rows:
        await connection.execute(insert(JobLabel), rows)


async def change_labels(
    connection: AsyncConnection,
    job_id: UUID,
    *,
    added: Iterable[str] = (),
    removed: Collection[str] = (),
) -> list[str]:
    """Add labels to a job that this transaction has locked, and remove others; return all that it
    has then.
    """
    before = (await labels_of(connection, [job_id])).get(job_id, [])
    after = [label for label in before if label not in removed]
    new = [label for label in dict.fromkeys(added) if label not in before]
    gone = [label for label in before if label in removed]
    if gone:
        query = delete(JobLabel).where(JobLabel.job_id == job_id, JobLabel.label.in_(gone))
        await connection.execute(query)
    await add_labels(connection, job_id, new)
    return sorted([*after, *new])


async def count_labels(connection: AsyncConnection, owner: str, limit: int) -> dict[str, int]:
    """Return the number of the owner's jobs with each label, the most frequent labels first."""
    query = (
        select(JobLabel.label, func.count())
        .join(Job, Job.id == JobLabel.job_id)
        .join(File, File.id == Job.file_id)
        .where(Job.owner == owner, File.deleted_at.is_(None))
        .group_by(JobLabel.label)
        .order_by(func.count().desc(), JobLabel.label)
        .limit(limit)
    )
    return {str(label): int(count) for label, count in (await connection.execute(query)).all()}
