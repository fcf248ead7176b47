"""Basis of the crash tests: a service that is killed and restarted, and the expected outcome of
every row.
"""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from uuid import UUID, uuid4

import httpx

from app.config import load_settings
from app.db.engine import Database
from app.pipeline.finisher import Finisher
from app.pipeline.queue import JobQueue
from app.pipeline.reconciler import Reconciler
from app.plugins import make_destinations
from app.sources.base import Sources
from app.sources.outputs import OutputParts
from app.sources.storage import LocalStorage
from scripts.generate_csv import generate
from tests.forks import Server, work
from tests.harness import FINAL, Api, query, wait_until

RECOVERY_SECONDS = 15
"""Within this time after a start, work must continue and a small file be done."""


class ServiceFolder:
    """A database, the folder of its service, and a folder of flags for the processors of these
    tests.
    """

    def __init__(self, url: str, storage: Path) -> None:
        self.url = url
        self.storage = storage
        self.flags = storage.parent / f"flags-{uuid4().hex[:6]}"
        self.flags.mkdir()

    def raise_flag(self, name: str) -> None:
        (self.flags / name).touch()

    def flagged(self, name: str) -> bool:
        return (self.flags / name).exists()

    def calls(self) -> list[int]:
        """Return the chunks that the processors were called for, in order."""
        path = self.flags / "calls"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    # ------------------------------------------------------------------ the database and the disk

    @property
    def is_sqlite(self) -> bool:
        return self.url.startswith("sqlite")

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        return query(self.url, *statements)

    def key(self, identifier: str) -> str:
        """Return an id as a literal of SQL."""
        return f"'{UUID(identifier).hex if self.is_sqlite else UUID(identifier)}'"

    def count(self, table: str, job_id: str) -> int:
        return int(
            self.sql(f"SELECT count(*) FROM {table} WHERE job_id = {self.key(job_id)}")[0][0]
        )

    def chunks(self, job_id: str) -> list[dict[str, Any]]:
        """Return the chunks as stored in the database."""
        names = (
            "chunk_index",
            "status",
            "attempt",
            "deaths",
            "is_suspect",
            "claimed_by",
            "first_row",
            "row_count",
            "rows_failed",
            "error",
        )
        rows = self.sql(
            f"SELECT {', '.join(names)} FROM chunks WHERE job_id = {self.key(job_id)} ORDER BY"
            " chunk_index"
        )
        found = [dict(zip(names, row, strict=True)) for row in rows]
        for chunk in found:
            chunk["error"] = json.loads(chunk["error"]) if chunk["error"] else None
        return found

    def files(self) -> dict[str, str]:
        """Return sha256 by id of every file that has a row."""
        return {str(UUID(str(i))): sha for i, sha in self.sql("SELECT id, sha256 FROM files")}

    def stored(self) -> dict[str, str]:
        """Return sha256 by name of every file on disk."""
        found = sorted((self.storage / "uploads").iterdir())
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}

    def sweep(self) -> None:
        """Sweep the disk as the reconciler does each minute, for files of any age; there must be no
        uploads.
        """
        settings = load_settings(database_url=self.url, storage_dir=self.storage)
        storage = LocalStorage(self.storage / "uploads")

        async def sweep() -> None:
            database = Database(settings)
            parts = OutputParts(self.storage / "outputs")
            sources = Sources(storage, parts, storage)
            finisher = Finisher(
                database, sources, make_destinations(is_sqlite=True), delete_file=False
            )
            reconciler = Reconciler(database, JobQueue(1.0), finisher, storage, parts, _nothing)
            await reconciler.sweep(older_than_seconds=0)
            await database.close()

        asyncio.run(sweep())


class Service(ServiceFolder, Server):
    """A server over this database and folder."""

    def __init__(self, url: str, storage: Path, **environment: object) -> None:
        ServiceFolder.__init__(self, url, storage)
        Server.__init__(self, url, storage, **environment)
        self.environment["CRASH_FLAGS"] = str(self.flags)

    def while_up(self) -> Iterator[Self]:
        """Start for a fixture, and stop without an error at its end; kill if anything went
        wrong.
        """
        try:
            self.start()
            yield self
            assert self.stop() in (0, -15), self.tail()
        finally:
            self.end()

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def end(self) -> None:
        """Kill the process in whatever state it is."""
        if self.is_alive:
            self.kill()

    def wait_for_death(self, seconds: float = 30) -> None:
        """Wait until the process has killed itself."""
        assert self.process is not None
        process = self.process
        wait_until(lambda: process.poll() is not None, seconds, "death of the server")
        assert process.poll() == -signal.SIGKILL, self.tail()

    @contextmanager
    def api(self) -> Iterator[Api]:
        with self.client() as client:
            yield Api(client)


class Worker(Service):
    """A worker instead of a server; its port serves /ready and /metrics."""

    _main = staticmethod(work)


# ---------------------------------------------------------------------- the rows


@dataclass(frozen=True)
class Input:
    """A file and the expected outcome of each of its rows, as its author says."""

    data: bytes
    results: list[tuple[int, list[str]]]
    """(row number, cells)"""
    rejects: list[tuple[int, int, str]]
    """(row number, line, code)"""

    @property
    def row_count(self) -> int:
        return len(self.results) + len(self.rejects)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @classmethod
    def clean(cls, rows: int, mark: str = "row") -> Input:
        """Generate rows; `mark` makes the file unlike others."""
        return cls.of([[str(i), f"{mark} {i}", str(i * 7 % 1000)] for i in range(1, rows + 1)])

    @classmethod
    def of(cls, cells: list[list[str]]) -> Input:
        """Return these rows as a file without mistakes."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([["id", "name", "value"], *cells])
        return cls(text.getvalue().encode(), list(enumerate(cells, 1)), [])

    @classmethod
    def dirty(cls, folder: Path, rows: int, rate: float, seed: int) -> Input:
        """Return a file of the generator, with its verdicts."""
        summary = generate(folder / f"dirty-{seed}.csv", rows, dirty=rate, seed=seed)
        assert summary.verdicts is not None
        verdicts = [
            json.loads(line) for line in summary.verdicts.read_text("ascii").split("\n")[:-1]
        ]
        return cls(
            summary.path.read_bytes(),
            [(v["row"], v["data"]) for v in verdicts if v["verdict"] == "ok"],
            [(v["row"], v["line"], v["code"]) for v in verdicts if v["verdict"] == "reject"],
        )


def assert_exact(service: ServiceFolder, api: Api, file_id: str, given: Input) -> dict[str, Any]:
    """Assert that the job is final and that every row of the file is exactly where it must be,
    once; rows of failed chunks count as failed. Reads the rows through the API and by SQL. Returns
    the status.
    """
    status = api.status(file_id)
    job_id = status["job_id"]
    assert status["status"] in FINAL
    chunks = service.chunks(job_id)
    assert {c["status"] for c in chunks} <= {"completed", "failed", "cancelled"}
    without_rows = {
        row
        for c in chunks
        if c["status"] != "completed"
        for row in range(c["first_row"], c["first_row"] + c["row_count"])
    }
    failed = sum(c["row_count"] for c in chunks if c["status"] == "failed")
    results = [(row, cells) for row, cells in given.results if row not in without_rows]
    rejects = [reject for reject in given.rejects if reject[0] not in without_rows]
    failed_alone = sum(code == "processing_failed" for _, _, code in rejects)

    assert api.rows(file_id) == results
    assert [(r["row_number"], r["line"], r["code"]) for r in api.rejects(file_id)] == rejects
    assert status["rows"] == {
        "total": given.row_count,
        "ok": len(results),
        "invalid": len(rejects) - failed_alone,
        "failed": failed + failed_alone,
        "unprocessed": len(without_rows) - failed,
    }
    proof = api.proof(file_id)
    assert proof["closes"], proof["problems"]
    assert service.count("rejects", job_id) == len(rejects)
    pages = (
        f"SELECT coalesce(sum(row_count), 0) FROM result_pages WHERE job_id = {service.key(job_id)}"
    )
    assert service.sql(pages) == [(len(results),)]
    assert status["sha256"] == given.sha256
    return status


def assert_no_row_without_its_file(service: ServiceFolder) -> None:
    stored = service.stored()
    assert {name: sha for name, sha in stored.items() if name in service.files()} == service.files()


def assert_disk_agrees(service: ServiceFolder) -> None:
    """Assert that each stored file has a row, and each row its unchanged file."""
    assert service.stored() == service.files()


def post(api: Api, given: Input, *, chunk_size: int) -> dict[str, Any] | None:
    """Upload; return None if the service died before it responded."""
    try:
        return api.upload(given.data, chunk_size=chunk_size)
    except httpx.TransportError:
        return None


async def _nothing() -> None:
    pass
