"""Connections and transactions. The only file that knows how connections of the two databases
differ.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import asyncpg
from sqlalchemy import event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, QueuePool

from app.config import Settings
from app.db.liveness import Liveness
from app.db.private import make_private
from app.errors import TransientError

Result = TypeVar("Result")
_after_commit: ContextVar[list[Callable[[], None]]] = ContextVar("after_commit")
_joined: ContextVar[_Joined] = ContextVar("joined")
READERS, LONG_READERS = 8, 6
"""Connections for read requests, and how many of them may be held for long. The machine has
separate ones.
"""
SQLITE_WORK_READERS, MIN_IDLE_SECONDS, MAX_SILENT_SECONDS = 4, 5.0, 8.0
CLOSE_SECONDS = 5.0
APPLICATION_NAME = "granula"
VECTOR_SETTINGS = {"hnsw.ef_search": "150", "hnsw.iterative_scan": "strict_order"}
"""Settings of pgvector for every connection, so that searches need not set them: how many
neighbours the index visits (fewer lower the recall), and that it continues where filters leave too
few of them. A server without pgvector ignores them; one older than 0.8 warns about the second.
"""
TRANSIENT_SQLSTATES = ("08", "40001", "40P01", "53", "57P", "25006", "55P03", "58030")
"""Lost connection, serialisation, deadlock, out of resources (disk included), shutdown, standby,
lock wait, I/O error.
"""
DEADLOCK_SQLSTATES, DEADLOCK_TRIES = ("40001", "40P01"), 5
TRANSIENT_SQLITE = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
)


def after_commit(callback: Callable[[], None]) -> None:
    """Call `callback` after the current transaction of `transact` has committed, and never if it is
    rolled back.
    """
    _after_commit.get().append(callback)


class _Joined:
    """Transactions of other databases that end with one of this database."""

    def __init__(self) -> None:
        self.stack = AsyncExitStack()
        self.entered: dict[str, Any] = {}


async def join(name: str, transaction: Callable[[], AbstractAsyncContextManager[Result]]) -> Result:
    """Return what this transaction of another database yields. It is begun once for each name, and
    ends with the current transaction of `transact`: it commits immediately before that does, and is
    rolled back if that fails. A process that dies between the two commits leaves it committed
    alone.
    """
    joined = _joined.get()
    if name not in joined.entered:
        joined.entered[name] = await joined.stack.enter_async_context(transaction())
    entered: Result = joined.entered[name]
    return entered


@asynccontextmanager
async def _joining() -> AsyncIterator[None]:
    joined = _Joined()
    _joined.set(joined)
    async with joined.stack:
        yield


class DatabaseUnavailable(TransientError):
    """The database did not respond."""


class WaitingReaders:
    """Read requests that wait for a connection. The machine pauses for them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: dict[object, float] = {}

    @property
    def longest_seconds(self) -> float:
        """Return how long the first of them has been waiting."""
        first = next(iter(self._since.values()), None)
        return 0.0 if first is None else self._clock() - first

    @contextmanager
    def counted(self) -> Iterator[Callable[[], object]]:
        """Count a waiting reader until the yielded function is called, or to the end."""
        key = object()
        self._since[key] = self._clock()
        try:
            yield partial(self._since.pop, key, None)
        finally:
            self._since.pop(key, None)


class Database:
    """The engine, with separate connections for reading and writing.

    SQLite has exactly one writing connection, taken in turn (two writers that checkpoint at once
    can corrupt files of SQLite before 3.51.3), and several read-only ones. PostgreSQL has one pool
    for the machine and for writers, and another one for readers.
    """

    def __init__(self, settings: Settings, *, is_guest: bool = False) -> None:
        """With `is_guest`, another process may serve from this database at the same time. On SQLite
        the guest never checkpoints.
        """
        self.is_sqlite = settings.is_sqlite
        self._write_turn = asyncio.Lock()
        self._heartbeat_seconds = settings.heartbeat_seconds
        self._liveness: Liveness | None = None
        self._watching: asyncio.Task[None] | None = None
        self._ping: asyncio.Task[None] | None = None
        self.waiting = WaitingReaders()
        self._long_readers = asyncio.Semaphore(LONG_READERS)
        if self.is_sqlite:
            self.engine = _sqlite_engine(settings.url, readers=READERS)
            self._working = _sqlite_engine(settings.url, readers=SQLITE_WORK_READERS)
            self._writer = _sqlite_engine(settings.url, readers=0, checkpoints=not is_guest)
            self._reading_singly, self._working_singly = self.engine, self._working
        else:
            size = settings.db_pool_size or settings.slots + 6
            self._idle_seconds = max(settings.lease_seconds, MIN_IDLE_SECONDS)
            self.engine = _postgresql_engine(settings.url, READERS, self._idle_seconds)
            self._working = self._writer = _postgresql_engine(
                settings.url, size, self._idle_seconds
            )
            self._liveness = Liveness(settings.url, min(self._idle_seconds, MAX_SILENT_SECONDS))
            for engine in (self.engine, self._working):
                self._liveness.watch(engine)
            # Made once: to make them takes longer than a short statement.
            self._reading_singly, self._working_singly = (
                engine.execution_options(isolation_level="AUTOCOMMIT")
                for engine in (self.engine, self._working)
            )

    def start(self) -> None:
        """Monitor the connections of PostgreSQL until `close`: every wait for a dead one ends with
        DatabaseUnavailable.
        """
        if self._liveness is not None:
            self._watching = asyncio.create_task(self._liveness.run(), name="connections")

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection for SELECTs, in one snapshot on SQLite; raises DatabaseUnavailable."""
        with self.waiting.counted() as served:
            async with _connected(self.engine) as connection:
                served()
                yield connection

    @asynccontextmanager
    async def working(self) -> AsyncIterator[AsyncConnection]:
        """Like `reading`, with a connection of the machine."""
        async with _connected(self._working) as connection:
            yield connection

    @asynccontextmanager
    async def reading_singly(self) -> AsyncIterator[AsyncConnection]:
        """Like `reading`, but each statement is its own transaction: without BEGIN and ROLLBACK,
        two round trips less on PostgreSQL.
        """
        with self.waiting.counted() as served:
            async with _connected(self._reading_singly) as connection:
                served()
                yield connection

    @asynccontextmanager
    async def working_singly(self) -> AsyncIterator[AsyncConnection]:
        """Like `working`, but each statement is its own transaction."""
        async with _connected(self._working_singly) as connection:
            yield connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncConnection]:
        """Like `reading`, but every SELECT sees the same snapshot, also on PostgreSQL. May be held
        for long: others keep their connections.
        """
        async with self._long_readers, self.reading() as connection:
            if not self.is_sqlite:
                await connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    async def run_alone(self, work: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        """Run one statement as its own transaction: without BEGIN and COMMIT, two round trips less
        on PostgreSQL.
        """
        return await self._shielded(self._run_alone(work))

    async def _run_alone(self, work: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        if self.is_sqlite:
            return await self._transact(work)
        async with self.working_singly() as connection:
            return await work(connection)

    async def transact(self, work: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        """Run `work` in one transaction and commit it; raises DatabaseUnavailable if a retry may
        succeed.

        A cancellation waits for the end of the transaction. (A statement cancelled on SQLite would
        continue in its thread and be committed with the next transaction.)
        """
        return await self._shielded(self._transact(work))

    async def _shielded(self, work: Coroutine[Any, Any, Result]) -> Result:
        task = asyncio.create_task(work, name="transaction")
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()
            raise

    async def _transact(self, work: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        tries = DEADLOCK_TRIES
        while True:
            callbacks: list[Callable[[], None]] = []
            _after_commit.set(callbacks)
            try:
                if self.is_sqlite:
                    async with (
                        self._write_turn,
                        connected(self._writer) as connection,
                        connection.begin(),
                        _joining(),
                    ):
                        result = await work(connection)
                else:
                    async with (
                        connected(self._writer) as connection,
                        connection.begin(),
                        _joining(),
                    ):
                        result = await work(connection)
                for callback in callbacks:
                    callback()
                return result
            except Exception as error:
                tries -= 1
                if tries and _lost_a_deadlock(error):
                    continue
                if is_transient(error):
                    raise unavailable(error) from error
                raise

    @asynccontextmanager
    async def alone(self, name: str) -> AsyncIterator[bool]:
        """Yield whether this caller alone holds the lock `what`, among all processes on this
        database.

        The lock is held until the end, or until the process has died or slept for the length of a
        lease. SQLite is served by one process, whose callers coordinate themselves.
        """
        if self.is_sqlite:
            yield True
            return
        query = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:key, 0))")
        connection = self._working.connect()
        try:
            await connection.start()
            is_mine = bool((await connection.execute(query, {"key": name})).scalar_one())
        except Exception as error:
            await self._let_go(connection)
            if is_transient(error):
                raise unavailable(error) from error
            raise
        done = asyncio.Event()
        keeping = asyncio.create_task(self._keep(connection, done), name=f"alone with {name}")
        try:
            yield is_mine
        finally:
            done.set()
            await asyncio.wait([keeping])
            await self._let_go(connection)

    async def end_stopped(self) -> int:
        """End the sessions of processes that stopped in the middle of a statement, between prepare
        and execute or within its data; return their number. The server counts such sessions as
        active, so idle_in_transaction_session_timeout does not end them.
        """
        if self.is_sqlite:
            return 0
        query = text("""
            SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = current_database() AND usename = current_user
              AND application_name = :name
              AND state = 'active' AND wait_event = 'ClientRead'
              AND state_change < clock_timestamp() - make_interval(secs => :seconds)
            """)
        async with self.working_singly() as connection:
            parameters = {"name": APPLICATION_NAME, "seconds": self._idle_seconds}
            return int((await connection.execute(query, parameters)).scalar_one())

    @staticmethod
    async def _let_go(connection: AsyncConnection) -> None:
        """Close the connection, even if the server has ended it."""
        try:
            await connection.close()
        except Exception:
            with suppress(Exception):
                await connection.invalidate()

    async def _keep(self, connection: AsyncConnection, done: asyncio.Event) -> None:
        """Keep the lock's transaction active while this process lives. The server ends the
        transaction of a stopped process, and with it the lock.
        """
        # the lock is lost, which the writers notice themselves
        with suppress(SQLAlchemyError, OSError):
            while not done.is_set():
                await connection.execute(text("SELECT 1"))
                with suppress(TimeoutError):
                    await asyncio.wait_for(done.wait(), self._heartbeat_seconds)

    @property
    def connections(self) -> dict[str, int]:
        """Return the connections of this process's pools: `in_use`, `idle`, and the limit `max`."""
        pools = [
            cast(QueuePool, engine.pool) for engine in {self.engine, self._working, self._writer}
        ]
        return {
            "in_use": sum(pool.checkedout() for pool in pools),
            "idle": sum(pool.checkedin() for pool in pools),
            "max": sum(pool.size() for pool in pools),
        }

    async def ping(self) -> None:
        """Raises DatabaseUnavailable if the database does not respond. Concurrent callers share one
        query, so that a crowd of uploads takes one connection.
        """
        if self._ping is None:
            self._ping = asyncio.create_task(self._pinged(), name="ping")
            self._ping.add_done_callback(self._forget_ping)
        await asyncio.shield(self._ping)

    async def _pinged(self) -> None:
        async with self.reading() as connection:
            await connection.execute(text("SELECT 1"))

    def _forget_ping(self, ping: asyncio.Task[None]) -> None:
        self._ping = None
        if not ping.cancelled():
            ping.exception()  # retrieve the exception even if no caller is left

    async def server_version(self) -> str:
        """Return the version of PostgreSQL as the server reports it."""
        async with self.reading() as connection:
            return str((await connection.execute(text("SHOW server_version"))).scalar_one())

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        if self._liveness is not None:
            await self._liveness.close()
        for engine in dict.fromkeys((self._writer, self._working, self.engine)):
            with suppress(TimeoutError):  # do not wait for a connection that died silently
                async with asyncio.timeout(CLOSE_SECONDS):
                    await engine.dispose()


@asynccontextmanager
async def connected(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Yield a connection of the pool, or a new one. Raises DatabaseUnavailable for any error while
    connecting: a host, role, password or database that does not exist may exist a moment later, and
    no list of error classes is ever complete.
    """
    async with AsyncExitStack() as stack:
        try:
            connection = await stack.enter_async_context(engine.connect())
        except Exception as error:
            raise unavailable(error) from error
        yield connection


@asynccontextmanager
async def _connected(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Like `connected`, but distinguishes transient errors while the connection is used."""
    try:
        async with connected(engine) as connection:
            yield connection
    except Exception as error:
        if is_transient(error):
            raise unavailable(error) from error
        raise


def migration_engine(url: str) -> AsyncEngine:
    """Return an engine for schema changes: one connection that may write."""
    return _sqlite_engine(url, readers=0) if url.startswith("sqlite") else create_async_engine(url)


def _folded(value: Any) -> Any:
    """Return lower case for searches: lower() and LIKE of SQLite know only ASCII."""
    return value.lower() if isinstance(value, str) else value


def _check_folder(url: str) -> None:
    """Raises DatabaseUnavailable before the driver starts a thread, which would outlive the
    loop.
    """
    path = make_url(url).database
    if path and path != ":memory:" and not Path(path).parent.is_dir():
        raise DatabaseUnavailable(
            f"The database is not available: unable to open {path}, there is no such folder."
        )


def _sqlite_engine(url: str, *, readers: int, checkpoints: bool = True) -> AsyncEngine:
    _check_folder(url)
    make_private(url)
    engine = create_async_engine(
        url,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=readers or 1,
        max_overflow=0,
        connect_args={"timeout": 30},
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver begins no transactions; `begin` below does
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "busy_timeout=30000",
            "temp_store=MEMORY",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        if readers:
            cursor.execute("PRAGMA query_only=ON")
        if not checkpoints:
            cursor.execute("PRAGMA wal_autocheckpoint=0")
        cursor.close()
        connection.create_function("folded", 1, _folded, deterministic=True)

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Any) -> None:
        # A deferred transaction that reads first cannot become a writer while another one writes:
        # no timeout helps.
        connection.exec_driver_sql("BEGIN" if readers else "BEGIN IMMEDIATE")

    return engine


def _postgresql_engine(url: str, size: int, idle_seconds: float) -> AsyncEngine:
    return create_async_engine(
        make_url(url),
        pool_size=size,
        max_overflow=0,
        # readers queue up; one without a connection in this time is answered 503
        pool_timeout=30,
        pool_pre_ping=False,  # it has no timeout; Liveness checks instead
        connect_args={
            "timeout": 10,
            "command_timeout": 120,
            "server_settings": {
                "application_name": APPLICATION_NAME,
                "jit": "off",
                **VECTOR_SETTINGS,
                # A process that stops in the middle of a transaction must not block rows for longer
                # than its lease.
                "idle_in_transaction_session_timeout": f"{idle_seconds * 1000:.0f}",
            },
        },
    )


def unavailable(error: Exception) -> DatabaseUnavailable:
    return DatabaseUnavailable(f"The database is not available: {brief(error)}")


def _lost_a_deadlock(error: BaseException) -> bool:
    """Return whether the database rolled this transaction back because of a deadlock: it can be run
    again.
    """
    causes = [
        error,
        getattr(error, "orig", None),
        getattr(getattr(error, "orig", None), "__cause__", None),
    ]
    return any(getattr(cause, "sqlstate", None) in DEADLOCK_SQLSTATES for cause in causes)


def is_transient(error: BaseException) -> bool:
    """Return whether this error of a driver may not come again."""
    if isinstance(
        error,
        PoolTimeout
        | ConnectionError
        | asyncpg.InterfaceError
        | asyncpg.exceptions.InternalClientError,
    ):
        return True
    if isinstance(error, DBAPIError):
        if error.connection_invalidated:
            return True
        causes = [error.orig, getattr(error.orig, "__cause__", None)]
        return any(is_transient(cause) for cause in causes if cause is not None)
    if isinstance(error, sqlite3.Error):
        primary_code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        return primary_code in TRANSIENT_SQLITE
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "").startswith(TRANSIENT_SQLSTATES)
    if isinstance(error, SQLAlchemyError):
        return False
    return isinstance(error, TimeoutError | FileNotFoundError) and not isinstance(
        error, asyncio.CancelledError
    )


def brief(error: BaseException) -> str:
    """Return the cause without SQL and parameters, which may hold the content of files."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    cause = cause.__cause__ or cause  # the driver's error, not SQLAlchemy's wrapper
    return f"{type(cause).__name__}: {str(cause).splitlines()[0][:200] if str(cause) else ''}"
