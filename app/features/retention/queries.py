"""SQL of retention: finding what is due, and recording what was removed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Select, and_, exists, false, not_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased

from app.db.files import IS_STORED
from app.db.models import File, Job, JobLabel, RejectedRow, ResultPage
from app.db.rows import fetch_all
from app.features.retention.rules import Days, Kind
from app.states import ACTIVE_JOBS


class Due(msgspec.Struct, frozen=True):
    """Data that a rule deletes."""

    id: UUID
    """Id of the job for rows and rejects, of the file for bytes and jobs."""
    owner: str
    filename: str
    size_bytes: int
    """Size of the stored file in bytes."""
    storage_uri: str | None
    created_at: datetime


async def find_due(
    connection: AsyncConnection, kind: Kind, days: Days, now: datetime, at_most: int
) -> list[Due]:
    """Return some of what is due, oldest first."""
    if days.is_off:
        return []
    query = {
        Kind.BYTES: _files_with_due_bytes,
        Kind.ROWS: _jobs_with_due_rows,
        Kind.REJECTS: _jobs_with_due_rejects,
        Kind.JOBS: _files_with_due_jobs,
    }[kind](days, now)
    return await fetch_all(connection, Due, query.limit(at_most))


def _ended_long_ago(job: Any, days: Days, now: datetime) -> ColumnElement[bool]:
    """Match jobs that ended before the limit of their labels, or else of their processor. A running
    job has no end.
    """

    def older_than(limit: float) -> ColumnElement[bool]:
        is_older: ColumnElement[bool] = job.finished_at < now - timedelta(days=limit)
        return is_older

    own = [and_(job.processor == name, older_than(d)) for name, d in days.by_processor.items()]
    default = false() if days.default is None else older_than(days.default)
    others = and_(job.processor.not_in(list(days.by_processor)), default)
    by_processor = or_(others, *own)
    if not days.by_label:
        return and_(job.status.not_in(ACTIVE_JOBS), by_processor)
    has = {label: _belongs_to_label(job, label) for label in days.by_label}
    is_labelled = or_(*has.values())
    by_label = and_(*(or_(not_(has[name]), older_than(d)) for name, d in days.by_label.items()))
    is_due = or_(and_(is_labelled, by_label), and_(not_(is_labelled), by_processor))
    return and_(job.status.not_in(ACTIVE_JOBS), is_due)


def _belongs_to_label(job: Any, label: str) -> ColumnElement[bool]:
    """Match jobs with this label, their parts and corrections, and the parts of these."""
    above = aliased(Job)
    parent_of_parent = (
        select(above.parent_id).where(above.id == job.parent_id).correlate(job).scalar_subquery()
    )
    is_of_job = or_(
        JobLabel.job_id == job.id,
        JobLabel.job_id == job.parent_id,
        JobLabel.job_id == parent_of_parent,
    )
    return exists().where(JobLabel.label == label, is_of_job)


def _files_with_due_bytes(days: Days, now: datetime) -> Select[*tuple[Any, ...]]:
    return _files().where(IS_STORED, _all_jobs_ended(days, now))


def _files_with_due_jobs(days: Days, now: datetime) -> Select[*tuple[Any, ...]]:
    """Match files whose jobs, and the parts of these, have all ended long ago. A file of a part
    goes with its parent's.
    """
    job, part = aliased(Job), aliased(Job)
    is_part = exists().where(job.file_id == File.id, job.parent_id.is_not(None))
    has_recent_part = exists().where(
        job.file_id == File.id,
        part.parent_id == job.id,
        not_(_ended_long_ago(part, days, now)),
    )
    return _files().where(_all_jobs_ended(days, now), ~is_part, ~has_recent_part)


def _files() -> Select[*tuple[Any, ...]]:
    return (
        select(
            File.id,
            File.owner,
            File.filename,
            File.stored_bytes,
            File.storage_uri,
            File.created_at,
        )
        .where(File.deleted_at.is_(None))
        .order_by(File.created_at)
    )


def _all_jobs_ended(days: Days, now: datetime) -> ColumnElement[bool]:
    """Match files that have jobs, of which all ended long ago. The output file of a job has none
    of its own: it goes with the job.
    """
    job, other = aliased(Job), aliased(Job)
    has_job = exists().where(job.file_id == File.id)
    has_other = exists().where(other.file_id == File.id, not_(_ended_long_ago(other, days, now)))
    return and_(has_job, ~has_other)


def _jobs_with_due_rows(days: Days, now: datetime) -> Select[*tuple[Any, ...]]:
    has_rows = exists().where(ResultPage.job_id == Job.id)
    return _jobs(days, now).where(Job.rows_removed_at.is_(None), has_rows)


def _jobs_with_due_rejects(days: Days, now: datetime) -> Select[*tuple[Any, ...]]:
    has_rejects = exists().where(RejectedRow.job_id == Job.id)
    return _jobs(days, now).where(Job.rejects_removed_at.is_(None), has_rejects)


def _jobs(days: Days, now: datetime) -> Select[*tuple[Any, ...]]:
    """Match jobs that ended long ago, with all their corrections."""
    correction = aliased(Job)
    has_recent_correction = exists().where(
        correction.parent_id == Job.id, not_(_ended_long_ago(correction, days, now))
    )
    return (
        select(
            Job.id, Job.owner, File.filename, File.stored_bytes, File.storage_uri, Job.created_at
        )
        .join(File, File.id == Job.file_id)
        .where(File.deleted_at.is_(None), _ended_long_ago(Job, days, now), ~has_recent_correction)
        .order_by(Job.number)
    )


async def mark_rows_removed(connection: AsyncConnection, job_id: UUID, now: datetime) -> bool:
    """Hide the results of the job, and let the same upload load them again. Return False if
    another process has done so.
    """
    query = (
        update(Job)
        .where(Job.id == job_id, Job.rows_removed_at.is_(None), Job.status.not_in(ACTIVE_JOBS))
        .values(rows_removed_at=now, cache_key=None)
    )
    if (await connection.execute(query)).rowcount != 1:
        return False
    file_of_job = select(Job.file_id).where(Job.id == job_id).scalar_subquery()
    await connection.execute(update(File).where(File.id == file_of_job).values(dedup_key=None))
    return True


async def mark_rejects_removed(connection: AsyncConnection, job_id: UUID, now: datetime) -> bool:
    """Hide the rejects of the job. Return False if another process has done so."""
    query = (
        update(Job)
        .where(Job.id == job_id, Job.rejects_removed_at.is_(None), Job.status.not_in(ACTIVE_JOBS))
        .values(rejects_removed_at=now)
    )
    return (await connection.execute(query)).rowcount == 1


async def find_unfinished(connection: AsyncConnection, kind: Kind) -> Sequence[UUID]:
    """Return jobs whose rows, or rejects, are hidden but not all deleted."""
    if kind is Kind.ROWS:
        is_hidden, has_some = Job.rows_removed_at, exists().where(ResultPage.job_id == Job.id)
    else:
        is_hidden, has_some = Job.rejects_removed_at, exists().where(RejectedRow.job_id == Job.id)
    query = select(Job.id).where(is_hidden.is_not(None), has_some)
    return list((await connection.execute(query)).scalars())
