"""Jobs that help another one: the correction of its rejects, a profile or a trial over its file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Text, and_, cast, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased

from app.db.models import Job
from app.db.outbox import CORRECTIONS
from app.db.rows import ListedJob
from app.db.types import padded

PROFILE = "profile"
"""Processor that only describes a file."""


def is_helper() -> ColumnElement[bool]:
    """Match corrections, and profiles and trials over the file of an earlier job."""
    earlier = aliased(Job)
    has_earlier = exists().where(earlier.file_id == Job.file_id, earlier.number < Job.number)
    only_looks = or_(Job.processor == PROFILE, _is_trial())
    return or_(Job.origin == CORRECTIONS, and_(only_looks, has_earlier.correlate(Job)))


def _is_trial() -> ColumnElement[bool]:
    # `true` is '1' on SQLite; no cast to a boolean, which fails for the options of other processors
    is_true = ("true", "1")
    said = cast(Job.options["dry_run"].as_string(), Text).in_(is_true)
    # the options of a load have it since it is asked here, the summary always had it
    ended = cast(Job.summary["dry_run"].as_string(), Text).in_(is_true)
    return func.coalesce(said, False) | func.coalesce(ended, False)


def help_of(job: ListedJob) -> str | None:
    """Return what the job would be to an earlier job of its file: `correction`, `profile` or
    `trial`; None if it is a job in its own right.
    """
    if job.origin == CORRECTIONS:
        return "correction"
    if job.processor == PROFILE:
        return "profile"
    if job.options.get("dry_run") is True or (job.summary or {}).get("dry_run") is True:
        return "trial"
    return None


async def helped(connection: AsyncConnection, rows: Sequence[ListedJob]) -> dict[UUID, int]:
    """Return the number of the job that each of these helps, by the id of the helper. A profile or
    a trial that is the first job of its file helps none.
    """
    correcting = [row for row in rows if row.origin == CORRECTIONS]
    looking = [row for row in rows if help_of(row) in ("profile", "trial")]
    numbers: dict[UUID, int] = {}
    if correcting:
        corrected = await _numbers(connection, Job.id, [row.parent_id for row in correcting])
        for row in correcting:
            if row.parent_id in corrected:
                numbers[row.id] = corrected[row.parent_id]
    if looking:
        first = await _numbers(connection, Job.file_id, [row.file_id for row in looking])
        for row in looking:
            if first.get(row.file_id, row.number) < row.number:
                numbers[row.id] = first[row.file_id]
    return numbers


async def _numbers(
    connection: AsyncConnection, column: Any, values: Sequence[UUID | None]
) -> dict[UUID, int]:
    """Return the smallest number of a job for each of these values of the column."""
    wanted = list({value for value in values if value is not None})
    query = select(column, func.min(Job.number)).where(column.in_(padded(wanted))).group_by(column)
    return {value: int(number) for value, number in (await connection.execute(query)).all()}
