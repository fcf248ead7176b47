from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.terminal import Cli
from tests.conftest import Databases
from tests.forks import Server


@pytest.fixture(scope="module")
def server(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With authentication, and with a processor that works only once the flag `open` exists."""
    folder = tmp_path_factory.mktemp("service")
    running = Server(
        databases.create(folder / "storage"),
        folder / "storage",
        AUTH_REQUIRED="true",
        WEBHOOK_ALLOW_PRIVATE="true",
        PROCESSORS="tests.crash.processors:GatedProcessor",
        CRASH_FLAGS=folder,
    ).start()
    yield running
    assert running.stop() in (0, -15), running.tail()


@pytest.fixture(scope="module")
def cli(server: Server) -> Cli:
    """Environment with the key of a user that the command line created."""
    made = Cli(server.port)(
        "users", "create", "ada", DATABASE_URL=server.url, STORAGE_DIR=server.storage
    )
    assert made.code == 0, made.err
    return Cli(server.port, made.out.strip())
