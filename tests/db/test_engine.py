"""Transactions: what the database takes back is run again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.config import load_settings
from app.db.engine import Database
from tests.conftest import Databases


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
def test_the_loser_of_a_deadlock_is_run_again(databases: Databases, tmp_path: Path) -> None:
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
