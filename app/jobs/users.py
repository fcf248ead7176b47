"""Users, their keys and their sessions, for the command line and for HTTP.

A key is 256 random bits, stored as a plain SHA-256: a slow hash would protect nothing, since a
random key cannot be guessed. The hash is looked up by an index, so the time of a comparison does
not reveal how much of a key was right.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import rows, users
from app.db.engine import Database
from app.db.rows import CallerRow, KeyRow, UserRow
from app.errors import InvalidParameter, NotFound, TransientError, UserExists, UserRevoked

LOCAL_OWNER = "local"
"""Owner used when authentication is disabled."""
KEY_PREFIX = "granula_"
KEY = re.compile(r"granula_[A-Za-z0-9_-]{43}", re.ASCII)
SESSION = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.ASCII)
DAY_SECONDS = 86_400.0
MAX_DAYS = 36_500


@dataclass(frozen=True, slots=True)
class Caller:
    """The user behind a request."""

    user_id: str
    is_admin: bool = False
    key_id: UUID | None = None
    """None without sign-in."""
    key_label: str = ""
    key_expires_at: datetime | None = None
    session: str | None = None
    """Value of the cookie, if the request was authenticated by one."""


LOCAL = Caller(LOCAL_OWNER)


@dataclass(frozen=True, slots=True)
class NewKey:
    id: UUID
    key: str
    """Shown once and stored nowhere."""


class Users:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._some_exist = False

    # ------------------------------------------------------------------ authentication

    async def by_key(self, key: str) -> Caller | None:
        """Return the user with this key; None if it is unknown, malformed, revoked or expired."""
        if not KEY.fullmatch(key):
            return None
        async with self._database.reading() as connection:
            row = await users.find_by_key(connection, _digest(key))
        return await self._caller(row, None)

    async def by_session(self, value: str) -> Caller | None:
        """Return the user with this cookie; None if it or its key is no longer valid."""
        if not SESSION.fullmatch(value):
            return None
        async with self._database.reading() as connection:
            row = await users.find_by_session(connection, _digest(value))
        return await self._caller(row, value)

    async def any_exist(self) -> bool:
        """Return whether a user was ever created. Users are never removed, so True is cached."""
        if not self._some_exist:
            async with self._database.reading() as connection:
                self._some_exist = await users.any_exist(connection)
        return self._some_exist

    async def open_session(self, caller: Caller, seconds: float) -> str:
        """Return the value of a cookie that signs the same user in for `seconds`, but no longer
        than the key is valid.
        """
        assert caller.key_id is not None
        key_id, value = caller.key_id, secrets.token_urlsafe(32)
        await self._database.transact(
            lambda c: users.insert_session(c, _digest(value), key_id, seconds)
        )
        return value

    async def close_session(self, value: str) -> None:
        await self._database.transact(lambda c: users.remove_session(c, _digest(value)))

    async def _caller(self, row: CallerRow | None, session: str | None) -> Caller | None:
        if row is None:
            return None
        if row.is_long_unused:
            with suppress(TransientError):  # reading is enough to authenticate
                await self._database.transact(lambda c: users.touch_key(c, row.key_id))
        return Caller(row.user_id, row.is_admin, row.key_id, row.label, row.expires_at, session)

    # ------------------------------------------------------------------ administration

    async def create(
        self, user_id: str, *, is_admin: bool, days: int | None, label: str = "first"
    ) -> NewKey:
        """Create a user with a key that is valid for `days`, or until it is revoked; raises
        InvalidParameter, UserExists.
        """
        if not NAME.fullmatch(user_id):
            raise InvalidParameter(
                "A name has 1 to 63 of a-z, 0-9, `.`, `_` and `-`, and begins with a letter or"
                " digit."
            )

        async def create(connection: AsyncConnection) -> NewKey:
            await users.insert_user(connection, user_id, is_admin)
            return await _insert_key(connection, user_id, label, days)

        try:
            return await self._database.transact(create)
        except IntegrityError:
            raise UserExists(f"The user {user_id!r} already exists.") from None

    async def create_key(self, user_id: str, *, days: int | None, label: str = "") -> NewKey:
        """Create another key; raises NotFound, UserRevoked, InvalidParameter."""

        async def create(connection: AsyncConnection) -> NewKey:
            if (await _find(connection, user_id)).revoked_at is not None:
                raise UserRevoked
            return await _insert_key(connection, user_id, label, days)

        return await self._database.transact(create)

    async def get(self, user_id: str) -> dict[str, Any]:
        """Return a user; raises NotFound."""
        async with self._database.reading() as connection:
            return _user_body(await _find(connection, user_id))

    async def list(self, *, after: str = "", limit: int | None = None) -> list[dict[str, Any]]:
        """Return users sorted by name."""
        async with self._database.reading() as connection:
            return [
                _user_body(row)
                for row in await users.list_users(connection, after=after, limit=limit)
            ]

    async def list_keys(self, user_id: str) -> Sequence[dict[str, Any]]:
        """Return the keys of a user, oldest first; raises NotFound."""
        async with self._database.reading() as connection:
            await _find(connection, user_id)
            return [_key_body(row) for row in await users.list_keys(connection, user_id)]

    async def revoke(self, user_id: str) -> None:
        """End all keys, sessions and schedules of the user from the next request on; raises
        NotFound.
        """
        await self._set_revoked(user_id, revoked=True)

    async def restore(self, user_id: str) -> None:
        """Allow new keys for the user; the old ones stay revoked. Raises NotFound."""
        await self._set_revoked(user_id, revoked=False)

    async def _set_revoked(self, user_id: str, *, revoked: bool) -> None:
        if not await self._database.transact(
            lambda c: users.set_revoked(c, user_id, revoked=revoked)
        ):
            raise NotFound(f"There is no user {user_id[:100]!r}.")

    async def revoke_key(self, key_id: UUID, user_id: str | None = None) -> None:
        """End a key and its sessions from the next request on; raises NotFound."""
        if not await self._database.transact(lambda c: users.revoke_key(c, key_id, user_id)):
            raise NotFound("There is no such key.")


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


async def _insert_key(
    connection: AsyncConnection, user_id: str, label: str, days: int | None
) -> NewKey:
    if days is not None and not 1 <= days <= MAX_DAYS:
        raise InvalidParameter(f"A key can expire in 1 to {MAX_DAYS} days.")
    key = NewKey(uuid4(), KEY_PREFIX + secrets.token_urlsafe(32))
    stored = rows.NewKey(id=key.id, user_id=user_id, label=label[:100], digest=_digest(key.key))
    await users.insert_key(connection, stored, None if days is None else days * DAY_SECONDS)
    return key


async def _find(connection: AsyncConnection, user_id: str) -> UserRow:
    row = await users.find_user(connection, user_id)
    if row is None:
        raise NotFound(f"There is no user {user_id[:100]!r}.")
    return row


def _user_body(row: UserRow) -> dict[str, Any]:
    return {
        "user_id": row.id,
        "is_admin": row.is_admin,
        "status": "active" if row.revoked_at is None else "revoked",
        "valid_keys": row.valid_keys,
        "created_at": row.created_at.isoformat(),
        "revoked_at": _text(row.revoked_at),
        "last_used_at": _text(row.last_used_at),
    }


def _key_body(row: KeyRow) -> dict[str, Any]:
    status = "expired" if row.revoked_at is None else "revoked"
    if row.is_valid:
        status = "valid"
    return {
        "key_id": str(row.id),
        "label": row.label,
        "status": status,
        "created_at": row.created_at.isoformat(),
        "expires_at": _text(row.expires_at),
        "revoked_at": _text(row.revoked_at),
        "last_used_at": _text(row.last_used_at),
    }


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
