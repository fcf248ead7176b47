"""The commands without a server, with another server, or with one that breaks; and those that run
the service.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from uuid import uuid4

import httpx
import pytest

from tests import commands
from tests.cli.terminal import Cli
from tests.harness import ROOT, Postgres, wait_until

pytestmark = pytest.mark.one_database

HEAVY = ("fastapi", "sqlalchemy", "pyarrow", "pydantic", "numpy", "httpx", "uvicorn")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broken(BaseHTTPRequestHandler):
    """A download that breaks off, a busy upload, and pages of another service."""

    def do_GET(self) -> None:
        if self.path.startswith("/api/v1/results/"):
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"id\r\n1\r\n")
        elif self.path.startswith("/api/v1/rejects/"):
            # no last chunk
            self.wfile.write(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nid\r\n\r\n"
            )
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        problem = {
            "code": "unavailable",
            "detail": "The service is shutting down.",
            "remedy": "Wait and try again",
        }
        body = json.dumps(problem).encode()
        self.send_response(503)
        for name, value in (("Content-Type", "application/problem+json"), ("Retry-After", "10")):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def broken() -> Iterator[Cli]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Broken)
    Thread(target=server.serve_forever, daemon=True).start()
    yield Cli(server.server_port)
    server.shutdown()
    server.server_close()


def test_a_missing_server_prints_what_to_do_and_exits_with_its_code() -> None:
    done = Cli(free_port())("upload", "README.md", "--json")
    assert (done.code, json.loads(done.out)["filename"]) == (5, "README.md")
    assert "Is it running? python -m app serve" in done.err
    assert "Traceback" not in done.err


def test_an_interrupted_download_leaves_no_file(broken: Cli, tmp_path: Path) -> None:
    for command in ("results", "rejects"):
        (tmp_path / "out.csv").write_text("as before")
        done = broken(command, uuid4(), "-o", tmp_path / "out.csv")
        assert done.code == 5
        assert "The connection to" in done.err
        assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("out.csv", "as before")]
        piped = (
            broken(command, uuid4(), "--format", "jsonl")
            if command == "results"
            else broken(command, uuid4())
        )
        assert piped.code == 5


def test_a_busy_server_another_service_and_a_taken_port_are_told_apart(broken: Cli) -> None:
    busy = broken("upload", "README.md")
    assert busy.code == 5
    assert "The service is shutting down. Wait and try again.\nTry again in 10 s." in busy.err
    taken = broken("serve", "--port", broken.environment["GRANULA_URL"].rpartition(":")[2])
    assert taken.code == 5
    assert "Cannot listen on 127.0.0.1, port" in taken.err
    strange = broken("list")
    assert strange.code == 4
    assert "is not Granula" in strange.err


def test_help_does_not_import_the_service() -> None:
    code = f"import sys; import app.cli.main; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_a_shell_completes_commands_and_options() -> None:
    """In a new interpreter: the command reads its own name on import."""
    cli = Cli(0, GRANULA_PROGRAM="granula", _GRANULA_COMPLETE="complete_bash")

    def completed(words: str, place: int) -> list[str]:
        asked = cli.environment | {"COMP_WORDS": words, "COMP_CWORD": str(place)}
        command = [sys.executable, "-m", "app"]
        done = subprocess.run(command, cwd=ROOT, env=asked, capture_output=True, text=True)
        return done.stdout.split()

    assert completed("granula rej", 1) == ["rejects"]
    assert completed("granula upload --pri", 2) == ["--priority"]


def test_the_doctor_names_each_fault_and_prints_no_secret(tmp_path: Path) -> None:
    cli = Cli(0, GRANULA_URL="", EMBEDDING_MODEL_DIR=tmp_path / "none")
    setting = cli("doctor", CHUNK_SIZE=5)
    assert setting.code == 1
    assert "CHUNK_SIZE: Input should be greater than or equal to 100" in setting.out
    (tmp_path / "file").touch()
    url = "postgresql://ada:hunter2@127.0.0.1:1/rows"
    done = cli("doctor", "--json", STORAGE_DIR=tmp_path / "file", DATABASE_URL=url)
    assert done.code == 1
    states = {check["name"]: check["state"] for check in done.json["checks"]}
    assert states | {"server": ""} == {
        "settings": "ok",
        "storage": "bad",
        "disk": "ok",
        "database": "bad",
        "model": "warning",
        "processors": "ok",
        "server": "",
    }
    assert all(
        check["remedy"] for check in done.json["checks"] if check["state"] in ("bad", "warning")
    )
    assert "hunter2" not in done.out + done.err


def test_serve_explains_an_old_schema_and_migrates_with_the_option(
    postgres: Postgres, tmp_path: Path
) -> None:
    name, port = postgres.create(), free_port()
    environment = {
        "DATABASE_URL": postgres.url(name),
        "STORAGE_DIR": str(tmp_path),
        "EMBEDDING_MODEL_DIR": str(tmp_path),
    }
    cli = Cli(port, **environment)
    try:
        older = commands.run("alembic", "upgrade", "0008", environment=cli.environment)
        assert older.returncode == 0, older.stderr
        refused = cli("serve", "--port", port)
        assert refused.code == 2
        assert "alembic upgrade head" in refused.err
        serve = cli.begin("serve", "--port", port, "--migrate")
        try:
            wait_until(lambda: is_ready(port), 60, "server ready")
        finally:
            serve.send_signal(signal.SIGTERM)
            assert serve.end().code in (0, -signal.SIGTERM)
    finally:
        postgres.drop(name)


def is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/ready", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
