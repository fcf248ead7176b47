"""Messages that the service sends."""

from __future__ import annotations

from app.errors.base import RequestError
from app.errors.requests.parameters import InvalidParameter


class TooManyWebhooks(RequestError):
    """There are too many webhooks."""

    status = 409
    code = "too_many_webhooks"
    remedy = "Delete those that nobody needs."


class WebhookDisabled(RequestError):
    """The webhook is switched off."""

    status = 409
    code = "webhook_disabled"
    remedy = 'Switch it on by PATCH with {"enabled": true}.'


class WebhookUrlRefused(InvalidParameter):
    """No messages can be sent to this URL."""

    status = 422
    code = "webhook_url_refused"
    remedy = (
        "Give an https URL of a public address; for receivers on your own network start with "
        "WEBHOOK_ALLOW_PRIVATE=true."
    )
