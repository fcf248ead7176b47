from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Databases
from tests.crash.service import Service
from tests.forks import Server
from tests.webhooks.receiver import Receiver


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def server(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One service that may send to this machine, and retries soon."""
    storage: Path = tmp_path_factory.mktemp("webhooks") / "storage"
    running = Service(
        databases.create(storage),
        storage,
        WEBHOOK_ALLOW_PRIVATE="true",
        WEBHOOK_RETRY_SECONDS="0.05,0.05,0.05",
        PROCESSORS="tests.crash.processors:FussyProcessor,tests.crash.processors:WaitingProcessor",
        MAX_RETRIES=0,
    )
    yield from running.while_up()


@pytest.fixture
def service(databases: Databases, tmp_path: Path) -> Iterator[Service]:
    """A service for one test, not started yet; killed at its end."""
    storage = tmp_path / "storage"
    made = Service(
        databases.create(storage),
        storage,
        WEBHOOK_TIMEOUT_SECONDS=0.5,
        RECONCILE_SECONDS=0.5,
        LEASE_SECONDS=1,
    )
    yield made
    made.end()
