"""The schema's version: making and updating the tables, and telling whether they are those of this
version.
"""

from __future__ import annotations

import asyncio

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, inspect
from sqlalchemy.exc import DBAPIError

from app.data_files import ALEMBIC_INI
from app.db.engine import Database, brief
from app.db.models import Base
from app.errors import MigrationsPending, MigrationsRefused

VERSION_TABLE = "alembic_version"


def _config(url: str) -> Config:
    config = Config(str(ALEMBIC_INI))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


async def upgrade(url: str, revision: str = "head") -> None:
    """`alembic upgrade`. Raises DatabaseUnavailable, MigrationsRefused."""
    try:
        await asyncio.to_thread(command.upgrade, _config(url), revision)
    except CommandError as error:
        raise MigrationsRefused(f"The tables cannot be made or changed: {error}") from error
    except DBAPIError as error:
        raise MigrationsRefused(
            f"The tables cannot be made or changed: {brief(error)}. Let the role of DATABASE_URL"
            " create tables there, or run `alembic upgrade head` as one that may."
        ) from error


async def prepare(database: Database, url: str, *, update: bool) -> None:
    """Make the tables where there are none, and with `update` bring existing ones to this version.

    Raises MigrationsPending, MigrationsRefused, DatabaseUnavailable.
    """
    if update or await _is_empty(database):
        await upgrade(url)
    if not await current_is_head(database):
        raise MigrationsPending


async def _is_empty(database: Database) -> bool:
    """Whether the database holds no table of ours; those of others do not count."""

    def has_none_of_ours(connection: Connection) -> bool:
        ours = {VERSION_TABLE, *Base.metadata.tables}
        return ours.isdisjoint(inspect(connection).get_table_names())

    async with database.reading() as connection:
        return await connection.run_sync(has_none_of_ours)


def revisions() -> list[str]:
    """Those that this version knows."""
    return [each.revision for each in ScriptDirectory.from_config(_config("")).walk_revisions()]


def head() -> str | None:
    """The newest revision of this version."""
    return ScriptDirectory.from_config(_config("")).get_current_head()


async def current_is_head(database: Database) -> bool:
    async with database.reading() as connection:
        current = await connection.run_sync(
            lambda c: MigrationContext.configure(c).get_current_revision()
        )
    return current == head()
