"""What the catalogue of a database says of a user's table, on PostgreSQL and on SQLite."""

from __future__ import annotations

from app.features.tables.catalogue.reading import (
    ListedTable,
    count_rows,
    default_schemas,
    find_workshop,
    is_own,
    list_tables,
    parse_name,
    read_definition,
)

__all__ = [
    "ListedTable",
    "count_rows",
    "default_schemas",
    "find_workshop",
    "is_own",
    "list_tables",
    "parse_name",
    "read_definition",
]
