"""API processes that only accept jobs, and workers that run them, on one PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import pytest

from tests.conftest import Databases
from tests.crash.service import Service
from tests.harness import Postgres, wait_until
from tests.storage.buckets import OurBucket

Member = TypeVar("Member", bound=Service)
MakeCluster = Callable[..., "Cluster"]
QUICK = {"LEASE_SECONDS": 2, "HEARTBEAT_SECONDS": 0.3, "RECONCILE_SECONDS": 0.5}


class Cluster:
    def __init__(self, url: str, storage: Path, settings: dict[str, object]) -> None:
        self._url, self._storage = url, storage
        self._settings = (
            {
                "QUEUE": "procrastinate",
                "PROCESSORS": "tests.crash.processors:GatedProcessor",
                "MAX_CONCURRENCY": 2,
            }
            | QUICK
            | settings
        )
        self.members: list[Service] = []

    def add(self, kind: type[Member], count: int = 1, **settings: object) -> list[Member]:
        """Started together."""
        made = [kind(self._url, self._storage, **self._settings | settings) for _ in range(count)]
        self.members += made
        for each in made:
            each.flags = self.members[0].flags
            each.environment["CRASH_FLAGS"] = str(each.flags)
            if "STORAGE_URL" in self._settings:  # then it has no folder in common with the others
                each.environment["STORAGE_DIR"] = str(self._storage / each.log.stem)
            each.launch()
        for each in made:
            wait_until(each.is_ready, 60, "a process that is ready")
        return made

    def end(self) -> None:
        codes = {member.log.name: member.stop() for member in self.members if member.is_alive}
        for member in self.members:
            member.end()
        bad = [
            member.tail()
            for member in self.members
            if codes.get(member.log.name, 0) not in (0, -15)
        ]
        assert not bad, bad


@pytest.fixture(scope="module", params=["postgresql"])
def databases(
    request: pytest.FixtureRequest, postgres: Postgres, templates: dict[str, str]
) -> Databases:
    return Databases(request.param, postgres, templates)


@pytest.fixture
def bucket() -> Iterator[OurBucket]:
    our_bucket = OurBucket(f"granula-{uuid4().hex[:8]}")
    yield our_bucket
    our_bucket.stop()


@pytest.fixture
def make_cluster(databases: Databases, tmp_path: Path) -> Iterator[MakeCluster]:
    made: list[Cluster] = []

    def make(url: str = "", **settings: object) -> Cluster:
        storage = tmp_path / f"storage{len(made)}"
        cluster = Cluster(url or databases.create(storage), storage, settings)
        made.append(cluster)
        return cluster

    yield make
    for cluster in made:
        cluster.end()
