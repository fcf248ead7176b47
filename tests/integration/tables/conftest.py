from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Databases
from tests.harness import Postgres


@pytest.fixture
def databases_url(databases: Databases, tmp_path: Path) -> str:
    """URL of a migrated database of each kind."""
    return databases.create(tmp_path / "storage")


@pytest.fixture
def postgresql_url(postgres: Postgres) -> Iterator[str]:
    """URL of an empty database that is not the service's."""
    name = postgres.create()
    yield postgres.url(name)
    postgres.drop(name)
