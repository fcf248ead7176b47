"""The outbox: messages about the end of a job, written in the transaction that ends it, so that
both happen or neither.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import chunks
from app.db.models import File, Webhook, WebhookDelivery
from app.db.rows import DeliveryRow, JobBase, columns_of
from app.db.types import now

CORRECTIONS = "corrections"
"""Origin of corrections: the parent of such a job is the corrected job."""


async def tell(connection: AsyncConnection, job: JobBase, at: datetime) -> None:
    """Queue a message for each webhook of the owner that subscribes to the job's new status.

    Parts send nothing: their parent does, once. A correction is not a part of the corrected job,
    and sends a message of its own.
    """
    if job.parent_id is not None and job.origin != CORRECTIONS:
        return
    event = f"job.{job.status}"
    # The lock keeps a webhook from being deleted before this commits, which would make the end of
    # the job fail.
    query = (
        select(Webhook.id, Webhook.events)
        .where(Webhook.owner == job.owner, Webhook.enabled)
        .with_for_update(read=True, key_share=True)
    )
    subscribed = [
        webhook_id
        for webhook_id, events in (await connection.execute(query)).all()
        if event in events
    ]
    if not subscribed:
        return
    body = message(event, at, await _about(connection, job))
    for webhook_id in subscribed:
        await put(connection, webhook_id, event, body, job.id)


async def put(
    connection: AsyncConnection, webhook_id: UUID, event: str, body: str, job_id: UUID | None = None
) -> DeliveryRow:
    """Insert a delivery that is due now; return its id."""
    values = {"webhook_id": webhook_id, "job_id": job_id, "event": event, "body": body}
    query = (
        insert(WebhookDelivery)
        .values(**values, status="pending", attempts=[], next_attempt_at=now(), created_at=now())
        .returning(*columns_of(DeliveryRow, WebhookDelivery))
    )
    return DeliveryRow(*(await connection.execute(query)).one())


def message(event: str, at: datetime, data: dict[str, Any]) -> str:
    """Return the body in the form of Standard Webhooks."""
    return json.dumps({"type": event, "timestamp": at.isoformat(), "data": data})


async def _about(connection: AsyncConnection, job: JobBase) -> dict[str, Any]:
    tally = await chunks.tally(connection, job.id, is_parent=job.child_count is not None)
    total = sum(t.rows for t in tally)
    tallied = {
        "ok": sum(t.ok for t in tally),
        "invalid": sum(t.invalid for t in tally),
        "failed": sum(t.failed for t in tally),
    }
    filename = (
        await connection.execute(select(File.filename).where(File.id == job.file_id))
    ).scalar()
    return {
        "job_id": str(job.id),
        "file_id": str(job.file_id),
        "number": job.number,
        "processor": job.processor,
        "status": job.status,
        "filename": filename,
        "rows": {"total": total, **tallied, "unprocessed": total - sum(tallied.values())},
        "counts": chunks.counts(tally),
        "split_complete": job.split_done,
        "parts": job.child_count,
        "corrects": str(job.parent_id) if job.origin == CORRECTIONS else None,
        "summary": job.summary,
        "error": job.error,
        "created_at": job.created_at.isoformat(),
        "finished_at": job.finished_at.isoformat() if job.finished_at else None,
    }
