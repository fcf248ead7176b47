"""SQL for the loads of a table."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import File, Job
from app.db.rows import columns_of, fetch_all


class LoadRow(msgspec.Struct, frozen=True):
    """A job that loads a table, or has loaded it."""

    id: UUID
    number: int
    file_id: UUID
    filename: str
    status: str
    options: dict[str, Any]
    summary: dict[str, Any] | None
    created_at: datetime
    finished_at: datetime | None


async def list_loads(
    connection: AsyncConnection, owner: str, processor: str, table: str, source: str, *, limit: int
) -> list[LoadRow]:
    """Of this owner, the newest first. `table` is written with its schema, `source` is the name of
    the connection.
    """
    query = (
        select(*columns_of(LoadRow, Job, File))
        .join(File, File.id == Job.file_id)
        .where(
            Job.owner == owner,
            Job.processor == processor,
            Job.options["table"].as_string() == table,
            Job.options["connection"].as_string() == source,
        )
        .order_by(Job.number.desc())
        .limit(limit)
    )
    return await fetch_all(connection, LoadRow, query)
