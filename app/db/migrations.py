"""The schema's version: bringing the embedded database up to date, and telling whether any database is."""

from __future__ import annotations

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from app.db.engine import Database

ROOT = Path(__file__).resolve().parents[2]


def _config(url: str) -> Config:
    config = Config(str(ROOT / "alembic.ini"))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


async def upgrade(url: str) -> None:
    """`alembic upgrade head`."""
    await asyncio.to_thread(command.upgrade, _config(url), "head")


def head() -> str | None:
    """The newest revision of this version."""
    return ScriptDirectory.from_config(_config("")).get_current_head()


async def current_is_head(database: Database) -> bool:
    async with database.reading() as connection:
        current = await connection.run_sync(lambda c: MigrationContext.configure(c).get_current_revision())
    return current == head()
