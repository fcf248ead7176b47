"""Destinations: all destinations of this process, and the choice between them for a job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.engine import Database
from app.db.models import Base
from app.db.rows import LockedJob
from app.destinations.base import Destination, ResultDestination, ResultKind
from app.destinations.encoding import encoded
from app.destinations.job import JobDestination
from app.destinations.keyed_rows import KeyedRows
from app.destinations.new_tables import NewTables
from app.destinations.own_rows import OwnRows
from app.destinations.pages import Pages
from app.destinations.postgres import PostgresWriter
from app.destinations.rejects import Rejects
from app.destinations.sqlite import SqliteWriter
from app.destinations.writer import TableWriter
from app.processors.tables import KeyedTable, NewTable, Table


class HasDestination(Protocol):
    """Row of a job with the columns that choose its destination."""

    @property
    def processor(self) -> str: ...

    @property
    def options(self) -> dict[str, Any]: ...


class Destinations:
    def __init__(
        self,
        tables: Sequence[Table],
        *,
        is_sqlite: bool,
        rows_per_write: int = 1000,
        new_tables: Sequence[NewTable] = (),
    ) -> None:
        """`tables` in the order in which an undo takes their rows back. `rows_per_write` is the
        limit of one statement for a table with a key. `new_tables` are created by `prepare`. Raises
        SettingsInvalid for one that cannot be created.
        """
        self._new = NewTables(new_tables)
        tables = [*tables, *self._new.tables]
        stored = {**Base.metadata.tables, **self._new.metadata.tables}
        writer: TableWriter = (
            SqliteWriter(rows_per_write) if is_sqlite else PostgresWriter(rows_per_write)
        )
        self.tables: Mapping[str, Destination] = {
            table.name: _of_table(table, stored, writer) for table in tables
        }
        self.rejects = Rejects(writer)
        self._kinds: list[ResultKind] = []
        self.pages = Pages(writer)
        self._in_pages = self._with(self.pages)
        keyed = {table.name: table for table in tables if isinstance(table, KeyedTable)}
        self.encode_table = partial(encoded, writer.encode, keyed)
        """Encoder called with (name of a table with a key, rows); it can be sent to another
        process.
        """
        self.encode_rejects = writer.encode_rejects
        """Encoder called with (job, rejects); it can be sent to another process."""

    async def prepare(self, database: Database) -> None:
        """Create the new tables that do not exist. Raises SettingsInvalid, MigrationsRefused,
        DatabaseUnavailable.
        """
        await self._new.prepare(database)

    def add(self, kind: ResultKind) -> None:
        """Add a kind of results. Kinds are tried in this order; results of no kind are stored in
        pages.
        """
        self._kinds.append(kind)

    def of(self, job: HasDestination) -> JobDestination:
        """Return the destination of a job. Only the row of the job chooses it, so it is the same at
        any time.
        """
        for kind in self._kinds:
            results = kind.of(job.processor, job.options)
            if results is not None:
                return self._with(results)
        return self._in_pages

    def _with(self, results: ResultDestination) -> JobDestination:
        return JobDestination(results, self.tables, self.rejects)

    async def have_rows(self, connection: AsyncConnection, jobs: Sequence[LockedJob]) -> bool:
        """Return whether one of these jobs has written anything that an undo would take back."""
        by_destination: dict[Destination, list[UUID]] = {
            table: [job.id for job in jobs] for table in self.tables.values()
        }
        for job in jobs:
            by_destination.setdefault(self.of(job).results, []).append(job.id)
        for destination, job_ids in by_destination.items():
            if await destination.has_rows(connection, job_ids):
                return True
        return False

    async def forget_versions(
        self, connection: AsyncConnection, older_than_seconds: float, at_most: int
    ) -> bool:
        """Drop some versions that no undo can restore any more; return True while there may be
        more.
        """
        for table in self.tables.values():
            if await table.forget_versions(connection, older_than_seconds, at_most):
                return True
        return False


def _of_table(table: Table, stored: Mapping[str, Any], writer: TableWriter) -> Destination:
    if isinstance(table, KeyedTable):
        return KeyedRows(table, stored[table.name], stored[table.versions], writer)
    return OwnRows(table, stored[table.name], writer)
