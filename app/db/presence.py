"""Presence: which processes serve a database. An embedded service has it exclusively; API processes
and workers share it.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from contextlib import suppress

from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from app.config import Settings
from app.db.engine import DatabaseUnavailable, unavailable
from app.errors import DatabaseTaken

logger = logging.getLogger(__name__)
KEY = "granula service"
PATIENCE_SECONDS = 5.0
"""How long to wait for a service that is shutting down, so that a restart succeeds."""
POLL_SECONDS, CHECK_SECONDS = 0.2, 5.0
TAKEN = (
    "Another process serves this database already. End it; or, for several API processes and"
    " workers on one PostgreSQL, start all of them with QUEUE=procrastinate."
)


class Presence:
    """A lock that ends with the process, in whatever way it ends: an advisory lock of PostgreSQL on
    its own connection, or a lock on the file of a SQLite database.
    """

    def __init__(self, settings: Settings, *, is_exclusive: bool) -> None:
        self._is_exclusive = is_exclusive
        self._is_sqlite = settings.is_sqlite
        self._url = settings.url
        self._descriptor: int | None = None
        self._engine: AsyncEngine | None = None
        self._connection: AsyncConnection | None = None
        self._watch: asyncio.Task[None] | None = None

    async def claim(self) -> None:
        """Take the lock. Raises DatabaseTaken, DatabaseUnavailable."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while not await self._try():
            if asyncio.get_running_loop().time() > deadline:
                raise DatabaseTaken(TAKEN)
            await asyncio.sleep(POLL_SECONDS)
        if not self._is_sqlite:
            self._watch = asyncio.create_task(self._keep(), name="presence")

    async def _try(self) -> bool:
        return self._try_file() if self._is_sqlite else await self._try_lock()

    def _try_file(self) -> bool:
        path = make_url(self._url).database
        if not path or path == ":memory:":
            return True
        try:
            descriptor = os.open(f"{path}-service", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise DatabaseUnavailable(
                f"SQLite is unable to open {path}: {error.strerror}."
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    async def _try_lock(self) -> bool:
        if self._engine is None:
            limits = {"timeout": CHECK_SECONDS, "command_timeout": CHECK_SECONDS}
            self._engine = create_async_engine(
                self._url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=limits
            )
        if self._connection is None:
            try:
                self._connection = await self._engine.connect()
            except Exception as error:
                raise unavailable(error) from error
        kind = "pg_try_advisory_lock" if self._is_exclusive else "pg_try_advisory_lock_shared"
        result = await self._connection.execute(
            text(f"SELECT {kind}(hashtextextended(:key, 0))"), {"key": KEY}
        )
        return bool(result.scalar_one())

    async def _keep(self) -> None:
        """Take the lock again after the connection was lost. If another process has it by then,
        only log that: leases and tokens keep the rows safe.
        """
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                if self._connection is None:
                    if not await self._try_lock():
                        logger.error(TAKEN)
                        await self._let_go()
                else:
                    await self._connection.execute(text("SELECT 1"))
            except (SQLAlchemyError, OSError, TimeoutError, DatabaseUnavailable):
                await self._let_go()

    async def _let_go(self) -> None:
        if (connection := self._connection) is not None:
            self._connection = None
            with suppress(SQLAlchemyError, OSError, TimeoutError):
                await connection.close()

    async def release(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        await self._let_go()
        if self._engine is not None:
            await self._engine.dispose()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
