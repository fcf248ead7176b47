"""Transactions that the database rolls back are run again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.config import load_settings
from app.db.engine import Database, DatabaseUnavailable, after_commit
from tests.conftest import Databases


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
def test_the_loser_of_a_deadlock_is_retried(databases: Databases, tmp_path: Path) -> None:
    asyncio.run(deadlock(databases.create(tmp_path), tmp_path))


async def deadlock(url: str, storage: Path) -> None:
    database = Database(load_settings(database_url=url, storage_dir=storage))
    both_hold_one = asyncio.Barrier(2)
    runs = 0

    async def create(connection: AsyncConnection) -> None:
        await connection.execute(text("CREATE TABLE pair (place int PRIMARY KEY, count int)"))
        await connection.execute(text("INSERT INTO pair VALUES (1, 0), (2, 0)"))

    def count(first: int, second: int) -> Callable[[AsyncConnection], Awaitable[None]]:
        async def work(connection: AsyncConnection) -> None:
            nonlocal runs
            runs += 1
            raise_count = text("UPDATE pair SET count = count + 1 WHERE place = :place")
            await connection.execute(raise_count, {"place": first})
            if runs <= 2:
                await both_hold_one.wait()
            await connection.execute(raise_count, {"place": second})

        return work

    try:
        await database.transact(create)
        await asyncio.gather(database.transact(count(1, 2)), database.transact(count(2, 1)))
        async with database.reading() as connection:
            assert list(await connection.scalars(text("SELECT count FROM pair"))) == [2, 2]
        assert runs >= 3  # the loser ran again; under load it may lose twice
    finally:
        await database.close()


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
async def test_an_advisory_lock_is_exclusive_until_released_or_its_process_stops(
    databases: Databases, tmp_path: Path
) -> None:
    url = await asyncio.to_thread(databases.create, tmp_path)
    settings = load_settings(
        database_url=url, storage_dir=tmp_path, lease_seconds=5, heartbeat_seconds=3600
    )
    one, other = Database(settings), Database(settings)
    try:
        async with (
            one.alone("split") as mine,
            other.alone("split") as theirs,
            other.alone("conclude") as another,
        ):
            assert (mine, theirs, another) == (True, False, True)
        async with other.alone("split") as theirs:
            assert theirs
        # A stopped process sends no heartbeat: here one that sends its next in an hour.
        async with one.alone("split"):
            async with asyncio.timeout(20):
                while True:
                    async with other.alone("split") as theirs:
                        if theirs:
                            break
    finally:
        await one.close()
        await other.close()


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
async def test_a_session_stopped_between_prepare_and_execute_is_ended(
    databases: Databases, tmp_path: Path
) -> None:
    url = await asyncio.to_thread(databases.create, tmp_path)
    one, other = (
        Database(load_settings(database_url=url, storage_dir=tmp_path, lease_seconds=5))
        for _ in range(2)
    )
    try:
        async with one.engine.connect() as sleeping, one.engine.connect() as waiting:
            for connection in (sleeping, waiting):
                await connection.execute(text("SELECT 1"))
            driver = (await sleeping.get_raw_connection()).driver_connection
            assert driver is not None
            pid = driver.get_server_pid()
            await driver.prepare("SELECT 2")  # the server waits for the next statement
            async with asyncio.timeout(20):
                while not (ended := await other.end_stopped()):
                    await waiting.execute(text("SELECT 3"))
            assert ended == 1
            there = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid")
            async with asyncio.timeout(20):
                while (await waiting.execute(there, {"pid": pid})).scalar_one():
                    await waiting.rollback()  # the view stays the same within a transaction
            await sleeping.invalidate()
    finally:
        await one.close()
        await other.close()


async def test_a_callback_after_commit_does_not_run_after_a_rollback(
    databases: Databases, tmp_path: Path
) -> None:
    url = await asyncio.to_thread(databases.create, tmp_path)
    database = Database(load_settings(database_url=url, storage_dir=tmp_path))
    seen: list[str] = []

    async def work(connection: AsyncConnection, name: str) -> None:
        await connection.execute(text("SELECT 1"))
        after_commit(lambda: seen.append(name))
        if name == "lost":
            raise LookupError
        assert not seen

    try:
        with pytest.raises(LookupError):
            await database.transact(lambda c: work(c, "lost"))
        await database.transact(lambda c: work(c, "kept"))
        assert seen == ["kept"]
    finally:
        await database.close()


async def test_sqlite_errors_are_recognised_by_code_and_not_by_message(tmp_path: Path) -> None:
    database = Database(load_settings(database_url="", storage_dir=tmp_path))

    async def fill(connection: AsyncConnection) -> None:
        await connection.execute(text("CREATE TABLE filling (data blob)"))
        await connection.execute(text("PRAGMA max_page_count = 10"))
        await connection.execute(text("INSERT INTO filling VALUES (zeroblob(1000000))"))

    async def ask_a_missing_table(connection: AsyncConnection) -> None:
        await connection.execute(text("SELECT * FROM locked"))

    try:
        with pytest.raises(DatabaseUnavailable, match="full"):
            await database.transact(fill)
        with pytest.raises(OperationalError, match="no such table: locked"):
            await database.transact(ask_a_missing_table)
    finally:
        await database.close()
