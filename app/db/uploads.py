"""SQL for resumable uploads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, case, delete, func, insert, null, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import Upload
from app.db.rows import NewUpload, UploadRow, columns_of, fetch_all, fetch_first, values_of
from app.db.types import now

_UPLOAD = columns_of(UploadRow, Upload, is_expired=Upload.expires_at < now())
_FIND = select(*_UPLOAD).where(
    Upload.id == bindparam("of_upload", type_=Upload.id.type),
    Upload.owner == bindparam("of_owner", type_=Upload.owner.type),
)
is_open = Upload.answer.is_(None) & Upload.problem.is_(None)


async def insert_upload(connection: AsyncConnection, upload: NewUpload, seconds: float) -> None:
    """One that expires after so many seconds."""
    await connection.execute(
        insert(Upload).values(**values_of(upload), created_at=now(), expires_at=now(seconds))
    )


async def find_upload(connection: AsyncConnection, upload_id: UUID, owner: str) -> UploadRow | None:
    """With `is_expired`."""
    return await fetch_first(
        connection, UploadRow, _FIND, {"of_upload": upload_id, "of_owner": owner}
    )


async def keep_alive(connection: AsyncConnection, upload_id: UUID, seconds: float) -> None:
    """It was worked on: it expires so many seconds from now. Bytes that came with a checksum count
    from now on.
    """
    query = update(Upload).where(Upload.id == upload_id)
    await connection.execute(query.values(expires_at=now(seconds), verified_offset=null()))


async def keep_all_alive(connection: AsyncConnection, seconds: float) -> None:
    """Those that are open expire so many seconds from now at the earliest."""
    await connection.execute(
        update(Upload)
        .where(is_open, Upload.expires_at < now(seconds))
        .values(expires_at=now(seconds))
    )


async def expire(connection: AsyncConnection, upload_ids: Sequence[UUID]) -> None:
    """They are used up: parts of a whole, which became a file or was refused."""
    await connection.execute(
        update(Upload).where(Upload.id.in_(upload_ids)).values(expires_at=now(), reserved_bytes=0)
    )


async def begin_verified(connection: AsyncConnection, upload_id: UUID, offset: int) -> None:
    await connection.execute(
        update(Upload).where(Upload.id == upload_id).values(verified_offset=offset)
    )


async def set_length(connection: AsyncConnection, upload_id: UUID, length: int) -> None:
    await connection.execute(
        update(Upload).where(Upload.id == upload_id, Upload.length.is_(None)).values(length=length)
    )


async def reserve(connection: AsyncConnection, upload_ids: Sequence[UUID], size: int) -> None:
    """From now on each counts for so many bytes."""
    await connection.execute(
        update(Upload).where(Upload.id.in_(upload_ids)).values(reserved_bytes=size)
    )


async def reserved(connection: AsyncConnection, upload_ids: Sequence[UUID]) -> int:
    """What they count for together."""
    query = select(func.coalesce(func.sum(Upload.reserved_bytes), 0)).where(
        Upload.id.in_(upload_ids), is_open
    )
    return int((await connection.execute(query)).scalar_one())


async def accept(connection: AsyncConnection, upload_id: UUID, answer: dict[str, Any]) -> bool:
    """Part of the transaction that makes file and job; False if that has happened already, or the
    upload is gone.
    """
    query = update(Upload).where(Upload.id == upload_id, is_open).values(answer=answer)
    return (await connection.execute(query)).rowcount == 1


async def refuse(connection: AsyncConnection, upload_id: UUID, problem: dict[str, Any]) -> None:
    await connection.execute(
        update(Upload).where(Upload.id == upload_id, is_open).values(problem=problem)
    )


async def remove(connection: AsyncConnection, upload_id: UUID) -> None:
    await connection.execute(delete(Upload).where(Upload.id == upload_id))


async def list_open(
    connection: AsyncConnection, *, expire_within: float | None = None
) -> list[UploadRow]:
    """Those whose length is known and that have become nothing yet, by themselves or from parts;
    `expire_within`: only those that expire in so many seconds, since nobody has worked on them for
    a while.
    """
    query = select(*_UPLOAD).where(
        is_open,
        Upload.length.is_not(None),
        Upload.is_partial.is_(False),
        Upload.expires_at >= now(),
    )
    if expire_within is not None:
        query = query.where(Upload.expires_at < now(expire_within))
    return await fetch_all(connection, UploadRow, query.order_by(Upload.created_at))


async def list_expired(connection: AsyncConnection) -> list[UUID]:
    return list(
        (await connection.execute(select(Upload.id).where(Upload.expires_at < now()))).scalars()
    )


async def need_bytes(connection: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, bool]:
    """Of those that have a row: whether their bytes are still needed."""
    query = select(Upload.id, case((is_open, True), else_=False)).where(Upload.id.in_(ids))
    return {row[0]: bool(row[1]) for row in await connection.execute(query)}
