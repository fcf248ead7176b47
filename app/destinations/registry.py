"""Destinations: every destination of this process, asked by the engine for what it has to do with
stored rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.destinations.base import Destination, ResultDestination, TableWriter, TakenBack
from app.destinations.encoding import encoded
from app.destinations.keyed_rows import KeyedRows
from app.destinations.own_rows import OwnRows
from app.destinations.pages import Pages
from app.destinations.postgres import PostgresWriter
from app.destinations.sqlite import SqliteWriter
from app.destinations.tables import Counts, KeyedTable, Table, TableRows
from app.formats.base import Page, Reject

REJECT_COLUMNS = (
    "row_number",
    "kind",
    "line",
    "byte_start",
    "byte_end",
    "raw",
    "column_name",
    "value",
    "code",
    "message",
)


class Destinations:
    def __init__(
        self, tables: Sequence[Table], *, is_sqlite: bool, rows_per_write: int = 1000
    ) -> None:
        """`tables`: in the order in which an undo takes their rows back. `rows_per_write`: of a
        table with a key in one statement.
        """
        self._writer: TableWriter = (
            SqliteWriter(rows_per_write) if is_sqlite else PostgresWriter(rows_per_write)
        )
        self._tables = {table.name: self._of(table) for table in tables}
        self.results: ResultDestination = Pages(self._writer)
        self._all: tuple[Destination, ...] = (self.results, *self._tables.values())
        keyed = {table.name: table for table in tables if isinstance(table, KeyedTable)}
        self.encode_table = partial(encoded, self._writer.encode, keyed)
        """(name of a table with a key, rows) to what is written to it; it can be sent to another
        process.
        """

    def _of(self, table: Table) -> Destination:
        return (
            KeyedRows(table, self._writer)
            if isinstance(table, KeyedTable)
            else OwnRows(table, self._writer)
        )

    # ------------------------------------------------------------------ a chunk

    async def write(
        self,
        connection: AsyncConnection,
        job_id: UUID,
        pages: Sequence[Page],
        rejects: Sequence[Reject],
        tables: TableRows,
    ) -> Counts:
        """Store all of them, or raise and let the transaction roll back."""
        if pages:
            await self.results.write(connection, job_id, pages)
        if rejects:
            rejected = [_reject_row(reject) for reject in rejects]
            await self._writer.insert(connection, job_id, "rejects", REJECT_COLUMNS, rejected)
        counts: Counts = {}
        for name, rows in tables.items():
            written = await self._tables[name].write(connection, job_id, rows) if rows else {}
            if written:
                counts[name] = written
        return counts

    # ------------------------------------------------------------------ a correction

    async def remove_rejected(
        self, connection: AsyncConnection, job_id: UUID, tables: TableRows, numbers: Sequence[int]
    ) -> dict[str, list[dict[str, Any]]]:
        """By table, of those that the correction writes to: what was removed there of the rejected
        rows.
        """
        return {
            name: await self._tables[name].remove_rejected(connection, job_id, numbers)
            for name in tables
        }

    async def merge(
        self,
        connection: AsyncConnection,
        job_id: UUID,
        pages: Sequence[Page],
        tables: Mapping[str, Sequence[Any]],
        start: int,
        end: int,
    ) -> Counts:
        """Put corrected rows among those of the chunk with the rows [start, end)."""
        if pages:
            await self.results.merge(connection, job_id, pages, start, end)
        counts: Counts = {}
        for name, rows in tables.items():
            written = (
                await self._tables[name].merge(connection, job_id, rows, start, end) if rows else {}
            )
            if written:
                counts[name] = written
        return counts

    # ------------------------------------------------------------------ undo and deletion, in bounded steps

    async def has_rows(self, connection: AsyncConnection, job_ids: Sequence[UUID]) -> bool:
        """Whether one of the jobs has written anything that an undo would take back."""
        for destination in self._all:
            if await destination.has_rows(connection, job_ids):
                return True
        return False

    async def take_back(
        self, connection: AsyncConnection, job_id: UUID, at_most: int
    ) -> TakenBack | None:
        """Some rows of the job; None if nothing is left."""
        for destination in self._all:
            taken = await destination.take_back(connection, job_id, at_most)
            if taken is not None:
                return taken
        return None

    async def forget_versions(
        self, connection: AsyncConnection, older_than_seconds: float, at_most: int
    ) -> bool:
        """Some versions that nobody can restore any more; True while there may be more."""
        for destination in self._all:
            if await destination.forget_versions(connection, older_than_seconds, at_most):
                return True
        return False

    async def remove(self, connection: AsyncConnection, job_id: UUID, at_most: int) -> bool:
        """Some rows of a deleted job; True while there may be more."""
        for destination in self._all:
            if await destination.remove(connection, job_id, at_most):
                return True
        return False


def _reject_row(reject: Reject) -> tuple[Any, ...]:
    return (
        reject.row_number,
        reject.kind,
        reject.line,
        reject.byte_start,
        reject.byte_end,
        reject.raw,
        reject.column,
        reject.value,
        reject.code,
        reject.message,
    )
