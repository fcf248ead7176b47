"""SQL for the catalogues of PostgreSQL and SQLite."""

from __future__ import annotations

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.rows import fetch_all, fetch_first

GRANULA_TABLES = ("alembic_version", "installation", "jobs", "files", "chunks")
"""A schema that has all of these is where the service keeps its own data."""


class Relation(msgspec.Struct, frozen=True):
    oid: int
    schema: str
    name: str
    kind: str
    """As pg_class writes it."""
    estimated_rows: float
    has_row_security: bool
    is_owner: bool
    can_select: bool
    can_insert: bool
    can_update: bool
    can_delete: bool
    can_truncate: bool
    partition_key: str | None
    partition_bound: str | None
    has_children: bool


class ColumnRow(msgspec.Struct, frozen=True):
    name: str
    type: str
    type_oid: int
    type_modifier: int
    is_not_null: bool
    default: str | None
    identity: str
    generated: str
    can_insert: bool
    can_update: bool


class TypeRow(msgspec.Struct, frozen=True):
    """A type that columns have, or that domains and arrays are made of."""

    oid: int
    kind: str
    """As pg_type writes it: b, c, d, e, r, m or p."""
    base_oid: int
    """Base type of a domain; else 0."""
    base_modifier: int
    element_oid: int
    """Type of the elements of an array; else 0."""
    is_not_null: bool
    default: str | None
    written: str
    """Its name, as of a column without a modifier."""
    base_written: str | None
    labels: list[str]


class ConstraintRow(msgspec.Struct, frozen=True):
    name: str
    kind: str
    """As pg_constraint writes it."""
    columns: list[str]
    definition: str
    is_deferrable: bool
    is_deferred: bool
    nulls_are_equal: bool
    referenced_schema: str | None
    referenced_table: str | None
    referenced_columns: list[str]
    match: str
    is_temporal: bool
    domain_oid: int


class IndexRow(msgspec.Struct, frozen=True):
    """A unique index that belongs to no constraint."""

    name: str
    columns: list[str]
    expressions: list[str]
    """All that it is on, columns included."""
    definition: str
    predicate: str | None
    nulls_are_equal: bool
    has_expressions: bool


class ListedTable(msgspec.Struct, frozen=True):
    name: str
    kind: str
    """As pg_class, or pragma_table_list, writes it."""
    estimated_rows: float
    """Negative if it is not known."""


# ---------------------------------------------------------------------- PostgreSQL

RELATION = text("""
    SELECT c.oid::bigint, n.nspname::text, c.relname::text, c.relkind::text, c.reltuples::float8,
        row_security_active(c.oid), pg_has_role(c.relowner, 'USAGE'),
        has_table_privilege(c.oid, 'SELECT'), has_table_privilege(c.oid, 'INSERT'),
        has_table_privilege(c.oid, 'UPDATE'), has_table_privilege(c.oid, 'DELETE'),
        has_table_privilege(c.oid, 'TRUNCATE'),
        CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END,
        CASE WHEN c.relispartition THEN pg_get_partition_constraintdef(c.oid) END,
        EXISTS (SELECT 1 FROM pg_inherits i WHERE i.inhparent = c.oid)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname = CAST(:name AS text) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
        AND (n.nspname = CAST(:schema AS text)
            OR (CAST(:schema AS text) = '' AND n.nspname = ANY (current_schemas(false))))
    ORDER BY array_position(current_schemas(false), n.nspname)
    LIMIT 1
""")
COLUMNS = text("""
    SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), a.atttypid::bigint, a.atttypmod,
        a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attidentity::text, a.attgenerated::text,
        has_column_privilege(a.attrelid, a.attnum, 'INSERT'),
        has_column_privilege(a.attrelid, a.attnum, 'UPDATE')
    FROM pg_attribute a
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = CAST(:oid AS bigint) AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum
""")
TYPES = text("""
    WITH RECURSIVE needed (oid) AS (
        SELECT a.atttypid FROM pg_attribute a
        WHERE a.attrelid = CAST(:oid AS bigint) AND a.attnum > 0 AND NOT a.attisdropped
        UNION
        SELECT CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END
        FROM needed JOIN pg_type t ON t.oid = needed.oid
        WHERE t.typtype = 'd' OR (t.typcategory = 'A' AND t.typelem <> 0)
    )
    SELECT t.oid::bigint, t.typtype::text, t.typbasetype::bigint, t.typtypmod,
        (CASE WHEN t.typcategory = 'A' AND t.typtype = 'b' THEN t.typelem ELSE 0 END)::bigint,
        t.typnotnull, t.typdefault, format_type(t.oid, NULL),
        CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END,
        ARRAY(
            SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid
            ORDER BY e.enumsortorder
        )
    FROM needed JOIN pg_type t ON t.oid = needed.oid
""")
# What an older version has no column for is read as NULL by way of JSON.
CONSTRAINTS = text("""
    SELECT c.conname::text, c.contype::text,
        ARRAY(
            SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY AS k (number, place)
            JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.number ORDER BY k.place
        ),
        pg_get_constraintdef(c.oid), c.condeferrable, c.condeferred,
        coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false),
        fn.nspname::text, f.relname::text,
        ARRAY(
            SELECT a.attname::text FROM unnest(c.confkey) WITH ORDINALITY AS k (number, place)
            JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.number
            ORDER BY k.place
        ),
        c.confmatchtype::text, coalesce((to_jsonb(c) ->> 'conperiod')::boolean, false),
        c.contypid::bigint
    FROM pg_constraint c
    LEFT JOIN pg_index i ON i.indexrelid = c.conindid AND c.contype IN ('p', 'u', 'x')
    LEFT JOIN pg_class f ON f.oid = c.confrelid
    LEFT JOIN pg_namespace fn ON fn.oid = f.relnamespace
    WHERE (c.conrelid = CAST(:oid AS bigint) OR c.contypid = ANY (CAST(:domains AS bigint[])))
        AND c.contype IN ('p', 'u', 'c', 'f', 'x', 'n')
        AND coalesce((to_jsonb(c) ->> 'conenforced')::boolean, true)
    ORDER BY c.contype, c.conname
""")
UNIQUE_INDEXES = text("""
    SELECT r.relname::text,
        ARRAY(
            SELECT a.attname::text FROM generate_series(0, i.indnkeyatts - 1) AS k (place)
            JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k.place]
            WHERE i.indkey[k.place] <> 0 ORDER BY k.place
        ),
        ARRAY(
            SELECT pg_get_indexdef(i.indexrelid, k.place, true)
            FROM generate_series(1, i.indnkeyatts) AS k (place) ORDER BY k.place
        ),
        pg_get_indexdef(i.indexrelid), pg_get_expr(i.indpred, i.indrelid),
        coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false), i.indexprs IS NOT NULL
    FROM pg_index i JOIN pg_class r ON r.oid = i.indexrelid
    WHERE i.indrelid = CAST(:oid AS bigint) AND i.indisunique AND i.indisready
        AND NOT EXISTS (
            SELECT 1 FROM pg_constraint c
            WHERE c.conrelid = i.indrelid AND c.conindid = i.indexrelid
                AND c.contype IN ('p', 'u', 'x')
        )
    ORDER BY r.relname
""")
TRIGGERS = text("""
    SELECT t.tgname::text FROM pg_trigger t
    WHERE t.tgrelid = CAST(:oid AS bigint) AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
    ORDER BY t.tgname
""")
RULES = text("""
    SELECT r.rulename::text FROM pg_rewrite r
    WHERE r.ev_class = CAST(:oid AS bigint) AND r.ev_type <> '1' AND r.ev_enabled <> 'D'
    ORDER BY r.rulename
""")
LISTED = text("""
    SELECT c.relname::text, c.relkind::text, c.reltuples::float8
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = CAST(:schema AS text) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
        AND has_schema_privilege(n.oid, 'USAGE')
        AND (has_any_column_privilege(c.oid, 'SELECT') OR has_any_column_privilege(c.oid, 'INSERT'))
    ORDER BY c.relname
""")
HAS_ALL = text("""
    SELECT count(*) = cardinality(CAST(:names AS text[])) FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = CAST(:schema AS text) AND c.relname = ANY (CAST(:names AS text[]))
""")


class Workshop(msgspec.Struct, frozen=True):
    """The schema in which loads on a named connection keep tables of their own."""

    name: str | None
    """None if the search path has no schema that is there."""
    can_create: bool
    """Whether the role may make tables there."""


WORKSHOP = text("""
SELECT name::text AS name, coalesce(has_schema_privilege(name, 'CREATE'), false) AS can_create
FROM (SELECT coalesce(
    (SELECT nspname FROM pg_namespace
     WHERE nspname = 'granula' AND has_schema_privilege(oid, 'USAGE')),
    current_schema()
) AS name) AS schemas
""")


async def find_relation(connection: AsyncConnection, schema: str, name: str) -> Relation | None:
    """Return the table, view or foreign table of this name. An empty schema stands for those of the
    search path.
    """
    return await fetch_first(connection, Relation, RELATION, {"schema": schema, "name": name})


async def list_columns(connection: AsyncConnection, oid: int) -> list[ColumnRow]:
    return await fetch_all(connection, ColumnRow, COLUMNS, {"oid": oid})


async def list_types(connection: AsyncConnection, oid: int) -> list[TypeRow]:
    """Return the types of the columns, and what domains and arrays among them are made of."""
    return await fetch_all(connection, TypeRow, TYPES, {"oid": oid})


async def list_constraints(
    connection: AsyncConnection, oid: int, domains: list[int]
) -> list[ConstraintRow]:
    """Return the constraints of a table and of these domains."""
    parameters = {"oid": oid, "domains": domains}
    return await fetch_all(connection, ConstraintRow, CONSTRAINTS, parameters)


async def list_unique_indexes(connection: AsyncConnection, oid: int) -> list[IndexRow]:
    return await fetch_all(connection, IndexRow, UNIQUE_INDEXES, {"oid": oid})


async def list_triggers(connection: AsyncConnection, oid: int) -> list[str]:
    return list((await connection.execute(TRIGGERS, {"oid": oid})).scalars())


async def list_rules(connection: AsyncConnection, oid: int) -> list[str]:
    return list((await connection.execute(RULES, {"oid": oid})).scalars())


async def list_tables(connection: AsyncConnection, schema: str) -> list[ListedTable]:
    """Return the tables and views of a schema that the role may read or write, by name."""
    return await fetch_all(connection, ListedTable, LISTED, {"schema": schema})


async def list_search_path(connection: AsyncConnection) -> list[str]:
    """Return the schemas of the search path that exist, without those of the system."""
    query = text("SELECT unnest(current_schemas(false))::text")
    return list((await connection.execute(query)).scalars())


async def find_workshop(connection: AsyncConnection) -> Workshop:
    """Return the schema in which loads keep tables of their own."""
    workshop = await fetch_first(connection, Workshop, WORKSHOP)
    assert workshop is not None
    return workshop


async def is_home(connection: AsyncConnection, schema: str) -> bool:
    """Return whether the service, or another installation of it, keeps its data in this schema."""
    if connection.dialect.name == "sqlite":
        return schema in ("", "main")
    parameters = {"schema": schema, "names": list(GRANULA_TABLES)}
    return bool((await connection.execute(HAS_ALL, parameters)).scalar_one())


async def count_rows(connection: AsyncConnection, table_sql: str) -> int:
    """Count the rows of a table. `table_sql`: the quoted name with its schema."""
    result = await connection.exec_driver_sql(f"SELECT count(*) FROM {table_sql}")
    return int(result.scalar_one())


# ---------------------------------------------------------------------- SQLite


class SqliteTable(msgspec.Struct, frozen=True):
    name: str
    kind: str
    is_without_rowid: bool
    is_strict: bool
    sql: str | None
    """The statement that made it."""


class SqliteColumn(msgspec.Struct, frozen=True):
    name: str
    type: str
    is_not_null: bool
    default: str | None
    place_in_key: int
    """From 1; 0 if it is not in the primary key."""
    hidden: int
    """1: of a virtual table; 2 and 3: computed."""


class SqliteIndex(msgspec.Struct, frozen=True):
    name: str
    origin: str
    """c, u or pk."""
    is_partial: bool
    sql: str | None


class SqliteIndexColumn(msgspec.Struct, frozen=True):
    index: str
    name: str | None
    """None if it is an expression."""
    place: int
    """Place of the column in the table; -1 for the rowid, -2 for an expression."""


class SqliteForeignKey(msgspec.Struct, frozen=True):
    number: int
    table: str
    column: str
    referenced: str | None
    """None stands for the primary key."""


SQLITE_TABLE = text("""
    SELECT l.name, l.type, l.wr, l.strict,
        (SELECT s.sql FROM sqlite_schema s WHERE s.name = l.name AND s.type IN ('table', 'view'))
    FROM pragma_table_list(:name) l WHERE l.schema = 'main'
""")
SQLITE_COLUMNS = text("""
    SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(:name, 'main')
    ORDER BY cid
""")
SQLITE_INDEXES = text("""
    SELECT l.name, l.origin, l.partial, s.sql
    FROM pragma_index_list(:name, 'main') l
    LEFT JOIN sqlite_schema s ON s.name = l.name AND s.type = 'index'
    WHERE l."unique" = 1 ORDER BY l.name
""")
SQLITE_INDEX_COLUMNS = text("""
    SELECT l.name, x.name, x.cid
    FROM pragma_index_list(:name, 'main') l, pragma_index_xinfo(l.name, 'main') x
    WHERE l."unique" = 1 AND x."key" = 1 ORDER BY l.name, x.seqno
""")
SQLITE_FOREIGN_KEYS = text("""
    SELECT id, "table", "from", "to" FROM pragma_foreign_key_list(:name, 'main') ORDER BY id, seq
""")
SQLITE_TRIGGERS = text("""
    SELECT name FROM sqlite_schema
    WHERE type = 'trigger' AND lower(tbl_name) = lower(:name) ORDER BY name
""")
SQLITE_LISTED = text("""
    SELECT name, type, -1.0 FROM pragma_table_list
    WHERE schema = 'main' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND type <> 'shadow'
    ORDER BY name
""")


async def find_sqlite_table(connection: AsyncConnection, name: str) -> SqliteTable | None:
    return await fetch_first(connection, SqliteTable, SQLITE_TABLE, {"name": name})


async def list_sqlite_columns(connection: AsyncConnection, name: str) -> list[SqliteColumn]:
    return await fetch_all(connection, SqliteColumn, SQLITE_COLUMNS, {"name": name})


async def list_sqlite_indexes(connection: AsyncConnection, name: str) -> list[SqliteIndex]:
    """Return the unique indexes of a table."""
    return await fetch_all(connection, SqliteIndex, SQLITE_INDEXES, {"name": name})


async def list_sqlite_index_columns(
    connection: AsyncConnection, name: str
) -> list[SqliteIndexColumn]:
    """Return the columns of all unique indexes of a table, in the order of each."""
    return await fetch_all(connection, SqliteIndexColumn, SQLITE_INDEX_COLUMNS, {"name": name})


async def list_sqlite_foreign_keys(
    connection: AsyncConnection, name: str
) -> list[SqliteForeignKey]:
    return await fetch_all(connection, SqliteForeignKey, SQLITE_FOREIGN_KEYS, {"name": name})


async def list_sqlite_triggers(connection: AsyncConnection, name: str) -> list[str]:
    return list((await connection.execute(SQLITE_TRIGGERS, {"name": name})).scalars())


async def list_sqlite_tables(connection: AsyncConnection) -> list[ListedTable]:
    return await fetch_all(connection, ListedTable, SQLITE_LISTED)
