"""TableWriter: writes many rows to one kind of database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import Job
from app.destinations.encoding import Encode, EncodedRejects, EncodeRejects
from app.formats.base import Page
from app.processors.tables import KeyedTable, Piece

PAGE_COLUMNS = ("first_row", "row_count", "row_numbers", "data")


@dataclass(frozen=True, slots=True)
class NewRows:
    """Rows of a job for a table with these columns after `job_id`."""

    job_id: UUID
    table: str
    columns: Sequence[str]
    rows: Sequence[tuple[Any, ...]]


class Upsert(NamedTuple):
    """Rows of a job for a table with a key."""

    table: KeyedTable
    job_id: UUID
    job_number: int


class Replaced(NamedTuple):
    """Counts of the rows of a piece. The others were there already, unchanged."""

    inserted: int
    updated: int


class TableWriter(ABC):
    def __init__(self, encode: Encode, encode_rejects: EncodeRejects) -> None:
        self.encode = encode
        """Encoder of rows for `upsert`. It can be sent to another process."""
        self.encode_rejects = encode_rejects
        """Encoder of rejects for `insert_rejects`."""

    @abstractmethod
    async def insert(self, connection: AsyncConnection, new: NewRows) -> None: ...

    @abstractmethod
    async def insert_pages(
        self, connection: AsyncConnection, job_id: UUID, pages: Sequence[Page]
    ) -> None: ...

    @abstractmethod
    async def insert_rejects(
        self, connection: AsyncConnection, job_id: UUID, rejects: Sequence[EncodedRejects]
    ) -> None: ...

    async def upsert(
        self, connection: AsyncConnection, job_id: UUID, table: KeyedTable, pieces: Sequence[Piece]
    ) -> dict[str, int]:
        """Write rows, and keep the versions that they replace; return the counts inserted, updated
        and unchanged.
        """
        query = select(Job.number).where(Job.id == job_id)
        job_number = (await connection.execute(query)).scalar_one()
        upsert = Upsert(table, job_id, job_number)
        await self._begin(connection, table)
        rows = inserted = updated = 0
        for piece in pieces:
            replaced = await self._upsert(connection, upsert, piece)
            rows += piece.rows
            inserted += replaced.inserted
            updated += replaced.updated
        return {
            "inserted": inserted,
            "updated": updated,
            "unchanged": rows - inserted - updated,
        }

    async def _begin(self, connection: AsyncConnection, table: KeyedTable) -> None:  # noqa: B027
        """Prepare for the first piece."""

    @abstractmethod
    async def _upsert(
        self, connection: AsyncConnection, upsert: Upsert, piece: Piece
    ) -> Replaced: ...
