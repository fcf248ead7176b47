"""Tokens in PostgreSQL: their number per job, their order, and the tokens of a dead worker."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from procrastinate import App
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.config import load_settings
from app.db.engine import Database
from app.pipeline.shared_queue import LANES, QUEUE, SharedQueue, _Connector
from tests.conftest import Databases
from tests.harness import query, wait_until

pytestmark = pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
LEASE = 60.0
SECONDS = 20
AGEING = 10.0
Take = Callable[[UUID], Awaitable[None]]


class Clock:
    """Continues only when a test lets it."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


class Shared:
    """A queue over a database, as each process has one."""

    def __init__(self, url: str, database: Database) -> None:
        self.url = url
        self.database = database
        self.clock = Clock()
        self.queue = self.of_another_process()

    def of_another_process(self) -> SharedQueue:
        return SharedQueue(self.database, AGEING, self.clock)

    async def enqueue(self, job_id: UUID, priority: int | None = None, turns: int = 1) -> None:
        await self.database.transact(
            partial(self.queue.enqueue, job_id=job_id, priority=priority, turns=turns)
        )

    async def waiting(self) -> dict[UUID, int]:
        """Return the number of waiting tokens by job."""
        return await asyncio.to_thread(self._waiting)

    def _waiting(self) -> dict[UUID, int]:
        lanes = query(
            self.url, "SELECT queueing_lock FROM procrastinate_jobs WHERE status = 'todo'"
        )
        return Counter(UUID(lane.partition("/")[0]) for (lane,) in lanes)

    async def until(self, job_id: UUID, count: int) -> None:
        """Put this many tokens of the job."""
        await asyncio.to_thread(
            wait_until,
            lambda: self._waiting().get(job_id, 0) == count,
            SECONDS,
            f"{count} tokens of the job",
        )

    @asynccontextmanager
    async def running(
        self, take: Take, *, queue: SharedQueue | None = None, concurrency: int = 1
    ) -> AsyncIterator[asyncio.Task[None]]:
        """Inside the block, `take` gets the tokens."""
        task = asyncio.create_task(
            (queue or self.queue).run(
                take, url=self.url, concurrency=concurrency, heartbeat=0.2, lease=LEASE
            )
        )
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def taken(self, count: int) -> list[UUID]:
        """Return the jobs of the next tokens, in the order in which one worker takes them."""
        jobs: list[UUID] = []
        enough = asyncio.Event()

        async def take(job_id: UUID) -> None:
            jobs.append(job_id)
            if len(jobs) == count:
                enough.set()

        async with asyncio.timeout(SECONDS), self.running(take):
            await enough.wait()
        return jobs


@pytest.fixture
async def shared(databases: Databases, tmp_path: Path) -> AsyncIterator[Shared]:
    url = await asyncio.to_thread(databases.create, tmp_path)
    database = Database(load_settings(database_url=url, storage_dir=tmp_path))
    yield Shared(url, database)
    await database.close()


# ---------------------------------------------------------------------- how many


async def test_a_job_has_one_token_per_turn_up_to_the_number_of_lanes(
    shared: Shared,
) -> None:
    one, three, many = uuid4(), uuid4(), uuid4()
    await shared.enqueue(one, turns=0)
    await shared.enqueue(three, turns=3)
    await shared.enqueue(many, turns=100)
    expected = {one: 1, three: 3, many: LANES}
    assert await shared.waiting() == expected
    await shared.enqueue(three, turns=2)
    assert await shared.waiting() == expected, "a lane that is taken is not taken twice"


async def test_a_token_of_a_rolled_back_transaction_does_not_exist(shared: Shared) -> None:
    async def fail(connection: AsyncConnection) -> None:
        await shared.queue.enqueue(connection, uuid4())
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await shared.database.transact(fail)
    assert await shared.waiting() == {}


async def test_two_concurrent_puts_of_one_token_leave_one(shared: Shared) -> None:
    """Also while the transaction of the first is open when the second puts it: the second
    continues, and its other changes are kept.
    """
    job_id, other = uuid4(), uuid4()

    async def both(connection: AsyncConnection) -> None:
        await shared.queue.enqueue(connection, job_id)
        second = asyncio.create_task(shared.database.transact(put_two))
        await asyncio.wait([second], timeout=0.2)
        others.append(second)

    async def put_two(connection: AsyncConnection) -> None:
        await shared.queue.enqueue(connection, other)
        await shared.queue.enqueue(connection, job_id)

    others: list[asyncio.Task[None]] = []
    async with asyncio.timeout(SECONDS):
        await shared.database.transact(both)
        await others[0]
    assert await shared.waiting() == {job_id: 1, other: 1}


# ---------------------------------------------------------------------- who goes first


async def test_higher_priority_goes_first_and_waiting_jobs_rise_one_step_per_ageing_time(
    shared: Shared,
) -> None:
    early, equal, risen, urgent = (uuid4() for _ in range(4))
    await shared.enqueue(early, 0)
    shared.clock.now += 1
    await shared.enqueue(equal, 0)
    shared.clock.now += 2 * AGEING
    await shared.enqueue(risen, 1)  # none is before those that have waited for two steps
    await shared.enqueue(urgent, 5)
    assert await shared.taken(4) == [urgent, early, equal, risen]


async def test_a_new_priority_applies_to_waiting_tokens(shared: Shared) -> None:
    first, second = uuid4(), uuid4()
    await shared.enqueue(first, 5, turns=2)
    await shared.enqueue(second, 0)
    await shared.database.transact(lambda c: shared.queue.reprioritise(c, second, 9))
    assert (await shared.waiting())[second] == LANES
    assert (await shared.taken(1)) == [second]


async def test_a_token_without_a_priority_has_the_last_known_one(shared: Shared) -> None:
    known, other = uuid4(), uuid4()
    shared.queue.know(known, 7)
    await shared.enqueue(other, 3)
    await shared.enqueue(known)
    assert await shared.taken(2) == [known, other]


# ---------------------------------------------------------------------- turns


async def test_a_token_is_put_back_in_the_lane_of_its_turn(shared: Shared) -> None:
    """Two concurrent turns stay two tokens: the other one waits in the first lane meanwhile."""
    job_id = uuid4()
    turns = 0
    are_two = asyncio.Event()

    async def take(taken: UUID) -> None:
        nonlocal turns
        turns += 1
        if turns == 1:  # in the first lane
            await shared.enqueue(job_id)
            return
        shared.queue.put(taken)
        await shared.until(job_id, 2)
        are_two.set()
        await asyncio.Event().wait()

    await shared.enqueue(job_id, turns=2)
    async with asyncio.timeout(SECONDS), shared.running(take):
        await are_two.wait()


async def test_a_token_is_put_in_the_first_lane_outside_of_a_turn(shared: Shared) -> None:
    job_id = uuid4()
    shared.queue.put(job_id)
    shared.queue.put(job_id)
    await shared.until(job_id, 1)
    assert await shared.taken(1) == [job_id]


async def test_workers_seen_within_a_lease_are_counted(shared: Shared) -> None:
    assert await shared.queue.count_workers(LEASE) == 0
    async with App(connector=_Connector(shared.url)).open_async() as app:
        for _ in range(2):
            await app.job_manager.register_worker()
    assert await shared.queue.count_workers(LEASE) == 2
    await heard_of(shared, -LEASE - 1)
    assert await shared.queue.count_workers(LEASE) == 0


# ---------------------------------------------------------------------- dead workers


async def abandon(shared: Shared, seconds: float) -> None:
    """Let a worker last seen this long ago take the next token."""
    async with App(connector=_Connector(shared.url)).open_async() as app:
        worker = await app.job_manager.register_worker()
        assert await app.job_manager.fetch_job(queues=[QUEUE], worker_id=worker) is not None
    await heard_of(shared, -seconds)


async def heard_of(shared: Shared, seconds: float) -> None:
    """Set the time at which all workers were last seen, in seconds from now."""
    change = text(
        "UPDATE procrastinate_workers SET last_heartbeat = now() + make_interval(secs => :seconds)"
    )
    await shared.database.transact(lambda c: c.execute(change, {"seconds": seconds}))


async def run_and_rescue(shared: Shared) -> None:
    """Rescue as the reconciler does, next to an idle worker."""

    async def take(job_id: UUID) -> None:
        await asyncio.Event().wait()

    rescuer = shared.of_another_process()
    busy = uuid4()
    await shared.enqueue(busy, 10)
    async with shared.running(take, queue=rescuer):
        await shared.until(busy, 0)
        await rescuer.rescue(LEASE)


async def test_the_token_of_a_dead_worker_is_put_back_in_its_lane(shared: Shared) -> None:
    job_id = uuid4()
    await shared.enqueue(job_id, 4, turns=2)
    await abandon(shared, LEASE + 1)
    assert await shared.waiting() == {job_id: 1}
    await run_and_rescue(shared)
    await shared.until(job_id, 2)


async def test_a_worker_seen_within_its_lease_keeps_its_token(shared: Shared) -> None:
    job_id = uuid4()
    await shared.enqueue(job_id)
    await abandon(shared, LEASE / 2)
    await run_and_rescue(shared)
    assert await shared.waiting() == {}


async def test_a_worker_last_seen_in_the_future_expires_in_time(shared: Shared) -> None:
    """The clock was set back: an hour would delay the rescue too long."""
    job_id = uuid4()
    await shared.enqueue(job_id)
    await abandon(shared, -3_600)
    await run_and_rescue(shared)
    newest = "SELECT max(last_heartbeat) <= now() FROM procrastinate_workers"
    assert await asyncio.to_thread(query, shared.url, newest) == [(True,)]


async def test_a_token_dated_in_the_future_is_not_last(shared: Shared) -> None:
    future, late = uuid4(), uuid4()
    await shared.enqueue(future, 0)
    change = text(
        "UPDATE procrastinate_jobs SET priority = -CAST(extract(epoch FROM now()) - 1767225600 +"
        " 3600 AS int)"
    )
    await shared.database.transact(lambda c: c.execute(change))
    await run_and_rescue(shared)
    shared.clock.now += 30
    await shared.enqueue(late, 0)
    assert await shared.taken(2) == [future, late]


async def test_a_queue_that_does_not_run_rescues_nothing(shared: Shared) -> None:
    job_id = uuid4()
    await shared.enqueue(job_id)
    await abandon(shared, LEASE + 1)
    await shared.queue.rescue(LEASE)
    assert await shared.waiting() == {}
