from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests import commands
from tests.conftest import Databases
from tests.forks import Server


class People:
    """Creates users over HTTP, as an administrator created on the command line."""

    def __init__(self, server: Server) -> None:
        self.server = server
        made = commands.users(server, "create", "root", "--admin")
        assert made.returncode == 0, made.stderr
        self.admin_key = made.stdout.strip()
        self.admin = server.client(self.admin_key)
        self._clients = [self.admin]

    def create(self, name: str, **options: object) -> str:
        """Return the key of a new user."""
        made = self.admin.post("/api/v1/users", json={"user_id": name, **options})
        assert made.status_code == 201, made.text
        return str(made.json()["key"])

    def client(self, key: str = "") -> httpx.Client:
        self._clients.append(self.server.client(key))
        return self._clients[-1]

    def new(self, name: str) -> httpx.Client:
        return self.client(self.create(name))

    def close(self) -> None:
        for client in self._clients:
            client.close()


@pytest.fixture(scope="module")
def server(
    databases: Databases, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Server]:
    """A service with authentication and the SETTINGS of the module."""
    folder = tmp_path_factory.mktemp("users")
    settings = {
        "AUTH_REQUIRED": "true",
        "EMBEDDING_MODEL_DIR": folder / "none",
        "SOURCE_FOLDERS": "/srv/inbox",
        **getattr(request.module, "SETTINGS", {}),
    }
    running = Server(databases.create(folder / "storage"), folder / "storage", **settings).start()
    yield running
    assert running.stop() in (0, -15), running.tail()


@pytest.fixture(scope="module")
def people(server: Server) -> Iterator[People]:
    made = People(server)
    yield made
    made.close()
