"""Connections: the databases whose tables can be loaded, each under a name of the settings."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.config import Settings
from app.db.engine import APPLICATION_NAME, Database, brief
from app.errors import Unavailable, UnknownConnection

logger = logging.getLogger(__name__)
OWN = ""
"""The name of the service's own database."""
POOL_SIZE, POOL_TIMEOUT_SECONDS = 4, 10
CONNECT_SECONDS, COMMAND_SECONDS = 10, 120
UNREACHABLE = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    SQLAlchemyError,
    TimeoutError,
)


class Connections:
    """Engines are made when they are needed first."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._database = database
        self._urls = {
            name: make_url(url.get_secret_value()) for name, url in settings.connections.items()
        }
        self._engines: dict[str, AsyncEngine] = {}

    @property
    def names(self) -> list[str]:
        """Return the names in the order of the settings; the service's own database is not among
        them.
        """
        return list(self._urls)

    def check(self, name: str) -> None:
        """Raises UnknownConnection."""
        if name != OWN and name not in self._urls:
            raise UnknownConnection(f"There is no connection {name[:60]!r}.")

    def is_sqlite(self, name: str) -> bool:
        return name == OWN and self._database.is_sqlite

    def address(self, name: str) -> str:
        """Return `host:port/database` of a named connection, without user and password."""
        url = self._urls[name]
        return f"{url.host or 'localhost'}:{url.port or 5432}/{url.database or ''}"

    def engine(self, name: str) -> AsyncEngine:
        """Return the engine of a named connection; raises UnknownConnection.

        It works through a pooler that gives each transaction another session: nothing is prepared
        under a name that another session might know.
        """
        self.check(name)
        if name not in self._engines:
            self._engines[name] = create_async_engine(
                self._urls[name],
                pool_size=POOL_SIZE,
                max_overflow=0,
                pool_timeout=POOL_TIMEOUT_SECONDS,
                pool_pre_ping=True,
                connect_args={
                    "timeout": CONNECT_SECONDS,
                    "command_timeout": COMMAND_SECONDS,
                    "statement_cache_size": 0,
                    "prepared_statement_cache_size": 0,
                    "prepared_statement_name_func": lambda: f"granula_{uuid4().hex}",
                    "server_settings": {"application_name": APPLICATION_NAME},
                },
            )
        return self._engines[name]

    @asynccontextmanager
    async def reading(self, name: str) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that only reads; raises UnknownConnection, Unavailable,
        DatabaseUnavailable.
        """
        if name == OWN:
            async with self._database.reading() as connection:
                yield connection
            return
        engine = self.engine(name)
        try:
            async with engine.connect() as connection:
                await connection.execution_options(postgresql_readonly=True)
                yield connection
        except UNREACHABLE as error:
            raise self._unavailable(name, error) from error

    async def is_reachable(self, name: str) -> bool:
        try:
            async with asyncio.timeout(CONNECT_SECONDS), self.reading(name) as connection:
                await connection.exec_driver_sql("SELECT 1")
        except (Unavailable, TimeoutError):
            return False
        return True

    @staticmethod
    def _unavailable(name: str, error: Exception) -> Unavailable:
        """Log what is wrong, and return an error that says only that something is."""
        logger.warning("The connection %s is not available: %s", name, brief(error))
        return Unavailable(
            f"The database of the connection {name!r} does not answer as it should.",
            headers={"Retry-After": "5"},
        )

    async def close(self) -> None:
        for engine in self._engines.values():
            await engine.dispose()
