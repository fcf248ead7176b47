"""Starts of processes, successful and failed: tables of an empty database, and one line with an
exit code for each fault.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import commands
from tests.cli.terminal import Cli
from tests.harness import ROOT, Postgres, Server, query

pytestmark = pytest.mark.one_database

UVICORN = ("uvicorn", "app.main:app", "--port", "0")
SERVE = ("app", "serve", "--port", "0")
WORKER = ("app", "worker")
PIPELINE = ("app", "pipeline")
DOCTOR = ("app", "doctor")
MIGRATE = ("app", "serve", "--migrate", "--port", "0")
UNAVAILABLE, USAGE, NOT_STARTED, FOUND = 5, 2, 2, 1


def environment(url: str, storage: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "DATABASE_URL": url, "STORAGE_DIR": str(storage), **more}


def run(
    command: tuple[str, ...], settings: dict[str, str], *, from_nothing: bool = False
) -> subprocess.CompletedProcess[str]:
    """`from_nothing`: in a new interpreter."""
    if not from_nothing:
        return commands.run(*command, environment=settings)
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=settings,
        capture_output=True,
        text=True,
        timeout=90,
    )


@pytest.fixture
def faults(postgres: Postgres, tmp_path: Path) -> dict[str, tuple[str, str]]:
    """DATABASE_URL by fault, and what the line must name."""
    good = postgres.url("postgres")
    before_at, _, after_at = good.partition("@")
    role = f"{before_at.rpartition('//')[0]}//nobody_{os.getpid()}@{after_at}"
    not_sqlite = tmp_path / "text.db"
    not_sqlite.write_text("this is no database" * 100)
    return {
        "role": (role, f"nobody_{os.getpid()}"),
        "database": (postgres.url("nonesuch"), "nonesuch"),
        "host": ("postgresql+asyncpg://granula:geheim@host.invalid/granula", "not known"),
        "port": ("postgresql+asyncpg://granula:geheim@127.0.0.1:9/granula", "Errno 111"),
        "scheme": ("postgresql+asyncpg://granula:geheim@127.0.0.1:9/granula?ssl=nonsense", "ssl"),
        "sqlite": (f"sqlite+aiosqlite:///{not_sqlite}", "not a database"),
        "folder": (f"sqlite+aiosqlite:///{tmp_path}/none/granula.db", "unable to open"),
    }


FAULTS = ("role", "database", "host", "port", "scheme", "sqlite", "folder")
OTHER_COMMANDS = (
    (SERVE, UNAVAILABLE),
    (WORKER, UNAVAILABLE),
    (PIPELINE, NOT_STARTED),
    (DOCTOR, FOUND),
    (MIGRATE, UNAVAILABLE),
)


@pytest.mark.parametrize(
    ("fault", "command", "code"),
    [(fault, UVICORN, UNAVAILABLE) for fault in FAULTS]
    + [(fault, command, code) for fault in ("role", "folder") for command, code in OTHER_COMMANDS],
)
def test_an_unreachable_database_prints_one_line_and_exits_with_its_code(
    faults: dict[str, tuple[str, str]],
    fault: str,
    command: tuple[str, ...],
    code: int,
    tmp_path: Path,
) -> None:
    url, named = faults[fault]
    queue = "procrastinate" if command is WORKER else "embedded"
    if queue == "procrastinate" and url.startswith("sqlite"):
        code, named = USAGE, "QUEUE=procrastinate needs PostgreSQL"
    settings = environment(url, tmp_path / "storage", QUEUE=queue)
    from_nothing = fault == "role"
    done = run(command, settings, from_nothing=from_nothing)
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    assert [line for line in said.splitlines() if named in line], said
    assert "Traceback" not in said
    assert "geheim" not in said
    assert len([line for line in said.splitlines() if not line.startswith(("INFO", "20"))]) < 15, (
        said
    )


def test_an_empty_database_gets_its_tables_at_startup(postgres: Postgres, tmp_path: Path) -> None:
    name = postgres.create()
    server = Server(postgres.url(name), tmp_path / "storage")
    try:
        server.start()
        with server.client() as client:
            assert client.get("/ready").json()["checks"]["migrations"] == "ok"
            assert (
                client.post("/api/v1/upload", files={"file": ("a.csv", b"id\n1\n")}).status_code
                == 201
            )
        server.stop()
    finally:
        postgres.drop(name)


def test_processes_that_start_together_on_an_empty_database_create_its_tables_once(
    postgres: Postgres, tmp_path: Path
) -> None:
    name = postgres.create()
    try:
        settings = environment(postgres.url(name), tmp_path)
        command = (sys.executable, "-m", "alembic", "upgrade", "head")
        started = [
            subprocess.Popen(
                command, cwd=ROOT, env=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            for _ in range(3)
        ]
        said = [process.communicate(timeout=90)[0].decode() for process in started]
        assert [process.returncode for process in started] == [0, 0, 0], said
    finally:
        postgres.drop(name)


@pytest.mark.parametrize(
    ("command", "code"), [(UVICORN, USAGE), (SERVE, USAGE), (PIPELINE, NOT_STARTED)]
)
def test_an_older_schema_is_refused_and_not_changed(
    postgres: Postgres,
    templates: dict[str, str],
    command: tuple[str, ...],
    code: int,
    tmp_path: Path,
) -> None:
    name = postgres.create(templates["postgresql"])
    url = postgres.url(name)
    try:
        query(url, "UPDATE alembic_version SET version_num = '2026_11_22_0100'")
        done = run(command, environment(url, tmp_path / "storage"))
        said = done.stdout + done.stderr
        assert done.returncode == code, said
        assert "alembic upgrade head" in said
        assert "Traceback" not in said
        assert query(url, "SELECT version_num FROM alembic_version") == [("2026_11_22_0100",)]
    finally:
        postgres.drop(name)


def test_a_role_that_may_not_create_tables_prints_one_line(
    postgres: Postgres, tmp_path: Path
) -> None:
    name, role = postgres.create(), f"reader_{os.getpid()}"
    try:
        postgres.execute(
            name, f"CREATE ROLE {role} LOGIN", "REVOKE CREATE ON SCHEMA public FROM PUBLIC"
        )
        done = run(
            UVICORN,
            environment(postgres.url(name).replace("postgres@", f"{role}@"), tmp_path / "storage"),
        )
        assert done.returncode == USAGE
        assert "permission denied for schema public" in done.stderr
        assert "Traceback" not in done.stderr
    finally:
        postgres.drop(name)
        postgres.execute("postgres", f"DROP ROLE {role}")


def test_tables_of_other_applications_do_not_block_ours(postgres: Postgres, tmp_path: Path) -> None:
    name = postgres.create()
    try:
        query(postgres.url(name), "CREATE TABLE orders (id int)", "INSERT INTO orders VALUES (1)")
        done = Cli(0, DATABASE_URL=postgres.url(name), STORAGE_DIR=tmp_path)(
            "users", "create", "ann"
        )
        assert done.code == 0, done.err
        assert query(postgres.url(name), "SELECT count(*) FROM orders, users") == [(1,)]
    finally:
        postgres.drop(name)


def test_an_invalid_setting_prints_its_sentence_for_every_way_to_start(tmp_path: Path) -> None:
    for command in (UVICORN, SERVE, PIPELINE):
        done = run(command, environment("", tmp_path, CHUNK_SIZE="many"))
        assert done.returncode == USAGE
        assert "CHUNK_SIZE: " in done.stderr
        assert "Traceback" not in done.stderr
