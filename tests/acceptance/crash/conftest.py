from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.conftest import Databases
from tests.crash.service import Input, Service


class MakeService(Protocol):
    def __call__(self, **environment: object) -> Service: ...


@pytest.fixture
def make_service(databases: Databases, tmp_path: Path) -> Iterator[MakeService]:
    """Services over a fresh database and folder, shared by all that one test makes; killed at its end."""
    storage = tmp_path / "storage"
    url = databases.create(storage)
    made: list[Service] = []

    def make(**environment: object) -> Service:
        made.append(Service(url, storage, **environment))
        return made[-1]

    yield make
    for service in made:
        service.end()


@pytest.fixture
def service(make_service: MakeService) -> Service:
    """A service that is not started yet."""
    return make_service()


@pytest.fixture(scope="session")
def dirty(tmp_path_factory: pytest.TempPathFactory) -> Input:
    """A small file with every kind of trouble in it; 20 chunks of 100 rows."""
    return Input.dirty(tmp_path_factory.mktemp("dirty"), 2_000, 0.3, seed=7)


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Input:
    """A file of more than one stretch of the splitter (4 MiB), all of it odd."""
    given = Input.dirty(tmp_path_factory.mktemp("wide"), 5_000, 1.0, seed=8)
    assert len(given.data) > 4 << 20
    return given
