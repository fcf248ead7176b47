"""KeyedRows: the destination for a typed table with one row for each value of a key, and for the
versions of its rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, insert, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.rows import delete_first
from app.db.types import now
from app.destinations.base import Destination, TakenBack
from app.destinations.writer import TableWriter
from app.processors.tables import KeyedTable, Piece


class KeyedRows(Destination):
    def __init__(self, table: KeyedTable, rows: Any, versions: Any, writer: TableWriter) -> None:
        """`rows` and `versions` are tables of SQLAlchemy."""
        self._table = table
        self._writer = writer
        self._rows = rows
        self._versions = versions
        self._key = self._rows.c[table.key]
        self._version_key = self._versions.c[table.key]

    async def write(
        self, connection: AsyncConnection, job_id: UUID, rows: Sequence[Piece]
    ) -> dict[str, int]:
        return await self._writer.upsert(connection, job_id, self._table, rows)

    async def has_rows(self, connection: AsyncConnection, job_ids: Sequence[UUID]) -> bool:
        for table in (self._rows, self._versions):
            query = select(table.c.job_id).where(table.c.job_id.in_(job_ids)).limit(1)
            if (await connection.execute(query)).first() is not None:
                return True
        return False

    async def take_back(
        self, connection: AsyncConnection, job_id: UUID, at_most: int
    ) -> TakenBack | None:
        """Take back the rows that the job wrote last: the newest kept versions replace them. Then
        take back the versions that later jobs replaced, or their undo would restore them.
        """
        query = (
            select(self._key)
            .where(self._rows.c.job_id == job_id)
            .order_by(self._key)
            .limit(at_most)
        )
        keys = list((await connection.execute(query.with_for_update())).scalars())
        if keys:
            restored = await self._restore(connection, job_id, keys)
            return TakenBack(len(keys) - restored, restored)
        return TakenBack() if await self._remove_versions(connection, job_id, at_most) else None

    async def _restore(self, connection: AsyncConnection, job_id: UUID, keys: list[Any]) -> int:
        """Restore the newest kept version of each row, or remove the row; return how many had a
        version.
        """
        versions = self._versions
        latest = (
            select(self._version_key, func.max(versions.c.job_number))
            .where(self._version_key.in_(keys))
            .group_by(self._version_key)
        )
        kept = [tuple(row) for row in (await connection.execute(latest)).all()]
        await connection.execute(
            delete(self._rows).where(self._rows.c.job_id == job_id, self._key.in_(keys))
        )
        if kept:
            newest = tuple_(self._version_key, versions.c.job_number).in_(kept)
            names = [column.name for column in self._rows.c]
            chosen = select(*(versions.c[name] for name in names)).where(newest)
            await connection.execute(insert(self._rows).from_select(names, chosen))
            await connection.execute(delete(versions).where(newest))
        return len(kept)

    async def forget_versions(
        self, connection: AsyncConnection, older_than_seconds: float, at_most: int
    ) -> bool:
        versions = self._versions
        version = (self._version_key, versions.c.job_number)
        query = (
            select(*version).where(versions.c.archived_at < now(-older_than_seconds)).limit(at_most)
        )
        old = [tuple(row) for row in (await connection.execute(query)).all()]
        if not old:
            return False
        await connection.execute(delete(versions).where(tuple_(*version).in_(old)))
        return True

    async def remove(self, connection: AsyncConnection, job_id: UUID, at_most: int) -> bool:
        """Remove the rows that the job wrote last, with their earlier versions, so that no other
        undo brings them back. Then remove its own versions.
        """
        query = select(self._key).where(self._rows.c.job_id == job_id).limit(at_most)
        keys = list((await connection.execute(query)).scalars())
        if keys:
            await connection.execute(delete(self._versions).where(self._version_key.in_(keys)))
            await connection.execute(
                delete(self._rows).where(self._rows.c.job_id == job_id, self._key.in_(keys))
            )
            return True
        return await self._remove_versions(connection, job_id, at_most)

    async def _remove_versions(
        self, connection: AsyncConnection, job_id: UUID, at_most: int
    ) -> bool:
        versions = self._versions
        of_job, place = versions.c.job_id == job_id, versions.c.row_number
        return bool(await delete_first(connection, versions, place, at_most, of_job))
