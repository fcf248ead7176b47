"""Webhooks: signed messages about jobs, with a delivery log."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from app.feature import Feature, Service

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from sqlalchemy.ext.asyncio import AsyncConnection

    from app.wiring import Core


def _services(core: Core) -> Iterable[Service]:
    from app.features.webhooks.client import WebhookSender
    from app.features.webhooks.deliveries import Deliveries
    from app.features.webhooks.service import Webhooks

    settings = core.settings
    sender = WebhookSender(
        timeout_seconds=settings.webhook_timeout_seconds,
        allow_private=settings.webhook_allow_private,
    )
    deliveries = Deliveries(
        core.database,
        sender,
        retry_seconds=settings.webhook_retry_seconds,
        timeout_seconds=settings.webhook_timeout_seconds,
        keep_days=settings.webhook_keep_days,
    )
    webhooks = Webhooks(core.database, sender, settings.webhook_old_secret_hours)
    return [Service(webhooks), Service(deliveries, run=deliveries.run)]


async def _metrics(connection: AsyncConnection, registry: CollectorRegistry) -> None:
    from prometheus_client import Gauge

    from app.features.webhooks import queries

    messages = Gauge(
        "granula_webhook_messages",
        "Messages in the delivery log of webhooks by status",
        ["status"],
        registry=registry,
    )
    counts = await queries.count_by_status(connection)
    for status in ("pending", "delivered", "failed"):
        messages.labels(status).set(counts.get(status, 0))


WEBHOOKS = Feature("webhooks", has_commands=True, metrics=_metrics, services=_services)
