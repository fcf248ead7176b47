"""Reads definitions of tables, on a connection of either database."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import Base
from app.features.tables.catalogue import postgresql, queries, sqlite
from app.features.tables.definition import TableDefinition, TableKind, TableName

SYSTEM_SCHEMA = re.compile(r"pg_.*|information_schema")
OWN_PREFIXES = ("granula_", "procrastinate_")
"""Prefixes of tables that the service, or its queue, makes in addition to its models."""
OTHER_NAMES = ("alembic_version", "result_rows")
"""Names of the service in no model: the version of its schema, and the view of its results."""
_PART = r'"(?:[^"\0]|"")+"|[^."\0]+'
NAME = re.compile(rf"(?:(?P<schema>{_PART})\.)?(?P<table>{_PART})")


@dataclass(frozen=True, slots=True)
class ListedTable:
    name: str
    kind: TableKind
    estimated_rows: int | None
    """None if the database does not know."""


def parse_name(written: str) -> tuple[str, str] | None:
    """Return (schema, table) of `public.orders`, `orders` or `public."My.Table"`; the schema is
    empty if there is none. None if it cannot be read.

    Names are taken as they are written, capitals included. Quotes are needed only around a name
    with a dot or a quote in it.
    """
    match = NAME.fullmatch(written)
    if match is None:
        return None
    return _unquoted(match["schema"] or ""), _unquoted(match["table"])


def _unquoted(part: str) -> str:
    if part.startswith('"'):
        return part[1:-1].replace('""', '"')
    return part


async def read_definition(
    connection: AsyncConnection, name: TableName, own_tables: Iterable[str] = ()
) -> TableDefinition | None:
    """Return the definition; None if there is no such table, if the role may not see it, and if it
    is one that the service keeps its own data in. An empty schema stands for the search path of the
    connection; the definition has the schema in which the table was found.

    `own_tables`: names of further tables of the service, such as those of its processors.
    """
    if connection.dialect.name == "sqlite":
        definition = await sqlite.read(connection, name)
    else:
        definition = await postgresql.read(connection, name)
    if definition is None or await is_own(connection, definition.name, own_tables):
        return None
    return definition


async def is_own(
    connection: AsyncConnection, name: TableName, own_tables: Iterable[str] = ()
) -> bool:
    """Return whether a table, there or not, is one of the system or of the service; on the database
    of a named connection also those of another installation.
    """
    if SYSTEM_SCHEMA.fullmatch(name.schema) or name.table.lower().startswith("sqlite_"):
        return True
    if name.table.startswith(OWN_PREFIXES):
        return True
    is_known = name.table.lower() in _own_names(own_tables)
    return is_known and await queries.is_home(connection, name.schema)


def _own_names(own_tables: Iterable[str]) -> set[str]:
    return {*OTHER_NAMES, *Base.metadata.tables, *own_tables}


async def list_tables(
    connection: AsyncConnection, schema: str, own_tables: Iterable[str] = ()
) -> list[ListedTable]:
    """Return the tables and views of a schema that the role may read or write, by name, without
    those of the service.
    """
    if connection.dialect.name == "sqlite":
        rows = await queries.list_sqlite_tables(connection)
        kinds: dict[str, Any] = sqlite.KINDS
    else:
        if SYSTEM_SCHEMA.fullmatch(schema):
            return []
        rows = await queries.list_tables(connection, schema)
        kinds = postgresql.KINDS
    own: set[str] = set()
    if await queries.is_home(connection, schema):
        own = _own_names(own_tables)
    return [
        ListedTable(row.name, kinds[row.kind], postgresql.known_rows(row.estimated_rows))
        for row in rows
        if row.name.lower() not in own and not row.name.startswith(OWN_PREFIXES)
    ]


async def default_schemas(connection: AsyncConnection) -> list[str]:
    """Return the schemas in which a name without one is looked for, in their order."""
    if connection.dialect.name == "sqlite":
        return [sqlite.SCHEMA]
    return await queries.list_search_path(connection)


async def find_workshop(connection: AsyncConnection) -> queries.Workshop:
    """Return the schema of a named connection in which loads keep tables of their own."""
    return await queries.find_workshop(connection)


async def count_rows(connection: AsyncConnection, name: TableName) -> int:
    """Count the rows exactly, which takes as long as reading the table."""
    return await queries.count_rows(connection, name.sql)
