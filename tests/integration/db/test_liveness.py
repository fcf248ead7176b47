"""Connections to PostgreSQL that die silently: a proxy keeps accepting bytes and forwards none."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from procrastinate import exceptions
from sqlalchemy import text
from sqlalchemy.engine import make_url

from app.config import load_settings
from app.db import liveness
from app.db.engine import Database, DatabaseUnavailable
from app.pipeline.shared_queue import SharedQueue
from tests.conftest import Databases

pytestmark = pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
SECONDS = 15
"""Within this time every wait for a dead connection ends."""


class Wire:
    """Carries connections to PostgreSQL. `silence` mutes the existing ones; new ones work."""

    def __init__(self, url: str) -> None:
        where = make_url(url)
        self._folder = str(where.query.get("host", ""))
        self._address = (where.host or "", where.port or 5432)
        self._generation = 0
        self._carried: set[asyncio.Task[None]] = set()
        self.url = ""
        """URL of the database through the wire."""
        self.is_deaf = False
        """Whether new connections are accepted and never served."""
        self.accepted = 0

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._folder:
            return await asyncio.open_unix_connection(f"{self._folder}/.s.PGSQL.5432")
        return await asyncio.open_connection(*self._address)

    def silence(self) -> None:
        self._generation += 1

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._carried.add(task)
        try:
            if self.is_deaf:
                await reader.read()
            else:
                await self._carry(reader, writer)
        finally:
            writer.close()

    async def close(self) -> None:
        for task in self._carried:
            task.cancel()
        await asyncio.gather(*self._carried, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        generation = self._generation
        upstream_reader, upstream_writer = await self.connect()

        async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source.read(1 << 16):
                if self._generation == generation:
                    target.write(data)
                    await target.drain()

        pumps = [
            asyncio.create_task(pump(reader, upstream_writer)),
            asyncio.create_task(pump(upstream_reader, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in pumps:
                each.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            upstream_writer.close()


@asynccontextmanager
async def wired(databases: Databases, folder: Path) -> AsyncIterator[tuple[Database, Wire]]:
    """A database whose connections pass through a wire, started as in the service."""
    url = await asyncio.to_thread(databases.create, folder)
    wire = Wire(url)
    server = await asyncio.start_server(wire.carry, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    over_the_wire = make_url(url).set(host="127.0.0.1", port=port, query={})
    wire.url = over_the_wire.render_as_string(hide_password=False)
    settings = load_settings(
        database_url=wire.url,
        storage_dir=folder,
        db_pool_size=4,
        lease_seconds=5,
    )
    database = Database(settings)
    database.start()
    try:
        yield database, wire
    finally:
        await database.close()
        server.close()
        await wire.close()


async def one(database: Database) -> int:
    async with database.reading_singly() as connection:
        return int((await connection.execute(text("SELECT 1"))).scalar_one())


async def test_an_idle_connection_is_tested_and_all_are_replaced(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "TRUSTED_SECONDS", 0)
    async with wired(databases, tmp_path) as (database, wire):
        await asyncio.gather(*(hold(database, 0.2) for _ in range(4)))
        assert wire.accepted == 4
        wire.silence()
        async with asyncio.timeout(SECONDS):
            assert await asyncio.gather(*(one(database) for _ in range(4))) == [1, 1, 1, 1]
        assert wire.accepted >= 8


async def hold(database: Database, seconds: float) -> None:
    async with database.reading_singly() as connection:
        await connection.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": seconds})


@pytest.mark.parametrize("ending", ["statement", "commit"])
async def test_a_wait_on_a_dead_connection_gets_a_transient_error(
    databases: Databases, tmp_path: Path, ending: str
) -> None:
    async with wired(databases, tmp_path) as (database, wire):

        async def work(connection: object) -> None:
            await connection.execute(text("SELECT 1"))  # type: ignore[attr-defined]
            wire.silence()
            if ending == "statement":
                await connection.execute(text("SELECT 2"))  # type: ignore[attr-defined]

        async with asyncio.timeout(SECONDS):
            with pytest.raises(DatabaseUnavailable):
                await database.transact(work)
            assert await one(database) == 1


async def test_a_long_statement_is_left_alone(databases: Databases, tmp_path: Path) -> None:
    async with wired(databases, tmp_path) as (database, _):
        await hold(database, 7)
        assert await one(database) == 1


async def test_a_silent_server_is_an_error_after_the_timeout(
    databases: Databases, tmp_path: Path
) -> None:
    async with wired(databases, tmp_path) as (database, wire):
        await one(database)
        wire.silence()
        wire.is_deaf = True
        async with asyncio.timeout(SECONDS):
            with pytest.raises(DatabaseUnavailable):
                await hold(database, 0)


async def test_a_worker_takes_tokens_again_after_its_queue_connections_died(
    databases: Databases, tmp_path: Path
) -> None:
    async with wired(databases, tmp_path) as (database, wire):
        queue = SharedQueue(database, ageing_seconds=10)
        taken: asyncio.Queue[UUID] = asyncio.Queue()

        async def run_for_ever() -> None:
            while True:  # as the machine does
                with suppress(exceptions.ConnectorException):
                    await queue.run(taken.put, url=wire.url, concurrency=1, heartbeat=1, lease=5)

        running = asyncio.create_task(run_for_ever())
        try:
            before, after = uuid4(), uuid4()
            await database.transact(partial(queue.enqueue, job_id=before))
            async with asyncio.timeout(SECONDS):
                assert await taken.get() == before
            wire.silence()
            with suppress(DatabaseUnavailable):  # the other connections died too
                await database.transact(partial(queue.enqueue, job_id=after))
            await database.transact(partial(queue.enqueue, job_id=after))
            async with asyncio.timeout(SECONDS):
                assert await taken.get() == after
        finally:
            running.cancel()
            await asyncio.wait([running])


async def test_keepalive_options_are_set_on_the_socket(
    databases: Databases, tmp_path: Path
) -> None:
    async with wired(databases, tmp_path) as (database, _), database.reading_singly() as connection:
        raw = await connection.get_raw_connection()
        assert raw.driver_connection is not None
        found = raw.driver_connection._transport.get_extra_info("socket")
        assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000
        assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
