"""SQL for files and idempotency keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, bindparam, delete, exists, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased

from app.db.models import File, IdempotencyKey, Job
from app.db.rows import (
    FilePlaces,
    FileRow,
    NewFile,
    StoredAnswer,
    columns_of,
    fetch_all,
    fetch_first,
    values_of,
)
from app.db.types import now
from app.states import JobStatus


def _void() -> ColumnElement[bool]:
    """Match files whose first job, that of the upload, was cancelled or undone, or whose results
    retention has removed.
    """
    earlier = aliased(Job)
    is_first = ~exists().where(earlier.file_id == Job.file_id, earlier.number < Job.number)
    is_over = or_(
        Job.status == JobStatus.CANCELLED,
        Job.undo_state.is_not(None),
        Job.rows_removed_at.is_not(None),
    )
    return exists().where(Job.file_id == File.id, is_first, is_over)


# Built once: building the statements of an upload takes longer than running them.
_IS_VOID = _void()
_FILE = columns_of(FileRow, File)
_FIND = select(*_FILE).where(
    File.id == bindparam("of_file", type_=File.id.type),
    File.owner == bindparam("of_owner", type_=File.owner.type),
    File.deleted_at.is_(None),
)
_PLACES = select(*columns_of(FilePlaces, File)).where(
    File.id == bindparam("of_file", type_=File.id.type)
)
_ANSWER = columns_of(StoredAnswer, IdempotencyKey)

IS_STORED = and_(File.storage_uri.is_not(None), File.storage_uri.not_like("%://%"))
"""Whether the bytes of a file are in the storage, and not at a remote source."""

_INSERT: Any = insert(File.__table__).values(created_at=now())  # type: ignore[arg-type]
_RELEASE = (
    update(File)
    .where(File.owner == bindparam("of_owner"), File.dedup_key == bindparam("content"), _IS_VOID)
    .values(dedup_key=None)
    .execution_options(synchronize_session=False)
)


async def insert_file(connection: AsyncConnection, file: NewFile) -> None:
    await connection.execute(_INSERT, values_of(file))


async def find_file(connection: AsyncConnection, file_id: UUID, owner: str) -> FileRow | None:
    return await fetch_first(connection, FileRow, _FIND, {"of_file": file_id, "of_owner": owner})


async def find_files(
    connection: AsyncConnection, ids: Sequence[UUID], owner: str
) -> dict[UUID, FileRow]:
    """Return the files that exist, by id."""
    query = select(*_FILE).where(File.id.in_(ids), File.owner == owner, File.deleted_at.is_(None))
    return {file.id: file for file in await fetch_all(connection, FileRow, query)}


async def find_places(connection: AsyncConnection, file_id: UUID) -> FilePlaces | None:
    return await fetch_first(connection, FilePlaces, _PLACES, {"of_file": file_id})


async def find_by_content(connection: AsyncConnection, owner: str, content_key: str) -> UUID | None:
    """Return the oldest file with these bytes and parameters whose job was neither cancelled nor
    undone.
    """
    query = (
        select(File.id)
        .where(
            File.owner == owner,
            File.content_key == content_key,
            File.deleted_at.is_(None),
            ~_IS_VOID,
        )
        .order_by(File.created_at)
        .limit(1)
    )
    return (await connection.execute(query)).scalar()


async def release_void(connection: AsyncConnection, owner: str, content_key: str) -> None:
    """Allow another upload of the same content if the job of the first one was cancelled or
    undone.
    """
    await connection.execute(_RELEASE, {"of_owner": owner, "content": content_key})


async def need_bytes(connection: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, bool]:
    """Return whether the stored bytes are still needed, for those ids that have a row."""
    query = select(File.id, File.storage_uri.is_not(None)).where(File.id.in_(ids))
    return {row[0]: bool(row[1]) for row in await connection.execute(query)}


async def mark_deleted(connection: AsyncConnection, file_id: UUID, owner: str) -> bool:
    """Hide the file from all endpoints; return whether it existed."""
    query = (
        update(File)
        .where(File.id == file_id, File.owner == owner, File.deleted_at.is_(None))
        .values(deleted_at=now(), dedup_key=None)
    )
    return (await connection.execute(query)).rowcount == 1


async def find_deleted(connection: AsyncConnection) -> list[UUID]:
    """Return files whose deletion is not finished."""
    return list(
        (await connection.execute(select(File.id).where(File.deleted_at.is_not(None)))).scalars()
    )


async def remove_file(connection: AsyncConnection, file_id: UUID) -> None:
    await connection.execute(delete(File).where(File.id == file_id))


async def forget_stored_bytes(connection: AsyncConnection, file_id: UUID) -> None:
    await connection.execute(update(File).where(File.id == file_id).values(storage_uri=None))


async def find_idempotent(connection: AsyncConnection, owner: str, key: str) -> StoredAnswer | None:
    query = select(*_ANSWER).where(IdempotencyKey.owner == owner, IdempotencyKey.key == key)
    return await fetch_first(connection, StoredAnswer, query)


async def insert_idempotent(connection: AsyncConnection, answer: StoredAnswer) -> None:
    await connection.execute(insert(IdempotencyKey).values(**values_of(answer), created_at=now()))


async def forget_idempotent(connection: AsyncConnection, owner: str, file_id: UUID) -> None:
    """Forget stored responses for this file, which is being deleted, so that the same request
    creates it again.
    """
    named = IdempotencyKey.body["file_id"].as_string() == str(file_id)
    await connection.execute(delete(IdempotencyKey).where(IdempotencyKey.owner == owner, named))


async def expire_idempotent(connection: AsyncConnection, older_than_seconds: float) -> None:
    await connection.execute(
        delete(IdempotencyKey).where(IdempotencyKey.created_at < now(-older_than_seconds))
    )


async def set_etags(connection: AsyncConnection, etags: dict[UUID, str | None]) -> None:
    """Store the new etags of the stored bytes."""
    for file_id, etag in etags.items():
        await connection.execute(update(File).where(File.id == file_id).values(etag=etag))
