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
    """Insert an upload that expires after `seconds`."""
    await connection.execute(
        insert(Upload).values(**values_of(upload), created_at=now(), expires_at=now(seconds))
    )


async def find_upload(connection: AsyncConnection, upload_id: UUID, owner: str) -> UploadRow | None:
    """Return the upload with `is_expired`."""
    return await fetch_first(
        connection, UploadRow, _FIND, {"of_upload": upload_id, "of_owner": owner}
    )


async def keep_alive(connection: AsyncConnection, upload_id: UUID, seconds: float) -> None:
    """Postpone the expiry to `seconds` from now. Bytes that were received with a checksum count
    from now on.
    """
    query = update(Upload).where(Upload.id == upload_id)
    await connection.execute(query.values(expires_at=now(seconds), verified_offset=null()))


async def keep_all_alive(connection: AsyncConnection, seconds: float) -> None:
    """Postpone the expiry of open uploads to at least `seconds` from now."""
    await connection.execute(
        update(Upload)
        .where(is_open, Upload.expires_at < now(seconds))
        .values(expires_at=now(seconds))
    )


async def expire(connection: AsyncConnection, upload_ids: Sequence[UUID]) -> None:
    """Expire uploads that are used up: parts of a concatenation that became a file or was
    rejected.
    """
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
    """Count each of these uploads as `size` bytes from now on."""
    await connection.execute(
        update(Upload).where(Upload.id.in_(upload_ids)).values(reserved_bytes=size)
    )


async def reserved(connection: AsyncConnection, upload_ids: Sequence[UUID]) -> int:
    """Return the bytes that these uploads count for."""
    query = select(func.coalesce(func.sum(Upload.reserved_bytes), 0)).where(
        Upload.id.in_(upload_ids), is_open
    )
    return int((await connection.execute(query)).scalar_one())


async def accept(connection: AsyncConnection, upload_id: UUID, answer: dict[str, Any]) -> bool:
    """Store the answer in the transaction that creates file and job. Returns False if an answer is
    stored already, or the upload is gone.
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
    """Return open uploads of known length, including concatenations. With `expire_within`, only
    those that expire within this many seconds, since no client has sent to them for a while.
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
    """Return whether the stored bytes are still needed, for those ids that have a row."""
    query = select(Upload.id, case((is_open, True), else_=False)).where(Upload.id.in_(ids))
    return {row[0]: bool(row[1]) for row in await connection.execute(query)}
