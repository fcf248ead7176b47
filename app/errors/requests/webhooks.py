"""Errors of webhooks."""

from __future__ import annotations

from app.errors.base import RequestError
from app.errors.requests.parameters import InvalidParameter


class TooManyWebhooks(RequestError):
    """Too many webhooks."""

    status = 409
    code = "too_many_webhooks"
    remedy = "Delete webhooks that are no longer needed."


class WebhookDisabled(RequestError):
    """Webhook disabled."""

    status = 409
    code = "webhook_disabled"
    remedy = 'Enable it with PATCH and {"enabled": true}.'


class WebhookUrlRefused(InvalidParameter):
    """Webhook URL not allowed."""

    status = 422
    code = "webhook_url_refused"
    remedy = (
        "Use an https URL with a public address; for receivers on your own network, start the"
        " service with WEBHOOK_ALLOW_PRIVATE=true."
    )
