"""Places: the databases that loads write into, each with its loader.

On the service's own database everything happens in the transaction of the caller. On a named
connection it happens in a transaction there, which commits immediately before that of the caller,
with an entry in the ledger.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from typing import TypeVar

import asyncpg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.engine import Database, brief, join
from app.errors import TerminalError, UnknownConnection
from app.features.tables.connections import OWN, Connections, RemoteTransaction
from app.features.tables.ledger import Ledger
from app.features.tables.loading.loader import Loader, LoadRefused
from app.features.tables.loading.postgresql import PostgresLoader

Result = TypeVar("Result")
AWAKE_SECONDS = 2.0
OF_THE_PLACE = ("0A", "2B", "3F", "42", "54")
"""Classes of SQLSTATE that say nothing about rows, and that no retry changes."""


class ConnectionRemoved(TerminalError):
    """The connection of the load is not in CONNECTIONS any more."""

    code = "unknown_connection"


class Place(ABC):
    loader: Loader
    ledger: Ledger | None
    """None on the service's own database, whose transactions need no ledger."""

    @abstractmethod
    def at(self, own: AsyncConnection) -> AbstractAsyncContextManager[AsyncConnection]:
        """Yield the connection to the tables, in a transaction that ends with that of `own`, one of
        `Database.transact`.
        """

    @abstractmethod
    def read(self, own: AsyncConnection) -> AbstractAsyncContextManager[AsyncConnection]:
        """Yield a connection to the tables that only reads what is committed."""

    @abstractmethod
    def working(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Yield a connection to the tables that only reads, for the machine."""

    @abstractmethod
    async def transact(self, work: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        """Run `work` in a transaction there, and commit it."""

    @abstractmethod
    def awake(self, own: AsyncConnection) -> AbstractAsyncContextManager[None]:
        """Keep the transaction of `own` from being ended for idleness, while long work is done
        elsewhere. Nobody may use `own` meanwhile.
        """


class OwnPlace(Place):
    """The service's own database."""

    ledger = None

    def __init__(self, database: Database, loader: Loader) -> None:
        self._database = database
        self.loader = loader

    @asynccontextmanager
    async def at(self, own: AsyncConnection) -> AsyncIterator[AsyncConnection]:
        yield own

    @asynccontextmanager
    async def read(self, own: AsyncConnection) -> AsyncIterator[AsyncConnection]:
        yield own

    def working(self) -> AbstractAsyncContextManager[AsyncConnection]:
        return self._database.working()

    async def transact(self, work: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        return await self._database.transact(work)

    @asynccontextmanager
    async def awake(self, own: AsyncConnection) -> AsyncIterator[None]:
        yield


class NamedPlace(Place):
    """The database of a named connection."""

    ledger: Ledger

    def __init__(self, connections: Connections, name: str, ledger: Ledger) -> None:
        self._connections = connections
        self._name = name
        self.loader = PostgresLoader()
        self.ledger = ledger

    async def begin(self) -> RemoteTransaction:
        """Raises ConnectionRemoved, ConnectionUnavailable."""
        try:
            return await self._connections.begin(self._name)
        except UnknownConnection as error:
            raise ConnectionRemoved from error

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise errors of the driver that may not come again as ConnectionUnavailable, and those
        that are about the place, such as a missing right, as LoadRefused.
        """
        try:
            with self._connections.translated(self._name):
                yield
        except (DBAPIError, asyncpg.PostgresError) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            state = getattr(cause, "sqlstate", None) or ""
            if state.startswith(OF_THE_PLACE):
                raise LoadRefused(brief(error)) from error
            raise

    @asynccontextmanager
    async def at(self, own: AsyncConnection) -> AsyncIterator[AsyncConnection]:
        with self.translated():
            yield await join(f"connection {self._name}", self._writing)

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncConnection]:
        transaction = await self.begin()
        try:
            yield transaction.connection
        except BaseException:
            await transaction.roll_back()
            raise
        await transaction.commit()

    @asynccontextmanager
    async def read(self, own: AsyncConnection) -> AsyncIterator[AsyncConnection]:
        """Raises UnknownConnection: a request may ask for a load whose connection is gone."""
        self._connections.check(self._name)
        async with self.working() as connection:
            yield connection

    @asynccontextmanager
    async def working(self) -> AsyncIterator[AsyncConnection]:
        transaction = await self.begin()
        try:
            with self.translated():
                yield transaction.connection
        finally:
            await transaction.roll_back()

    async def transact(self, work: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        with self.translated():
            async with self._writing() as connection:
                return await work(connection)

    @asynccontextmanager
    async def awake(self, own: AsyncConnection) -> AsyncIterator[None]:
        if own.dialect.name == "sqlite":
            yield
            return
        done = asyncio.Event()
        keeping = asyncio.create_task(_keep_awake(own, done), name="awake")
        try:
            yield
        finally:
            done.set()
            await asyncio.wait([keeping])


async def _keep_awake(own: AsyncConnection, done: asyncio.Event) -> None:
    # a transaction that was ended says so itself, with its next statement
    with suppress(SQLAlchemyError, OSError):
        while not done.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), AWAKE_SECONDS)
            if not done.is_set():
                await own.exec_driver_sql("SELECT 1")


class Places:
    """The places of this process, by the name of their connection."""

    def __init__(self, database: Database, connections: Connections, own: Loader) -> None:
        self._connections = connections
        self._ledger = Ledger(database)
        self._places: dict[str, Place] = {OWN: OwnPlace(database, own)}

    @property
    def own(self) -> Place:
        return self._places[OWN]

    def of(self, name: str) -> Place:
        """Return the place, also of a connection that is not in the settings any more: to use it
        raises ConnectionRemoved, or UnknownConnection in `read`.
        """
        if name not in self._places:
            self._places[name] = NamedPlace(self._connections, name, self._ledger)
        return self._places[name]

    def named(self) -> list[Place]:
        """Return the places of all connections of the settings."""
        return [self.of(name) for name in self._connections.names]
