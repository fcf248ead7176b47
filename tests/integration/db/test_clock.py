"""The wall clock was set back by an hour, and nothing waits for it to catch up. For the database
that is as if all times had been stored an hour ahead, which is what these tests do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select, text, update

from app.config import load_settings
from app.db import chunks, outbox
from app.db.engine import Database
from app.db.models import Chunk, Schedule, WebhookDelivery
from app.db.types import now
from app.features.job_types.service import JobStarter, Started
from app.features.schedules import queries as schedules
from app.features.schedules.service import Schedules
from app.features.webhooks import queries as webhooks
from app.features.webhooks.client import WebhookSender
from app.features.webhooks.deliveries import Deliveries
from app.features.webhooks.queries import NewWebhook
from app.formats.base import Span
from app.pipeline.retry import RetryPolicy
from app.pipeline.shared_queue import EPOCH_SECONDS, SharedQueue
from app.states import ChunkStatus
from tests.conftest import Databases
from tests.harness import Postgres
from tests.integration.undo.test_versions import made

HOUR = 3600.0
LEASE = 10.0
RETRY_SECONDS = (5.0, 300.0, 36_000.0)
Check = Callable[[Database], Awaitable[None]]


@pytest.fixture
def check(databases: Databases, tmp_path: Path) -> Callable[[Check], None]:
    """Runs a check on a fresh database."""
    url = databases.create(tmp_path)

    async def run(what: Check) -> None:
        database = Database(load_settings(database_url=url, storage_dir=tmp_path))
        await what(database)
        await database.close()

    return lambda what: asyncio.run(run(what))


async def job_with_chunks(database: Database, count: int) -> UUID:
    _, job_id = await database.transact(made)
    spans = [Span(n, n + 1, n + 1, 1, n + 1, 0) for n in range(count)]
    await database.transact(
        lambda c: chunks.insert_chunks(c, job_id, 0, spans, ChunkStatus.PENDING)
    )
    return job_id


async def claim(database: Database, job_id: UUID, **more: Any) -> list[int]:
    claimed = await database.run_alone(
        lambda c: chunks.claim(c, job_id, "w", LEASE, token=uuid4(), limit=10, **more)
    )
    return [each.index for each in claimed]


def test_a_chunk_that_waits_longer_than_any_backoff_is_due(
    check: Callable[[Check], None],
) -> None:
    longest = RetryPolicy(3, 1.0, 30.0).longest_wait

    async def run(database: Database) -> None:
        job_id = await job_with_chunks(database, 3)
        for index, ahead in enumerate((HOUR + 3, 20.0, HOUR)):
            moved = update(Chunk).where(Chunk.chunk_index == index).values(available_at=now(ahead))
            await database.transact(lambda c, m=moved: c.execute(m))  # type: ignore[misc]
        async with database.reading() as connection:
            waiting = await chunks.next_waiting(connection, job_id, longest)
        assert waiting == 0
        assert await claim(database, job_id, longest_wait=longest) == [0, 2]
        async with database.reading() as connection:
            waiting = await chunks.next_waiting(connection, job_id, longest)
        assert waiting is not None
        assert 10 < waiting <= 20  # a wait that a backoff explains is kept

    check(run)


def test_a_configured_wait_of_a_day_is_kept(check: Callable[[Check], None]) -> None:
    longest = RetryPolicy(3, 1.0, 86_400.0).longest_wait

    async def run(database: Database) -> None:
        job_id = await job_with_chunks(database, 1)
        await database.transact(lambda c: c.execute(update(Chunk).values(available_at=now(HOUR))))
        assert await claim(database, job_id, longest_wait=longest) == []

    check(run)


def test_the_lease_of_a_dead_worker_ends_within_one_lease_time(
    check: Callable[[Check], None],
) -> None:
    async def run(database: Database) -> None:
        job_id = await job_with_chunks(database, 1)
        assert await claim(database, job_id) == [0]
        await database.transact(
            lambda c: c.execute(update(Chunk).values(lease_expires_at=now(HOUR)))
        )
        await database.transact(lambda c: chunks.shorten_leases(c, LEASE))
        async with database.reading() as connection:
            ends, at = (await connection.execute(select(Chunk.lease_expires_at, now()))).one()
        assert ends is not None
        # not immediately: its worker may be alive
        assert timedelta(0) < ends - at <= timedelta(seconds=LEASE)

    check(run)


def test_a_message_that_waits_longer_than_any_backoff_is_sent(
    check: Callable[[Check], None],
) -> None:
    hook = NewWebhook(owner="local", url="https://example.com/", events=[], secret=b"x")
    asked: dict[str, Any] = {
        "at": "",
        "status_code": 503,
        "error": None,
        "duration_ms": 1,
        "retry_after": 7000.0,
    }
    silent: dict[str, Any] = {"at": "", "status_code": None, "error": "timeout", "duration_ms": 1}
    waiting: list[tuple[int, list[dict[str, Any]], float]] = [
        (0, [], HOUR),  # new
        (1, [silent], HOUR + 5),
        (2, [silent, silent], HOUR + 300),
        (3, [silent, silent, silent], HOUR),  # a wait of up to ten hours
        (1, [asked], HOUR),  # of nearly two hours, as the receiver asked
        (1, [silent], 4.0),
    ]

    async def run(database: Database) -> None:
        await database.transact(lambda c: webhooks.insert_webhook(c, hook))
        body = outbox.message("webhook.test", datetime.now(UTC), {})
        numbers = []
        for attempt, attempts, ahead in waiting:
            await database.transact(lambda c: outbox.put(c, hook.id, "webhook.test", body))
            async with database.reading() as connection:
                number = (
                    await connection.execute(select(func.max(WebhookDelivery.number)))
                ).scalar_one()
            numbers.append(number)
            values = {"attempt": attempt, "attempts": attempts, "next_attempt_at": now(ahead)}
            moved = update(WebhookDelivery).where(WebhookDelivery.number == number).values(**values)
            await database.transact(lambda c, m=moved: c.execute(m))  # type: ignore[misc]
        sender = WebhookSender(timeout_seconds=1.0, allow_private=False)
        deliveries = Deliveries(
            database, sender, retry_seconds=RETRY_SECONDS, timeout_seconds=1.0, keep_days=1.0
        )
        await deliveries._trust_no_future()
        async with database.reading() as connection:
            due = await webhooks.find_due(connection, without=[], per_webhook=100, limit=100)
        assert sorted(due) == numbers[:3]

    check(run)


class NoJobs(JobStarter):
    """Set a time at which no run is due."""

    def __init__(self) -> None: ...

    async def start(self, *arguments: Any, **options: Any) -> Started:
        raise AssertionError("no run is due")


def test_a_schedule_runs_at_the_next_time_of_its_cron_expression(
    check: Callable[[Check], None],
) -> None:
    async def run(database: Database) -> None:
        service = Schedules(database, NoJobs())
        # Far from now: a run of the next minute would be left out.
        planned = (datetime.now(UTC) + timedelta(hours=6)).replace(second=0, microsecond=0)
        cron = f"{planned.minute} {planned.hour} * * *"
        made = await service.create("local", name="nightly", cron=cron, timezone="UTC", job={})
        late = update(Schedule).values(next_run_at=planned + timedelta(days=1))
        await database.transact(lambda c: c.execute(late))
        await service.begin_due()
        assert (await service.get(UUID(made["id"]), "local"))["next_runs"][0] == planned.isoformat()
        async with database.reading() as connection:
            assert len(await schedules.list_later(connection)) == 1

    check(run)


def test_tokens_and_workers_dated_in_the_future_count_as_of_now(
    postgres: Postgres, templates: dict[str, str], tmp_path: Path
) -> None:
    name = postgres.create(templates["postgresql"])

    async def run() -> None:
        database = Database(load_settings(database_url=postgres.url(name), storage_dir=tmp_path))
        at = datetime.now(UTC).timestamp()
        hour_ahead = SharedQueue(database, 10.0, clock=lambda: at + HOUR)
        right = SharedQueue(database, 10.0, clock=lambda: at)
        old, urgent, new = uuid4(), uuid4(), uuid4()
        await database.transact(lambda c: hour_ahead.enqueue(c, old, 0))
        await database.transact(lambda c: hour_ahead.enqueue(c, urgent, 5))
        await database.transact(lambda c: right.enqueue(c, new, 2))
        heard = text(
            "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() + interval '1 hour')"
        )
        await database.transact(lambda c: c.execute(heard))
        await database.transact(lambda c: right._trust_no_future(c, LEASE))
        async with database.reading() as connection:
            found = await connection.execute(
                text("SELECT queueing_lock, -priority FROM procrastinate_jobs")
            )
            ranks = {lock: rank for lock, rank in found}  # noqa: C416
            is_future = text("SELECT max(last_heartbeat) > now() FROM procrastinate_workers")
            assert not (await connection.execute(is_future)).scalar_one()
        place = {job: ranks[f"{job}/0"] for job in (old, urgent, new)}
        assert place[urgent] < place[new] < place[old] <= at + 30 - EPOCH_SECONDS
        await database.close()

    asyncio.run(run())
    postgres.drop(name)
