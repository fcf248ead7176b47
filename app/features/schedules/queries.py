"""SQL for schedules. A run belongs to whoever moves `next_run_at` on from the moment that was
due.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import Schedule
from app.db.rows import columns_of, fetch_all, fetch_first, values_of
from app.db.types import now
from app.db.users import is_revoked


class ScheduleRow(msgspec.Struct, frozen=True):
    """A job that is made again and again."""

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
    """A schedule that is to be inserted."""

    id: UUID = msgspec.field(default_factory=uuid4)
    owner: str
    name: str
    cron: str
    timezone: str
    job: dict[str, Any]
    next_run_at: datetime


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
    """But not those of users who are revoked."""
    query = select(*_SCHEDULE).where(
        Schedule.paused.is_(False), Schedule.next_run_at <= now(), ~is_revoked(Schedule.owner)
    )
    return await fetch_all(connection, ScheduleRow, query.order_by(Schedule.next_run_at))


async def list_later(connection: AsyncConnection) -> list[ScheduleRow]:
    """Those whose next run is still to come."""
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
    """Whether the run that is due is ours."""
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


async def note(connection: AsyncConnection, schedule_id: UUID, values: dict[str, Any]) -> None:
    """What became of a run; `runs` and `skipped` are added to what was counted."""
    counted = {
        name: getattr(Schedule, name) + values.pop(name)
        for name in ("runs", "skipped")
        if name in values
    }
    await connection.execute(
        update(Schedule).where(Schedule.id == schedule_id).values(**values, **counted)
    )


async def change(
    connection: AsyncConnection, schedule_id: UUID, owner: str, values: dict[str, Any]
) -> bool:
    query = (
        update(Schedule).where(Schedule.id == schedule_id, Schedule.owner == owner).values(**values)
    )
    return (await connection.execute(query)).rowcount == 1


async def remove(connection: AsyncConnection, schedule_id: UUID, owner: str) -> bool:
    query = delete(Schedule).where(Schedule.id == schedule_id, Schedule.owner == owner)
    return (await connection.execute(query)).rowcount == 1
