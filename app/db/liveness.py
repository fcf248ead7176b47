"""Liveness: finds connections to PostgreSQL that died silently and closes them, so that nobody
waits for them.

A firewall that drops a connection, a load balancer that fails over or a frozen server says nothing:
what is sent is lost, and a response never comes. Three checks find that, each in a case that the
others miss:

- The kernel ends a connection whose bytes are not acknowledged (TCP_USER_TIMEOUT, keepalives).
- An idle connection is pinged before it is used. If it does not respond, the whole pool is
  recreated.
- For a connection that is in use for long, the server is asked through a new one what it does
  there. If it waits for us while we wait for it, the connection is dead. A long statement is left
  alone.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from typing import Any

import asyncpg
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

logger = logging.getLogger(__name__)
ANSWER_SECONDS = 3.0
"""A live server answers SELECT 1, and accepts a connection, within this time."""
TRUSTED_SECONDS = 2.0
"""A connection that was used within this time is not pinged."""
LOOK_SECONDS = 1.0
TOO_MANY_CONNECTIONS = "53300"
SOCKET_OPTIONS = (
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 5),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 2),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", 3),
    (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", 10_000),
)
"""By name, since some systems lack some of them."""
LIBPQ_OPTIONS = {
    "connect_timeout": "10",
    "keepalives": "1",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
"""The same for connections of libpq."""

_STATES = text(
    """
    SELECT pid FROM pg_stat_activity
    WHERE pid = ANY(:pids)
      AND (state = 'active' AND wait_event IS DISTINCT FROM 'ClientRead'
           OR state_change > clock_timestamp() - make_interval(secs => :seconds))
    """
)
"""Backends that are active, or were shortly before."""


def notice_silence(driver: Any) -> None:
    """Have the kernel end a connection of asyncpg whose bytes are not acknowledged."""
    # asyncpg has no public access to its socket.
    transport = getattr(driver, "_transport", None)
    sock = transport.get_extra_info("socket") if transport is not None else None
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        for level, name, value in SOCKET_OPTIONS:
            if hasattr(socket, name):
                sock.setsockopt(level, getattr(socket, name), value)


class Liveness:
    def __init__(self, url: str, patience_seconds: float) -> None:
        """`patience_seconds` is how long a connection in use may do nothing. The server ends idle
        transactions after the same time, so none of ours may stay idle for as long.
        """
        self._patience = patience_seconds
        self._in_use: dict[Any, float] = {}
        """When each connection record was checked out."""
        self._asking = create_async_engine(
            url,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args={"timeout": ANSWER_SECONDS, "command_timeout": ANSWER_SECONDS},
        )

    def watch(self, engine: AsyncEngine) -> None:
        """Monitor the connections of this engine's pool."""
        pool = engine.sync_engine.pool
        event.listen(pool, "connect", self._connected)
        event.listen(pool, "checkout", self._taken)
        event.listen(pool, "checkin", self._given_back)

    async def run(self) -> None:
        """Check the connections in use periodically until cancelled."""
        answered_at = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            suspects = self._in_use_for(self._patience / 2)
            if not suspects:
                answered_at = time.monotonic()
                continue
            at_work = await self._at_work(suspects)
            if at_work is not None:
                answered_at = time.monotonic()
            elif time.monotonic() - answered_at < self._patience / 2:
                continue
            for record in self._in_use_for(self._patience):
                if record.info.get("pid") not in (at_work or ()):
                    self._end(record)

    async def close(self) -> None:
        await self._asking.dispose()

    # ------------------------------------------------------------------ pool events

    def _connected(self, connection: Any, record: Any) -> None:
        notice_silence(connection.driver_connection)
        # Not get_server_pid(): behind a pooler it is the pooler's.
        record.info["pid"] = connection.run_async(
            lambda driver: driver.fetchval("SELECT pg_backend_pid()")
        )

    def _taken(self, connection: Any, record: Any, _: Any) -> None:
        now = time.monotonic()
        if now - record.info.get("given_back_at", now) > TRUSTED_SECONDS:
            connection.run_async(self._ask)
        self._in_use[record] = time.monotonic()

    def _given_back(self, connection: Any, record: Any) -> None:
        self._in_use.pop(record, None)
        record.info["given_back_at"] = time.monotonic()

    async def _ask(self, driver: asyncpg.Connection) -> None:
        try:
            await driver.fetchval("SELECT 1", timeout=ANSWER_SECONDS)
        except Exception as error:
            driver.terminate()
            logger.warning("An idle database connection was dead; reconnecting all")
            raise InvalidatePoolError from error

    # ------------------------------------------------------------------ connections in use

    def _in_use_for(self, seconds: float) -> list[Any]:
        now = time.monotonic()
        return [record for record, since in self._in_use.items() if now - since >= seconds]

    async def _at_work(self, records: list[Any]) -> set[int] | None:
        """Return the server's processes for these connections that are active; None if it does not
        respond.
        """
        pids = [record.info["pid"] for record in records if "pid" in record.info]
        try:
            async with asyncio.timeout(ANSWER_SECONDS), self._asking.connect() as connection:
                sock = await connection.scalars(_STATES, {"pids": pids, "seconds": self._patience})
                return set(sock)
        except Exception as error:
            # it is alive, but accepts no connection for the query
            if _code(error) == TOO_MANY_CONNECTIONS:
                return set(pids)
            return None

    def _end(self, record: Any) -> None:
        """Close the connection. Whoever waits for it gets a connection error, and the transaction
        is run again.
        """
        self._in_use.pop(record, None)
        if record.dbapi_connection is not None:
            logger.warning("A database connection stopped responding; closing it")
            record.dbapi_connection.driver_connection.terminate()


def _code(error: BaseException) -> str | None:
    cause = error.orig.__cause__ if isinstance(error, DBAPIError) and error.orig else error
    return getattr(cause, "sqlstate", None)
