"""The version of the schema: creates and updates the tables, and checks whether they fit this
version.
"""

from __future__ import annotations

import asyncio
import re
from functools import cache
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from app.data_files import ALEMBIC_INI
from app.db.engine import Database, brief
from app.db.models import Base
from app.errors import MigrationsPending, MigrationsRefused
from app.lazy import LazyModule

if TYPE_CHECKING:
    from alembic import command, config, script, util
else:  # most starts find the tables as they should be, and need none of it
    command = LazyModule("alembic.command")
    config = LazyModule("alembic.config")
    script = LazyModule("alembic.script")
    util = LazyModule("alembic.util")

VERSION_TABLE = "alembic_version"
REVISION = re.compile(r"^(revision|down_revision)\b[^=\n]*= \"([^\"]+)\"", re.MULTILINE)


def _config(url: str) -> config.Config:
    alembic_config = config.Config(str(ALEMBIC_INI))
    alembic_config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return alembic_config


async def upgrade(url: str, revision: str = "head") -> None:
    """Run `alembic upgrade`. Raises DatabaseUnavailable, MigrationsRefused."""
    try:
        await asyncio.to_thread(command.upgrade, _config(url), revision)
    except util.CommandError as error:
        raise MigrationsRefused(f"The tables cannot be created or changed: {error}") from error
    except DBAPIError as error:
        raise MigrationsRefused(
            f"The tables cannot be created or changed: {brief(error)}. Let the role of DATABASE_URL"
            " create tables there, or run `alembic upgrade head` as a role that may."
        ) from error


async def prepare(database: Database, url: str, *, update: bool) -> None:
    """Create the tables of an empty database; with `update`, migrate existing ones to this version.

    Raises MigrationsPending, MigrationsRefused, DatabaseUnavailable.
    """
    if await current_is_head(database):  # nearly always: Alembic is not imported then
        return
    if update or await _is_empty(database):
        await upgrade(url)
    if not await current_is_head(database):
        raise MigrationsPending


async def _is_empty(database: Database) -> bool:
    """Return whether the database has none of our tables; other tables do not count."""

    def has_none_of_ours(connection: Connection) -> bool:
        own_tables = {VERSION_TABLE, *Base.metadata.tables}
        return own_tables.isdisjoint(inspect(connection).get_table_names())

    async with database.reading() as connection:
        return await connection.run_sync(has_none_of_ours)


def revisions() -> list[str]:
    """Return the revisions that this version knows."""
    return [
        each.revision for each in script.ScriptDirectory.from_config(_config("")).walk_revisions()
    ]


@cache
def head() -> str:
    """Return the newest revision of this version: the one that no other names as its predecessor.

    It is read from the files, since Alembic takes longer to import than a service to start.
    """
    by_name: dict[str, set[str]] = {"revision": set(), "down_revision": set()}
    for path in (ALEMBIC_INI.parent / "alembic" / "versions").glob("*.py"):
        for name, revision in REVISION.findall(path.read_text()):
            by_name[name].add(revision)
    (newest,) = by_name["revision"] - by_name["down_revision"]
    return newest


async def current_is_head(database: Database) -> bool:
    """Raises DatabaseUnavailable."""
    async with database.reading() as connection:
        current = await connection.run_sync(_current)
    return current == head()


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    revision: str | None = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))
    return revision
