"""NewTables: typed tables of processors from outside. They are created at the start if they do not
exist, and never changed after that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Text,
    Uuid,
    inspect,
    text,
)
from sqlalchemy import Table as SqlTable
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.engine import Database, brief
from app.db.models import NAMES, Base, Job
from app.db.types import UTCDateTime
from app.errors import MigrationsRefused, SettingsInvalid
from app.processors.tables import ColumnType, KeyedTable, NewTable, OwnTable, Table

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
OURS = {"job_id", "job_number", "created_at", "updated_at", "archived_at"}
"""Columns that the service adds."""
INTEGER: Any = BigInteger().with_variant(Integer, "sqlite")
IMPLIED: dict[str, Any] = {"row_number": INTEGER, "content_hash": Text()}
TYPES: dict[ColumnType, Any] = {
    ColumnType.TEXT: Text(),
    ColumnType.INTEGER: INTEGER,
    ColumnType.NUMBER: Double(),
    ColumnType.BOOLEAN: Boolean(),
    ColumnType.JSON: JSON(),
}
DIALECTS: tuple[Any, ...] = (postgresql.dialect(), sqlite.dialect())  # type: ignore[no-untyped-call]


class NewTables:
    def __init__(self, new: Sequence[NewTable]) -> None:
        """Check the tables; raises SettingsInvalid."""
        self.metadata = MetaData(naming_convention=NAMES)
        by_name: dict[str, NewTable] = {}
        for table in new:
            name = table.table.name
            if name not in by_name:
                _check(table, self.metadata.tables)
                _define(table, self.metadata)
                by_name[name] = table
            elif by_name[name] != table:
                raise _invalid(table.table, "two processors define it differently")
        self.tables: tuple[Table, ...] = tuple(table.table for table in by_name.values())

    async def prepare(self, database: Database) -> None:
        """Create the tables that do not exist. Several processes may do so concurrently. Raises
        SettingsInvalid if a table has other columns, MigrationsRefused, DatabaseUnavailable.
        """
        if self.tables:
            await database.transact(self._make)

    async def _make(self, connection: AsyncConnection) -> None:
        if connection.dialect.name == "postgresql":
            lock = "SELECT pg_advisory_xact_lock(hashtextextended('new tables', 0))"
            await connection.execute(text(lock))
        try:
            await connection.run_sync(self.metadata.create_all)
        except DBAPIError as error:
            names = ", ".join(self.metadata.tables)
            raise MigrationsRefused(
                f"The tables of PROCESSORS cannot be made ({names}): {brief(error)}. Let the role"
                " of DATABASE_URL create tables there."
            ) from error
        await connection.run_sync(self._compare)

    def _compare(self, connection: Connection) -> None:
        for table in self.metadata.tables.values():
            columns = {
                column["name"]: column["type"].compile(connection.dialect)
                for column in inspect(connection).get_columns(table.name)
            }
            wanted = {
                column.name: column.type.compile(connection.dialect) for column in table.columns
            }
            if columns != wanted:
                differing = sorted(
                    name
                    for name in columns.keys() | wanted.keys()
                    if columns.get(name) != wanted.get(name)
                )
                raise SettingsInvalid(
                    f"PROCESSORS: the table {table.name} already exists and has other columns "
                    f"({', '.join(differing)}). Give yours another name, or change the existing "
                    "table."
                )


def _check(new: NewTable, others: Mapping[str, Any]) -> None:
    table = new.table
    for name in _names_of(table):
        if not NAME.fullmatch(name) or _is_reserved(name):
            raise _invalid(table, f"{name!r} is not a valid name for a table")
        if name in Base.metadata.tables or name in others:
            raise _invalid(table, f"the name {name!r} is taken")
    for column in table.columns:
        if not NAME.fullmatch(column) or _is_reserved(column) or column in OURS:
            raise _invalid(table, f"{column!r} is not a valid name for a column")
    typed = [column for column in table.columns if column not in IMPLIED]
    if sorted(new.types) != sorted(typed) or len(set(table.columns)) < len(table.columns):
        raise _invalid(table, f"`types` must name the columns {', '.join(typed)}, each once")
    for kind in new.types.values():
        if kind not in set(ColumnType):
            raise _invalid(table, f"{kind!r} is not one of {', '.join(ColumnType)}")
    for needed in _needed_of(table):
        if needed not in table.columns:
            raise _invalid(table, f"it needs a column `{needed}`")


def _names_of(table: Table) -> Iterator[str]:
    yield table.name
    if isinstance(table, KeyedTable):
        yield table.versions


def _needed_of(table: Table) -> Iterable[str]:
    if isinstance(table, KeyedTable):
        return (table.key, *IMPLIED)
    return (table.key, *table.corrected)


def _is_reserved(name: str) -> bool:
    """Return whether the name is a word of SQL, which our statements would have to quote."""
    return any(name in dialect.identifier_preparer.reserved_words for dialect in DIALECTS)


def _invalid(table: Table, problem: str) -> SettingsInvalid:
    return SettingsInvalid(f"PROCESSORS: the table {table.name!r} cannot be made: {problem}.")


def _define(new: NewTable, metadata: MetaData) -> None:
    table = new.table
    if isinstance(table, KeyedTable):
        _define_keyed(table, new.types, metadata)
    else:
        _define_own(table, new.types, metadata)


def _job_id(*, is_key: bool = False) -> Column[Any]:
    """Make the column of the job. Its rows are always deleted with the job, also when no processor
    has this table any more.
    """
    owner: Any = ForeignKey(Job.__table__.c.id, ondelete="CASCADE")
    return Column("job_id", Uuid(), owner, primary_key=is_key, nullable=False)


def _column(name: str, types: Mapping[str, str], *, is_key: bool) -> Column[Any]:
    if name in IMPLIED:
        return Column(name, IMPLIED[name], primary_key=is_key, nullable=False, autoincrement=False)
    kind = TYPES[ColumnType(types[name])]
    return Column(name, kind, primary_key=is_key, nullable=not is_key, autoincrement=False)


def _define_own(table: OwnTable, types: Mapping[str, str], metadata: MetaData) -> None:
    columns = [_column(name, types, is_key=name == table.key) for name in table.columns]
    SqlTable(table.name, metadata, _job_id(is_key=True), *columns)


def _define_keyed(table: KeyedTable, types: Mapping[str, str], metadata: MetaData) -> None:
    for name, is_version in ((table.name, False), (table.versions, True)):
        number = Column(
            "job_number", INTEGER, primary_key=is_version, nullable=False, autoincrement=False
        )
        columns = [_column(column, types, is_key=column == table.key) for column in table.columns]
        times: list[Column[Any]] = [
            Column("created_at", UTCDateTime(), nullable=False),
            Column("updated_at", UTCDateTime(), nullable=False),
        ]
        index = Index(f"ix_{name}_job_id_row_number", "job_id", "row_number")
        sql_table = SqlTable(name, metadata, _job_id(), number, *columns, *times, index)
        if is_version:
            sql_table.append_column(Column("archived_at", UTCDateTime(), nullable=False))
            Index(f"ix_{name}_archived_at", sql_table.c.archived_at)
