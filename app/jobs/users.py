"""Users: who signs in, with which key, and for how long. The terminal and the HTTP door both work
through this.

A key is 256 random bits. Of such a value a plain SHA-256 is stored: there is nothing to guess that
a slow hash would protect, and it can be looked up by an index, so that no comparison tells by its
time how much of a key was right.
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
"""Whose everything is that somebody does without signing in, where nobody has to."""
KEY_PREFIX = "granula_"
KEY = re.compile(r"granula_[A-Za-z0-9_-]{43}", re.ASCII)
SESSION = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.ASCII)
DAY_SECONDS = 86_400.0
MAX_DAYS = 36_500


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf a request is served."""

    user_id: str
    is_admin: bool = False
    key_id: UUID | None = None
    """Null for those who did not sign in."""
    key_label: str = ""
    key_expires_at: datetime | None = None
    session: str | None = None
    """The value of the cookie, if that is what they signed in with."""


LOCAL = Caller(LOCAL_OWNER)


@dataclass(frozen=True, slots=True)
class NewKey:
    id: UUID
    key: str
    """Shown once: it is stored nowhere."""


class Users:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._some_exist = False

    # ------------------------------------------------------------------ signing in

    async def by_key(self, key: str) -> Caller | None:
        """Whose key this is; None for one that is unknown, malformed, revoked or expired."""
        if not KEY.fullmatch(key):
            return None
        async with self._database.reading() as connection:
            row = await users.find_by_key(connection, _digest(key))
        return await self._caller(row, None)

    async def by_session(self, value: str) -> Caller | None:
        """Whose cookie this is; None if it or its key is not valid any more."""
        if not SESSION.fullmatch(value):
            return None
        async with self._database.reading() as connection:
            row = await users.find_by_session(connection, _digest(value))
        return await self._caller(row, value)

    async def any_exist(self) -> bool:
        """Whether a user was ever created. Users are never removed, so that a yes holds for
        ever.
        """
        if not self._some_exist:
            async with self._database.reading() as connection:
                self._some_exist = await users.any_exist(connection)
        return self._some_exist

    async def open_session(self, caller: Caller, seconds: float) -> str:
        """The value of a cookie that signs the same user in for so long, and no longer than the
        key.
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
            with suppress(TransientError):  # to read is enough to be let in
                await self._database.transact(lambda c: users.touch_key(c, row.key_id))
        return Caller(row.user_id, row.is_admin, row.key_id, row.label, row.expires_at, session)

    # ------------------------------------------------------------------ looking after them

    async def create(
        self, user_id: str, *, is_admin: bool, days: int | None, label: str = "first"
    ) -> NewKey:
        """A user with a key that works for so many days, or until it is revoked; raises
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
            raise UserExists(f"There is a user {user_id!r} already.") from None

    async def create_key(self, user_id: str, *, days: int | None, label: str = "") -> NewKey:
        """One more; raises NotFound, UserRevoked, InvalidParameter."""

        async def create(connection: AsyncConnection) -> NewKey:
            if (await _find(connection, user_id)).revoked_at is not None:
                raise UserRevoked
            return await _insert_key(connection, user_id, label, days)

        return await self._database.transact(create)

    async def get(self, user_id: str) -> dict[str, Any]:
        """Raises NotFound."""
        async with self._database.reading() as connection:
            return _user_body(await _find(connection, user_id))

    async def list(self, *, after: str = "", limit: int | None = None) -> list[dict[str, Any]]:
        """In the order of their names."""
        async with self._database.reading() as connection:
            return [
                _user_body(row)
                for row in await users.list_users(connection, after=after, limit=limit)
            ]

    async def list_keys(self, user_id: str) -> Sequence[dict[str, Any]]:
        """Oldest first; raises NotFound."""
        async with self._database.reading() as connection:
            await _find(connection, user_id)
            return [_key_body(row) for row in await users.list_keys(connection, user_id)]

    async def revoke(self, user_id: str) -> None:
        """End all keys and sessions of the user, with the next request, and the schedules; raises
        NotFound.
        """
        await self._set_revoked(user_id, revoked=True)

    async def restore(self, user_id: str) -> None:
        """Let the user have keys again; the old ones stay revoked. Raises NotFound."""
        await self._set_revoked(user_id, revoked=False)

    async def _set_revoked(self, user_id: str, *, revoked: bool) -> None:
        if not await self._database.transact(
            lambda c: users.set_revoked(c, user_id, revoked=revoked)
        ):
            raise NotFound(f"There is no user {user_id[:100]!r}.")

    async def revoke_key(self, key_id: UUID, user_id: str | None = None) -> None:
        """End a key and its sessions, with the next request; raises NotFound."""
        if not await self._database.transact(lambda c: users.revoke_key(c, key_id, user_id)):
            raise NotFound("There is no such key.")


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


async def _insert_key(
    connection: AsyncConnection, user_id: str, label: str, days: int | None
) -> NewKey:
    if days is not None and not 1 <= days <= MAX_DAYS:
        raise InvalidParameter(f"A key can expire in 1 to {MAX_DAYS} days.")
    made = NewKey(uuid4(), KEY_PREFIX + secrets.token_urlsafe(32))
    stored = rows.NewKey(id=made.id, user_id=user_id, label=label[:100], digest=_digest(made.key))
    await users.insert_key(connection, stored, None if days is None else days * DAY_SECONDS)
    return made


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
