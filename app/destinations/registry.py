"""Destinations: every destination of this process, and which of them a job has."""

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
    """A row of a job."""

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
        """`tables`: in the order in which an undo takes their rows back. `rows_per_write`: of a
        table with a key in one statement. `new_tables`: those that `prepare` makes. Raises
        SettingsInvalid for one that cannot be made.
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
        self._in_pages = self._with(Pages(writer))
        keyed = {table.name: table for table in tables if isinstance(table, KeyedTable)}
        self.encode_table = partial(encoded, writer.encode, keyed)
        """(name of a table with a key, rows) to what is written to it; it can be sent to another
        process.
        """

    async def prepare(self, database: Database) -> None:
        """Make the new tables that are not there. Raises SettingsInvalid, MigrationsRefused,
        DatabaseUnavailable.
        """
        await self._new.prepare(database)

    def add(self, kind: ResultKind) -> None:
        """Asked in this order where the results of a job go; if none takes it, into pages."""
        self._kinds.append(kind)

    def of(self, job: HasDestination) -> JobDestination:
        """Chosen by what the database says of the job, so that it is the same one at any time."""
        for kind in self._kinds:
            results = kind.of(job.processor, job.options)
            if results is not None:
                return self._with(results)
        return self._in_pages

    def _with(self, results: ResultDestination) -> JobDestination:
        return JobDestination(results, self.tables, self.rejects)

    async def have_rows(self, connection: AsyncConnection, jobs: Sequence[LockedJob]) -> bool:
        """Whether one of these jobs has written anything that an undo would take back."""
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
        """Some versions that nobody can restore any more; True while there may be more."""
        for table in self.tables.values():
            if await table.forget_versions(connection, older_than_seconds, at_most):
                return True
        return False


def _of_table(table: Table, stored: Mapping[str, Any], writer: TableWriter) -> Destination:
    if isinstance(table, KeyedTable):
        return KeyedRows(table, stored[table.name], stored[table.versions], writer)
    return OwnRows(table, stored[table.name], writer)
