"""SQL for watches. A check belongs to the process that holds the lease; every change that it makes is
fenced by the token of the lease.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import ColumnElement, and_, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import Watch, WatchedObject
from app.db.rows import changes_of, columns_of, fetch_all, fetch_first, values_of
from app.db.types import is_due, now, padded
from app.db.users import is_revoked

LONGEST_WAIT_SECONDS = 86_400.0
"""Longest time between two checks of a watch, or between two attempts of an object."""


class WatchRow(msgspec.Struct, frozen=True):
    """A bucket or folder that is watched."""

    id: UUID
    owner: str
    name: str
    source: str
    job: dict[str, Any]
    every_seconds: float
    settle_seconds: float
    paused: bool
    is_requested: bool
    next_check_at: datetime
    failures: int
    last_checked_at: datetime | None
    last_outcome: dict[str, Any] | None
    jobs: int
    created_at: datetime


class NewWatch(msgspec.Struct, frozen=True, kw_only=True):
    """A watch to insert."""

    id: UUID = msgspec.field(default_factory=uuid4)
    owner: str
    name: str
    source: str
    job: dict[str, Any]
    every_seconds: float
    settle_seconds: float


class WatchUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """Changes of a watch."""

    name: str | UnsetType = UNSET
    every_seconds: float | UnsetType = UNSET
    settle_seconds: float | UnsetType = UNSET
    paused: bool | UnsetType = UNSET


class NewObject(msgspec.Struct, frozen=True, kw_only=True):
    """A version of an object that is seen for the first time."""

    watch_id: UUID
    uri: str
    version_key: bytes
    size_bytes: int
    etag: str


class SeenObject(msgspec.Struct, frozen=True):
    """A version of an object that was seen before."""

    number: int
    version_key: bytes
    status: str
    attempts: int
    is_due: bool
    """Whether it has rested long enough, and its last attempt is long enough ago."""


class ObjectRow(msgspec.Struct, frozen=True):
    """A version of an object in the history of a watch."""

    number: int
    uri: str
    size_bytes: int
    etag: str
    status: str
    job_id: UUID | None
    error: dict[str, Any] | None
    attempts: int
    seen_at: datetime
    ended_at: datetime | None


_WATCH = columns_of(WatchRow, Watch)
_OBJECT = columns_of(ObjectRow, WatchedObject)


async def insert_watch(connection: AsyncConnection, watch: NewWatch) -> None:
    values = values_of(watch)
    await connection.execute(insert(Watch).values(**values, next_check_at=now(), created_at=now()))


async def list_watches(connection: AsyncConnection, owner: str) -> list[WatchRow]:
    query = select(*_WATCH).where(Watch.owner == owner).order_by(Watch.created_at, Watch.id)
    return await fetch_all(connection, WatchRow, query)


async def find_watch(connection: AsyncConnection, watch_id: UUID, owner: str) -> WatchRow | None:
    query = select(*_WATCH).where(Watch.id == watch_id, Watch.owner == owner)
    return await fetch_first(connection, WatchRow, query)


async def change(connection: AsyncConnection, watch_id: UUID, owner: str, new: WatchUpdate) -> bool:
    query = update(Watch).where(Watch.id == watch_id, Watch.owner == owner)
    query = query.values(**changes_of(new), next_check_at=now())
    return (await connection.execute(query)).rowcount == 1


async def remove(connection: AsyncConnection, watch_id: UUID, owner: str) -> bool:
    query = delete(Watch).where(Watch.id == watch_id, Watch.owner == owner)
    return (await connection.execute(query)).rowcount == 1


async def request_check(connection: AsyncConnection, watch_id: UUID, owner: str) -> bool:
    """Ask for a check at once, in which objects that failed are tried again."""
    query = update(Watch).where(Watch.id == watch_id, Watch.owner == owner)
    if (await connection.execute(query.values(is_requested=True))).rowcount != 1:
        return False
    again = update(WatchedObject).where(
        WatchedObject.watch_id == watch_id, WatchedObject.status.in_(("waiting", "failed"))
    )
    again = again.values(status="waiting", ended_at=None, attempts=0, next_attempt_at=now())
    await connection.execute(again)
    return True


async def counts(
    connection: AsyncConnection, watch_ids: Sequence[UUID]
) -> dict[tuple[UUID, str], int]:
    """Return the number of objects that wait or have failed, by watch and status."""
    query = (
        select(WatchedObject.watch_id, WatchedObject.status, func.count())
        .where(
            WatchedObject.watch_id.in_(padded(watch_ids)),
            WatchedObject.status.in_(("waiting", "failed")),
        )
        .group_by(WatchedObject.watch_id, WatchedObject.status)
    )
    rows = await connection.execute(query)
    return {(watch_id, status): count for watch_id, status, count in rows}


async def list_objects(
    connection: AsyncConnection, watch_id: UUID, status: str | None, before: int | None, limit: int
) -> list[ObjectRow]:
    """Return the newest versions first; those with smaller numbers than `before` if given."""
    query = select(*_OBJECT).where(WatchedObject.watch_id == watch_id)
    if status is not None:
        query = query.where(WatchedObject.status == status)
    if before is not None:
        query = query.where(WatchedObject.number < before)
    query = query.order_by(WatchedObject.number.desc()).limit(limit)
    return await fetch_all(connection, ObjectRow, query)


# ---------------------------------------------------------------------- the check


def _may_be_claimed(lease_seconds: float) -> ColumnElement[bool]:
    wants = or_(
        Watch.is_requested,
        and_(Watch.paused.is_(False), is_due(Watch.next_check_at, LONGEST_WAIT_SECONDS)),
    )
    is_free = or_(Watch.leased_until.is_(None), is_due(Watch.leased_until, lease_seconds))
    return and_(wants, is_free)


async def claim(connection: AsyncConnection, token: UUID, lease_seconds: float) -> WatchRow | None:
    """Take one watch that is due, except those of revoked users; None if there is none, or if
    another process was faster.
    """
    due = _may_be_claimed(lease_seconds)
    query = select(*_WATCH).where(due, ~is_revoked(Watch.owner))
    row = await fetch_first(connection, WatchRow, query.order_by(Watch.next_check_at).limit(1))
    if row is None:
        return None
    taking = update(Watch).where(Watch.id == row.id, due)
    taking = taking.values(claim_token=token, leased_until=now(lease_seconds), is_requested=False)
    return row if (await connection.execute(taking)).rowcount == 1 else None


async def renew(
    connection: AsyncConnection, watch_id: UUID, token: UUID, lease_seconds: float
) -> bool:
    """Return whether this process still holds the lease, for `lease_seconds` from now."""
    query = update(Watch).where(Watch.id == watch_id, Watch.claim_token == token)
    query = query.values(leased_until=now(lease_seconds))
    return (await connection.execute(query)).rowcount == 1


async def end_check(
    connection: AsyncConnection,
    watch_id: UUID,
    token: UUID,
    last_outcome: Mapping[str, Any],
    *,
    wait_seconds: float,
    failures: int,
) -> None:
    query = update(Watch).where(Watch.id == watch_id, Watch.claim_token == token)
    query = query.values(
        claim_token=None,
        leased_until=None,
        next_check_at=now(wait_seconds),
        last_checked_at=now(),
        last_outcome=dict(last_outcome),
        failures=failures,
    )
    await connection.execute(query)


async def release(connection: AsyncConnection, watch_id: UUID, token: UUID) -> None:
    """Let another process check it at once."""
    query = update(Watch).where(Watch.id == watch_id, Watch.claim_token == token)
    await connection.execute(query.values(claim_token=None, leased_until=None))


async def database_time(connection: AsyncConnection) -> datetime:
    moment: datetime = (await connection.execute(select(now()))).scalar_one()
    return moment


async def find_seen(
    connection: AsyncConnection, watch: WatchRow, keys: Sequence[bytes]
) -> list[SeenObject]:
    # A moment in the future was stored before the clock was set back.
    due = and_(
        or_(
            WatchedObject.seen_at <= now(-watch.settle_seconds),
            WatchedObject.seen_at > now(),
        ),
        is_due(WatchedObject.next_attempt_at, LONGEST_WAIT_SECONDS),
    )
    query = select(
        WatchedObject.number,
        WatchedObject.version_key,
        WatchedObject.status,
        WatchedObject.attempts,
        due,
    ).where(WatchedObject.watch_id == watch.id, WatchedObject.version_key.in_(padded(keys)))
    return await fetch_all(connection, SeenObject, query)


async def insert_objects(connection: AsyncConnection, objects: Sequence[NewObject]) -> None:
    moment = await database_time(connection)
    times = {"seen_at": moment, "next_attempt_at": moment, "last_seen_at": moment}
    rows = [{**values_of(new), **times, "status": "waiting", "attempts": 0} for new in objects]
    await connection.execute(insert(WatchedObject), rows)


async def touch(connection: AsyncConnection, numbers: Sequence[int]) -> None:
    """Note that these waiting versions are still there."""
    query = update(WatchedObject).where(WatchedObject.number.in_(padded(numbers)))
    await connection.execute(query.values(last_seen_at=now()))


async def take(
    connection: AsyncConnection, watch_id: UUID, token: UUID, number: int, job_id: UUID
) -> bool:
    """Give a waiting version its job, in the transaction that creates it; return False if it has
    one, or if the check has lost its lease.
    """
    counting = update(Watch).where(Watch.id == watch_id, Watch.claim_token == token)
    if (await connection.execute(counting.values(jobs=Watch.jobs + 1))).rowcount != 1:
        return False
    taking = update(WatchedObject).where(
        WatchedObject.number == number, WatchedObject.status == "waiting"
    )
    taking = taking.values(status="queued", job_id=job_id, error=None, ended_at=now())
    return (await connection.execute(taking)).rowcount == 1


async def fail(connection: AsyncConnection, number: int, error: dict[str, Any]) -> None:
    query = update(WatchedObject).where(
        WatchedObject.number == number, WatchedObject.status == "waiting"
    )
    await connection.execute(query.values(status="failed", error=error, ended_at=now()))


async def postpone(
    connection: AsyncConnection, number: int, error: dict[str, Any], wait_seconds: float
) -> None:
    query = update(WatchedObject).where(
        WatchedObject.number == number, WatchedObject.status == "waiting"
    )
    query = query.values(
        error=error, attempts=WatchedObject.attempts + 1, next_attempt_at=now(wait_seconds)
    )
    await connection.execute(query)


async def drop_vanished(connection: AsyncConnection, watch_id: UUID, before: datetime) -> None:
    """Forget waiting versions that the last complete listing did not have any more."""
    query = delete(WatchedObject).where(
        WatchedObject.watch_id == watch_id,
        WatchedObject.status == "waiting",
        WatchedObject.last_seen_at < before,
    )
    await connection.execute(query)


async def count_waiting(connection: AsyncConnection, watch_id: UUID) -> int:
    query = select(func.count()).where(
        WatchedObject.watch_id == watch_id, WatchedObject.status == "waiting"
    )
    return int((await connection.execute(query)).scalar_one())
