"""Delivers the messages of the outbox at least once each, whatever crashes."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from msgspec import UNSET
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.engine import Database
from app.errors import TransientError
from app.failpoints import hit
from app.features.webhooks import queries as webhooks
from app.features.webhooks.client import Answer, WebhookSender
from app.features.webhooks.queries import Attempt, ClaimedDelivery
from app.features.webhooks.service import message_id
from app.telemetry import counters

logger = logging.getLogger(__name__)
POLL_SECONDS = 0.5
AT_ONCE, AT_ONCE_PER_WEBHOOK = 16, 4
JITTER = 0.2
GONE = 410
GRACE_SECONDS = 5.0
SWEEP_SECONDS, SWEEP_STEP = 600.0, 2_000
CHECK_SECONDS = 30.0


class Deliveries:
    """Several processes may run this over the same database: a message is claimed before it is
    sent, and a claim outlives the longest attempt.
    """

    def __init__(
        self,
        database: Database,
        sender: WebhookSender,
        *,
        retry_seconds: Sequence[float],
        timeout_seconds: float,
        keep_days: float,
    ) -> None:
        self._database = database
        self._sender = sender
        self._retry_seconds = retry_seconds
        self._lease_seconds = 2 * timeout_seconds + 5.0
        self._keep_seconds = keep_days * 86_400
        self._sending: set[asyncio.Task[None]] = set()
        self._busy: Counter[UUID] = Counter()
        self._ended = asyncio.Event()
        self._swept_at = self._checked_at = float("-inf")

    async def run(self) -> None:
        """Send due messages until cancelled; running attempts then get a few seconds to end."""
        try:
            while True:
                try:
                    await self._trust_no_future()
                    await self.run_once()
                    await self._sweep()
                except TransientError as error:
                    logger.warning("Webhooks are waiting: %s", error)
                except Exception:
                    logger.exception("Unhandled error in webhooks")
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._ended.wait(), POLL_SECONDS)
                self._ended.clear()
        finally:
            if self._sending:
                _, running = await asyncio.wait(self._sending, timeout=GRACE_SECONDS)
                for task in running:
                    task.cancel()
            await self._sender.close()

    async def run_once(self) -> None:
        """Claim due messages and start to send them."""
        free = AT_ONCE - len(self._sending)
        if not free:
            return
        full = [
            webhook_id for webhook_id, count in self._busy.items() if count >= AT_ONCE_PER_WEBHOOK
        ]
        async with self._database.reading() as connection:
            numbers = await webhooks.find_due(
                connection, without=full, per_webhook=AT_ONCE_PER_WEBHOOK, limit=free
            )
        if not numbers:
            return
        token = uuid4()
        claimed = await self._database.transact(
            lambda c: webhooks.claim(c, numbers, token, self._lease_seconds)
        )
        hit("webhook.claimed")
        for delivery in claimed:
            self._busy[delivery.webhook_id] += 1
            task = asyncio.create_task(self._deliver(delivery), name=f"webhook {delivery.number}")
            self._sending.add(task)
            task.add_done_callback(lambda t, w=delivery.webhook_id: self._end(t, w))  # type: ignore[misc]

    def _end(self, task: asyncio.Task[None], webhook_id: UUID) -> None:
        self._sending.discard(task)
        self._busy -= Counter({webhook_id: 1})
        if not task.cancelled():
            self._ended.set()
            if error := task.exception():
                logger.error("Could not deliver a message; retrying later", exc_info=error)

    async def _deliver(self, delivery: ClaimedDelivery) -> None:
        secrets = [secret for secret in (delivery.secret, delivery.old_secret) if secret]
        at = datetime.now(UTC)
        answer = await self._sender.send(
            delivery.url, message_id(delivery.id), delivery.body, secrets
        )
        counters.attempted(is_delivered=answer.is_success)
        hit("webhook.sent")
        status, delay = self._verdict(answer, delivery.attempt)
        requested_pause = answer.retry_after if status == "pending" else None
        attempt = Attempt(
            at=at.isoformat(),
            status_code=answer.status_code,
            error=answer.error,
            duration_ms=answer.duration_ms,
            retry_after=requested_pause or UNSET,
        )

        async def settle(connection: AsyncConnection) -> None:
            if (
                await webhooks.settle(connection, delivery, attempt, status, delay)
                and answer.status_code == GONE
            ):
                await webhooks.disable(connection, delivery.webhook_id, "gone")

        await self._database.transact(settle)
        if status == "failed":
            logger.warning(
                "Gave up message %s for webhook %s", delivery.number, delivery.webhook_id
            )

    def _verdict(self, answer: Answer, attempt: int) -> tuple[str, float]:
        """Return (status, seconds until the next attempt) after the attempt with this number, from
        1.
        """
        if answer.is_success:
            return "delivered", 0.0
        if answer.status_code == GONE or attempt > len(self._retry_seconds):
            return "failed", 0.0
        delay = self._retry_seconds[attempt - 1] * random.uniform(1 - JITTER, 1 + JITTER)
        return "pending", max(delay, answer.retry_after or 0.0)

    async def _trust_no_future(self) -> None:
        """Send messages whose wait is longer than our own waits and the receiver's request explain:
        it was stored before the clock was set back.
        """
        if time.monotonic() - self._checked_at < CHECK_SECONDS:
            return
        longest = [(1 + JITTER) * seconds for seconds in self._retry_seconds]
        async with self._database.reading() as connection:
            rows = await webhooks.list_unexplained(connection, longest, self._lease_seconds)
        at = datetime.now(UTC)
        for row in rows:
            requested_pause = row.attempts[-1].get("retry_after", 0.0) if row.attempts else 0.0
            if row.next_attempt_at > at + timedelta(seconds=requested_pause):
                await self._database.transact(lambda c, r=row: webhooks.send_now(c, r))  # type: ignore[misc]
        self._checked_at = time.monotonic()

    async def _sweep(self) -> None:
        if time.monotonic() - self._swept_at < SWEEP_SECONDS:
            return
        self._swept_at = time.monotonic()
        while await self._database.transact(
            lambda c: webhooks.remove_finished(c, self._keep_seconds, SWEEP_STEP)
        ):
            pass
