"""SQL for users, their keys and sessions, and for what an owner stores. Validity is measured by the
database's clock.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, delete, exists, func, insert, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import InstrumentedAttribute

from app.db import uploads
from app.db.files import IS_STORED
from app.db.models import File, Job, Upload, User, UserKey, UserSession
from app.db.rows import (
    CallerRow,
    KeyRow,
    NewKey,
    UserRow,
    columns_of,
    fetch_all,
    fetch_first,
    values_of,
)
from app.db.types import now
from app.states import ACTIVE_JOBS

TOUCH_SECONDS = 3600.0

_CALLER = columns_of(
    CallerRow,
    UserKey,
    User,
    user_id=User.id,
    key_id=UserKey.id,
    is_long_unused=or_(UserKey.last_used_at.is_(None), UserKey.last_used_at < now(-TOUCH_SECONDS)),
)


def _is_valid() -> ColumnElement[bool]:
    return (
        User.revoked_at.is_(None)
        & UserKey.revoked_at.is_(None)
        & or_(UserKey.expires_at.is_(None), UserKey.expires_at > now())
    )


# ---------------------------------------------------------------------- authentication


async def find_by_key(connection: AsyncConnection, digest: bytes) -> CallerRow | None:
    """Return the user with this key, if it is valid now."""
    query = (
        select(*_CALLER)
        .join(User, User.id == UserKey.user_id)
        .where(UserKey.digest == digest, _is_valid())
    )
    return await fetch_first(connection, CallerRow, query)


async def find_by_session(connection: AsyncConnection, digest: bytes) -> CallerRow | None:
    """Return the user of this session, if it and its key are valid now."""
    query = (
        select(*_CALLER)
        .join(User, User.id == UserKey.user_id)
        .join(UserSession, UserSession.key_id == UserKey.id)
        .where(UserSession.digest == digest, UserSession.expires_at > now(), _is_valid())
    )
    return await fetch_first(connection, CallerRow, query)


async def any_exist(connection: AsyncConnection) -> bool:
    return bool((await connection.execute(select(exists().select_from(User)))).scalar_one())


async def touch_key(connection: AsyncConnection, key_id: UUID) -> None:
    await connection.execute(update(UserKey).where(UserKey.id == key_id).values(last_used_at=now()))


async def insert_session(
    connection: AsyncConnection, digest: bytes, key_id: UUID, seconds: float
) -> None:
    """Insert a session and remove those that have ended."""
    await connection.execute(delete(UserSession).where(UserSession.expires_at <= now()))
    query = insert(UserSession).values(
        digest=digest, key_id=key_id, created_at=now(), expires_at=now(seconds)
    )
    await connection.execute(query)


async def remove_session(connection: AsyncConnection, digest: bytes) -> None:
    await connection.execute(delete(UserSession).where(UserSession.digest == digest))


# ---------------------------------------------------------------------- administration


async def insert_user(connection: AsyncConnection, user_id: str, is_admin: bool) -> None:
    """Insert a user. Raises IntegrityError if the name exists."""
    await connection.execute(insert(User).values(id=user_id, is_admin=is_admin, created_at=now()))


def _with_counts() -> Any:
    valid = (
        select(func.count())
        .select_from(UserKey)
        .where(
            UserKey.user_id == User.id,
            UserKey.revoked_at.is_(None),
            or_(UserKey.expires_at.is_(None), UserKey.expires_at > now()),
        )
        .scalar_subquery()
    )
    last = (
        select(func.max(UserKey.last_used_at)).where(UserKey.user_id == User.id).scalar_subquery()
    )
    return select(*columns_of(UserRow, User, valid_keys=valid, last_used_at=last)).order_by(User.id)


async def list_users(
    connection: AsyncConnection, *, after: str = "", limit: int | None = None
) -> list[UserRow]:
    """Return users sorted by name, after the name `after`."""
    query = _with_counts().where(User.id > after).limit(limit)
    return await fetch_all(connection, UserRow, query)


async def find_user(connection: AsyncConnection, user_id: str) -> UserRow | None:
    return await fetch_first(connection, UserRow, _with_counts().where(User.id == user_id))


async def set_revoked(connection: AsyncConnection, user_id: str, *, revoked: bool) -> bool:
    """Revoke or restore a user. Revoking ends the keys for good; restoring does not bring them
    back.
    """
    moment = func.coalesce(User.revoked_at, now()) if revoked else None
    result = await connection.execute(
        update(User).where(User.id == user_id).values(revoked_at=moment)
    )
    if revoked:
        keys = update(UserKey).where(UserKey.user_id == user_id, UserKey.revoked_at.is_(None))
        await connection.execute(keys.values(revoked_at=now()))
    return result.rowcount == 1


async def insert_key(connection: AsyncConnection, key: NewKey, expires_in: float | None) -> None:
    expires_at = None if expires_in is None else now(expires_in)
    await connection.execute(
        insert(UserKey).values(**values_of(key), created_at=now(), expires_at=expires_at)
    )


async def list_keys(connection: AsyncConnection, user_id: str) -> list[KeyRow]:
    """Return the keys of a user, oldest first, without their digests."""
    is_valid = UserKey.revoked_at.is_(None) & or_(
        UserKey.expires_at.is_(None), UserKey.expires_at > now()
    )
    query = select(*columns_of(KeyRow, UserKey, is_valid=is_valid)).where(
        UserKey.user_id == user_id
    )
    query = query.order_by(UserKey.created_at, UserKey.id)
    return await fetch_all(connection, KeyRow, query)


async def revoke_key(connection: AsyncConnection, key_id: UUID, user_id: str | None) -> bool:
    """Revoke the key, of this user if one is named; return whether it exists. Revoking twice
    changes nothing.
    """
    query = update(UserKey).where(UserKey.id == key_id)
    if user_id is not None:
        query = query.where(UserKey.user_id == user_id)
    return (
        await connection.execute(query.values(revoked_at=func.coalesce(UserKey.revoked_at, now())))
    ).rowcount == 1


# ---------------------------------------------------------------------- usage


async def lock_owner(connection: AsyncConnection, owner: str, *, is_sqlite: bool) -> None:
    """Keep others from adding anything for this owner until the end of the transaction. SQLite has
    one writer anyway.
    """
    if not is_sqlite:
        await connection.execute(
            text("SELECT pg_advisory_xact_lock(726001, hashtext(:owner))"), {"owner": owner}
        )


async def stored_bytes(connection: AsyncConnection, owner: str) -> int:
    """Return the bytes of stored files and of open resumable uploads. Objects that are read in
    place do not count.
    """
    query = select(func.coalesce(func.sum(File.stored_bytes), 0)).where(
        File.owner == owner,
        File.deleted_at.is_(None),
        IS_STORED,
    )
    growing = select(func.coalesce(func.sum(Upload.reserved_bytes), 0)).where(
        Upload.owner == owner, uploads.is_open
    )
    return sum(
        [int((await connection.execute(statement)).scalar_one()) for statement in (query, growing)]
    )


async def open_uploads(connection: AsyncConnection, owner: str) -> int:
    """Return the number of resumable uploads that may still become a file."""
    query = select(func.count()).select_from(Upload)
    query = query.where(Upload.owner == owner, uploads.is_open, Upload.expires_at >= now())
    return int((await connection.execute(query)).scalar_one())


async def unfinished_jobs(connection: AsyncConnection, owner: str) -> int:
    """Return the number of waiting and running jobs. A job with parts counts by its parts."""
    query = (
        select(func.count())
        .select_from(Job)
        .where(Job.owner == owner, Job.status.in_(ACTIVE_JOBS), Job.child_count.is_(None))
    )
    return int((await connection.execute(query)).scalar_one())


def is_revoked(owner: InstrumentedAttribute[str]) -> ColumnElement[bool]:
    return select(User.id).where(User.id == owner, User.revoked_at.is_not(None)).exists()
