"""From the pragmas of SQLite to the definition of a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from sqlalchemy.ext.asyncio import AsyncConnection

from app.features.tables.catalogue import queries
from app.features.tables.catalogue.queries import (
    SqliteColumn,
    SqliteForeignKey,
    SqliteIndex,
    SqliteIndexColumn,
    SqliteTable,
)
from app.features.tables.catalogue.statements import checks_of, index_terms_of
from app.features.tables.definition import (
    Column,
    Constraint,
    Generated,
    TableDefinition,
    TableKind,
    TableName,
)

KINDS: dict[str, TableKind] = {
    "table": "table",
    "view": "view",
    "virtual": "virtual",
    "shadow": "virtual",
}
SCHEMA = "main"
OF_VIRTUAL_TABLE, COMPUTED = 1, (2, 3)
EXPRESSION = -2


async def read(connection: AsyncConnection, name: TableName) -> TableDefinition | None:
    """Return the definition; None if there is no such table or view. Only the schema `main` has
    tables of users.
    """
    if name.schema not in ("", SCHEMA):
        return None
    table = await queries.find_sqlite_table(connection, name.table)
    if table is None:
        return None
    rows = await queries.list_sqlite_columns(connection, table.name)
    indexes = await queries.list_sqlite_indexes(connection, table.name)
    rowid = _rowid_column(table, rows, indexes)
    on = await queries.list_sqlite_index_columns(connection, table.name)
    return TableDefinition(
        name=TableName(SCHEMA, table.name, name.connection),
        kind=KINDS[table.kind],
        columns=tuple(
            _column(row, table, is_rowid=row.name == rowid)
            for row in rows
            if row.hidden != OF_VIRTUAL_TABLE
        ),
        constraints=(
            *_primary_key(rows),
            *_not_nulls(rows, table),
            *_unique(indexes, on),
            *_checks(table),
            *await _foreign_keys(connection, table.name),
        ),
        triggers=tuple(await queries.list_sqlite_triggers(connection, table.name)),
        dialect="sqlite",
        is_strict=bool(table.is_strict),
        has_rowid=not table.is_without_rowid,
    )


def _rowid_column(
    table: SqliteTable, rows: Sequence[SqliteColumn], indexes: Sequence[SqliteIndex]
) -> str | None:
    """Return the column that is another name of the rowid. A key INTEGER PRIMARY KEY DESC is none,
    and has an index instead.
    """
    key = [row for row in rows if row.place_in_key]
    is_candidate = len(key) == 1 and key[0].type.upper() == "INTEGER"
    if not is_candidate or table.is_without_rowid or table.kind != "table":
        return None
    if any(index.origin == "pk" for index in indexes):
        return None
    return key[0].name


def _is_not_null(row: SqliteColumn, table: SqliteTable) -> bool:
    """Return whether the column never is NULL. Only some tables refuse it in the columns of their
    keys."""
    return bool(row.is_not_null) or bool(
        row.place_in_key and (table.is_strict or table.is_without_rowid)
    )


def _column(row: SqliteColumn, table: SqliteTable, *, is_rowid: bool) -> Column:
    generated: Generated = ""
    if row.hidden in COMPUTED:
        generated = "computed"
    elif is_rowid:
        generated = "identity_by_default"
    return Column(
        name=row.name,
        type=row.type,
        is_nullable=not is_rowid and not _is_not_null(row, table),
        default=row.default,
        generated=generated,
        base_type=row.type,
    )


def _primary_key(rows: Iterable[SqliteColumn]) -> Iterator[Constraint]:
    key = sorted((row.place_in_key, row.name) for row in rows if row.place_in_key)
    if key:
        yield Constraint("", "primary_key", tuple(name for _, name in key))


def _not_nulls(rows: Iterable[SqliteColumn], table: SqliteTable) -> Iterator[Constraint]:
    for row in rows:
        if _is_not_null(row, table):
            yield Constraint("", "not_null", (row.name,), "NOT NULL")


def _unique(
    indexes: Iterable[SqliteIndex], on: Iterable[SqliteIndexColumn]
) -> Iterator[Constraint]:
    columns = {name: list(of_index) for name, of_index in groupby(on, lambda each: each.index)}
    for index in indexes:
        if index.origin == "pk":
            continue
        terms = columns[index.name]
        sql = index.sql or ""
        constraint = Constraint(
            name=index.name,
            kind="unique",
            columns=tuple(term.name for term in terms if term.name is not None),
            definition=sql,
            is_index=index.origin == "c",
        )
        if any(term.place == EXPRESSION for term in terms):
            constraint = replace(constraint, expressions=index_terms_of(sql).terms)
        if index.is_partial:
            constraint = replace(constraint, predicate=index_terms_of(sql).predicate)
        yield constraint


def _checks(table: SqliteTable) -> Iterator[Constraint]:
    if table.kind == "table" and table.sql:
        for name, condition in checks_of(table.sql):
            yield Constraint(name, "check", (), f"CHECK ({condition})")


async def _foreign_keys(connection: AsyncConnection, name: str) -> list[Constraint]:
    rows = await queries.list_sqlite_foreign_keys(connection, name)
    keys = []
    for _, of_key in groupby(rows, lambda row: row.number):
        keys.append(await _foreign_key(connection, list(of_key)))
    return keys


async def _foreign_key(connection: AsyncConnection, rows: Sequence[SqliteForeignKey]) -> Constraint:
    parent = rows[0].table
    referenced = [row.referenced for row in rows if row.referenced is not None]
    if not referenced:
        columns = await queries.list_sqlite_columns(connection, parent)
        key = sorted((row.place_in_key, row.name) for row in columns if row.place_in_key)
        referenced = [name for _, name in key]
    return Constraint(
        name="",
        kind="foreign_key",
        columns=tuple(row.column for row in rows),
        references=TableName(SCHEMA, parent),
        referenced_columns=tuple(referenced),
    )
