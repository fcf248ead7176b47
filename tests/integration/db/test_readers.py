"""Readers do not wait for work, however much there is of both, and work yields to readers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.config import load_settings
from app.db import jobs
from app.db.engine import READERS, SQLITE_WORK_READERS, Database, WaitingReaders
from app.db.types import padded
from app.errors import NotFound
from app.jobs.progress import Statuses
from app.pipeline.pool import PATIENCE_SECONDS, WorkerPool
from app.pipeline.queue import JobQueue
from tests.conftest import Databases
from tests.harness import query, wait_until
from tests.integration.pipeline.test_leases import a_job_of_two_chunks

OWNER = "o"
LOCKED = (
    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


@asynccontextmanager
async def opened(databases: Databases, tmp_path: Path) -> AsyncIterator[Database]:
    url = await asyncio.to_thread(databases.create, tmp_path)
    database = Database(load_settings(database_url=url, storage_dir=tmp_path, max_concurrency=2))
    yield database
    await database.close()


async def hold_all_for_work(database: Database, stack: AsyncExitStack) -> asyncio.Task[Any]:
    """Take every connection of work until the stack ends. The task ends then."""
    held, release = asyncio.Event(), asyncio.Event()

    async def write(connection: AsyncConnection) -> None:
        await connection.execute(text("SELECT 1"))
        held.set()
        await release.wait()

    writing = asyncio.create_task(database.transact(write))
    await held.wait()
    others = (
        SQLITE_WORK_READERS if database.is_sqlite else database.connections["max"] - READERS - 1
    )
    for _ in range(others):
        await stack.enter_async_context(database.working())
    stack.callback(release.set)
    return writing


async def test_a_reader_gets_a_connection_while_work_holds_all_of_its_own(
    databases: Databases, tmp_path: Path
) -> None:
    async with opened(databases, tmp_path) as database:
        async with AsyncExitStack() as stack:
            writing = await hold_all_for_work(database, stack)
            more = asyncio.create_task(_one(database.working()))
            async with asyncio.timeout(20):
                assert await _one(database.reading()) == 1
                assert await _one(database.snapshot()) == 1
                assert await _one(database.reading_singly()) == 1
            assert not more.done()  # there was none left
        await writing
        await more


async def test_work_gets_a_connection_while_readers_hold_all_of_their_own(
    databases: Databases, tmp_path: Path
) -> None:
    async with opened(databases, tmp_path) as database:
        async with AsyncExitStack() as stack:
            for _ in range(READERS):
                await stack.enter_async_context(database.reading())
            more = asyncio.create_task(_one(database.reading()))
            async with asyncio.timeout(20):
                assert await _one(database.working()) == 1
                assert await database.transact(lambda c: _select(c)) == 1
            await asyncio.to_thread(
                wait_until, lambda: database.waiting.longest_seconds > PATIENCE_SECONDS
            )
            assert not more.done()
        assert await more == 1
        assert database.waiting.longest_seconds == 0


async def test_long_reads_leave_connections_to_short_ones(
    databases: Databases, tmp_path: Path
) -> None:
    async with opened(databases, tmp_path) as database, AsyncExitStack() as stack:
        taken = [
            asyncio.create_task(stack.enter_async_context(database.snapshot()))
            for _ in range(READERS)
        ]
        async with asyncio.timeout(20):
            await asyncio.wait(taken, return_when=asyncio.FIRST_COMPLETED)
            assert await _one(database.reading()) == 1
        for task in taken:
            if not task.done():
                task.cancel()
        await asyncio.wait(taken)


async def test_concurrent_health_checks_share_one_query(
    databases: Databases, tmp_path: Path
) -> None:
    async with opened(databases, tmp_path) as database:
        seen: list[str] = []
        event.listen(
            database.engine.sync_engine, "before_cursor_execute", lambda *a: seen.append(a[2])
        )
        await asyncio.gather(*(database.ping() for _ in range(100)))
        assert seen.count("SELECT 1") == 1
        await database.ping()
        assert seen.count("SELECT 1") == 2  # a response is not kept


async def _one(connected: Any) -> int:
    async with connected as connection:
        return await _select(connection)


async def _select(connection: AsyncConnection) -> int:
    return int((await connection.execute(text("SELECT 1"))).scalar_one())


# ---------------------------------------------------------------------- status


async def test_many_status_requests_are_served_by_a_few_statements(
    databases: Databases, tmp_path: Path
) -> None:
    async with opened(databases, tmp_path) as database:
        ids = [await a_job_of_two_chunks(database) for _ in range(20)]
        statuses = Statuses(database)
        alone = [await statuses.get(job_id, OWNER) for job_id in ids]
        seen: list[str] = []
        event.listen(
            database.engine.sync_engine, "before_cursor_execute", lambda *a: seen.append(a[2])
        )
        crowd = await asyncio.gather(
            *(statuses.get(job_id, OWNER) for job_id in ids for _ in range(25))
        )
        assert len(seen) <= 6  # three for a read, and no request comes after the second
        unlike = [name for name in alone[0] if name not in ("eta_seconds", "rows_per_second")]
        for position, status in enumerate(crowd):
            assert {n: status[n] for n in unlike} == {n: alone[position // 25][n] for n in unlike}


async def test_each_status_request_gets_its_own_job_by_either_id_or_a_404(
    databases: Databases, tmp_path: Path
) -> None:
    async with opened(databases, tmp_path) as database:
        job_id = await a_job_of_two_chunks(database)
        statuses = Statuses(database)
        file_id = UUID((await statuses.get(job_id, OWNER))["file_id"])
        asked = [
            (job_id, OWNER),
            (file_id, OWNER),
            (job_id, "somebody"),
            (file_id, "somebody"),
            (uuid4(), OWNER),
        ]
        found = await asyncio.gather(*(statuses.get(*key) for key in asked), return_exceptions=True)
        assert [each["job_id"] for each in found[:2]] == [str(job_id)] * 2  # type: ignore[index]
        assert [type(each) for each in found[2:]] == [NotFound] * 3


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
async def test_no_status_is_older_than_its_request(databases: Databases, tmp_path: Path) -> None:
    """A read is running when the job is cancelled; a later request does not get its result."""
    async with opened(databases, tmp_path) as database:
        job_id = await a_job_of_two_chunks(database)
        url = database.engine.url.render_as_string(hide_password=False)
        statuses = Statuses(database)
        locked, unlock = asyncio.Event(), asyncio.Event()

        async def lock(connection: AsyncConnection) -> None:
            await connection.execute(text("LOCK TABLE chunks IN ACCESS EXCLUSIVE MODE"))
            locked.set()
            await unlock.wait()

        locking = asyncio.create_task(database.transact(lock))
        await locked.wait()
        before = asyncio.create_task(statuses.get(job_id, OWNER))
        # it has read the job, and waits for the chunks
        await asyncio.to_thread(wait_until, lambda: query(url, LOCKED))
        await database.transact(lambda c: jobs.cancel(c, job_id))
        after = asyncio.create_task(statuses.get(job_id, OWNER))
        unlock.set()
        await locking
        assert (await before)["status"] == "processing"
        assert (await after)["status"] == "cancelled"


async def test_a_failed_read_fails_only_the_requests_that_share_it(
    databases: Databases, tmp_path: Path
) -> None:
    async with opened(databases, tmp_path) as database:
        job_id = await a_job_of_two_chunks(database)
        statuses = Statuses(database)
        broken = True

        def refuse(*_: Any) -> None:
            if broken:
                raise ValueError("broken")

        event.listen(database.engine.sync_engine, "before_cursor_execute", refuse)
        failed = await asyncio.gather(
            *(statuses.get(job_id, OWNER) for _ in range(3)), return_exceptions=True
        )
        assert [type(each) for each in failed] == [ValueError] * 3
        broken = False
        assert (await statuses.get(job_id, OWNER))["job_id"] == str(job_id)


def test_lists_of_all_lengths_need_a_few_statements() -> None:
    lists = [list(range(count)) for count in range(257)]
    assert all(set(padded(values)) == set(values) for values in lists)
    assert sorted({len(padded(values)) for values in lists}) == [
        0,
        1,
        2,
        4,
        8,
        16,
        32,
        64,
        128,
        256,
    ]


# ---------------------------------------------------------------------- work yields


async def test_work_takes_one_turn_at_a_time_while_readers_wait(
    databases: Databases, tmp_path: Path
) -> None:
    async with opened(databases, tmp_path) as database:
        unused: Any = None
        pool = WorkerPool(
            slots=4,
            leases=unused,
            database=database,
            queue=JobQueue(10),
            processors=unused,
            destinations=unused,
            splitter=unused,
            runner=unused,
            finisher=unused,
        )
        end = asyncio.Event()
        pool._start(_until(end), pool._turns, "turn")
        await asyncio.wait_for(pool._make_way(), 20)  # nobody waits
        with database.waiting.counted() as served:
            await asyncio.to_thread(
                wait_until, lambda: database.waiting.longest_seconds > PATIENCE_SECONDS
            )
            next_turn = asyncio.create_task(pool._make_way())
            await asyncio.sleep(3 * PATIENCE_SECONDS)
            assert not next_turn.done()
            end.set()
            # the turn before has ended: work never stops
            await asyncio.wait_for(next_turn, 20)
            end.clear()
            pool._start(_until(end), pool._turns, "turn")
            next_turn = asyncio.create_task(pool._make_way())
            await asyncio.sleep(0)
            assert not next_turn.done()
            served()
            await asyncio.wait_for(next_turn, 20)
        end.set()
        await asyncio.wait(pool._turns)


async def _until(end: asyncio.Event) -> None:
    await end.wait()


def test_the_longest_wait_counts() -> None:
    at = 0.0
    waiting = WaitingReaders(lambda: at)
    with waiting.counted() as first_served:
        at = 2.0
        with waiting.counted():
            at = 5.0
            assert waiting.longest_seconds == 5.0
            first_served()
            assert waiting.longest_seconds == 3.0
    assert waiting.longest_seconds == 0.0
