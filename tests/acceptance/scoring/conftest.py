from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.conftest import Databases
from tests.forks import Server
from tests.harness import Postgres
from tests.scoring.buckets import bucket, s3
from tests.scoring.services import Bucket, FaultyStore, ModelService

__all__ = ["bucket", "s3"]


@pytest.fixture(scope="session")
def model_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelService]:
    service = ModelService(tmp_path_factory.mktemp("model"))
    yield service
    service.stop()


@pytest.fixture
def model(model_process: ModelService) -> ModelService:
    """The model service, without faults."""
    model_process.misbehave()
    return model_process


@pytest.fixture(scope="session")
def faulty_store(s3: Bucket) -> Iterator[FaultyStore]:
    store = FaultyStore(s3)
    yield store
    store.stop()


@pytest.fixture
def store(faulty_store: FaultyStore) -> FaultyStore:
    """The proxy of the bucket, without faults."""
    faulty_store.faults.clear()
    faulty_store.requests.clear()
    return faulty_store


@pytest.fixture(scope="session")
def services(
    postgres: Postgres,
    templates: dict[str, str],
    model_process: ModelService,
    s3: Bucket,
    faulty_store: FaultyStore,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], Server]]:
    """One service for each kind of database, started on first use."""
    running: dict[str, Server] = {}
    made: list[Databases] = []
    environment = {
        **s3.environment,
        "ENDPOINT_URL": faulty_store.endpoint,
        "ML_API_URL": model_process.url,
    }

    def service(kind: str) -> Server:
        if kind not in running:
            storage = tmp_path_factory.mktemp("scoring") / "storage"
            made.append(Databases(kind, postgres, templates))
            url = made[-1].create(storage)
            running[kind] = Server(url, storage, **environment, API_TIMEOUT_SECONDS=2).start()
        return running[kind]

    yield service
    ends = {kind: (each.stop(), each.tail()) for kind, each in running.items()}
    for each in made:
        each.close()
    assert all(code in (0, -15) for code, _ in ends.values()), ends


@pytest.fixture(scope="module")
def server(databases: Databases, services: Callable[[str], Server]) -> Server:
    """The service that all tests of scoring share."""
    return services(databases.kind)
