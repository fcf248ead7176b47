from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("tests.crash.service", "tests.formats.reading")

from tests import moves  # noqa: E402
from tests.forks import Server  # noqa: E402
from tests.harness import ROOT, Api, OwnPostgres, Postgres, migrate, query  # noqa: E402

KINDS = ("sqlite", "postgresql")
ROOM_BYTES = 4 << 30
"""More bytes than the databases of all workers ever need."""

# How long an example takes depends on what else the machine does. The rest stays as the profile in
# force has it: Hypothesis loads a profile of its own in CI.
settings.register_profile(
    "any machine",
    parent=settings(),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("any machine")

# With this variable, each of the hundreds of processes that tests start would compile the service.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also run the tests that take minutes")


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test marked `one_database` that uses a database runs on SQLite alone."""
    if "databases" in metafunc.fixturenames and metafunc.definition.get_closest_marker(
        "one_database"
    ):
        one = pytest.mark.parametrize("databases", ["sqlite"], indirect=True, scope="module")
        metafunc.definition.add_marker(one)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--long"):
        long = [item for item in items if "long" in item.keywords]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if "long" not in item.keywords]


@pytest.fixture(scope="session")
def model_dir() -> Path:
    """The folder of the sentence model, which ./scripts/install --dev fills."""
    folder = Path(
        os.environ.get("EMBEDDING_MODEL_DIR", ROOT / "storage" / "models" / "all-MiniLM-L6-v2")
    )
    if not folder.is_dir():
        pytest.fail(f"the sentence model is missing: {folder}; run ./scripts/install_model")
    return folder


@pytest.fixture(scope="session")
def corpora() -> Path:
    """Return test data that we may not copy. Without it, tests are skipped on a developer's
    machine; CI must have it.
    """
    folder = Path(os.environ.get("GRANULA_CORPORA", ROOT.parent / "shared" / "corpora"))
    if not folder.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"the corpora are missing: {folder}")
        pytest.skip("the corpora are not here; name their folder by GRANULA_CORPORA")
    return folder


def _memory() -> Path | None:
    """Return a folder in memory, where copying a database takes a fifth of the time; None without a
    large one: containers have one of 64 MiB.
    """
    folder = Path("/dev/shm")
    if not folder.is_dir() or shutil.disk_usage(folder).free < ROOM_BYTES:
        return None
    return folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    # Not below root's home: the server runs as another user and must reach its folder.
    folder = Path(tempfile.mkdtemp(prefix="granula-pg-", dir=_memory()))
    server = Postgres(folder)
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def templates(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return an empty database of each kind, created by the real migrations, to be copied. It
    refuses illegal transitions.
    """
    folder = tmp_path_factory.mktemp("template")
    sqlite = folder / "granula.db"
    name = postgres.create()
    for url in (f"sqlite+aiosqlite:///{sqlite}", postgres.url(name)):
        migrate(url)
        query(url, *moves.statements(is_sqlite=url.startswith("sqlite")))
    return {"sqlite": str(sqlite), "postgresql": name}


class Databases:
    """Creates databases of one kind and drops them at the end."""

    def __init__(self, kind: str, postgres: Postgres, templates: dict[str, str]) -> None:
        self.kind = kind
        self._postgres = postgres
        self._template = templates[kind]
        self._made: list[str] = []

    def create(self, storage: Path) -> str:
        """Create an empty, migrated database and return its URL; on SQLite it is inside
        `storage`.
        """
        storage.mkdir(parents=True, exist_ok=True)
        if self.kind == "sqlite":
            shutil.copy(self._template, storage / "granula.db")
            return f"sqlite+aiosqlite:///{storage / 'granula.db'}"
        self._made.append(self._postgres.create(self._template))
        return self._postgres.url(self._made[-1])

    def close(self) -> None:
        for name in self._made:
            self._postgres.drop(name)


@pytest.fixture(scope="module", params=KINDS)
def databases(
    request: pytest.FixtureRequest, postgres: Postgres, templates: dict[str, str]
) -> Iterator[Databases]:
    """Tests that use this run on both databases."""
    made = Databases(request.param, postgres, templates)
    yield made
    made.close()


@pytest.fixture(scope="module")
def server(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests of a module."""
    storage = tmp_path_factory.mktemp("service") / "storage"
    running = Server(databases.create(storage), storage).start()
    yield running
    assert running.stop() in (0, -15), running.tail()  # uvicorn exits by its signal


@pytest.fixture
def api(server: Server) -> Iterator[Api]:
    with server.client() as client:
        yield Api(client)


@pytest.fixture(scope="module")
def gates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the gates that release the chunks of the processor `gate`."""
    return tmp_path_factory.mktemp("gates")


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[OwnPostgres]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TEST_DATABASE_URL", raising=False)
        folder = Path(tempfile.mkdtemp(prefix="granula-pg-"))
        server = OwnPostgres(folder)
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)
