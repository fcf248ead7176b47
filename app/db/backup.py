"""Saves a consistent snapshot of a database to files, while services use it, and restores it.
SQLite by its own backup, PostgreSQL by COPY in text form, table by table in one snapshot.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy.engine import make_url

from app.db.migrations import revisions, upgrade
from app.db.models import Base
from app.db.private import FILE, make_private
from app.errors import BackupUnusable

SQLITE_FILE, TABLES_FILE = "granula.db", "tables.json"


class SavedTable(msgspec.Struct, frozen=True):
    """A table of PostgreSQL, as described in TABLES_FILE."""

    name: str
    columns: list[str]
    sequences: dict[str, int]
    """Next value of each identity column."""
    made_by: list[str] = []
    """Statements that create the table, if no migration does."""


@dataclass(frozen=True, slots=True)
class Saved:
    kind: str
    """sqlite or postgresql"""
    revision: str
    """Revision of the schema."""
    installation: UUID
    files: dict[UUID, int | None]
    """CRC-32 of each file whose bytes are in the storage."""


STORED_FILES = (
    "SELECT id, crc32 FROM files WHERE storage_uri IS NOT NULL AND storage_uri NOT LIKE '%://%'"
)


async def save(url: str, folder: Path) -> Saved:
    """Save the database of `url` into an empty folder. Raises BackupUnusable."""
    if url.startswith("sqlite"):
        return _save_sqlite(_path_of(url), folder / SQLITE_FILE)
    return await _save_postgresql(url, folder)


async def load(url: str, folder: Path, kind: str, revision: str, *, replace: bool) -> str | None:
    """Load a backup into the database of `url`; return the path of the kept old database, if any.

    A database that is not empty is refused unless `replace`. Raises BackupUnusable.
    """
    database_kind = "sqlite" if url.startswith("sqlite") else "postgresql"
    if kind != database_kind:
        raise BackupUnusable(
            f"The backup is of {kind}, and DATABASE_URL names {database_kind}. Set it to a database of that"
            " kind."
        )
    if revision not in revisions():
        raise BackupUnusable(
            f"The backup is of a newer version of Granula (schema {revision}). Restore it with that"
            " one."
        )
    old_path = None
    if kind == "sqlite":
        old_path = _load_sqlite(folder / SQLITE_FILE, _path_of(url), replace)
    else:
        await _load_postgresql(url, folder, revision, replace)
    await upgrade(url)
    return old_path


# ---------------------------------------------------------------------- SQLite


def _path_of(url: str) -> Path:
    return Path(make_url(url).database or "")


def _save_sqlite(path: Path, target: Path) -> Saved:
    if not path.exists():
        raise BackupUnusable(f"There is no database at {path}.")
    os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE))
    with (
        closing(
            sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=60)
        ) as source,
        closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)  # in one step, in one snapshot
        copy.execute("PRAGMA journal_mode=DELETE")  # so that the copy is one file
    with target.open("rb") as file:
        os.fsync(file.fileno())
    with closing(sqlite3.connect(target)) as copy:
        (revision,) = copy.execute("SELECT version_num FROM alembic_version").fetchone()
        (own_id,) = copy.execute("SELECT id FROM installation").fetchone() or (None,)
        stored = {UUID(str(row[0])): row[1] for row in copy.execute(STORED_FILES)}
    return Saved("sqlite", str(revision), _known(own_id), stored)


def _known(own_id: object) -> UUID:
    if own_id is None:
        raise BackupUnusable(
            "The database has no id yet: start the service once, or run `python -m app storage"
            " adopt`."
        )
    return UUID(str(own_id))


def _load_sqlite(source: Path, path: Path, replace: bool) -> str | None:
    old_path = None
    if path.exists() and path.stat().st_size:
        if _holds_something(path) and not replace:
            raise BackupUnusable(
                f"The database at {path} is not empty. --replace overwrites it with the backup."
            )
        with closing(sqlite3.connect(path, timeout=60)) as connection:
            # The file is complete without its WAL then.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        old_path = f"{path}.before-restore-{time.strftime('%Y%m%d-%H%M%S')}"
        os.rename(path, old_path)
    for ending in ("-wal", "-shm", "-journal"):
        Path(f"{path}{ending}").unlink(missing_ok=True)
    make_private(f"sqlite+aiosqlite:///{path}")
    with (
        closing(sqlite3.connect(source)) as saved_database,
        closing(sqlite3.connect(path)) as new_database,
    ):
        saved_database.backup(new_database)
    return old_path


def _holds_something(path: Path) -> bool:
    with closing(sqlite3.connect(path, timeout=60)) as connection:
        try:
            return any(
                connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() for table in TELLING
            )
        except sqlite3.OperationalError:  # a database without our tables
            return connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None


# ---------------------------------------------------------------------- PostgreSQL

TELLING = ("files", "uploads", "users", "webhooks", "schedules", "mapping_templates")
"""Tables of which at least one has a row once the service has been used."""


async def _connect(url: str) -> asyncpg.Connection[Any]:
    return await asyncpg.connect(
        url.replace("postgresql+asyncpg://", "postgresql://", 1), timeout=30
    )


async def _save_postgresql(url: str, folder: Path) -> Saved:
    connection = await _connect(url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            revision = str(await connection.fetchval("SELECT version_num FROM alembic_version"))
            tables: list[SavedTable] = []
            for table in Base.metadata.sorted_tables:
                columns = [str(column.name) for column in table.columns]
                named = ", ".join(f'"{name}"' for name in columns)
                await connection.copy_from_query(
                    f'SELECT {named} FROM "{table.name}"',
                    output=str(folder / f"{table.name}.copy"),
                )
                sequences = await _sequences(connection, table)
                tables.append(SavedTable(str(table.name), columns, sequences))
            more = await _more_tables(connection)
            tables += [await _save_more(connection, folder, name) for name in more]
            own_id = await connection.fetchval("SELECT id FROM installation")
            stored = {row["id"]: row["crc32"] for row in await connection.fetch(STORED_FILES)}
    finally:
        await connection.close()
    (folder / TABLES_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(tables), indent=1))
    return Saved("postgresql", revision, _known(own_id), stored)


async def _more_tables(connection: asyncpg.Connection[Any]) -> list[str]:
    """Return the tables that processors from outside created: their rows refer to jobs."""
    query = """
        SELECT DISTINCT c.relname FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid
        WHERE f.contype = 'f' AND f.confrelid = to_regclass('jobs') ORDER BY c.relname
    """
    names = [row["relname"] for row in await connection.fetch(query)]
    return [name for name in names if name not in Base.metadata.tables]


async def _save_more(connection: asyncpg.Connection[Any], folder: Path, name: str) -> SavedTable:
    """Save the rows of a table and the statements that create it, since no migration does."""
    columns = await connection.fetch(
        "SELECT attname, format_type(atttypid, atttypmod) AS type, attnotnull FROM pg_attribute"
        " WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        name,
    )
    constraints = await connection.fetch(
        "SELECT conname, pg_get_constraintdef(oid) AS definition FROM pg_constraint"
        " WHERE conrelid = to_regclass($1) AND contype IN ('p', 'f') ORDER BY contype DESC",
        name,
    )
    indexes = await connection.fetch(
        "SELECT pg_get_indexdef(indexrelid) AS definition FROM pg_index"
        " WHERE indrelid = to_regclass($1) AND NOT indisprimary",
        name,
    )
    lines = [
        f'"{row["attname"]}" {row["type"]}{" NOT NULL" if row["attnotnull"] else ""}'
        for row in columns
    ]
    lines += [f'CONSTRAINT "{row["conname"]}" {row["definition"]}' for row in constraints]
    await connection.copy_from_table(name, output=str(folder / f"{name}.copy"))
    made_by = [f'CREATE TABLE "{name}" ({", ".join(lines)})']
    made_by += [row["definition"] for row in indexes]
    return SavedTable(name, [row["attname"] for row in columns], {}, made_by)


async def _sequences(connection: asyncpg.Connection[Any], table: Any) -> dict[str, int]:
    """Return the next value of each identity column."""
    next_values = {}
    for column in table.columns:
        if column.identity is None:
            continue
        sequence = await connection.fetchval(
            "SELECT pg_get_serial_sequence($1, $2)", table.name, column.name
        )
        row = await connection.fetchrow(f"SELECT last_value, is_called FROM {sequence}")
        next_values[str(column.name)] = row["last_value"] + int(row["is_called"])
    return next_values


async def _load_postgresql(url: str, folder: Path, revision: str, replace: bool) -> None:
    connection = await _connect(url)
    try:
        current = None
        if await connection.fetchval("SELECT to_regclass('alembic_version')") is not None:
            current = await connection.fetchval("SELECT version_num FROM alembic_version")
        if current is None:
            await upgrade(url, revision)
        elif current != revision:
            raise BackupUnusable(
                f"The schema of the database is {current}, and the backup is of {revision}. Restore"
                " into an empty database."
            )
        saved = (folder / TABLES_FILE).read_bytes()
        tables = msgspec.json.decode(saved, type=list[SavedTable])
        async with connection.transaction():
            if not replace and await _is_used(connection):
                raise BackupUnusable(
                    "The database is not empty. --replace overwrites it with the backup."
                )
            for table in tables:
                await _make_if_missing(connection, table)
            every = ", ".join(f'"{table.name}"' for table in tables)
            await connection.execute(f"TRUNCATE {every} CASCADE")
            for table in tables:
                await connection.copy_to_table(
                    table.name,
                    source=str(folder / f"{table.name}.copy"),
                    columns=table.columns,
                )
                await _set_sequences(connection, table.name, table.sequences)
    finally:
        await connection.close()


async def _make_if_missing(connection: asyncpg.Connection[Any], table: SavedTable) -> None:
    if await connection.fetchval("SELECT to_regclass($1)", table.name) is not None:
        return
    for statement in table.made_by:
        await connection.execute(statement)


async def _is_used(connection: asyncpg.Connection[Any]) -> bool:
    for table in TELLING:
        if await connection.fetchval(f'SELECT EXISTS (SELECT 1 FROM "{table}")'):
            return True
    return False


async def _set_sequences(
    connection: asyncpg.Connection[Any], table: str, values: dict[str, int]
) -> None:
    for column, value in values.items():
        await connection.execute(
            "SELECT setval(pg_get_serial_sequence($1, $2), $3, false)", table, column, value
        )
