"""SQL for schedules. A run belongs to the process that advances `next_run_at` from the due time."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import Schedule
from app.db.rows import changes_of, columns_of, fetch_all, fetch_first, values_of
from app.db.types import now
from app.db.users import is_revoked


class ScheduleRow(msgspec.Struct, frozen=True):
    """A job that starts periodically."""

    id: UUID
    owner: str
    name: str
    cron: str
    timezone: str
    job: dict[str, Any]
    paused: bool
    next_run_at: datetime
    last_run_at: datetime | None
    last_job_id: UUID | None
    last_outcome: dict[str, Any] | None
    runs: int
    skipped: int
    missed: int
    created_at: datetime


class NewSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule to insert."""

    id: UUID = msgspec.field(default_factory=uuid4)
    owner: str
    name: str
    cron: str
    timezone: str
    job: dict[str, Any]
    next_run_at: datetime


class ScheduleUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """Changes of a schedule."""

    name: str | UnsetType = UNSET
    cron: str | UnsetType = UNSET
    timezone: str | UnsetType = UNSET
    paused: bool | UnsetType = UNSET
    next_run_at: datetime | UnsetType = UNSET


_SCHEDULE = columns_of(ScheduleRow, Schedule)


async def insert_schedule(connection: AsyncConnection, schedule: NewSchedule) -> None:
    await connection.execute(insert(Schedule).values(**values_of(schedule), created_at=now()))


async def list_schedules(connection: AsyncConnection, owner: str) -> list[ScheduleRow]:
    query = (
        select(*_SCHEDULE).where(Schedule.owner == owner).order_by(Schedule.created_at, Schedule.id)
    )
    return await fetch_all(connection, ScheduleRow, query)


async def find_schedule(
    connection: AsyncConnection, schedule_id: UUID, owner: str
) -> ScheduleRow | None:
    query = select(*_SCHEDULE).where(Schedule.id == schedule_id, Schedule.owner == owner)
    return await fetch_first(connection, ScheduleRow, query)


async def list_due(connection: AsyncConnection) -> list[ScheduleRow]:
    """Return due schedules, except those of revoked users."""
    query = select(*_SCHEDULE).where(
        Schedule.paused.is_(False), Schedule.next_run_at <= now(), ~is_revoked(Schedule.owner)
    )
    return await fetch_all(connection, ScheduleRow, query.order_by(Schedule.next_run_at))


async def list_later(connection: AsyncConnection) -> list[ScheduleRow]:
    """Return schedules whose next run is in the future."""
    query = select(*_SCHEDULE).where(Schedule.paused.is_(False), Schedule.next_run_at > now())
    return await fetch_all(connection, ScheduleRow, query)


async def run_earlier(
    connection: AsyncConnection, schedule: ScheduleRow, next_run_at: datetime
) -> bool:
    query = update(Schedule).where(
        Schedule.id == schedule.id, Schedule.next_run_at == schedule.next_run_at
    )
    return (await connection.execute(query.values(next_run_at=next_run_at))).rowcount == 1


async def take_run(
    connection: AsyncConnection, schedule: ScheduleRow, next_run_at: datetime, missed: int
) -> bool:
    """Return whether this process won the due run."""
    query = (
        update(Schedule)
        .where(
            Schedule.id == schedule.id,
            Schedule.next_run_at == schedule.next_run_at,
            Schedule.paused.is_(False),
        )
        .values(
            next_run_at=next_run_at,
            last_run_at=now(),
            missed=Schedule.missed + missed,
            last_outcome={"outcome": "begun"},
        )
    )
    return (await connection.execute(query)).rowcount == 1


async def note_made(
    connection: AsyncConnection,
    schedule_id: UUID,
    job_id: UUID,
    last_outcome: dict[str, Any],
    *,
    was_planned: bool,
) -> None:
    """Store the job of a run. The time of a planned run is stored when the run is taken."""
    last_run_at = Schedule.last_run_at if was_planned else now()
    query = update(Schedule).where(Schedule.id == schedule_id)
    query = query.values(
        last_job_id=job_id,
        last_run_at=last_run_at,
        runs=Schedule.runs + 1,
        last_outcome=last_outcome,
    )
    await connection.execute(query)


async def note_skipped(
    connection: AsyncConnection, schedule_id: UUID, last_outcome: dict[str, Any]
) -> None:
    """Store that a run was skipped."""
    query = update(Schedule).where(Schedule.id == schedule_id)
    await connection.execute(query.values(skipped=Schedule.skipped + 1, last_outcome=last_outcome))


async def note_failed(
    connection: AsyncConnection, schedule_id: UUID, last_outcome: dict[str, Any]
) -> None:
    """Store that a run could not create a job."""
    query = update(Schedule).where(Schedule.id == schedule_id)
    await connection.execute(query.values(last_outcome=last_outcome))


async def change(
    connection: AsyncConnection, schedule_id: UUID, owner: str, new: ScheduleUpdate
) -> bool:
    query = update(Schedule).where(Schedule.id == schedule_id, Schedule.owner == owner)
    return (await connection.execute(query.values(**changes_of(new)))).rowcount == 1


async def remove(connection: AsyncConnection, schedule_id: UUID, owner: str) -> bool:
    query = delete(Schedule).where(Schedule.id == schedule_id, Schedule.owner == owner)
    return (await connection.execute(query)).rowcount == 1
