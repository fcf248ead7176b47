"""Webhooks: notifications of ended jobs, and the outcome of each message."""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from msgspec import UNSET
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import outbox
from app.db.engine import Database
from app.db.rows import DeliveryRow
from app.errors import NotFound, TooManyWebhooks, WebhookDisabled
from app.features.webhooks import queries as webhooks
from app.features.webhooks.client import WebhookSender
from app.features.webhooks.queries import NewWebhook, WebhookRow, WebhookUpdate

TEST_EVENT = "webhook.test"
MAX_WEBHOOKS = 50
SECRET_BYTES = 32
MESSAGE_PREFIX = "msg_"


class Webhooks:
    def __init__(self, database: Database, sender: WebhookSender, old_secret_hours: float) -> None:
        self._database = database
        self._sender = sender
        self._old_secret_hours = old_secret_hours

    async def create(self, owner: str, url: str, events: list[str]) -> dict[str, Any]:
        """Create a webhook with a secret, which is never shown again; raises WebhookUrlRefused,
        TooManyWebhooks.
        """
        self._sender.check_url(url)
        secret = secrets.token_bytes(SECRET_BYTES)
        new = NewWebhook(owner=owner, url=url, events=sorted(set(events)), secret=secret)

        async def create(connection: AsyncConnection) -> WebhookRow:
            if len(await webhooks.list_webhooks(connection, owner)) >= MAX_WEBHOOKS:
                raise TooManyWebhooks(f"You already have {MAX_WEBHOOKS} webhooks.")
            await webhooks.insert_webhook(connection, new)
            return await _get(connection, new.id, owner)

        return _body(await self._database.transact(create)) | {"secret": shown(secret)}

    async def list(self, owner: str) -> dict[str, Any]:
        async with self._database.reading() as connection:
            return {
                "items": [_body(row) for row in await webhooks.list_webhooks(connection, owner)]
            }

    async def get(self, webhook_id: UUID, owner: str) -> dict[str, Any]:
        """Return a webhook; raises NotFound."""
        async with self._database.reading() as connection:
            return _body(await _get(connection, webhook_id, owner))

    async def change(self, webhook_id: UUID, owner: str, new: WebhookUpdate) -> dict[str, Any]:
        """Change url or events, or switch the webhook off or on; raises NotFound,
        WebhookUrlRefused.
        """
        if new.url is not UNSET:
            self._sender.check_url(new.url)
        if new.events is not UNSET:
            new = replace(new, events=sorted(set(new.events)))
        if new.enabled is not UNSET:
            new = replace(new, disabled_reason=None if new.enabled else "switched_off")

        async def change(connection: AsyncConnection) -> WebhookRow:
            await webhooks.change_webhook(connection, webhook_id, owner, new)
            return await _get(connection, webhook_id, owner)

        return _body(await self._database.transact(change))

    async def rotate(self, webhook_id: UUID, owner: str) -> dict[str, Any]:
        """Create a new secret. Messages are also signed with the previous one for a while; raises
        NotFound.
        """
        secret = secrets.token_bytes(SECRET_BYTES)

        async def rotate(connection: AsyncConnection) -> WebhookRow:
            await webhooks.rotate(connection, webhook_id, owner, secret, self._old_secret_hours)
            return await _get(connection, webhook_id, owner)

        return _body(await self._database.transact(rotate)) | {"secret": shown(secret)}

    async def delete(self, webhook_id: UUID, owner: str) -> None:
        """Delete a webhook with its delivery log and undelivered messages; raises NotFound."""
        if not await self._database.transact(
            lambda c: webhooks.remove_webhook(c, webhook_id, owner)
        ):
            raise NotFound

    async def test(self, webhook_id: UUID, owner: str) -> dict[str, Any]:
        """Send a test message and return its delivery; raises NotFound, WebhookDisabled."""

        async def put(connection: AsyncConnection) -> DeliveryRow:
            await self._check_enabled(connection, webhook_id, owner)
            body = outbox.message(TEST_EVENT, datetime.now(UTC), {"webhook_id": str(webhook_id)})
            return await outbox.put(connection, webhook_id, TEST_EVENT, body)

        return delivery_body(await self._database.transact(put))

    async def deliveries(
        self, webhook_id: UUID, owner: str, *, before: int | None, limit: int, status: str | None
    ) -> dict[str, Any]:
        """Return deliveries, newest first; raises NotFound."""
        async with self._database.reading() as connection:
            await _get(connection, webhook_id, owner)
            rows = await webhooks.list_deliveries(
                connection, webhook_id, before=before, limit=limit, status=status
            )
        return {
            "items": [delivery_body(row) for row in rows],
            "limit": limit,
            "next_before": rows[-1].number if len(rows) == limit else None,
        }

    async def replay(self, webhook_id: UUID, message_id: str, owner: str) -> dict[str, Any]:
        """Send a message again under its own id, with a full number of attempts; raises NotFound,
        WebhookDisabled.
        """
        delivery_id = _delivery_id(message_id)

        async def replay(connection: AsyncConnection) -> DeliveryRow:
            await self._check_enabled(connection, webhook_id, owner)
            row = await webhooks.replay(connection, webhook_id, delivery_id)
            if row is None:
                raise NotFound
            return row

        return delivery_body(await self._database.transact(replay))

    async def _check_enabled(
        self, connection: AsyncConnection, webhook_id: UUID, owner: str
    ) -> None:
        row = await _get(connection, webhook_id, owner)
        if not row.enabled:
            raise WebhookDisabled


def shown(secret: bytes) -> str:
    return "whsec_" + base64.b64encode(secret).decode()


def message_id(delivery_id: UUID) -> str:
    return MESSAGE_PREFIX + delivery_id.hex


def _delivery_id(message_id: str) -> UUID:
    try:
        return UUID(message_id.removeprefix(MESSAGE_PREFIX))
    except ValueError:
        raise NotFound from None


async def _get(connection: AsyncConnection, webhook_id: UUID, owner: str) -> WebhookRow:
    row = await webhooks.find_webhook(connection, webhook_id, owner)
    if row is None:
        raise NotFound
    return row


def _body(row: WebhookRow) -> dict[str, Any]:
    until = row.old_secret_until
    return {
        "id": str(row.id),
        "url": row.url,
        "events": row.events,
        "enabled": row.enabled,
        "disabled_reason": row.disabled_reason,
        "old_secret_until": until.isoformat() if until and until > datetime.now(UTC) else None,
        "created_at": row.created_at.isoformat(),
        "updated_at": row.updated_at.isoformat(),
    }


def delivery_body(row: DeliveryRow) -> dict[str, Any]:
    is_pending = row.status == "pending"
    return {
        "id": message_id(row.id),
        "number": row.number,
        "webhook_id": str(row.webhook_id),
        "event": row.event,
        "job_id": str(row.job_id) if row.job_id else None,
        "status": row.status,
        "attempts": row.attempts,
        "next_attempt_at": row.next_attempt_at.isoformat() if is_pending else None,
        "body": row.body,
        "created_at": row.created_at.isoformat(),
        "finished_at": row.finished_at.isoformat() if row.finished_at else None,
    }
