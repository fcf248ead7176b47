from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Databases
from tests.harness import Server
from tests.scoring.services import Bucket, FaultyStore, ModelService


@pytest.fixture(scope="session")
def model_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelService]:
    service = ModelService(tmp_path_factory.mktemp("model"))
    yield service
    service.stop()


@pytest.fixture
def model(model_process: ModelService) -> ModelService:
    """The model service, in its right mind."""
    model_process.misbehave()
    return model_process


@pytest.fixture(scope="session")
def s3() -> Iterator[Bucket]:
    bucket = Bucket("transactions")
    yield bucket
    bucket.stop()


@pytest.fixture
def bucket(s3: Bucket) -> Bucket:
    """An empty bucket."""
    for key in s3.keys():
        s3.delete(key)
    return s3


@pytest.fixture(scope="session")
def faulty_store(s3: Bucket) -> Iterator[FaultyStore]:
    store = FaultyStore(s3)
    yield store
    store.stop()


@pytest.fixture
def store(faulty_store: FaultyStore) -> FaultyStore:
    """What stands before the bucket, in its right mind."""
    faulty_store.faults.clear()
    faulty_store.requests.clear()
    return faulty_store


@pytest.fixture(scope="module")
def server(
    databases: Databases,
    model_process: ModelService,
    s3: Bucket,
    faulty_store: FaultyStore,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """One service for the tests of a module."""
    storage: Path = tmp_path_factory.mktemp("scoring") / "storage"
    environment = {**s3.environment, "ENDPOINT_URL": faulty_store.endpoint, "ML_API_URL": model_process.url}
    running = Server(databases.create(storage), storage, **environment, API_TIMEOUT_SECONDS=2).start()
    yield running
    assert running.stop() in (0, -15), running.tail()
