from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Databases
from tests.engine import Engine


@pytest.fixture
def engine(databases: Databases, tmp_path: Path) -> Iterator[Engine]:
    """The service in the loop of the test, not started yet."""
    storage = tmp_path / "storage"
    engine = Engine(databases.create(storage), storage, MAX_CONCURRENCY=2)
    yield engine
    engine.end()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The garbage collector finds what a dead life left open, whenever it runs."""
    for item in items:
        if "engine" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.filterwarnings("ignore::ResourceWarning"))
            item.add_marker(
                pytest.mark.filterwarnings("ignore:The garbage collector is trying to clean up")
            )
