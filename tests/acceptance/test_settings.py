"""Startup: the documented defaults, a sentence about each invalid setting, and no start with
another schema.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from app.config import Settings, load_settings
from app.errors import SettingsInvalid
from tests.api.checks import RawConnection, assert_problem, head
from tests.forks import Server
from tests.harness import ROOT, Api, wait_until

PROMISED = {
    "max_concurrency": 0,
    "chunk_size": 10_000,
    "max_retries": 3,
    "base_backoff": 1.0,
    "max_backoff": 30.0,
    "max_upload_mb": 500,
    "delete_file_on_complete": False,
}


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)  # no .env file


def test_the_defaults_are_the_documented_ones() -> None:
    settings = load_settings()
    assert {name: getattr(settings, name) for name in PROMISED} == PROMISED
    assert {"text/csv", "application/csv"} <= set(settings.allowed_content_types)
    assert settings.is_sqlite
    assert settings.url == "sqlite+aiosqlite:///storage/granula.db"


def test_ten_chunks_run_at_a_time_on_postgresql_and_one_per_core_on_sqlite(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert load_settings().slots == 1
    monkeypatch.setenv(
        "DATABASE_URL", "postgresql+asyncpg://granula_user:granula_pass@localhost:5432/granula"
    )
    assert load_settings().slots == 10
    monkeypatch.setenv("MAX_CONCURRENCY", "4")
    assert load_settings().slots == 4


def test_the_variables_are_read_from_the_environment_and_from_a_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path(".env").write_text("CHUNK_SIZE=500\nMAX_RETRIES=5\n")
    monkeypatch.setenv("MAX_RETRIES", "7")
    monkeypatch.setenv("DELETE_FILE_ON_COMPLETE", "true")
    monkeypatch.setenv("ALLOWED_CONTENT_TYPES", "text/csv, application/csv")
    monkeypatch.setenv("MAX_UPLOAD_MB", "")
    settings = load_settings()
    assert (settings.chunk_size, settings.max_retries, settings.delete_file_on_complete) == (
        500,
        7,
        True,
    )
    assert settings.allowed_content_types == ("text/csv", "application/csv")
    assert settings.max_upload_mb == 500


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CHUNK_SIZE", "abc"),
        ("CHUNK_SIZE", "99"),
        ("CHUNK_SIZE", "100001"),
        ("DATABASE_URL", "mysql://x"),
        ("DATABASE_URL", "postgresql+psycopg://x"),
        ("DATABASE_URL", "sqlite:///x.db"),
        ("MAX_RETRIES", "-1"),
        ("MAX_CONCURRENCY", "-1"),
        ("MAX_UPLOAD_MB", "0"),
        ("BASE_BACKOFF", "soon"),
        ("MAX_BACKOFF", "-1"),
        ("DELETE_FILE_ON_COMPLETE", "perhaps"),
        ("UPLOAD_STALL_SECONDS", "0"),
        ("LEASE_SECONDS", "0"),
        ("LOG_LEVEL", "LOUD"),
    ],
)
def test_a_wrong_setting_is_reported_by_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsInvalid) as caught:
        load_settings()
    (line,) = caught.value.detail.splitlines()[1:]
    assert line.strip().startswith(f"{name}: ")


def test_a_wrong_database_url_is_reported_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://granula:s3cret@localhost/granula")
    with pytest.raises(SettingsInvalid) as caught:
        load_settings()
    assert "s3cret" not in caught.value.detail


WRONG: list[tuple[dict[str, str], list[str]]] = [
    (
        {"CHUNK_SIZE": "abc", "MAX_RETRIES": "-1", "DATABASE_URL": "mysql://x"},
        [
            "CHUNK_SIZE: ",
            "MAX_RETRIES: ",
            "DATABASE_URL: ",
            "postgresql+asyncpg://",
            "sqlite+aiosqlite://",
        ],
    ),
    ({"PROCESSORS": "no.such.module:Thing"}, ["PROCESSORS: ", "no.such.module:Thing"]),
]


def test_a_process_with_wrong_settings_does_not_start_and_says_why(tmp_path: Path) -> None:
    servers = [Server("", tmp_path / "storage", **wrong) for wrong, _ in WRONG]
    for server in servers:
        server.launch()
    for server, (_, told) in zip(servers, WRONG, strict=True):
        assert server.process is not None
        assert server.process.wait(60) != 0
        assert all(words in server.tail() for words in told), server.tail()


def test_an_upload_below_the_free_space_reserve_is_refused_before_its_body(
    tmp_path: Path,
) -> None:
    server = Server("", tmp_path / "storage", MIN_FREE_DISK_MB=10**9)
    try:
        server.launch()
        with server.client() as client:
            wait_until(lambda: answers(client), 30, "server up")
            ready = client.get("/ready")
            assert ready.status_code == 503
            assert ready.json()["checks"]["disk"] != "ok"
            with RawConnection(server) as connection:
                answer = connection.send(
                    head("Content-Type: text/csv", "Content-Length: 1000")
                ).answer()
        assert_problem(answer, 507, "insufficient_storage")
        assert int(answer.headers["Retry-After"]) > 0
        assert list((server.storage / "uploads").iterdir()) == []
    finally:
        server.stop()


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False


def test_an_empty_sqlite_folder_gets_its_schema_and_keeps_its_data(
    tmp_path: Path,
) -> None:
    storage = tmp_path / "not" / "there" / "yet"
    server = Server("", storage)
    server.log = tmp_path / "server.log"
    file_id = ""
    for start in (1, 2):
        try:
            server.start()
            with server.client() as client:
                api = Api(client)
                if start == 1:
                    file_id = api.run(b"a,b\n1,2\n")["file_id"]
                assert api.rows(file_id) == [(1, ["1", "2"])]
                assert api.proof(file_id)["closes"]
        finally:
            code = server.stop()
        assert code in (0, -15)
        assert "Traceback" not in server.tail()
    with sqlite3.connect(storage / "granula.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert {path.name for path in storage.iterdir() if "granula.db" not in path.name} == {
        "granula.json",
        "partial",
        "uploads",
    }


def test_importing_the_package_starts_nothing_and_ignores_wrong_settings(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", "import app.config, app.errors, app.states, app.formats.registry"],
        cwd=ROOT,
        env={"CHUNK_SIZE": "abc", "PATH": ""},
        capture_output=True,
    )
    assert run.returncode == 0, run.stderr
    assert not run.stderr
