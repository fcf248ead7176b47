"""OwnRows: the destination for a typed table whose rows belong to one job each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.rows import delete_first
from app.destinations.base import Destination, TakenBack
from app.destinations.writer import NewRows, TableWriter
from app.processors.tables import OwnTable

ROWS_AT_ONCE = 1_000


class OwnRows(Destination):
    def __init__(self, table: OwnTable, stored: Any, writer: TableWriter) -> None:
        """`stored` is the table of SQLAlchemy."""
        self._table = table
        self._writer = writer
        columns = stored.c
        self._stored = stored
        self._job_id = columns["job_id"]
        self._key = columns[table.key]
        self._handed_over = [columns[name] for name in table.corrected]

    async def write(
        self, connection: AsyncConnection, job_id: UUID, rows: Sequence[Any]
    ) -> dict[str, int]:
        table = self._table
        await self._writer.insert(connection, NewRows(job_id, table.name, table.columns, rows))
        return {}

    async def remove_rejected(
        self, connection: AsyncConnection, job_id: UUID, numbers: Sequence[int]
    ) -> list[dict[str, Any]]:
        removed: list[dict[str, Any]] = []
        if not self._handed_over:
            return removed
        for start in range(0, len(numbers), ROWS_AT_ONCE):
            some = numbers[start : start + ROWS_AT_ONCE]
            query = delete(self._stored).where(self._job_id == job_id, self._key.in_(some))
            rows = await connection.execute(query.returning(*self._handed_over))
            removed += [dict(zip(self._table.corrected, row, strict=True)) for row in rows.all()]
        return removed

    async def merge(
        self, connection: AsyncConnection, job_id: UUID, rows: Sequence[Any], start: int, end: int
    ) -> dict[str, int]:
        if self._table.merge is None:
            return await self.write(connection, job_id, rows)
        await self._table.merge(connection, job_id, start, end)
        return {}

    async def has_rows(self, connection: AsyncConnection, job_ids: Sequence[UUID]) -> bool:
        if not self._table.is_counted:
            return False
        query = select(self._job_id).where(self._job_id.in_(job_ids)).limit(1)
        return (await connection.execute(query)).first() is not None

    async def take_back(
        self, connection: AsyncConnection, job_id: UUID, at_most: int
    ) -> TakenBack | None:
        count = await self._delete(connection, job_id, at_most)
        if not count:
            return None
        return TakenBack(removed=count if self._table.is_counted else 0)

    async def remove(self, connection: AsyncConnection, job_id: UUID, at_most: int) -> bool:
        return bool(await self._delete(connection, job_id, at_most))

    async def _delete(self, connection: AsyncConnection, job_id: UUID, at_most: int) -> int:
        of_job = self._job_id == job_id
        return await delete_first(connection, self._stored, self._key, at_most, of_job)
