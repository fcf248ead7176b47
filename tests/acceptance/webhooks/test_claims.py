"""Messages and crashes: none is lost, none comes from a rolled back transaction, none is sent by
two processes.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.config import load_settings
from app.db import outbox
from app.db.engine import Database
from app.db.models import User, WebhookDelivery
from app.db.types import now
from app.features.webhooks import queries as webhooks
from tests.conftest import Databases
from tests.crash.service import Service
from tests.harness import wait_until
from tests.webhooks.receiver import Receiver


def test_a_message_is_committed_with_the_final_state_and_delivered_after_any_crash(
    service: Service, receiver: Receiver
) -> None:
    path = receiver.path()
    count = "SELECT count(*) FROM webhook_deliveries"
    service.environment["WEBHOOK_ALLOW_PRIVATE"] = "true"
    service.start(GRANULA_FAIL="job.before_finish=kill")
    with service.api() as api:
        api.client.post("/api/v1/webhooks", json={"url": receiver.url(path)})
        api.upload(b"id\n1\n")
    service.wait_for_death()
    assert service.sql(count) == [(0,)]  # rolled back with the final state

    service.launch(GRANULA_FAIL="job.after_finish=kill")
    service.wait_for_death()
    assert service.sql(count, "SELECT status FROM webhook_deliveries") == [("pending",)]
    assert not receiver.messages[path]

    service.launch(GRANULA_FAIL="webhook.sent=kill")
    service.wait_for_death()
    assert len(receiver.messages[path]) == 1  # and nobody has recorded it

    service.start()
    first, second = receiver.received(path, 2)
    assert (first.id, first.body) == (second.id, second.body)
    wait_until(lambda: service.sql("SELECT status FROM webhook_deliveries") == [("delivered",)])
    assert len(receiver.messages[path]) == 2


def test_two_processes_never_claim_the_same_message(databases: Databases, tmp_path: Path) -> None:
    asyncio.run(both_claim(databases.create(tmp_path), tmp_path))


async def both_claim(url: str, storage: Path) -> None:
    settings = load_settings(database_url=url, storage_dir=storage)
    databases = [Database(settings), Database(settings)]
    hook = webhooks.NewWebhook(owner="local", url="https://example.com/", events=[], secret=b"x")

    async def fill(connection: AsyncConnection) -> None:
        await webhooks.insert_webhook(connection, hook)
        for _ in range(30):
            body = outbox.message("webhook.test", datetime.now(UTC), {})
            await outbox.put(connection, hook.id, "webhook.test", body)

    await databases[0].transact(fill)
    async with databases[0].reading() as connection:
        few = await webhooks.find_due(connection, without=[], per_webhook=4, limit=10)
        due = await webhooks.find_due(connection, without=[], per_webhook=100, limit=100)
        none = await webhooks.find_due(connection, without=[hook.id], per_webhook=100, limit=100)
    assert (few, len(due), none) == (due[:4], 30, [])
    taken = await asyncio.gather(
        *(
            database.transact(lambda c: webhooks.claim(c, due, uuid4(), 60.0))
            for database in databases
        )
    )
    numbers = [row.number for rows in taken for row in rows]
    assert sorted(numbers) == due
    stale = next(row for rows in taken for row in rows)
    attempt = webhooks.Attempt(
        at="2026-01-01T00:00:00+00:00", status_code=200, error=None, duration_ms=1
    )
    settled = [
        await databases[0].transact(lambda c: webhooks.settle(c, stale, attempt, "delivered", 0.0))
        for _ in range(2)
    ]
    assert settled == [True, False]
    gone = insert(User).values(id="local", is_admin=False, created_at=now(), revoked_at=now())
    await databases[0].transact(lambda c: c.execute(gone))
    await databases[0].transact(
        lambda c: c.execute(update(WebhookDelivery).values(next_attempt_at=now()))
    )
    async with databases[0].reading() as connection:
        # revoked meanwhile
        assert await webhooks.find_due(connection, without=[], per_webhook=4, limit=10) == []
    for database in databases:
        await database.close()
