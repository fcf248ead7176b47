"""SQL of the samples of load."""

from __future__ import annotations

from datetime import datetime

import msgspec
from sqlalchemy import bindparam, delete, func, or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import installation, jobs
from app.db.models import Chunk, Job, SystemSample
from app.db.rows import columns_of, fetch_all
from app.db.types import UTCDateTime
from app.states import ACTIVE_JOBS, JobStatus


class Sample(msgspec.Struct, frozen=True):
    """The load of one interval, which begins at `at`."""

    at: datetime
    rows: int
    """Rows that chunks processed: loaded, rejected or failed."""
    failed_rows: int
    failed_jobs: int
    queued_jobs: int
    """Waiting and running jobs at the end."""
    waiting_chunks: int
    workers: int
    disk_free_bytes: int | None
    """Null if the storage cannot report it."""


class Work(msgspec.Struct, frozen=True):
    """What was done in an interval."""

    rows: int
    failed_rows: int
    failed_jobs: int


class Queue(msgspec.Struct, frozen=True):
    """What waits or runs now."""

    jobs: int
    chunks: int


class StorageState(msgspec.Struct, frozen=True):
    """Files that the database does not know, at the last check, and the last backup."""

    swept_at: datetime | None = None
    lost_files: int = 0
    held_files: int = 0
    backed_up_at: datetime | None = None


async def find_storage_state(connection: AsyncConnection) -> StorageState:
    row = await installation.find(connection)
    if row is None:
        return StorageState()
    return StorageState(row.swept_at, row.lost_files, row.held_files, row.backed_up_at)


async def has_sample(connection: AsyncConnection, at: datetime) -> bool:
    query = select(SystemSample.at).where(SystemSample.at == at)
    return (await connection.execute(query)).first() is not None


async def count_work(connection: AsyncConnection, begin: datetime, end: datetime) -> Work:
    """Count what ended since `begin` and before `end`. Only chunks of jobs that still run or ended
    since then are read.
    """
    rows = Chunk.rows_ok + Chunk.rows_invalid + Chunk.rows_failed
    is_recent = or_(Job.status.in_(ACTIVE_JOBS), Job.finished_at >= begin)
    query = (
        select(func.sum(rows), func.sum(Chunk.rows_failed))
        .join(Job, Job.id == Chunk.job_id)
        .where(is_recent, Chunk.finished_at >= begin, Chunk.finished_at < end)
    )
    done, failed = (await connection.execute(query)).one()
    failed_jobs = select(func.count()).where(
        Job.status == JobStatus.FAILED, Job.finished_at >= begin, Job.finished_at < end
    )
    number = (await connection.execute(failed_jobs)).scalar_one()
    return Work(rows=int(done or 0), failed_rows=int(failed or 0), failed_jobs=int(number))


async def count_queue(connection: AsyncConnection, longest_wait: float) -> Queue:
    active = await jobs.count_active(connection)
    waiting, _ = await jobs.count_waiting(connection, longest_wait)
    return Queue(jobs=sum(active.values()), chunks=sum(waiting.values()))


async def store(connection: AsyncConnection, sample: Sample, oldest: datetime) -> bool:
    """Store a sample, and delete those before `oldest`. Return False if there is one already."""
    values = msgspec.structs.asdict(sample)
    columns = ", ".join(f'"{name}"' for name in values)
    query = text(
        f"INSERT INTO system_samples ({columns}) VALUES (:{', :'.join(values)})"
        " ON CONFLICT DO NOTHING"
    ).bindparams(bindparam("at", type_=UTCDateTime()))
    if (await connection.execute(query, values)).rowcount != 1:
        return False
    await connection.execute(delete(SystemSample).where(SystemSample.at < oldest))
    return True


async def list_samples(connection: AsyncConnection, since: datetime) -> list[Sample]:
    query = select(*columns_of(Sample, SystemSample)).where(SystemSample.at >= since)
    return await fetch_all(connection, Sample, query.order_by(SystemSample.at))
