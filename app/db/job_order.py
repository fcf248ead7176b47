"""The orders of the list of jobs, and the SQL of what they compare."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, and_, case, cast, func, or_, select
from sqlalchemy.orm import aliased

from app.db.models import Chunk, File, Job
from app.states import ChunkStatus

MILLION = 1_000_000
UNKNOWN = -1
"""Duration of a job that has not ended: less than any other."""


class Sort(StrEnum):
    """What a list of jobs is ordered by; jobs with the same value are in the order of their
    numbers.
    """

    CREATED = "created"
    NAME = "name"
    """Name of the file in lower case."""
    ROWS = "rows"
    """Rows cut so far."""
    REJECTED = "rejected"
    """Share of the rows that are rejects."""
    DURATION = "duration"
    """Time from the start to the end; jobs that have not ended come before all others."""
    SIZE = "size"
    """Received bytes."""


@dataclass(frozen=True, slots=True)
class Order:
    by: Sort = Sort.CREATED
    is_ascending: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a list: that of the job with this number, at the time when it was listed."""

    value: int | str
    """What the order compares."""
    number: int


def compared(by: Sort, *, is_sqlite: bool) -> ColumnElement[Any]:
    """Return what an order compares: a whole number, or a text. Both come back from the database
    as they went in, so that a place is exact.
    """
    if by is Sort.NAME:
        if is_sqlite:
            return func.folded(File.filename)
        return func.lower(File.filename).collate("C")
    if by is Sort.SIZE:
        return File.size_bytes.expression
    if by is Sort.DURATION:
        return _milliseconds(is_sqlite=is_sqlite)
    if by is Sort.ROWS:
        return rows_cut()
    if by is Sort.REJECTED:
        # in millionths: the quotient of two whole numbers is cut in the same way everywhere
        return case((rows_cut() > 0, rejected_rows() * MILLION // rows_cut()), else_=0)
    return Job.number.expression


def after(order: Order, place: Place, *, is_sqlite: bool) -> ColumnElement[bool]:
    """Match the jobs that follow a place."""
    key = compared(order.by, is_sqlite=is_sqlite)
    if order.is_ascending:
        return or_(key > place.value, and_(key == place.value, Job.number > place.number))
    return or_(key < place.value, and_(key == place.value, Job.number < place.number))


def rows_cut() -> ColumnElement[int]:
    """Return the rows of a job that are cut so far, or those of its parts."""
    return _sum(Chunk.row_count.expression)


def rejected_rows() -> ColumnElement[int]:
    """Return the rejected rows of a job, or of its parts (`row_counts` in states.py)."""
    failed = case((Chunk.status == ChunkStatus.FAILED, 0), else_=Chunk.rows_failed)
    return _sum(Chunk.rows_invalid + failed)


def _sum(value: ColumnElement[int]) -> ColumnElement[int]:
    """Sum over the chunks of a job, or of its parts if it has some. A correction is no part: the
    corrected job has its rows.
    """
    part = aliased(Job)
    total = cast(func.coalesce(func.sum(value), 0), BigInteger)
    own = select(total).where(Chunk.job_id == Job.id).correlate(Job).scalar_subquery()
    of_parts = (
        select(total)
        .join(part, part.id == Chunk.job_id)
        .where(part.parent_id == Job.id)
        .correlate(Job)
        .scalar_subquery()
    )
    return case((Job.child_count.is_(None), own), else_=of_parts)


def _milliseconds(*, is_sqlite: bool) -> ColumnElement[int]:
    if is_sqlite:
        days = func.julianday(Job.finished_at) - func.julianday(Job.started_at)
        length: ColumnElement[Any] = func.round(days * 86_400_000)
    else:
        length = func.round(func.extract("epoch", Job.finished_at - Job.started_at) * 1000)
    return func.coalesce(cast(length, BigInteger), UNKNOWN)
