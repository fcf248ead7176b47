"""The sweep removes leftovers of dead uploads from disk, keeps unknown files in lost+found, and
touches nothing else.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from app.config import load_settings
from app.db.engine import Database
from app.jobs.factory import JobFactory
from app.jobs.file_jobs import FileJobs
from app.jobs.job_types import JobTypes
from app.jobs.limits import OwnerLimits
from app.jobs.submit import Submission, Submitter
from app.pipeline.finisher import Finisher
from app.pipeline.queue import JobQueue
from app.pipeline.reconciler import Reconciler
from app.plugins import make_destinations
from app.processors.registry import Processors
from app.sources import upload
from app.sources.base import Sources
from app.sources.outputs import OutputParts
from app.sources.storage import LocalStorage
from tests.conftest import Databases
from tests.harness import query, wait_until


@dataclass
class Parts:
    storage: LocalStorage
    submitter: Submitter
    reconciler: Reconciler

    def make_old(self, path: Path) -> Path:
        then = time.time() - 3600
        os.utime(path, (then, then))
        return path

    def create(self, name: str) -> Path:
        path = self.storage.folder / name
        path.write_bytes(b"id\n1\n")
        return path

    async def upload(self, body: AsyncIterator[bytes]) -> UUID:
        accepted = await self.submitter.submit(Submission("local", "data.csv", "text/csv"), body)
        assert accepted.status_code == 201
        return UUID(accepted.body["file_id"])


@pytest.fixture
def url(databases: Databases, tmp_path: Path) -> str:
    return databases.create(tmp_path)


@pytest.fixture
async def parts(url: str, tmp_path: Path) -> AsyncIterator[Parts]:
    settings = load_settings(database_url=url, storage_dir=tmp_path, min_free_disk_mb=0)
    storage = LocalStorage(tmp_path / "uploads")
    storage.prepare()
    database = Database(settings)

    async def renew_leases() -> None:
        """No uploads are running."""

    outputs = OutputParts(tmp_path / "outputs")
    destinations = make_destinations(is_sqlite=True)
    sources = Sources(storage, outputs, storage)
    queue = JobQueue(1.0)
    finisher = Finisher(database, sources, destinations, delete_file=False)
    limits = OwnerLimits(settings, database)
    processors = Processors()
    factory = JobFactory(settings, processors, limits, queue.enqueue)
    job_types, file_jobs = JobTypes(processors), FileJobs(database, processors, factory)
    yield Parts(
        storage,
        Submitter(settings, database, storage, limits, factory, job_types, file_jobs),
        Reconciler(database, queue, finisher, storage, outputs, renew_leases),
    )
    await database.close()


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


async def test_old_files_without_a_row_are_removed_and_all_others_stay(parts: Parts) -> None:
    known = await parts.upload(pieces(b"id\n1\n"))
    unknown = parts.create(str(uuid4()))
    dead = [unknown, parts.create(f"{uuid4()}.part"), parts.create(f"{known}.part")]
    stranger = parts.create("notes.txt")
    stored = parts.storage.folder / str(known)
    for path in (*dead, stranger, stored):
        parts.make_old(path)
    young = [parts.create(str(uuid4())), parts.create(f"{uuid4()}.part")]

    await parts.reconciler.sweep()
    assert set(parts.storage.folder.iterdir()) == {stored, stranger, *young}
    (kept,) = (parts.storage.folder.parent / "lost+found" / "uploads").iterdir()
    assert (kept.name, kept.read_bytes()) == (unknown.name, b"id\n1\n")


async def test_abandoned_bytes_are_removed(parts: Parts, url: str) -> None:
    """DELETE_FILE_ON_COMPLETE first forgets them in the database: a process that dies then, or an
    unreachable bucket.
    """
    given_up, known = await parts.upload(pieces(b"id\n1\n")), await parts.upload(pieces(b"id\n2\n"))
    condition = f"id = '{given_up.hex if url.startswith('sqlite') else given_up}'"
    await asyncio.to_thread(query, url, f"UPDATE files SET storage_uri = NULL WHERE {condition}")
    for path in parts.storage.folder.iterdir():
        parts.make_old(path)
    await parts.reconciler.sweep()
    assert [path.name for path in parts.storage.folder.iterdir()] == [str(known)]


async def test_a_slow_upload_is_not_swept(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes are written by the mebibyte, which takes a slow client longer than the age of a
    dead file.
    """
    monkeypatch.setattr(upload, "TOUCH_SECONDS", 0.01)

    async def slow() -> AsyncIterator[bytes]:
        yield b"id\n"
        (part,) = parts.storage.folder.iterdir()
        parts.make_old(part)
        await asyncio.to_thread(
            wait_until, lambda: part.stat().st_mtime > time.time() - 30, 10, "a sign of life"
        )
        await parts.reconciler.sweep()
        yield b"1\n"

    file_id = await parts.upload(slow())
    assert (parts.storage.folder / str(file_id)).read_bytes() == b"id\n1\n"
