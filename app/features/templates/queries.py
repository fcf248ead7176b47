"""SQL for mapping templates. Versions are immutable."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import MappingTemplate
from app.db.rows import columns_of, fetch_all, fetch_first, values_of
from app.db.types import now


class TemplateRow(msgspec.Struct, frozen=True):
    """One version of an accepted mapping."""

    id: UUID
    version: int
    owner: str
    name: str
    mapping: dict[str, Any]
    job_id: UUID | None
    is_latest: bool
    created_at: datetime


class NewTemplate(msgspec.Struct, frozen=True, kw_only=True):
    """A version to insert."""

    id: UUID
    version: int
    owner: str
    name: str
    mapping: dict[str, Any]
    job_id: UUID | None


_TEMPLATE = columns_of(TemplateRow, MappingTemplate)


async def insert_version(connection: AsyncConnection, template: NewTemplate) -> None:
    """Insert the next version, which becomes the latest."""
    earlier = update(MappingTemplate).where(
        MappingTemplate.id == template.id, MappingTemplate.is_latest
    )
    await connection.execute(earlier.values(is_latest=False))
    await connection.execute(
        insert(MappingTemplate).values(**values_of(template), is_latest=True, created_at=now())
    )


async def find(
    connection: AsyncConnection, template_id: UUID, owner: str, version: int | None = None
) -> TemplateRow | None:
    """Return this version, or the latest."""
    query = select(*_TEMPLATE).where(
        MappingTemplate.id == template_id, MappingTemplate.owner == owner
    )
    query = query.where(
        MappingTemplate.is_latest if version is None else MappingTemplate.version == version
    )
    return await fetch_first(connection, TemplateRow, query)


async def list_latest(
    connection: AsyncConnection, owner: str, *, limit: int, offset: int
) -> list[TemplateRow]:
    """Return the latest version of each template, newest first."""
    query = (
        select(*_TEMPLATE)
        .where(MappingTemplate.owner == owner, MappingTemplate.is_latest)
        .order_by(MappingTemplate.created_at.desc(), MappingTemplate.id)
        .limit(limit)
        .offset(offset)
    )
    return await fetch_all(connection, TemplateRow, query)


async def remove(connection: AsyncConnection, template_id: UUID, owner: str) -> bool:
    query = delete(MappingTemplate).where(
        MappingTemplate.id == template_id, MappingTemplate.owner == owner
    )
    return (await connection.execute(query)).rowcount > 0
