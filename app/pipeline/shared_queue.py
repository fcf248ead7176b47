"""SharedQueue: the tokens of JobQueue if several processes work on one database. procrastinate
keeps them in PostgreSQL.

A token is only a hint that a job may have something to do. The chunk rows say what is to be done,
by whom and how often: a surplus token has nothing to do, and the reconciler replaces a missing one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any
from uuid import UUID
from weakref import WeakSet

from procrastinate import App, PsycopgConnector, exceptions
from procrastinate.jobs import Status
from psycopg import AsyncConnection as AsyncConnectionOfPsycopg
from psycopg import Error as PsycopgError
from sqlalchemy import String, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.engine import Database
from app.db.liveness import LIBPQ_OPTIONS
from app.errors import TransientError
from app.pipeline.queue import Queue

logger = logging.getLogger(__name__)
QUEUE, TASK = "granula", "granula.turn"
LANES = 8
"""Most tokens of a job in the queue. With one, every worker would have to wait until the worker
before it has put the token back.
"""
EPOCH_SECONDS = 1_767_225_600
"""2026-01-01: ranks are seconds since then, to fit the 32 bits of procrastinate's priority until
2094.
"""
SILENT_SECONDS = 8.0
"""A query of the queue is answered within milliseconds. After these seconds the connection counts
as dead.
"""
TOLERATED_SECONDS = 60
"""Tolerated difference between the clocks of two machines."""
POLL_SECONDS = 1.0
"""Interval of polling, in case a notification is lost."""

_DEFER = text("""
    SELECT procrastinate_defer_jobs_v1(ARRAY(
        SELECT ROW(
            :queue, :task, :rank, NULL, lane,
            jsonb_build_object('token', lane, 'priority', CAST(:priority AS int)), NULL
        )::procrastinate_job_to_defer_v1
        FROM unnest(:lanes) AS lane
        WHERE NOT EXISTS (
            SELECT 1 FROM procrastinate_jobs q
            WHERE q.queueing_lock = lane AND q.status = 'todo'
        )
    ))
    """).bindparams(bindparam("lanes", type_=ARRAY(String)))
_WITHDRAW = text("""
    SELECT procrastinate_cancel_job_v1(q.id, false, true)
    FROM procrastinate_jobs q WHERE q.queueing_lock = ANY(:lanes) AND q.status = 'todo'
    """).bindparams(bindparam("lanes", type_=ARRAY(String)))

_SEEN_NOW = text(
    "UPDATE procrastinate_workers SET last_heartbeat = now() WHERE last_heartbeat > now() +"
    " make_interval(secs => :lease)"
)
_RANK_NOW = text("""
    UPDATE procrastinate_jobs
    SET priority = -CAST(
        extract(epoch FROM now()) - :epoch - :ageing * CAST(args->>'priority' AS int) AS int
    )
    WHERE queue_name = :queue AND status = 'todo'
      AND priority < -CAST(extract(epoch FROM now()) - :epoch + :tolerance AS int)
    """)

_token: ContextVar[tuple[UUID, int]] = ContextVar("token")
"""Token that the turn of this task was taken with."""


class SharedQueue(Queue):
    def __init__(
        self, database: Database, ageing_seconds: float, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(ageing_seconds, clock)
        self._database = database
        self._putting: set[asyncio.Task[None]] = set()
        self._app: App | None = None

    # ------------------------------------------------------------------ putting

    async def enqueue(
        self,
        connection: AsyncConnection,
        job_id: UUID,
        priority: int | None = None,
        *,
        turns: int = 1,
    ) -> None:
        await self._enqueue(
            connection, job_id, self._known(job_id, priority), min(max(turns, 1), LANES)
        )

    async def reprioritise(self, connection: AsyncConnection, job_id: UUID, priority: int) -> None:
        await connection.execute(_WITHDRAW, {"lanes": _lanes(job_id, range(LANES))})
        await self._enqueue(connection, job_id, priority, LANES)

    async def _enqueue(
        self, connection: AsyncConnection, job_id: UUID, priority: int, count: int
    ) -> None:
        try:
            async with connection.begin_nested():
                await self._defer(connection, _lanes(job_id, range(count)), priority)
        except IntegrityError:
            pass  # another process has just put one

    async def _defer(self, connection: AsyncConnection, lanes: list[str], priority: int) -> None:
        rank = -int(self._rank(priority) - EPOCH_SECONDS)
        parameters = {
            "queue": QUEUE,
            "task": TASK,
            "rank": rank,
            "lanes": lanes,
            "priority": priority,
        }
        await connection.execute(_DEFER, parameters)

    def _known(self, job_id: UUID, priority: int | None) -> int:
        return self._priorities.get(job_id, 0) if priority is None else priority

    def know(self, job_id: UUID, priority: int) -> None:
        self._priorities[job_id] = priority

    def put(self, job_id: UUID, priority: int | None = None) -> None:
        """Put a token soon. If the database is away, the reconciler puts another."""
        mine, lane = _token.get((job_id, 0))
        self._begin(self._put(job_id, lane if mine == job_id else 0, self._known(job_id, priority)))

    def _begin(self, putting: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(putting, name="put")
        self._putting.add(task)  # the loop keeps only weak references
        task.add_done_callback(self._putting.discard)

    async def _put(self, job_id: UUID, lane: int, priority: int) -> None:
        try:
            await self._database.run_alone(
                lambda c: self._defer(c, _lanes(job_id, [lane]), priority)
            )
        except IntegrityError:
            pass
        except TransientError as error:
            logger.warning("Job %s: could not return its token: %s", job_id, error)

    # ------------------------------------------------------------------ taking

    async def run(
        self,
        take: Callable[[UUID], Awaitable[None]],
        *,
        url: str,
        concurrency: int,
        heartbeat: float,
        lease: float,
    ) -> None:
        """Give tokens to `take`, at most `concurrency` at a time, until cancelled; then running
        calls of `take` are cancelled too.

        Returns when the connection is lost and procrastinate does not reconnect: run it again.
        """
        connector = _Connector(url)
        app = self._app = App(connector=connector)

        @app.task(name=TASK, queue=QUEUE)
        async def turn(token: str, priority: int) -> None:
            job_id, lane = _parsed(token)
            _token.set((job_id, lane))
            self._priorities[job_id] = priority
            await take(job_id)

        watching = asyncio.create_task(connector.end_silent(), name="connections of the queue")
        try:
            async with app.open_async():
                await app.run_worker_async(
                    queues=[QUEUE],
                    concurrency=concurrency,
                    install_signal_handlers=False,
                    delete_jobs="always",
                    fetch_job_polling_interval=POLL_SECONDS,
                    update_heartbeat_interval=heartbeat,
                    stalled_worker_timeout=lease,
                    shutdown_graceful_timeout=0,
                )
        finally:
            watching.cancel()

    async def count_workers(self, lease_seconds: float) -> int:
        """Count the workers whose heartbeat is recent."""
        query = text(
            "SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat > now() -"
            " make_interval(secs => :lease)"
        )
        async with self._database.working_singly() as connection:
            return int((await connection.execute(query, {"lease": lease_seconds})).scalar_one())

    async def rescue(self, lease_seconds: float) -> None:
        """Put back the tokens of dead workers."""
        if self._app is None:
            return
        await self._database.transact(lambda c: self._trust_no_future(c, lease_seconds))
        manager = self._app.job_manager
        try:
            await manager.prune_stalled_workers(lease_seconds)
            for job in await manager.get_stalled_jobs(
                queue=QUEUE, seconds_since_heartbeat=lease_seconds
            ):
                assert job.id is not None
                try:
                    await manager.finish_job_by_id_async(job.id, Status.ABORTED, delete_job=True)
                except exceptions.ConnectorException:
                    continue  # another worker was faster
                job_id, lane = _parsed(str(job.task_kwargs["token"]))
                self._begin(self._put(job_id, lane, int(str(job.task_kwargs["priority"]))))
        except (exceptions.ConnectorException, exceptions.AppNotOpen) as error:
            logger.warning("Could not recover the tokens of lost workers: %s", error)

    async def _trust_no_future(self, connection: AsyncConnection, lease_seconds: float) -> None:
        """Repair rows that were written before the clock was set back. Otherwise a worker with a
        heartbeat in the future would never count as dead, and a token dated in the future would
        come last.
        """
        await connection.execute(_SEEN_NOW, {"lease": lease_seconds})
        parameters = {
            "epoch": EPOCH_SECONDS,
            "ageing": self._ageing_seconds,
            "queue": QUEUE,
            "tolerance": TOLERATED_SECONDS,
        }
        await connection.execute(_RANK_NOW, parameters)


def _lanes(job_id: UUID, numbers: range | list[int]) -> list[str]:
    return [f"{job_id}/{number}" for number in numbers]


class _Connector(PsycopgConnector):
    """Connections of procrastinate, which end when the database does not respond: psycopg itself
    waits forever.
    """

    def __init__(self, url: str) -> None:
        super().__init__(
            conninfo=_conninfo(url),
            kwargs=LIBPQ_OPTIONS,
            min_size=1,
            max_size=4,
            timeout=10.0,
            configure=self._configure,
        )
        self._connections: WeakSet[AsyncConnectionOfPsycopg[Any]] = WeakSet()
        self._asked_at: dict[object, float] = {}
        """Time when each pending query was sent."""

    async def end_silent(self) -> None:
        """Cut all connections each time a query waits for too long, until cancelled. The callers
        that wait get ConnectorException.
        """
        while True:
            await asyncio.sleep(1)
            now = time.monotonic()
            if any(now - asked_at > SILENT_SECONDS for asked_at in self._asked_at.values()):
                logger.warning("The queue's database connections stopped responding; closing them")
                self._asked_at.clear()
                for connection in list(self._connections):
                    _cut(connection)

    async def _configure(self, connection: AsyncConnectionOfPsycopg[Any]) -> None:
        # Without transactions: one round trip a call instead of three, and a process that stops
        # between two calls locks no row.
        await connection.set_autocommit(True)
        self._connections.add(connection)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        query = object()
        self._asked_at[query] = time.monotonic()
        try:
            yield
        finally:
            self._asked_at.pop(query, None)

    async def execute_query_async(self, query: Any, **arguments: Any) -> None:
        with self._asking():
            await super().execute_query_async(query, **arguments)

    async def execute_query_one_async(self, query: Any, **arguments: Any) -> dict[str, Any]:
        with self._asking():
            row: dict[str, Any] = await super().execute_query_one_async(query, **arguments)
            return row

    async def execute_query_all_async(self, query: Any, **arguments: Any) -> list[dict[str, Any]]:
        with self._asking():
            rows: list[dict[str, Any]] = await super().execute_query_all_async(query, **arguments)
            return rows


def _cut(connection: AsyncConnectionOfPsycopg[Any]) -> None:
    """End the conversation, so that psycopg sees its end; psycopg still owns the descriptor."""
    with suppress(OSError, PsycopgError):
        with socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
            duplicate.shutdown(socket.SHUT_RDWR)


def _parsed(token: str) -> tuple[UUID, int]:
    job_id, _, lane = token.partition("/")
    return UUID(job_id), int(lane)


def _conninfo(url: str) -> str:
    """Return the conninfo for libpq, from a URL for SQLAlchemy and asyncpg."""
    parsed = make_url(url)
    query = {("sslmode" if name == "ssl" else name): value for name, value in parsed.query.items()}
    return parsed.set(drivername="postgresql", query=query).render_as_string(hide_password=False)
