"""Liveness: finds connections to PostgreSQL that died without a word, and ends them, so that nobody
waits for them.

A firewall that forgets a connection, a balancer that fails over or a frozen server says nothing:
what is sent is lost, and an answer never comes. Three things find that, each in a case that the
others miss:

- The kernel ends a connection whose bytes are not acknowledged (TCP_USER_TIMEOUT, keepalives).
- A connection that was idle is asked before it is used. If it does not answer, the whole pool is
  made anew.
- For a connection that is in use for long, the server is asked through a new one what it does
  there. If it waits for us, while we wait for it, the connection is dead. A long statement is left
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
"""Within this time a server that lives answers SELECT 1, and takes a connection."""
TRUSTED_SECONDS = 2.0
"""A connection that was used so lately is not asked."""
LOOK_SECONDS = 1.0
TOO_MANY_CONNECTIONS = "53300"
SOCKET_OPTIONS = (
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 5),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 2),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", 3),
    (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", 10_000),
)
"""By name: other systems lack some of them."""
LIBPQ_OPTIONS = {
    "connect_timeout": "10",
    "keepalives": "1",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
"""The same for connections that libpq makes."""

_STATES = text(
    """
    SELECT pid FROM pg_stat_activity
    WHERE pid = ANY(:pids)
      AND (state = 'active' AND wait_event IS DISTINCT FROM 'ClientRead'
           OR state_change > clock_timestamp() - make_interval(secs => :seconds))
    """
)
"""Those that are at work, or were a moment ago."""


class Liveness:
    def __init__(self, url: str, patience_seconds: float) -> None:
        """`patience_seconds`: how long a connection in use may do nothing. It is also the time
        after which the server ends idle transactions, so that nothing of ours may stay idle with a
        connection for as long.
        """
        self._patience = patience_seconds
        self._in_use: dict[Any, float] = {}
        """By connection record, since when."""
        self._asking = create_async_engine(
            url,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args={"timeout": ANSWER_SECONDS, "command_timeout": ANSWER_SECONDS},
        )

    def watch(self, engine: AsyncEngine) -> None:
        """Look after the connections of this engine's pool."""
        pool = engine.sync_engine.pool
        event.listen(pool, "connect", self._connected)
        event.listen(pool, "checkout", self._taken)
        event.listen(pool, "checkin", self._given_back)

    async def run(self) -> None:
        """Look at the connections in use, until cancelled."""
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

    # ------------------------------------------------------------------ events of the pool

    def _connected(self, connection: Any, record: Any) -> None:
        # asyncpg has no public way to its socket.
        transport = getattr(connection.driver_connection, "_transport", None)
        found = transport.get_extra_info("socket") if transport is not None else None
        if found is not None and found.family in (socket.AF_INET, socket.AF_INET6):
            for level, name, value in SOCKET_OPTIONS:
                if hasattr(socket, name):
                    found.setsockopt(level, getattr(socket, name), value)
        # Not get_server_pid(): of a connection through a pooler that is the pooler's.
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
        """The server's processes for these connections that do something; None if it does not
        answer.
        """
        pids = [record.info["pid"] for record in records if "pid" in record.info]
        try:
            async with asyncio.timeout(ANSWER_SECONDS), self._asking.connect() as connection:
                found = await connection.scalars(_STATES, {"pids": pids, "seconds": self._patience})
                return set(found)
        except Exception as error:
            if _code(error) == TOO_MANY_CONNECTIONS:  # it lives, and cannot be asked
                return set(pids)
            return None

    def _end(self, record: Any) -> None:
        """Whoever waits for it gets an error of a lost connection, and its transaction is run
        again.
        """
        self._in_use.pop(record, None)
        if record.dbapi_connection is not None:
            logger.warning("A database connection stopped responding; closing it")
            record.dbapi_connection.driver_connection.terminate()


def _code(error: BaseException) -> str | None:
    cause = error.orig.__cause__ if isinstance(error, DBAPIError) and error.orig else error
    return getattr(cause, "sqlstate", None)
