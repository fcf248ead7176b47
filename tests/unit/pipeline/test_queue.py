"""JobQueue: higher priority first, equals take turns, waiting jobs rise."""

from __future__ import annotations

import asyncio
import threading
from uuid import UUID, uuid4

from app.pipeline.queue import JobQueue
from app.pipeline.threads import Threads


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def drain(queue: JobQueue) -> list[UUID]:
    return [await queue.get() for _ in range(len(queue))]


async def test_higher_priority_goes_first_and_equals_in_order_of_arrival() -> None:
    queue = JobQueue(10.0, Clock())
    low, first, second, high = (uuid4() for _ in range(4))
    queue.put(low, 0)
    queue.put(first, 5)
    queue.put(second, 5)
    queue.put(high, 10)
    assert await drain(queue) == [high, first, second, low]


async def test_equal_priorities_take_turns() -> None:
    clock = Clock()
    queue = JobQueue(10.0, clock)
    a, b = uuid4(), uuid4()
    queue.put(a, 3)
    queue.put(b, 3)
    turns = []
    for _ in range(6):
        job = await queue.get()
        turns.append(job)
        clock.now += 0.01
        queue.put(job)
    assert turns == [a, b, a, b, a, b]


async def test_a_waiting_job_rises_one_step_for_each_ageing_time() -> None:
    clock = Clock()
    queue = JobQueue(10.0, clock)
    old, urgent = uuid4(), uuid4()
    queue.put(old, 0)
    clock.now = 49.0  # 4.9 steps: still behind a fresh priority 5
    queue.put(urgent, 5)
    assert await queue.get() == urgent
    clock.now = 51.0  # 5.1 steps
    queue.put(urgent, 5)
    assert await queue.get() == old


async def test_a_job_of_priority_0_runs_in_time_under_a_stream_of_priority_10() -> None:
    clock = Clock()
    queue = JobQueue(10.0, clock)
    patient = uuid4()
    queue.put(patient, 0)
    for step in range(200):
        clock.now = float(step)
        queue.put(uuid4(), 10)
        if await queue.get() == patient:
            break
    assert 100 <= clock.now <= 101  # (10 - 0) x 10 s


async def test_a_job_has_one_token_and_a_new_priority_applies_immediately() -> None:
    queue = JobQueue(10.0, Clock())
    a, b = uuid4(), uuid4()
    queue.put(a, 1)
    queue.put(a, 1)
    queue.put(b, 2)
    queue.put(a, 9)
    assert len(queue) == 2
    assert await drain(queue) == [a, b]


async def test_a_forgotten_job_does_not_return_even_after_a_wait() -> None:
    queue = JobQueue(10.0, Clock())
    a, b = uuid4(), uuid4()
    queue.put(a, 5)
    queue.put_later(a, 0.0)
    queue.forget(a)
    queue.put(b, 0)
    assert await drain(queue) == [b]
    assert a not in queue


async def test_a_free_thread_goes_to_the_lowest_rank_and_cancelled_waiters_hold_nothing() -> None:
    threads = Threads(1)
    order: list[float] = []
    gate = threading.Event()
    first = asyncio.create_task(threads.run(0.0, gate.wait))
    await asyncio.sleep(0)
    tasks = {
        rank: asyncio.create_task(threads.run(rank, order.append, rank))
        for rank in (3.0, 1.0, 2.0, 1.5)
    }
    await asyncio.sleep(0)
    tasks[1.5].cancel()
    gate.set()
    await asyncio.wait([first, *tasks.values()])
    assert order == [1.0, 2.0, 3.0]
    assert await threads.run(9.0, sum, [1, 2]) == 3  # still as many threads as there were
    threads.shutdown()
