"""/api/v1/webhooks: notifications of ended jobs, the delivery log, test and replay."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import Response

from app.api.errors import problem_responses
from app.api.json import encoded
from app.api.parameters import Integer, checked_query, identifier
from app.api.services import App, Owner
from app.features.webhooks.queries import WebhookUpdate
from app.features.webhooks.schemas import (
    Delivery,
    DeliveryPage,
    NewWebhook,
    Webhook,
    WebhookChange,
    WebhookList,
    WebhookWithSecret,
)
from app.features.webhooks.service import Webhooks

router = APIRouter(
    prefix="/api/v1/webhooks", tags=["webhooks"], dependencies=[Depends(checked_query)]
)


async def webhook_id(
    webhook_id: Annotated[str, Path(description="The `id` of the webhook.")],
) -> UUID:
    return identifier(webhook_id)


WebhookId = Annotated[UUID, Depends(webhook_id)]


@router.post(
    "",
    status_code=201,
    response_model=WebhookWithSecret,
    responses=problem_responses(400, 409, 422, 503),
)
async def create_webhook(body: NewWebhook, app: App, owner: Owner) -> Response:
    """Send a message to this URL when a job ends, signed as in Standard Webhooks. Only this
    response contains the secret.
    """
    webhook = await app.of(Webhooks).create(owner, body.url, list(body.events))
    return encoded(webhook, 201, {"Location": f"/api/v1/webhooks/{webhook['id']}"})


@router.get("", response_model=WebhookList)
async def list_webhooks(app: App, owner: Owner) -> Response:
    """List webhooks, oldest first."""
    return encoded(await app.of(Webhooks).list(owner))


@router.get("/{webhook_id}", response_model=Webhook, responses=problem_responses(404))
async def get_webhook(webhook_id: WebhookId, app: App, owner: Owner) -> Response:
    """Return a webhook without its secret."""
    return encoded(await app.of(Webhooks).get(webhook_id, owner))


@router.patch("/{webhook_id}", response_model=Webhook, responses=problem_responses(400, 404, 422))
async def change_webhook(
    webhook_id: WebhookId, body: WebhookChange, app: App, owner: Owner
) -> Response:
    """Change URL or events; `enabled` switches the webhook off and on. Messages that wait while it
    is off are sent later.
    """
    new = WebhookUpdate(**body.model_dump(exclude_unset=True))
    return encoded(await app.of(Webhooks).change(webhook_id, owner, new))


@router.delete("/{webhook_id}", status_code=204, responses=problem_responses(404))
async def delete_webhook(webhook_id: WebhookId, app: App, owner: Owner) -> Response:
    """Delete a webhook with its delivery log; undelivered messages are dropped."""
    await app.of(Webhooks).delete(webhook_id, owner)
    return Response(status_code=204)


@router.post(
    "/{webhook_id}/rotate", response_model=WebhookWithSecret, responses=problem_responses(404)
)
async def rotate_webhook_secret(webhook_id: WebhookId, app: App, owner: Owner) -> Response:
    """Create a new secret, shown once. Messages are signed with both for
    WEBHOOK_OLD_SECRET_HOURS.
    """
    return encoded(await app.of(Webhooks).rotate(webhook_id, owner))


@router.post(
    "/{webhook_id}/test",
    status_code=202,
    response_model=Delivery,
    responses=problem_responses(404, 409),
)
async def test_webhook(webhook_id: WebhookId, app: App, owner: Owner) -> Response:
    """Send a message of the type `webhook.test`; see the delivery log for its outcome."""
    return encoded(await app.of(Webhooks).test(webhook_id, owner), 202)


@router.get(
    "/{webhook_id}/deliveries", response_model=DeliveryPage, responses=problem_responses(404, 422)
)
async def list_deliveries(
    webhook_id: WebhookId,
    app: App,
    owner: Owner,
    limit: Annotated[Integer, Query(ge=1, le=500)] = 50,
    before: Annotated[
        Integer | None, Query(ge=1, le=2**62, description="`next_before` of the previous page.")
    ] = None,
    status: Annotated[Literal["pending", "delivered", "failed"] | None, Query()] = None,
) -> Response:
    """Return the delivery log, newest first."""
    return encoded(
        await app.of(Webhooks).deliveries(
            webhook_id, owner, before=before, limit=limit, status=status
        )
    )


@router.post(
    "/{webhook_id}/deliveries/{message_id}/replay",
    status_code=202,
    response_model=Delivery,
    responses=problem_responses(404, 409),
)
async def replay_delivery(
    webhook_id: WebhookId,
    message_id: Annotated[str, Path(description="The `id` of the delivery.")],
    app: App,
    owner: Owner,
) -> Response:
    """Send a message again with the same `webhook-id`, delivered or not."""
    return encoded(await app.of(Webhooks).replay(webhook_id, message_id, owner), 202)
