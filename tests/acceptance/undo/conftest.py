from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Databases
from tests.crash.service import Service

PROCESSORS = "tests.undo.processors:Ledger,tests.crash.processors:WaitingProcessor"


@pytest.fixture(scope="module")
def server(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for the tests of a module, forked."""
    storage: Path = tmp_path_factory.mktemp("undo") / "storage"
    running = Service(databases.create(storage), storage, PROCESSORS=PROCESSORS)
    yield from running.while_up()


@pytest.fixture
def service(databases: Databases, tmp_path: Path) -> Iterator[Service]:
    """A service for one test, not started yet; killed at its end."""
    storage = tmp_path / "storage"
    made = Service(databases.create(storage), storage, PROCESSORS=PROCESSORS, RECONCILE_SECONDS=0.5)
    yield made
    made.end()
