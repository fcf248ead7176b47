"""SQL for schedules. A run belongs to whoever moves `next_run_at` on from the moment that was due."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import Schedule
from app.db.types import now
from app.db.users import is_revoked


async def insert_schedule(connection: AsyncConnection, values: dict[str, Any]) -> None:
    await connection.execute(insert(Schedule).values(**values, created_at=now()))


async def list_schedules(connection: AsyncConnection, owner: str) -> Sequence[RowMapping]:
    query = select(Schedule).where(Schedule.owner == owner).order_by(Schedule.created_at, Schedule.id)
    return (await connection.execute(query)).mappings().all()


async def find_schedule(connection: AsyncConnection, schedule_id: UUID, owner: str) -> RowMapping | None:
    query = select(Schedule).where(Schedule.id == schedule_id, Schedule.owner == owner)
    return (await connection.execute(query)).mappings().first()


async def list_due(connection: AsyncConnection) -> Sequence[RowMapping]:
    """But not those of users who are revoked."""
    query = select(Schedule).where(
        Schedule.paused.is_(False), Schedule.next_run_at <= now(), ~is_revoked(Schedule.owner)
    )  # fmt: skip
    return (await connection.execute(query.order_by(Schedule.next_run_at))).mappings().all()


async def list_later(connection: AsyncConnection) -> Sequence[RowMapping]:
    """Those whose next run is still to come."""
    query = select(Schedule).where(Schedule.paused.is_(False), Schedule.next_run_at > now())
    return (await connection.execute(query)).mappings().all()


async def run_earlier(connection: AsyncConnection, schedule: RowMapping, next_run_at: datetime) -> bool:
    query = update(Schedule).where(Schedule.id == schedule["id"], Schedule.next_run_at == schedule["next_run_at"])
    return (await connection.execute(query.values(next_run_at=next_run_at))).rowcount == 1


async def take_run(connection: AsyncConnection, schedule: RowMapping, next_run_at: datetime, missed: int) -> bool:
    """Whether the run that is due is ours."""
    query = (
        update(Schedule)
        .where(
            Schedule.id == schedule["id"],
            Schedule.next_run_at == schedule["next_run_at"],
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
    counted = {name: getattr(Schedule, name) + values.pop(name) for name in ("runs", "skipped") if name in values}
    await connection.execute(update(Schedule).where(Schedule.id == schedule_id).values(**values, **counted))


async def change(connection: AsyncConnection, schedule_id: UUID, owner: str, values: dict[str, Any]) -> bool:
    query = update(Schedule).where(Schedule.id == schedule_id, Schedule.owner == owner).values(**values)
    return (await connection.execute(query)).rowcount == 1


async def remove(connection: AsyncConnection, schedule_id: UUID, owner: str) -> bool:
    query = delete(Schedule).where(Schedule.id == schedule_id, Schedule.owner == owner)
    return (await connection.execute(query)).rowcount == 1
