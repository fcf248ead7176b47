"""SQL for templates of mappings. A version is never changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import MappingTemplate
from app.db.types import now


async def insert_version(connection: AsyncConnection, values: dict[str, Any]) -> None:
    """The next version, which is the latest from now on."""
    earlier = update(MappingTemplate).where(MappingTemplate.id == values["id"], MappingTemplate.is_latest)
    await connection.execute(earlier.values(is_latest=False))
    await connection.execute(insert(MappingTemplate).values(**values, is_latest=True, created_at=now()))


async def find(
    connection: AsyncConnection, template_id: UUID, owner: str, version: int | None = None
) -> RowMapping | None:
    """This version, or the latest."""
    query = select(MappingTemplate).where(MappingTemplate.id == template_id, MappingTemplate.owner == owner)
    query = query.where(MappingTemplate.is_latest if version is None else MappingTemplate.version == version)
    return (await connection.execute(query)).mappings().first()


async def list_latest(connection: AsyncConnection, owner: str, *, limit: int, offset: int) -> Sequence[RowMapping]:
    """The latest version of each, newest first."""
    query = (
        select(MappingTemplate)
        .where(MappingTemplate.owner == owner, MappingTemplate.is_latest)
        .order_by(MappingTemplate.created_at.desc(), MappingTemplate.id)
        .limit(limit)
        .offset(offset)
    )
    return (await connection.execute(query)).mappings().all()


async def remove(connection: AsyncConnection, template_id: UUID, owner: str) -> bool:
    query = delete(MappingTemplate).where(MappingTemplate.id == template_id, MappingTemplate.owner == owner)
    return (await connection.execute(query)).rowcount > 0
