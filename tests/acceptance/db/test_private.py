"""Only the user who runs the service can read the embedded database."""

from __future__ import annotations

import os
from pathlib import Path

from tests import commands
from tests.forks import Server
from tests.harness import Api


def modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in folder.glob("granula.db*")}


def test_a_service_makes_its_database_private(tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    server = Server("", storage)
    server.launch()
    server.wait_until_ready()
    with server.client() as client:
        Api(client).run(b"id\n1\n")
        found = modes(storage)
        assert {"granula.db", "granula.db-wal", "granula.db-shm"} <= found.keys()
        assert set(found.values()) == {0o600}
        assert storage.stat().st_mode & 0o777 == 0o700
    server.stop()
    (storage / "granula.db").chmod(0o640)
    server.launch()
    server.wait_until_ready()
    assert modes(storage)["granula.db"] == 0o640, "what an operator has set stays"
    server.stop()


def test_migrations_make_the_database_private_too(tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    settings = {"DATABASE_URL": "", "STORAGE_DIR": str(storage)}
    done = commands.run("alembic", "upgrade", "head", environment=os.environ | settings)
    assert done.returncode == 0, done.stderr
    assert modes(storage) == {"granula.db": 0o600}
    assert storage.stat().st_mode & 0o777 == 0o700
