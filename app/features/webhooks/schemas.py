"""What the routes of webhooks take and answer."""

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
    list[Event], Field(min_length=1, max_length=20, description="Of which ends of jobs it is told.")
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
    """What is to be changed."""

    model_config = ConfigDict(extra="forbid")

    url: Url = ""
    events: Events = Field(default=list(get_args(Event)))
    enabled: bool = Field(default=True, strict=True)


class Webhook(Answer):
    """Who is told when a job ends."""

    id: UUID = Field(description="Of the webhook.")
    url: str = Field(description="Where messages are sent.")
    events: list[str] = Field(description="Of which ends of jobs it is told.")
    enabled: bool = Field(description="Whether messages are sent.")
    disabled_reason: str | None = Field(
        description="switched_off, or gone: the receiver answered 410."
    )
    old_secret_until: datetime | None = Field(
        description=(
            "Until then messages are signed with the secret before the rotation, too; null if there"
            " is none."
        )
    )
    created_at: datetime = Field(description=CREATED_AT)
    updated_at: datetime = Field(description="When it was changed last.")


class WebhookWithSecret(Webhook):
    """A webhook with its secret."""

    secret: str = Field(description="Shown this once: the key of the signatures.")


class WebhookList(Answer):
    """Webhooks, the oldest first."""

    items: list[Webhook] = Field(description="All of them.")


class Attempt(Answer):
    """One attempt to deliver a message."""

    at: datetime = Field(description="When it began.")
    status_code: int | None = Field(description="What the receiver answered; null if it did not.")
    error: str | None = Field(description="Why there was no answer; null if there was one.")
    duration_ms: int = Field(description="How long it took.")
    retry_after: float = sometimes("Seconds that the receiver asked to wait.")


class Delivery(Answer):
    """A message and what became of it."""

    id: str = Field(description="The `webhook-id` of the message, the same at every attempt.")
    number: int = Field(description="Later messages have larger numbers.")
    webhook_id: UUID = Field(description="The webhook.")
    event: str = Field(description="The type of the message.")
    job_id: UUID | None = Field(description="The job that it is about; null of a test.")
    status: Literal["pending", "delivered", "failed"] = Field(
        description="`failed`: it was given up."
    )
    attempts: list[Attempt] = Field(description="The latest attempts, the newest last.")
    next_attempt_at: datetime | None = Field(
        description="When it is tried next; null if it is not."
    )
    body: str = Field(description="The body of the message, as it is signed.")
    created_at: datetime = Field(description=CREATED_AT)
    finished_at: datetime | None = Field(
        description="When it was delivered or given up; null before."
    )


class DeliveryPage(Answer):
    """The delivery log, newest first."""

    items: list[Delivery] = Field(description="At most `limit`.")
    limit: int = Field(description=LIMIT)
    next_before: int | None = Field(description="`before` of the next page; null at the end.")
