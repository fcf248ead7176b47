"""Connections: the databases whose tables can be loaded, each under a name of the settings."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any
from uuid import uuid4

import asyncpg
from sqlalchemy import event, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.config import Settings
from app.db.engine import APPLICATION_NAME, Database, brief, is_transient
from app.db.liveness import notice_silence
from app.errors import ConnectionUnavailable, TerminalError, TransientError, UnknownConnection
from app.failpoints import hit

logger = logging.getLogger(__name__)
OWN = ""
"""The name of the service's own database."""
POOL_SIZE, MOST_MORE, POOL_TIMEOUT_SECONDS = 4, 12, 10
"""Connections that are kept, and how many more there may be while many chunks are written."""
CONNECT_SECONDS, COMMAND_SECONDS = 10, 120
UNREACHABLE = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    SQLAlchemyError,
    TimeoutError,
)
OWN_SCHEMA = "granula"
"""Schema of a named connection in which the tables of the service are, if it is there; else they
are in the first of the search path.
"""
SET_UP = "SET LOCAL idle_in_transaction_session_timeout = '300s'"
"""The server ends the transaction of a process that stopped. Each setting lasts for the transaction
alone: behind a pooler the next one has another session.
"""
USE_OUR_SCHEMA = """
SELECT set_config(
    'search_path', concat_ws(', ', nspname, nullif(current_setting('search_path'), '')), true
)
FROM pg_namespace
WHERE nspname = 'granula' AND has_schema_privilege(oid, 'USAGE')
"""
REASONS = {
    "28": "It refuses the user or the password.",
    "3D": "It has no database of this name.",
    "53100": "Its disk is full.",
    "53300": "It accepts no more connections.",
    "53": "It has too little memory or disk.",
    "57P03": "It is starting up or shutting down.",
    "57P": "It was shut down.",
    "25006": "It accepts no changes.",
}
"""What is wrong, by the beginning of SQLSTATE."""


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
        return f"{self.host(name)}:{url.port or 5432}/{self.database(name)}"

    def host(self, name: str) -> str:
        return self._urls[name].host or "localhost"

    def database(self, name: str) -> str:
        url = self._urls[name]
        return url.database or url.username or ""

    def engine(self, name: str) -> AsyncEngine:
        """Return the engine of a named connection; raises UnknownConnection.

        It works through a pooler that gives each transaction another session: nothing is prepared
        under a name that another session might know.
        """
        self.check(name)
        if name not in self._engines:
            engine = self._engines[name] = create_async_engine(
                self._urls[name],
                pool_size=POOL_SIZE,
                max_overflow=MOST_MORE,
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
            event.listen(engine.sync_engine.pool, "connect", _connected)
        return self._engines[name]

    @asynccontextmanager
    async def reading(self, name: str) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that only reads; raises UnknownConnection, ConnectionUnavailable,
        DatabaseUnavailable.
        """
        if name == OWN:
            async with self._database.reading() as connection:
                yield connection
            return
        engine = self.engine(name)
        with self.translated(name):
            async with engine.connect() as connection:
                await connection.execution_options(postgresql_readonly=True)
                yield connection

    async def begin(self, name: str) -> RemoteTransaction:
        """Begin a transaction on a named connection; raises UnknownConnection,
        ConnectionUnavailable.
        """
        engine = self.engine(name)
        connection = engine.connect()
        with self.translated(name):
            await connection.start()
            try:
                await connection.exec_driver_sql(SET_UP)
                await connection.exec_driver_sql(USE_OUR_SCHEMA)
            except BaseException:
                await connection.invalidate()
                await connection.close()
                raise
        return RemoteTransaction(self, name, connection)

    @contextmanager
    def translated(self, name: str) -> Iterator[None]:
        """Raise errors that may not come again as ConnectionUnavailable."""
        try:
            yield
        except (TransientError, TerminalError):
            raise
        except UNREACHABLE as error:
            if isinstance(error, OSError | TimeoutError) or is_transient(error):
                raise self._unavailable(name, error) from error
            if isinstance(error, asyncpg.PostgresError) and _is_of_login(error):
                raise self._unavailable(name, error) from error
            raise

    async def problem(self, name: str) -> str:
        """Return why a named connection cannot be used now, in words; empty if it can be."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS), self.engine(name).connect() as connection:
                await connection.exec_driver_sql("SELECT 1")
        except UNREACHABLE as error:
            logger.info("The connection %s is not available: %s", name, brief(error))
            return why(error)
        return ""

    @staticmethod
    def _unavailable(name: str, error: Exception) -> ConnectionUnavailable:
        """Log what is wrong, and return an error that says it without an address."""
        logger.warning("The connection %s is not available: %s", name, brief(error))
        return ConnectionUnavailable(
            f"The database of the connection {name!r} cannot be used now. {why(error)}",
        )

    async def close(self) -> None:
        for engine in self._engines.values():
            await engine.dispose()


class RemoteTransaction:
    """A transaction on a named connection, which ends once."""

    def __init__(self, connections: Connections, name: str, connection: AsyncConnection) -> None:
        self._connections = connections
        self._name = name
        self.connection = connection

    async def commit(self) -> None:
        """Raises ConnectionUnavailable: then nobody here knows whether it is committed."""
        hit("connection.before_commit")
        with self._connections.translated(self._name):
            try:
                await self.connection.commit()
            except BaseException:
                await self._end()
                raise
        hit("connection.committed")
        await self._end()

    async def roll_back(self) -> None:
        with suppress(*UNREACHABLE):
            await self.connection.rollback()
        await self._end()

    async def _end(self) -> None:
        """Give the connection back, or away if it is broken."""
        with suppress(*UNREACHABLE):
            await self.connection.close()


def _connected(connection: Any, _: Any) -> None:
    notice_silence(connection.driver_connection)


def _is_of_login(error: asyncpg.PostgresError) -> bool:
    """Return whether the server let nobody in: a role or a database that is not there may be there
    a moment later.
    """
    return (error.sqlstate or "").startswith(("28", "3D"))


def why(error: BaseException) -> str:
    """Return what is wrong with a connection, in words and without what could be secret."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    cause = cause.__cause__ or cause
    state = getattr(cause, "sqlstate", None) or ""
    for prefix, words in REASONS.items():
        if state.startswith(prefix):
            return words
    if isinstance(cause, socket.gaierror):
        return "The name of its host is not known."
    if isinstance(cause, TimeoutError):
        return "It does not answer in time."
    if isinstance(cause, OSError):
        return "Nothing answers at its address."
    if isinstance(cause, asyncpg.PostgresError):
        return f"It answers: {str(cause).splitlines()[0][:200]}"
    return "The connection was lost."
