"""Loader: what a load needs of one kind of database. Each method works inside the transaction of
its caller.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import TerminalError, TransientError
from app.features.tables.definition import Column, TableName, quoted
from app.features.tables.loading.refusals import Refusal
from app.features.tables.loading.statements import STAGE_PREFIX, Statements, Step, job_of, stage_of
from app.features.tables.plan import LoadPlan

Range = tuple[int, int]
"""The first and the last number of some rows."""


class RowsRefused(TransientError):
    """The table refuses a row of the load; which, is looked for."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, retry_after=0.01)


class LoadRefused(TerminalError):
    """The database refuses the load as a whole."""

    code = "load_refused"


class TableLocked(TransientError):
    """Another session holds a lock on the table."""

    waiting_on = "table"


class Stepwise(Protocol):
    """Statements that can be run for some rows alone."""

    @property
    def refers_to_itself(self) -> bool:
        """Return whether rows of the table refer to others of it."""

    def steps(self, low: str = "", high: str = "") -> Sequence[Step]:
        """Return the statements, for all rows or for those with the numbers from `low` to `high`."""


def runs_of(numbers: Sequence[int]) -> list[Range]:
    """Return ascending numbers as ranges without gaps."""
    ranges: list[Range] = []
    for number in sorted(numbers):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return ranges


class Loader(ABC):
    @abstractmethod
    async def stage(
        self, connection: AsyncConnection, job_id: UUID, plan: LoadPlan, pieces: Sequence[bytes]
    ) -> None:
        """Put rows into the staging table of the job, which is made where it is not there."""

    async def has_stage(self, connection: AsyncConnection, job_id: UUID) -> bool:
        """Return whether the job has a staging table."""
        return await self.has_table(connection, stage_of(job_id))

    @abstractmethod
    async def has_table(self, connection: AsyncConnection, name: str) -> bool:
        """Return whether there is a table of this name among those of the service."""

    @abstractmethod
    async def list_tables(self, connection: AsyncConnection, prefix: str) -> list[str]:
        """Return the names of tables that begin like this, among those of the service."""

    async def staged_jobs(self, connection: AsyncConnection) -> list[UUID]:
        """Return the jobs that have a staging table."""
        names = await self.list_tables(connection, STAGE_PREFIX)
        return [job_id for name in names if (job_id := job_of(name)) is not None]

    @abstractmethod
    async def rename(self, connection: AsyncConnection, old: str, new: str) -> None:
        """Rename a table of the service."""

    @abstractmethod
    async def take_turns(self, connection: AsyncConnection, table: TableName) -> None:
        """Let loads and undos of this table end one after the other. Raises TableLocked."""

    @abstractmethod
    async def mark(
        self, connection: AsyncConnection, work: str, refusals: Sequence[Refusal]
    ) -> None:
        """Mark rows that an undo has to leave, with the reason."""

    async def drop_stage(self, connection: AsyncConnection, job_id: UUID) -> None:
        await self.run(connection, f"DROP TABLE IF EXISTS {quoted(stage_of(job_id))}")

    async def returns_old(self, connection: AsyncConnection) -> bool:
        """Return whether an UPDATE can return the values before it."""
        return False

    @abstractmethod
    async def run(self, connection: AsyncConnection, sql: str) -> int:
        """Run a statement; return the number of rows that it changed. Raises RowsRefused,
        LoadRefused, TableLocked.
        """

    @abstractmethod
    async def fetch(self, connection: AsyncConnection, sql: str) -> list[tuple[Any, ...]]:
        """Return what a query asks for."""

    @abstractmethod
    async def look_up(
        self,
        connection: AsyncConnection,
        sql: str,
        alias: str,
        columns: Sequence[Column],
        values: Sequence[str],
    ) -> list[tuple[Any, ...]]:
        """Return what a query reads of the rows with these values, given as texts. `{condition}` in
        it stands for the comparison. Raises InvalidParameter for a value that is not of its type.
        """

    @abstractmethod
    async def count(self, connection: AsyncConnection, sql: str) -> int: ...

    @abstractmethod
    async def begin(self, connection: AsyncConnection) -> None:
        """Wait for locks of others no longer than a few seconds."""

    @abstractmethod
    async def hold(self, connection: AsyncConnection, plan: LoadPlan) -> None:
        """Hold the definition of the table until the end of the transaction. Raises TableLocked,
        LoadRefused.
        """

    @abstractmethod
    async def end(self, connection: AsyncConnection) -> None:
        """Have deferred constraints checked. Raises RowsRefused."""

    @abstractmethod
    async def attempt(
        self, connection: AsyncConnection, statements: Stepwise, ranges: Sequence[Range]
    ) -> list[Refusal]:
        """Write the staged rows with the numbers of these ranges, one range after the other and
        each halved where a row is refused, and say which those are. What was written stays.
        """

    @abstractmethod
    async def index(self, connection: AsyncConnection, statements: Statements) -> None:
        """Make staged rows easy to find by their numbers."""

    @abstractmethod
    async def analyze(self, connection: AsyncConnection, statements: Statements) -> None:
        """Let the database know what is staged, before questions about all of it."""

    @abstractmethod
    async def unstage(
        self, connection: AsyncConnection, statements: Statements, numbers: Sequence[int]
    ) -> None:
        """Delete staged rows, which are rejected."""

    async def settle(
        self, connection: AsyncConnection, statements: Stepwise, ranges: Sequence[Range]
    ) -> list[Refusal]:
        """Attempt these ranges, and again what a foreign key refuses, as long as that helps: a row
        may refer to one that is written only with a later half.
        """
        refusals = await self.attempt(connection, statements, ranges)
        while statements.refers_to_itself:
            orphans = [refusal for refusal in refusals if refusal.code == "foreign_key"]
            if not orphans:
                break
            numbers = [orphan.row_number for orphan in orphans]
            # rows that others refer to mostly come behind them
            again = await self.attempt(connection, statements, runs_of(numbers)[::-1])
            if len(again) == len(orphans):
                break
            refusals = [refusal for refusal in refusals if refusal.code != "foreign_key"] + again
        return sorted(refusals, key=lambda refusal: refusal.row_number)

    async def rehearse(
        self, connection: AsyncConnection, statements: Statements, ranges: Sequence[Range]
    ) -> list[Refusal]:
        """Attempt these ranges, and keep nothing of it."""
        await self.run(connection, "SAVEPOINT granula_rehearsal")
        refusals = await self.settle(connection, statements, ranges)
        await self.run(connection, "ROLLBACK TO SAVEPOINT granula_rehearsal")
        return refusals
