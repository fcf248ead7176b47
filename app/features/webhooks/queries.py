"""SQL for webhooks and their deliveries. Only the sender that has claimed a delivery sends it,
until the claim expires.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID, uuid4

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import case, delete, func, insert, literal, null, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import Webhook, WebhookDelivery
from app.db.rows import (
    DeliveryRow,
    changes_of,
    columns_of,
    delete_first,
    fetch_all,
    fetch_first,
    values_of,
)
from app.db.types import now
from app.db.users import is_revoked

SHOWN_ATTEMPTS = 20


class WebhookRow(msgspec.Struct, frozen=True):
    """Where an owner is notified of ended jobs."""

    id: UUID
    owner: str
    url: str
    events: list[str]
    enabled: bool
    disabled_reason: str | None
    old_secret_until: datetime | None
    created_at: datetime
    updated_at: datetime


class NewWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook to insert."""

    id: UUID = msgspec.field(default_factory=uuid4)
    owner: str
    url: str
    events: list[str]
    secret: bytes


class WebhookUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """Changes of a webhook."""

    url: str | UnsetType = UNSET
    events: list[str] | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    disabled_reason: str | UnsetType | None = UNSET


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to send a message, as in the delivery log."""

    at: str
    """Start time in ISO 8601."""
    status_code: int | None
    error: str | None
    """Why there is no status code."""
    duration_ms: int
    retry_after: float | UnsetType = UNSET
    """Seconds to wait before the next attempt, as the receiver requested."""


class ClaimedDelivery(DeliveryRow, frozen=True):
    """A delivery to send now, with the data of its webhook."""

    url: str
    secret: bytes
    old_secret: bytes | None
    """None once it has expired."""


_WEBHOOK = columns_of(WebhookRow, Webhook)
_DELIVERY = columns_of(DeliveryRow, WebhookDelivery)


async def insert_webhook(connection: AsyncConnection, webhook: NewWebhook) -> None:
    await connection.execute(
        insert(Webhook).values(
            **values_of(webhook), enabled=True, created_at=now(), updated_at=now()
        )
    )


async def find_webhook(
    connection: AsyncConnection, webhook_id: UUID, owner: str
) -> WebhookRow | None:
    query = select(*_WEBHOOK).where(Webhook.id == webhook_id, Webhook.owner == owner)
    return await fetch_first(connection, WebhookRow, query)


async def list_webhooks(connection: AsyncConnection, owner: str) -> list[WebhookRow]:
    """Return webhooks, oldest first."""
    query = select(*_WEBHOOK).where(Webhook.owner == owner).order_by(Webhook.created_at, Webhook.id)
    return await fetch_all(connection, WebhookRow, query)


async def change_webhook(
    connection: AsyncConnection, webhook_id: UUID, owner: str, new: WebhookUpdate
) -> bool:
    query = update(Webhook).where(Webhook.id == webhook_id, Webhook.owner == owner)
    query = query.values(**changes_of(new), updated_at=now())
    return (await connection.execute(query)).rowcount == 1


async def rotate(
    connection: AsyncConnection, webhook_id: UUID, owner: str, secret: bytes, hours: float
) -> bool:
    """Make the current secret the old one, and drop the previous old one."""
    query = update(Webhook).where(Webhook.id == webhook_id, Webhook.owner == owner)
    query = query.values(
        secret=secret,
        old_secret=Webhook.secret,
        old_secret_until=now(hours * 3600),
        updated_at=now(),
    )
    return (await connection.execute(query)).rowcount == 1


async def remove_webhook(connection: AsyncConnection, webhook_id: UUID, owner: str) -> bool:
    """Remove a webhook with its deliveries."""
    query = delete(Webhook).where(Webhook.id == webhook_id, Webhook.owner == owner)
    return (await connection.execute(query)).rowcount == 1


# ---------------------------------------------------------------------- delivery log


async def list_deliveries(
    connection: AsyncConnection,
    webhook_id: UUID,
    *,
    before: int | None,
    limit: int,
    status: str | None,
) -> list[DeliveryRow]:
    """Return deliveries, newest first; `before` is the number of the last one read."""
    query = select(*_DELIVERY).where(WebhookDelivery.webhook_id == webhook_id)
    if before is not None:
        query = query.where(WebhookDelivery.number < before)
    if status is not None:
        query = query.where(WebhookDelivery.status == status)
    query = query.order_by(WebhookDelivery.number.desc()).limit(limit)
    return await fetch_all(connection, DeliveryRow, query)


async def replay(
    connection: AsyncConnection, webhook_id: UUID, delivery_id: UUID
) -> DeliveryRow | None:
    """Make the delivery due now, with a full number of attempts; one that is being sent is
    unchanged.
    """
    is_delivery = (WebhookDelivery.webhook_id == webhook_id, WebhookDelivery.id == delivery_id)
    query = update(WebhookDelivery).where(*is_delivery, WebhookDelivery.claim_token.is_(None))
    await connection.execute(
        query.values(status="pending", attempt=0, next_attempt_at=now(), finished_at=null())
    )
    return await fetch_first(connection, DeliveryRow, select(*_DELIVERY).where(*is_delivery))


async def count_by_status(connection: AsyncConnection) -> dict[str, int]:
    """Return the number of messages in the delivery log of all owners, by status."""
    query = select(WebhookDelivery.status, func.count()).group_by(WebhookDelivery.status)
    return {status: int(count) for status, count in (await connection.execute(query)).all()}


# ---------------------------------------------------------------------- sending


async def find_due(
    connection: AsyncConnection, *, without: Collection[UUID], per_webhook: int, limit: int
) -> list[int]:
    """Return the numbers of deliveries to send now, the longest due first, a few for each webhook.
    Leaves out the webhooks in `without` and those of revoked users.
    """
    rank = func.row_number().over(
        partition_by=WebhookDelivery.webhook_id,
        order_by=(WebhookDelivery.next_attempt_at, WebhookDelivery.number),
    )
    due = (
        select(WebhookDelivery.number, WebhookDelivery.next_attempt_at, rank.label("place"))
        .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
        .where(
            WebhookDelivery.status == "pending",
            WebhookDelivery.next_attempt_at <= now(),
            Webhook.enabled,
            Webhook.id.not_in(without),
            ~is_revoked(Webhook.owner),
        )
        .subquery()
    )
    query = (
        select(due.c.number)
        .where(due.c.place <= per_webhook)
        .order_by(due.c.next_attempt_at, due.c.number)
    )
    return [int(number) for number in (await connection.execute(query.limit(limit))).scalars()]


async def list_unexplained(
    connection: AsyncConnection, longest_waits: Sequence[float], lease_seconds: float
) -> list[DeliveryRow]:
    """Return deliveries that wait longer than the pause after their last attempt, by its number, or
    than a claim.
    """
    waits = {attempt: max(wait, lease_seconds) for attempt, wait in enumerate(longest_waits, 1)}
    longest = (
        case(waits, value=WebhookDelivery.attempt, else_=lease_seconds)
        if waits
        else literal(lease_seconds)
    )
    query = select(*_DELIVERY).where(
        WebhookDelivery.status == "pending", WebhookDelivery.next_attempt_at > now(longest)
    )
    return await fetch_all(connection, DeliveryRow, query)


async def send_now(connection: AsyncConnection, delivery: DeliveryRow) -> None:
    """Make it due now, unless another sender has claimed it."""
    query = update(WebhookDelivery).where(
        WebhookDelivery.number == delivery.number,
        WebhookDelivery.attempt == delivery.attempt,
        WebhookDelivery.status == "pending",
    )
    await connection.execute(query.values(next_attempt_at=now()))


async def claim(
    connection: AsyncConnection, numbers: Sequence[int], token: UUID, lease_seconds: float
) -> list[ClaimedDelivery]:
    """Claim those deliveries that no other sender has claimed, each with its webhook."""
    take = (
        update(WebhookDelivery)
        .where(
            WebhookDelivery.number.in_(numbers),
            WebhookDelivery.status == "pending",
            WebhookDelivery.next_attempt_at <= now(),
        )
        .values(
            claim_token=token,
            attempt=WebhookDelivery.attempt + 1,
            next_attempt_at=now(lease_seconds),
        )
        .returning(WebhookDelivery.number)
    )
    claimed = list((await connection.execute(take)).scalars())
    old = case((Webhook.old_secret_until > now(), Webhook.old_secret))
    query = (
        select(*columns_of(ClaimedDelivery, WebhookDelivery, Webhook, old_secret=old))
        .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
        .where(WebhookDelivery.number.in_(claimed))
        .order_by(WebhookDelivery.number)
    )
    return await fetch_all(connection, ClaimedDelivery, query)


async def settle(
    connection: AsyncConnection,
    delivery: DeliveryRow,
    attempt: Attempt,
    status: str,
    delay_seconds: float,
) -> bool:
    """Store the outcome of a claimed delivery: `delivered`, `failed`, or `pending` for
    `delay_seconds`. Returns False if another sender has it by now.
    """
    attempts = [*delivery.attempts, msgspec.to_builtins(attempt)][-SHOWN_ATTEMPTS:]
    query = (
        update(WebhookDelivery)
        .where(
            WebhookDelivery.number == delivery.number,
            WebhookDelivery.claim_token == delivery.claim_token,
        )
        .values(
            status=status,
            claim_token=None,
            attempts=attempts,
            next_attempt_at=now(delay_seconds),
            finished_at=null() if status == "pending" else now(),
        )
    )
    return (await connection.execute(query)).rowcount == 1


async def disable(connection: AsyncConnection, webhook_id: UUID, reason: str) -> None:
    query = update(Webhook).where(Webhook.id == webhook_id, Webhook.enabled)
    await connection.execute(query.values(enabled=False, disabled_reason=reason, updated_at=now()))


async def remove_finished(
    connection: AsyncConnection, older_than_seconds: float, limit: int
) -> int:
    """Remove a bounded number of entries from the delivery log; return their number."""
    is_old = WebhookDelivery.finished_at < now(-older_than_seconds)
    return await delete_first(connection, WebhookDelivery, WebhookDelivery.number, limit, is_old)
