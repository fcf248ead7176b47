"""SQL for the id of this database and for the result of the last sweep of its storage."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

from sqlalchemy import Uuid, bindparam, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.files import IS_STORED
from app.db.models import File, Installation, Job, Upload
from app.db.rows import InstallationRow, columns_of, fetch_first
from app.db.types import UTCDateTime, now


async def ensure(connection: AsyncConnection) -> UUID:
    """Return the id of this database, creating it if it has none. Of several concurrent processes,
    one creates it.
    """
    if (row := await find(connection)) is not None:
        return row.id
    query = text(
        "INSERT INTO installation (key, id, created_at) VALUES (1, :id, :created_at) ON CONFLICT DO"
        " NOTHING"
    ).bindparams(bindparam("id", type_=Uuid()), bindparam("created_at", type_=UTCDateTime()))
    await connection.execute(query, {"id": uuid4(), "created_at": datetime.now(UTC)})
    return (await connection.execute(select(Installation.id))).scalar_one()


async def find(connection: AsyncConnection) -> InstallationRow | None:
    """Return None if no process of this version has started on the database yet."""
    return await fetch_first(
        connection, InstallationRow, select(*columns_of(InstallationRow, Installation))
    )


async def record_sweep(connection: AsyncConnection, *, lost: int, held: int) -> None:
    await connection.execute(
        update(Installation).values(swept_at=now(), lost_files=lost, held_files=held)
    )


async def record_backup(connection: AsyncConnection) -> None:
    await connection.execute(update(Installation).values(backed_up_at=now()))


async def knows_any(connection: AsyncConnection, ids: Sequence[UUID]) -> bool:
    """Return whether one of these is a file, a resumable upload or a job of this database."""
    for column in (File.id, Upload.id, Job.id):
        if (
            await connection.execute(select(column).where(column.in_(ids)).limit(1))
        ).first() is not None:
            return True
    return False


async def count_stored(connection: AsyncConnection) -> int:
    """Return the number of files whose bytes are in the storage."""
    return int(
        (
            await connection.execute(select(func.count()).select_from(File).where(IS_STORED))
        ).scalar_one()
    )
