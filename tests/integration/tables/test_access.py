"""Access to tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.config import load_settings
from app.db import users
from app.errors import AdminOnly
from app.features.tables.connections import Connections
from app.features.tables.requests import LoadOptions
from app.features.tables.service import Tables
from tests.conftest import Databases
from tests.integration.db.test_readers import opened


@pytest.mark.one_database
async def test_with_authentication_tables_are_for_administrators(
    databases: Databases, tmp_path: Path
) -> None:
    async with opened(databases, tmp_path) as database:
        await database.transact(lambda c: users.insert_user(c, "root", True))
        await database.transact(lambda c: users.insert_user(c, "alice", False))

        def tables(**settings: Any) -> Tables:
            with_settings = load_settings(database_url="", **settings)
            connections = Connections(with_settings, database)
            return Tables(with_settings, database, connections, None, None, None, None)  # type: ignore[arg-type]

        closed = tables(auth_required=True)
        await closed.check_access("root")
        for owner in ("alice", "local", "nobody"):
            with pytest.raises(AdminOnly):
                await closed.check_access(owner)
            with pytest.raises(AdminOnly):
                await closed.planned(owner, LoadOptions(table="t"))
        await tables(auth_required=True, tables_access="users").check_access("alice")
        without_users = tables()
        await without_users.check_access("local")
        with pytest.raises(AdminOnly):
            await without_users.check_access("alice")
