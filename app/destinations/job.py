"""JobDestination: the destination of the rows of one job. All code that writes, reads, proves,
corrects, undoes or removes the rows of a job calls it, and no table.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.destinations.base import Destination, ResultDestination, TakenBack
from app.destinations.rejects import Rejects
from app.destinations.staged import StagedResults
from app.formats.base import Page, Reject
from app.processors.tables import Counts, TableRows


@dataclass(frozen=True, slots=True, eq=False)
class JobDestination:
    results: ResultDestination
    """Destination of results, chosen by the processor and the options of the job."""
    tables: Mapping[str, Destination]
    """Tables of features, by name, in which any job may have rows."""
    rejects: Rejects

    @property
    def staged(self) -> StagedResults | None:
        """Return the same results if they are published whole with the final status; else None."""
        return self.results if isinstance(self.results, StagedResults) else None

    @property
    def _all(self) -> tuple[Destination, ...]:
        return (self.results, *self.tables.values())

    # ------------------------------------------------------------------ a chunk

    async def write(
        self,
        connection: AsyncConnection,
        job_id: UUID,
        pages: Sequence[Page],
        rejects: Sequence[Reject],
        tables: TableRows,
    ) -> Counts:
        """Store all rows, or raise and let the transaction roll back."""
        if pages:
            await self.results.write(connection, job_id, pages)
        if rejects:
            await self.rejects.write(connection, job_id, rejects)
        return await self._counted(
            tables, lambda table, rows: table.write(connection, job_id, rows)
        )

    # ------------------------------------------------------------------ a correction

    async def remove_rejected(
        self, connection: AsyncConnection, job_id: UUID, tables: TableRows, numbers: Sequence[int]
    ) -> dict[str, list[dict[str, Any]]]:
        """Remove rejected rows; return what was removed, by table that the correction writes to."""
        return {
            name: await self.tables[name].remove_rejected(connection, job_id, numbers)
            for name in tables
        }

    async def merge(
        self,
        connection: AsyncConnection,
        job_id: UUID,
        pages: Sequence[Page],
        tables: TableRows,
        start: int,
        end: int,
    ) -> tuple[dict[str, int], Counts]:
        """Put corrected rows among those of the chunk with the rows [start, end). Return the counts
        of results, and of rows of tables.
        """
        counts: dict[str, int] = {}
        if pages:
            counts = await self.results.merge(connection, job_id, pages, start, end)
        written = await self._counted(
            tables, lambda table, rows: table.merge(connection, job_id, rows, start, end)
        )
        return counts, written

    async def _counted(
        self,
        tables: TableRows,
        put: Callable[[Destination, Sequence[Any]], Awaitable[dict[str, int]]],
    ) -> Counts:
        counts: Counts = {}
        for name, rows in tables.items():
            if not rows:
                continue
            counted = await put(self.tables[name], rows)
            if counted:
                counts[name] = counted
        return counts

    # ------------------------------------------------------------------ undo and deletion, in bounded steps

    async def take_back(
        self, connection: AsyncConnection, job_id: UUID, at_most: int
    ) -> TakenBack | None:
        """Take back some rows of the job; return None if nothing is left."""
        for destination in self._all:
            taken = await destination.take_back(connection, job_id, at_most)
            if taken is not None:
                return taken
        return None

    async def remove(self, connection: AsyncConnection, job_id: UUID, at_most: int) -> bool:
        """Remove some rows of a deleted job; return True while there may be more."""
        for destination in self._all:
            if await destination.remove(connection, job_id, at_most):
                return True
        return False
