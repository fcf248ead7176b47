"""Request and response models of webhooks."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, get_args
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.api.answers import CREATED_AT, LIMIT, Answer, sometimes

Url = Annotated[
    str,
    Field(
        min_length=1, max_length=2048, pattern=r"^[^\x00]*$", description="https, public address."
    ),
]
Event = Literal["job.completed", "job.completed_with_errors", "job.failed", "job.cancelled"]
Events = Annotated[
    list[Event], Field(min_length=1, max_length=20, description="Events that it is notified of.")
]


class NewWebhook(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"url": "https://example.com/hook", "events": ["job.failed"]}]
        },
    )

    url: Url
    events: Events = Field(default=list(get_args(Event)))


class WebhookChange(BaseModel):
    """Changes of a webhook."""

    model_config = ConfigDict(extra="forbid")

    url: Url = ""
    events: Events = Field(default=list(get_args(Event)))
    enabled: bool = Field(default=True, strict=True)


class Webhook(Answer):
    """A receiver of notifications about ended jobs."""

    id: UUID = Field(description="Id of the webhook.")
    url: str = Field(description="URL for the messages.")
    events: list[str] = Field(description="Events that it is notified of.")
    enabled: bool = Field(description="Whether messages are sent.")
    disabled_reason: str | None = Field(
        description="`switched_off`, or `gone` if the receiver answered 410."
    )
    old_secret_until: datetime | None = Field(
        description=(
            "Until then, messages are also signed with the previous secret; null if there is none."
        )
    )
    created_at: datetime = Field(description=CREATED_AT)
    updated_at: datetime = Field(description="Time of the last change.")


class WebhookWithSecret(Webhook):
    """A webhook with its secret."""

    secret: str = Field(description="Key of the signatures, only in this response.")


class WebhookList(Answer):
    """Webhooks, oldest first."""

    items: list[Webhook] = Field(description="All webhooks.")


class Attempt(Answer):
    """One attempt to deliver a message."""

    at: datetime = Field(description="Start time.")
    status_code: int | None = Field(description="Status of the response; null if there was none.")
    error: str | None = Field(description="Why there was no response; null if there was one.")
    duration_ms: int = Field(description="Duration.")
    retry_after: float = sometimes("Seconds to wait, as the receiver requested.")


class Delivery(Answer):
    """A message and its outcome."""

    id: str = Field(description="`webhook-id` of the message, the same for every attempt.")
    number: int = Field(description="Number of the message; later messages have larger numbers.")
    webhook_id: UUID = Field(description="The webhook.")
    event: str = Field(description="Type of the message.")
    job_id: UUID | None = Field(description="Job of the message; null for a test.")
    status: Literal["pending", "delivered", "failed"] = Field(
        description="`failed`: no more attempts."
    )
    attempts: list[Attempt] = Field(description="The latest attempts, newest last.")
    next_attempt_at: datetime | None = Field(
        description="Time of the next attempt; null if there is none."
    )
    body: str = Field(description="Body of the message, as signed.")
    created_at: datetime = Field(description=CREATED_AT)
    finished_at: datetime | None = Field(
        description="Time when it was delivered or given up; null before."
    )


class DeliveryPage(Answer):
    """The delivery log, newest first."""

    items: list[Delivery] = Field(description="At most `limit`.")
    limit: int = Field(description=LIMIT)
    next_before: int | None = Field(description="`before` of the next page; null at the end.")
