from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Databases
from tests.engine import Engine
from tests.harness import Postgres, query
from tests.remote import TABLE, Remote


@pytest.fixture
def engine(databases: Databases, tmp_path: Path) -> Iterator[Engine]:
    """The service in the loop of the test, not started yet."""
    storage = tmp_path / "storage"
    engine = Engine(databases.create(storage), storage, MAX_CONCURRENCY=2)
    yield engine
    engine.end()


@pytest.fixture
def remote(engine: Engine, postgres: Postgres) -> Iterator[Remote]:
    """The same, with a connection to another PostgreSQL that has a table."""
    name = postgres.create()
    url = postgres.url(name)
    query(url, *TABLE)
    engine.environment["CONNECTIONS"] = json.dumps({"warehouse": url.replace("+asyncpg", "")})
    yield Remote(engine, url)
    engine.end()
    postgres.drop(name)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The garbage collector finds what a dead life left open, whenever it runs."""
    for item in items:
        if "engine" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.filterwarnings("ignore::ResourceWarning"))
            item.add_marker(
                pytest.mark.filterwarnings("ignore:The garbage collector is trying to clean up")
            )
