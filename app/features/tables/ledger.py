"""The ledger: what the loads of this service have committed in the database of a named connection.

Its entries are written in the same transaction as the rows that they tell of, and so they say
whether a step was committed. The database of the service can learn of that only afterwards, and a
process may die in between.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import installation
from app.db.engine import Database
from app.errors import TransientError

Entry = Literal["staged", "rows", "loaded", "undone"]
"""`staged`: rows of the file are in the staging table. `rows`: rows of a chunk, or corrected ones, are
in the table. `loaded`: the end of the load. `undone`: the load is taken back.
"""
WHOLE = 0
"""Place of an entry that is about the load as a whole; others have the number of a row."""
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('granula ledger', 0))"
IS_THERE = """
SELECT EXISTS (
    SELECT FROM pg_class
    WHERE relname = 'granula_ledger' AND relnamespace = current_schema()::regnamespace
)
"""
CREATE = """
CREATE TABLE granula_ledger (
    job_id uuid NOT NULL,
    entry text NOT NULL,
    first_row bigint NOT NULL,
    last_row bigint NOT NULL,
    answer text NOT NULL,
    installation uuid NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, entry, first_row)
)
"""
FIND = "SELECT answer FROM granula_ledger WHERE job_id = $1 AND entry = $2 AND first_row = $3"
WRITE = """
INSERT INTO granula_ledger (job_id, entry, first_row, last_row, answer, installation)
VALUES ($1, $2, $3, $4, $5, $6)
"""
TAKE = """
DELETE FROM granula_ledger
WHERE job_id = $1 AND entry = $2 AND first_row <= $4 AND last_row >= $3
RETURNING first_row, last_row
"""
REMOVE = "DELETE FROM granula_ledger WHERE job_id = $1"
REMOVE_ENTRIES = "DELETE FROM granula_ledger WHERE job_id = $1 AND entry = $2"
JOBS = "SELECT DISTINCT job_id FROM granula_ledger WHERE installation = $1"


class Overtaken(TransientError):
    """Another process has taken the same step meanwhile; what it did is looked up."""

    def __init__(self) -> None:
        super().__init__(retry_after=0.05)


class RowRange(NamedTuple):
    """The first and the last number of some rows."""

    first: int
    last: int


ALL = RowRange(WHOLE, WHOLE)


class Ledger:
    """All methods work in the transaction of the connection."""

    def __init__(self, database: Database) -> None:
        """`database`: the service's own, whose id is in each entry. Other services may load into
        the same tables.
        """
        self._database = database
        self._installation: UUID | None = None

    async def _id(self) -> UUID:
        if self._installation is None:
            async with self._database.working() as connection:
                row = await installation.find(connection)
            assert row is not None, "a service that runs has an id"
            self._installation = row.id
        return self._installation

    async def is_there(self, connection: AsyncConnection) -> bool:
        return bool((await connection.exec_driver_sql(IS_THERE)).scalar_one())

    async def make(self, connection: AsyncConnection) -> None:
        """Make the table if it is not there."""
        if await self.is_there(connection):
            return
        await connection.exec_driver_sql(LOCK)
        if not await self.is_there(connection):
            await connection.exec_driver_sql(CREATE)

    async def find(
        self, connection: AsyncConnection, job_id: UUID, entry: Entry, first_row: int = WHOLE
    ) -> Any:
        """Return the answer of the step; None if it was not committed."""
        if not await self.is_there(connection):
            return None
        rows = await connection.exec_driver_sql(FIND, (job_id, entry, first_row))
        answer = rows.scalar_one_or_none()
        return None if answer is None else msgspec.json.decode(answer)

    async def write(
        self,
        connection: AsyncConnection,
        job_id: UUID,
        entry: Entry,
        answer: Any,
        span: RowRange = ALL,
    ) -> None:
        """Write an entry. Waits for another process that is about to write the same; raises
        Overtaken if it has.
        """
        text = msgspec.json.encode(answer).decode()
        values = (job_id, entry, span.first, span.last, text, await self._id())
        try:
            await connection.exec_driver_sql(WRITE, values)
        except IntegrityError as error:
            raise Overtaken from error

    async def take(
        self, connection: AsyncConnection, job_id: UUID, entry: Entry, span: RowRange
    ) -> RowRange | None:
        """Remove the entries of any of these rows; return what they span, None if there are
        none.
        """
        taken = await connection.exec_driver_sql(TAKE, (job_id, entry, span.first, span.last))
        spans = [RowRange._make(row) for row in taken]
        if not spans:
            return None
        return RowRange(min(each.first for each in spans), max(each.last for each in spans))

    async def remove(
        self, connection: AsyncConnection, job_id: UUID, entry: Entry | None = None
    ) -> None:
        """Remove all entries of a job, or those of one kind."""
        if not await self.is_there(connection):
            return
        if entry is None:
            await connection.exec_driver_sql(REMOVE, (job_id,))
        else:
            await connection.exec_driver_sql(REMOVE_ENTRIES, (job_id, entry))

    async def list_jobs(self, connection: AsyncConnection) -> list[UUID]:
        """Return the jobs of this service that have entries."""
        if not await self.is_there(connection):
            return []
        rows = await connection.exec_driver_sql(JOBS, (await self._id(),))
        return [row[0] for row in rows]
