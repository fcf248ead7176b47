"""Runs the migrations on the database of the settings, or on the URL or connection that the caller
put into the config.
"""

from __future__ import annotations

import asyncio

from alembic import context
from sqlalchemy import Connection

from app.config import load_settings
from app.db.engine import connected, migration_engine
from app.db.models import Base


def migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        transactional_ddl=True,  # an interrupted migration leaves nothing, on SQLite too
    )
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            # Of processes that start at once on an empty database one makes the tables; the others
            # then find them made.
            connection.exec_driver_sql(
                "SELECT pg_advisory_xact_lock(hashtextextended('granula migrations', 0))"
            )
        context.run_migrations()


async def connect_and_migrate() -> None:
    settings = load_settings()
    url = context.config.get_main_option("sqlalchemy.url") or settings.url
    if url.startswith("sqlite") and not context.config.get_main_option("sqlalchemy.url"):
        settings.storage_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    engine = migration_engine(url)
    try:
        async with connected(engine) as connection:
            await connection.run_sync(migrate)
            await connection.commit()
    finally:
        await engine.dispose()


asyncio.run(connect_and_migrate())
