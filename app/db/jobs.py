"""SQL for jobs. Each change of status is a named compare-and-set: it names the states that it
starts from, and returns whether it won.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased

from app.db import outbox
from app.db.helper_jobs import is_helper
from app.db.job_order import Order, Place, after, compared, rejected_rows, rows_cut
from app.db.labels import add_labels, has_label
from app.db.models import Chunk, File, Job, JobResult
from app.db.moves import may_become
from app.db.rows import (
    ActiveJob,
    JobBase,
    JobPart,
    JobResultRow,
    JobRow,
    JobSummary,
    JobWork,
    ListedJob,
    LockedJob,
    NewJob,
    SplitPosition,
    columns_of,
    fetch_all,
    fetch_first,
    values_of,
)
from app.db.types import is_due, now, padded
from app.states import ACTIVE_JOBS, ChunkStatus, JobStatus
from app.telemetry import tracing

_JOB = columns_of(JobRow, Job, File)
_LISTED = columns_of(ListedJob, Job, File)
_LOCKED = columns_of(LockedJob, Job)
_ENDED = columns_of(JobBase, Job)

# Built once: building them takes longer than running them.
_INSERT: Any = (
    insert(Job.__table__)  # type: ignore[arg-type]
    .values(created_at=now(), updated_at=now())
    .returning(Job.__table__.c.number)
)
_INSERT_STARTED = _INSERT.values(started_at=now())


async def insert_job(connection: AsyncConnection, job: NewJob) -> int:
    """Insert the job and return its number. A job that is inserted with its chunks has started."""
    values = values_of(job) | {"trace": tracing.of_new_job(job.id)}
    labels = values.pop("labels")
    statement = _INSERT_STARTED if job.chunk_count else _INSERT
    number = int((await connection.execute(statement, values)).scalar_one())
    await add_labels(connection, job.id, labels)
    return number


def _with_file() -> Any:
    return select(*_JOB).join(File, File.id == Job.file_id).where(File.deleted_at.is_(None))


def _listed() -> Any:
    """Select jobs without their columns, which may take a megabyte and are not listed."""
    return select(*_LISTED).join(File, File.id == Job.file_id).where(File.deleted_at.is_(None))


# Built once: a row has 50 columns, and building the statement takes longer than running it.
_JOB_ID = bindparam("of_job", type_=Job.id.type)
_OWNER = bindparam("of_owner", type_=Job.owner.type)
_LOAD = _with_file().where(Job.id == _JOB_ID)
_FIND = _LOAD.where(Job.owner == _OWNER)
_FIND_BY_FILE = (
    _with_file()
    .where(Job.file_id == bindparam("of_file", type_=Job.file_id.type), Job.owner == _OWNER)
    .order_by(Job.number)
    .limit(1)
)
_CHILDREN = _with_file().where(Job.parent_id == _JOB_ID).order_by(Job.number)
_LOCK = select(*_LOCKED).where(Job.id == _JOB_ID).with_for_update()


async def find_job(connection: AsyncConnection, job_id: UUID, owner: str) -> JobRow | None:
    return await fetch_first(connection, JobRow, _FIND, {"of_job": job_id, "of_owner": owner})


async def find_by_file(connection: AsyncConnection, file_id: UUID, owner: str) -> JobRow | None:
    """Return the first job of this file, which its upload created."""
    return await fetch_first(
        connection, JobRow, _FIND_BY_FILE, {"of_file": file_id, "of_owner": owner}
    )


def _named() -> Any:
    """For each id: the first job of each owner over the file with that id, and the job with that
    id.
    """
    ids = bindparam("ids", expanding=True, type_=Job.id.type)
    first = (
        select(func.min(Job.number)).where(Job.file_id.in_(ids)).group_by(Job.file_id, Job.owner)
    )
    return _with_file().where(Job.id.in_(ids) | Job.number.in_(first))


# Built once: every query about a job begins with it.
_NAMED = _named()


async def find_all(connection: AsyncConnection, ids: Sequence[UUID]) -> list[JobRow]:
    """Return for each of these ids the first job of each owner over the file with that id, and the
    job with that id.
    """
    return await fetch_all(connection, JobRow, _NAMED, {"ids": padded(ids)})


async def find_public(
    connection: AsyncConnection, public_id: str, owner: str, origin: str
) -> JobRow | None:
    """Return the job with this public id of its endpoint."""
    query = _with_file().where(Job.public_id == public_id, Job.owner == owner, Job.origin == origin)
    return await fetch_first(connection, JobRow, query)


async def find_id(connection: AsyncConnection, number: int, owner: str) -> UUID | None:
    """Return the id of the owner's job with this number."""
    query = select(Job.id).join(File, File.id == Job.file_id)
    query = query.where(Job.number == number, Job.owner == owner, File.deleted_at.is_(None))
    return (await connection.execute(query)).scalar()


async def find_named(
    connection: AsyncConnection, owner: str, names: Sequence[UUID | int]
) -> list[ListedJob]:
    """Return the owner's jobs with these ids and numbers, newest first."""
    ids = [name for name in names if isinstance(name, UUID)]
    numbers = [name for name in names if isinstance(name, int)]
    is_named = Job.id.in_(padded(ids)) | Job.number.in_(padded(numbers))
    query = _listed().where(Job.owner == owner, is_named).order_by(Job.number.desc())
    return await fetch_all(connection, ListedJob, query)


async def find_number(
    connection: AsyncConnection, number: int, owner: str, origin: str
) -> JobRow | None:
    query = _with_file().where(Job.number == number, Job.owner == owner, Job.origin == origin)
    return await fetch_first(connection, JobRow, query)


async def find_work(connection: AsyncConnection, job_id: UUID) -> JobWork | None:
    """Return the work of a job, even if its file is being deleted."""
    query = select(*columns_of(JobWork, Job)).where(Job.id == job_id)
    return await fetch_first(connection, JobWork, query)


async def load_job(connection: AsyncConnection, job_id: UUID) -> JobRow | None:
    """Return a job of any owner, for the machine."""
    return await fetch_first(connection, JobRow, _LOAD, {"of_job": job_id})


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Conditions on an owner's jobs; all that are set must hold."""

    before: int | None = None
    """Number of the last job of the previous page."""
    status: str | None = None
    processor: str | None = None
    parent: UUID | None = None
    since: datetime | None = None
    """Accepted then or later."""
    until: datetime | None = None
    """Accepted before."""
    search: str | None = None
    """Part of the file's name, in any case."""
    with_parts: bool = True
    """Whether to include jobs that are parts of others."""
    with_helpers: bool | None = None
    """Whether to include jobs that help others (app/db/helper_jobs.py). None: those that are not
    parts of others, too.
    """
    origin: str | None = None
    """Endpoint that created them."""
    is_undone: bool | None = None
    """Whether their undo has begun."""
    number: int | None = None
    labels: tuple[str, ...] = ()
    """They have all of these."""
    rejected_over: float | None = None
    """More than this percentage of their rows is rejected."""
    ids: tuple[UUID, ...] | None = None
    is_active: bool = False
    """Whether to leave out those that have ended."""
    can_retry: bool = False
    """Whether to leave out those without chunks to run again."""


ALL_JOBS = JobFilter()


async def list_jobs(
    connection: AsyncConnection, owner: str, job_filter: JobFilter, *, limit: int, offset: int = 0
) -> list[ListedJob]:
    """Return jobs, newest first."""
    query = _listed().where(*_conditions(connection, owner, job_filter)).order_by(Job.number.desc())
    return await fetch_all(connection, ListedJob, query.limit(limit).offset(offset))


async def list_page(
    connection: AsyncConnection,
    owner: str,
    job_filter: JobFilter,
    order: Order,
    *,
    limit: int,
    place: Place | None = None,
) -> tuple[list[ListedJob], Place | None]:
    """Return the jobs that follow a place, and the place of the last one; None if that is the end.

    Jobs that are added, deleted or changed between pages neither hide nor repeat any other job.
    """
    is_sqlite = connection.dialect.name == "sqlite"
    key = compared(order.by, is_sqlite=is_sqlite).label("compared")
    query = _listed().add_columns(key).where(*_conditions(connection, owner, job_filter))
    if place is not None:
        query = query.where(after(order, place, is_sqlite=is_sqlite))
    if order.is_ascending:
        query = query.order_by(key, Job.number)
    else:
        query = query.order_by(key.desc(), Job.number.desc())
    rows = (await connection.execute(query.limit(limit))).all()
    page = [ListedJob(*columns[:-1]) for columns in rows]
    if len(page) < limit:
        return page, None
    return page, Place(rows[-1][-1], page[-1].number)


async def count_jobs(
    connection: AsyncConnection, owner: str, job_filter: JobFilter = ALL_JOBS
) -> dict[str, int]:
    """Return the number of matching jobs by status."""
    query = select(Job.status, func.count()).select_from(Job).join(File, File.id == Job.file_id)
    query = query.where(File.deleted_at.is_(None), *_conditions(connection, owner, job_filter))
    rows = (await connection.execute(query.group_by(Job.status))).all()
    return {str(status): int(count) for status, count in rows}


def _conditions(
    connection: AsyncConnection, owner: str, job_filter: JobFilter
) -> Iterator[ColumnElement[bool]]:
    is_sqlite = connection.dialect.name == "sqlite"
    yield Job.owner == owner
    if job_filter.before is not None:
        yield Job.number < job_filter.before
    if job_filter.status is not None:
        yield Job.status == job_filter.status
    if job_filter.processor is not None:
        yield Job.processor == job_filter.processor
    if job_filter.parent is not None:
        yield Job.parent_id == job_filter.parent
    if job_filter.since is not None:
        yield Job.created_at >= _as_stored(job_filter.since, is_sqlite=is_sqlite)
    if job_filter.until is not None:
        yield Job.created_at < _as_stored(job_filter.until, is_sqlite=is_sqlite)
    if job_filter.number is not None:
        yield Job.number == job_filter.number
    if job_filter.ids is not None:
        yield Job.id.in_(padded(job_filter.ids))
    if job_filter.is_active:
        yield Job.status.in_(ACTIVE_JOBS)
    if job_filter.can_retry:
        yield _can_retry()
    for label in job_filter.labels:
        yield has_label(Job, label)
    if job_filter.rejected_over is not None:
        yield Job.status != JobStatus.COMPLETED  # such a job has no rejects
        yield rejected_rows() * 100.0 > job_filter.rejected_over * rows_cut()
    if job_filter.search:
        yield _named_like(job_filter.search, is_sqlite=is_sqlite)
    if not job_filter.with_parts:
        yield _is_whole(with_corrections=job_filter.with_helpers is True)
    if job_filter.with_helpers is False:
        yield ~is_helper()
    if job_filter.origin is not None:
        yield Job.origin == job_filter.origin
    if job_filter.is_undone is not None:
        yield Job.undo_state.is_not(None) if job_filter.is_undone else Job.undo_state.is_(None)


def _is_whole(*, with_corrections: bool) -> ColumnElement[bool]:
    """Match jobs that are no parts of others; a correction has a parent, too."""
    if with_corrections:
        return or_(Job.parent_id.is_(None), Job.origin == outbox.CORRECTIONS)
    return Job.parent_id.is_(None)


def _can_retry() -> ColumnElement[bool]:
    """Match jobs of which a chunk failed, or one of their parts, or of the parts of these."""
    part, smaller = aliased(Job), aliased(Job)
    parts = select(part.id).where(part.parent_id == Job.id)
    smaller_parts = select(smaller.id).where(smaller.parent_id.in_(parts.correlate(Job)))
    is_of_job = or_(
        Chunk.job_id == Job.id,
        Chunk.job_id.in_(parts.correlate(Job)),
        Chunk.job_id.in_(smaller_parts.correlate(Job)),
    )
    has_failed = exists().where(Chunk.status == ChunkStatus.FAILED, is_of_job).correlate(Job)
    return and_(Job.status.in_(ENDED_BADLY), Job.undo_state.is_(None), has_failed)


def _as_stored(moment: datetime, *, is_sqlite: bool) -> datetime:
    """Return what to compare with a stored time: SQLite has milliseconds, and compares 12.345 and
    12.345000 as texts.
    """
    return moment - timedelta(milliseconds=1) if is_sqlite else moment


def _named_like(part: str, *, is_sqlite: bool) -> ColumnElement[bool]:
    if is_sqlite and not part.isascii():
        return func.folded(File.filename).contains(part.lower(), autoescape=True)
    return File.filename.icontains(part, autoescape=True)


async def list_moving(
    connection: AsyncConnection, owner: str, *, above: int, ids: Sequence[UUID], limit: int
) -> list[ListedJob]:
    """Return the jobs that a live list needs: those that run and the next in the queue (at most
    `limit`), those being undone (as many), those accepted after the number `above` (at most `limit`), and `ids`.
    """
    at_work = case((Job.status == JobStatus.PROCESSING, 0), else_=1)
    is_visible = (Job.owner == owner, File.deleted_at.is_(None))
    active = (
        select(Job.number)
        .join(File, File.id == Job.file_id)
        .where(*is_visible, Job.status.in_(ACTIVE_JOBS))
    )
    active = active.order_by(at_work, Job.priority.desc(), Job.number).limit(limit)
    new = (
        select(Job.number)
        .where(Job.owner == owner, Job.number > above)
        .order_by(Job.number)
        .limit(limit)
    )
    undoing = select(Job.number).where(Job.owner == owner, Job.undo_state == "undoing").limit(limit)
    is_moving = or_(Job.number.in_(active), Job.number.in_(new), Job.number.in_(undoing))
    query = _listed().where(Job.owner == owner, is_moving | Job.id.in_(ids))
    return await fetch_all(connection, ListedJob, query.order_by(Job.number))


async def newest_ids(connection: AsyncConnection, owner: str, limit: int) -> dict[UUID, int]:
    """Return the ids and numbers of the owner's newest existing jobs."""
    query = select(Job.id, Job.number).join(File, File.id == Job.file_id)
    query = (
        query.where(Job.owner == owner, File.deleted_at.is_(None))
        .order_by(Job.number.desc())
        .limit(limit)
    )
    return {row.id: int(row.number) for row in (await connection.execute(query)).all()}


async def last_number(connection: AsyncConnection, owner: str) -> int:
    """Return the number of the owner's newest job; 0 before the first."""
    return (
        await connection.execute(select(func.max(Job.number)).where(Job.owner == owner))
    ).scalar() or 0


async def count_active(connection: AsyncConnection) -> dict[int, int]:
    """Return the number of waiting and running jobs by priority."""
    query = (
        select(Job.priority, func.count()).where(Job.status.in_(ACTIVE_JOBS)).group_by(Job.priority)
    )
    return {priority: int(count) for priority, count in (await connection.execute(query)).all()}


async def count_in_work(connection: AsyncConnection) -> int:
    """Return the number of chunks that are running."""
    query = select(func.count()).select_from(Chunk).where(Chunk.status == ChunkStatus.PROCESSING)
    return int((await connection.execute(query)).scalar_one())


async def count_waiting(
    connection: AsyncConnection, longest_wait: float
) -> tuple[dict[int, int], float]:
    """Return (chunks that may be claimed now, by priority of their jobs; seconds that the first of
    them has waited).
    """
    query = (
        select(Job.priority, func.count(), func.min(Chunk.available_at), now())
        .join(Job, Job.id == Chunk.job_id)
        .where(Chunk.status == ChunkStatus.PENDING, is_due(Chunk.available_at, longest_wait))
        .group_by(Job.priority)
    )
    rows = (await connection.execute(query)).all()
    # negative if the clock was set back
    oldest = max((at - since for _, _, since, at in rows), default=timedelta())
    return {priority: int(count) for priority, count, _, _ in rows}, max(
        0.0, oldest.total_seconds()
    )


async def list_active(connection: AsyncConnection) -> list[ActiveJob]:
    """Return (id, number, priority) of the jobs that may have work, urgent first, then in order of
    acceptance.

    This includes cancelled jobs whose file is not completely split: their rows must be counted as
    unprocessed.
    """
    unfinished = Job.status.in_(ACTIVE_JOBS) | (
        (Job.status == JobStatus.CANCELLED) & Job.split_done.is_(False)
    )
    query = (
        select(*columns_of(ActiveJob, Job))
        .join(File, File.id == Job.file_id)
        .where(unfinished, File.deleted_at.is_(None))
        .order_by(Job.priority.desc(), Job.number)
    )
    return await fetch_all(connection, ActiveJob, query)


async def ids_of_file(connection: AsyncConnection, file_id: UUID) -> list[UUID]:
    """Return all jobs of the file, even of a deleted one."""
    return list((await connection.execute(select(Job.id).where(Job.file_id == file_id))).scalars())


async def children(connection: AsyncConnection, parent_id: UUID) -> list[JobRow]:
    """Return the parts of a job in the order of their creation."""
    return await fetch_all(connection, JobRow, _CHILDREN, {"of_job": parent_id})


async def children_of(connection: AsyncConnection, ids: Sequence[UUID]) -> list[JobRow]:
    """Return the parts of all these jobs."""
    query = _with_file().where(Job.parent_id.in_(ids)).order_by(Job.number)
    return await fetch_all(connection, JobRow, query)


async def descendants(connection: AsyncConnection, ids: Sequence[UUID]) -> list[JobPart]:
    """Return the parts of these jobs and the parts of those, each before its own parts, including
    parts whose files are being deleted.
    """
    descendant_parts: list[JobPart] = []
    while ids:
        query = select(*columns_of(JobPart, Job)).where(Job.parent_id.in_(ids)).order_by(Job.number)
        parts = await fetch_all(connection, JobPart, query)
        descendant_parts += parts
        ids = [part.id for part in parts]
    return descendant_parts


async def remove_jobs(connection: AsyncConnection, ids: Sequence[UUID]) -> None:
    await connection.execute(delete(Job).where(Job.id.in_(ids)))


async def parents_of_file(connection: AsyncConnection, file_id: UUID) -> dict[UUID, int]:
    """Return the active jobs over other files that have a job of this file as a part: priority by
    id.
    """
    parents = select(Job.parent_id).where(Job.file_id == file_id, Job.parent_id.is_not(None))
    query = select(Job.id, Job.priority).where(Job.id.in_(parents), Job.status.in_(ACTIVE_JOBS))
    return {job_id: int(priority) for job_id, priority in (await connection.execute(query)).all()}


async def latest_summary(
    connection: AsyncConnection, owner: str, file_id: UUID, processor: str
) -> JobSummary | None:
    """Return the summary of the newest completed job of a processor over a file."""
    query = (
        select(*columns_of(JobSummary, Job))
        .where(
            Job.owner == owner,
            Job.file_id == file_id,
            Job.processor == processor,
            Job.status.in_((JobStatus.COMPLETED, JobStatus.COMPLETED_WITH_ERRORS)),
        )
        .order_by(Job.number.desc())
        .limit(1)
    )
    return await fetch_first(connection, JobSummary, query)


async def find_cached(connection: AsyncConnection, owner: str, cache_key: str) -> JobRow | None:
    """Return the newest job with this key that has a complete result, none of it deleted."""
    part, part_file, output = aliased(Job), aliased(File), aliased(File)
    parts = (
        select(func.count())
        .select_from(part)
        .join(part_file, part_file.id == part.file_id)
        .where(part.parent_id == Job.id, part_file.deleted_at.is_(None))
        .scalar_subquery()
    )
    query = (
        _with_file()
        .where(
            Job.owner == owner,
            Job.cache_key == cache_key,
            Job.status.in_((JobStatus.COMPLETED, JobStatus.COMPLETED_WITH_ERRORS)),
            Job.error.is_(None),
            or_(Job.child_count.is_(None), Job.child_count == parts),
            or_(
                Job.result_file_id.is_(None),
                select(output.id)
                .where(output.id == Job.result_file_id, output.deleted_at.is_(None))
                .exists(),
            ),
        )
        .order_by(Job.number.desc())
        .limit(1)
    )
    return await fetch_first(connection, JobRow, query)


async def find_jobs(
    connection: AsyncConnection, ids: Sequence[UUID], owner: str
) -> dict[UUID, JobRow]:
    """Return the jobs that exist, by id."""
    query = _with_file().where(Job.id.in_(ids), Job.owner == owner)
    return {job.id: job for job in await fetch_all(connection, JobRow, query)}


async def tally_children(connection: AsyncConnection, parent_id: UUID) -> dict[str, int]:
    """Return the number of the job's parts in each status."""
    query = select(Job.status, func.count()).where(Job.parent_id == parent_id).group_by(Job.status)
    return {str(status): int(count) for status, count in (await connection.execute(query)).all()}


async def find_active_of_origin(
    connection: AsyncConnection, owner: str, origin: str, options: dict[str, Any]
) -> JobRow | None:
    """Return the oldest unfinished job of this endpoint with these options; parts do not count."""
    query = (
        _with_file()
        .where(
            Job.owner == owner,
            Job.origin == origin,
            Job.status.in_(ACTIVE_JOBS),
            Job.parent_id.is_(None),
        )
        .order_by(Job.number)
    )
    matching = await fetch_all(connection, JobRow, query)
    return next((job for job in matching if job.options == options), None)


async def count_by_status(connection: AsyncConnection) -> dict[str, int]:
    """Return the number of all owners' jobs by status."""
    query = select(Job.status, func.count()).group_by(Job.status)
    return {str(status): int(count) for status, count in (await connection.execute(query)).all()}


async def set_priority(connection: AsyncConnection, job_id: UUID, priority: int) -> bool:
    query = (
        update(Job)
        .where(Job.id == job_id, Job.status.in_(ACTIVE_JOBS))
        .values(priority=priority, updated_at=now())
    )
    return (await connection.execute(query)).rowcount == 1


async def advance_split(
    connection: AsyncConnection,
    job_id: UUID,
    *,
    old_offset: int,
    old_count: int,
    new: SplitPosition,
) -> JobStatus | None:  # queued -> processing
    """Store the new split position if the job is still at the old one; return the job's status,
    None if another splitter has moved it.
    """
    query = (
        update(Job)
        .where(
            Job.id == job_id,
            Job.split_offset == old_offset,
            Job.chunk_count == old_count,
            Job.split_done.is_(False),
            Job.status.in_((*ACTIVE_JOBS, JobStatus.CANCELLED)),
        )
        .values(**values_of(new), updated_at=now())
        .returning(Job.status)
    )
    status = (await connection.execute(query)).scalar()
    if status == JobStatus.QUEUED:
        begin = may_become(Job.status, JobStatus.PROCESSING, among=(JobStatus.QUEUED,))
        start = update(Job).where(Job.id == job_id, begin)
        await connection.execute(start.values(status=JobStatus.PROCESSING, started_at=now()))
        return JobStatus.PROCESSING
    return JobStatus(status) if status else None


async def set_waiting_on(
    connection: AsyncConnection, job_id: UUID, waiting_on: str | None, detail: str | None = None
) -> None:
    """Store what an active job waits for outside of this service, also in words if there are more
    of them; None once it continues. It waits since the first call that was not followed by None.
    """
    since = None if waiting_on is None else func.coalesce(Job.waiting_since, now())
    query = (
        update(Job)
        .where(Job.id == job_id, Job.status.in_(ACTIVE_JOBS))
        .values(
            waiting_on=waiting_on,
            waiting_detail=None if detail is None else detail[:300],
            waiting_since=since,
            updated_at=now(),
        )
    )
    await connection.execute(query)


async def lock_job(connection: AsyncConnection, job_id: UUID) -> LockedJob | None:
    """Lock the job until the end of the transaction."""
    return await fetch_first(connection, LockedJob, _LOCK, {"of_job": job_id})


async def lock_columns(connection: AsyncConnection, job_id: UUID) -> list[str]:
    """Lock the job and return its columns; none if it is gone."""
    query = select(Job.columns).where(Job.id == job_id).with_for_update()
    return list((await connection.execute(query)).scalar() or ())


async def set_columns(connection: AsyncConnection, job_id: UUID, columns: Sequence[str]) -> None:
    """Store the columns of a job that this transaction has locked."""
    await connection.execute(update(Job).where(Job.id == job_id).values(columns=list(columns)))


async def finish(
    connection: AsyncConnection,
    job_id: UUID,
    status: JobStatus,
    *,
    summary: dict[str, Any] | None = None,
    error: dict[str, Any] | None = None,
) -> bool:  # queued | processing -> a final state
    """Move a job to its final status; no other function does. The same transaction queues the
    messages for its subscribers.
    """
    query = (
        update(Job)
        .where(Job.id == job_id, may_become(Job.status, status, among=ACTIVE_JOBS))
        .values(status=status, summary=summary, error=error, finished_at=now(), updated_at=now())
        .returning(*_ENDED)
    )
    job = await fetch_first(connection, JobBase, query)
    if job is None:
        return False
    assert job.finished_at is not None
    await outbox.tell(connection, job, job.finished_at)
    return True


async def withdraw(connection: AsyncConnection, job_id: UUID) -> None:
    """Count no row of the job as loaded, because it ends without publishing what is staged."""
    await connection.execute(update(Job).where(Job.id == job_id).values(is_withdrawn=True))


async def set_result_file(connection: AsyncConnection, job_id: UUID, file_id: UUID) -> None:
    await connection.execute(update(Job).where(Job.id == job_id).values(result_file_id=file_id))


async def need_parts(connection: AsyncConnection, job_ids: Sequence[UUID]) -> dict[UUID, bool]:
    """Return for each of these jobs that exists whether it may still need the output of its chunks
    in the storage, since it can continue or be retried.
    """
    query = select(Job.id, Job.status).where(Job.id.in_(job_ids))
    needing = (*ACTIVE_JOBS, JobStatus.FAILED)
    return {row[0]: JobStatus(row[1]) in needing for row in await connection.execute(query)}


async def put_result(
    connection: AsyncConnection, job_id: UUID, data: dict[str, Any], state: str | None
) -> None:
    """Store the result of a job, replacing an earlier one."""
    await connection.execute(delete(JobResult).where(JobResult.job_id == job_id))
    await connection.execute(
        insert(JobResult).values(job_id=job_id, data=data, state=state, created_at=now())
    )


async def find_result(connection: AsyncConnection, job_id: UUID) -> JobResultRow | None:
    query = select(JobResult.data, JobResult.state).where(JobResult.job_id == job_id)
    return await fetch_first(connection, JobResultRow, query)


async def needs_bytes(connection: AsyncConnection, file_id: UUID) -> bool:
    """Return whether a job still has to read the file, or would if its failed chunks ran again."""
    has_failed = exists().where(Chunk.job_id == Job.id, Chunk.status == ChunkStatus.FAILED)
    query = (
        select(Job.id)
        .where(Job.file_id == file_id, or_(Job.status.in_(ACTIVE_JOBS), has_failed))
        .limit(1)
    )
    return (await connection.execute(query)).first() is not None


# queued | processing -> cancelled
async def cancel(connection: AsyncConnection, job_id: UUID) -> bool:
    return await finish(connection, job_id, JobStatus.CANCELLED)


ENDED_BADLY = (JobStatus.COMPLETED_WITH_ERRORS, JobStatus.FAILED)


# completed_with_errors | failed -> processing
async def reopen(connection: AsyncConnection, job_id: UUID) -> bool:
    query = (
        update(Job)
        .where(
            Job.id == job_id,
            may_become(Job.status, JobStatus.PROCESSING, among=ENDED_BADLY),
            Job.undo_state.is_(None),
        )
        .values(
            status=JobStatus.PROCESSING,
            is_withdrawn=False,
            error=None,
            finished_at=None,
            updated_at=now(),
        )
    )
    return (await connection.execute(query)).rowcount == 1
