from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.conftest import Databases
from tests.crash.inputs import dirty, wide
from tests.crash.service import Service

__all__ = ["MakeService", "dirty", "make_service", "service", "wide"]


class MakeService(Protocol):
    def __call__(self, **environment: object) -> Service: ...


@pytest.fixture
def make_service(databases: Databases, tmp_path: Path) -> Iterator[MakeService]:
    """Services over one new database and folder, shared within a test; killed at its end."""
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
