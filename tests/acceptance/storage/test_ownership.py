"""Ownership of a storage: another database never loses its files, and unknown files are kept for
days.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from app.config import Settings, load_settings
from app.db.engine import Database
from app.errors import StorageForeign
from app.jobs.factory import JobFactory
from app.jobs.file_jobs import FileJobs
from app.jobs.job_types import JobTypes
from app.jobs.limits import OwnerLimits
from app.jobs.submit import Submission, Submitter
from app.pipeline.ownership import Ownership
from app.pipeline.queue import JobQueue
from app.pipeline.sweeper import FEW, Sweeper, Swept
from app.processors.registry import Processors
from app.sources.stores import Stores, stores
from tests import commands
from tests.conftest import Databases
from tests.crash.service import Worker
from tests.forks import Server
from tests.harness import Api, Postgres, query, wait_until
from tests.storage.buckets import OurBucket

CONTENT = b"id,name\n1,a\n"
PLACES = ("folder", "bucket")


@dataclass
class Service:
    """The parts of a service that use database and storage."""

    database: Database
    places: Stores
    ownership: Ownership
    sweeper: Sweeper
    submitter: Submitter

    async def store(self) -> UUID:
        async def body() -> AsyncIterator[bytes]:
            yield CONTENT

        accepted = await self.submitter.submit(Submission("local", "data.csv", "text/csv"), body())
        return UUID(accepted.body["file_id"])

    async def sweep(self, *, has_limit: bool = True) -> Swept:
        return await self.sweeper.sweep(-60, has_limit=has_limit)

    def is_there(self, file_id: UUID) -> bool:
        return self.places.storage.size(str(file_id)) == len(CONTENT)

    def lost(self) -> set[UUID]:
        return set(self.places.storage.lost.ages())


class Storage:
    """A folder or a prefix of a bucket."""

    def __init__(self, kind: str, bucket: OurBucket, folder: Path) -> None:
        self.kind = kind
        self.bucket = bucket
        self.url = f"file://{folder}" if kind == "folder" else bucket.url()
        self._folder = folder / "unused"

    def open(self) -> Stores:
        places = stores(self.url, self._folder, self.bucket.credentials(), most_bytes=1 << 30)
        places.prepare()
        return places


@pytest.fixture(params=PLACES)
def storage(request: pytest.FixtureRequest, bucket: OurBucket, tmp_path: Path) -> Storage:
    return Storage(request.param, bucket, tmp_path / "files")


@asynccontextmanager
async def service(
    url: str, storage: Storage, *, lost_seconds: float = 3600
) -> AsyncIterator[Service]:
    settings: Settings = load_settings(database_url=url, min_free_disk_mb=0)
    database, places = Database(settings), storage.open()
    ownership = Ownership(database, places)
    sweeper = Sweeper(
        database,
        places.storage,
        places.outputs,
        partials=places.partials,
        ownership=ownership,
        lost_seconds=lost_seconds,
    )
    queue, limits = JobQueue(1.0), OwnerLimits(settings, database)
    processors = Processors()
    factory = JobFactory(settings, processors, limits, queue.enqueue)
    job_types, file_jobs = JobTypes(processors), FileJobs(database, processors, factory)
    submitter = Submitter(settings, database, places.storage, limits, factory, job_types, file_jobs)
    try:
        yield Service(database, places, ownership, sweeper, submitter)
    finally:
        await database.close()
        places.close()


async def test_a_storage_belongs_to_the_first_database_and_a_second_one_is_refused(
    databases: Databases, storage: Storage, tmp_path: Path
) -> None:
    one, other = (
        await asyncio.to_thread(databases.create, tmp_path / "1"),
        await asyncio.to_thread(databases.create, tmp_path / "2"),
    )
    async with service(one, storage) as first, service(other, storage) as second:
        await first.ownership.claim()
        file_id = await first.store()
        with pytest.raises(
            StorageForeign, match=r"belongs to another Granula database .* storage adopt"
        ):
            await second.ownership.claim()
        assert await second.sweep() == Swept()
        assert first.is_there(file_id)
        await first.ownership.claim()

        before = await second.ownership.adopt()
        assert before is not None
        assert before.installation == await first.ownership.own_id()
        await second.ownership.claim()
        with pytest.raises(StorageForeign):
            await first.ownership.claim()
        unknown = uuid4()
        await asyncio.to_thread(write_named, first, unknown)
        assert await first.sweep() == Swept(), "it is another's now"
        assert first.is_there(unknown)
        assert first.is_there(file_id)


async def test_one_of_two_databases_that_start_together_gets_a_new_storage(
    databases: Databases, storage: Storage, tmp_path: Path
) -> None:
    for attempt in range(5):
        place = Storage(storage.kind, storage.bucket, tmp_path / f"new{attempt}")
        one, other = (
            await asyncio.to_thread(databases.create, tmp_path / f"1{attempt}"),
            await asyncio.to_thread(databases.create, tmp_path / f"2{attempt}"),
        )
        async with service(one, place) as first, service(other, place) as second:
            claims = await asyncio.gather(
                first.ownership.claim(), second.ownership.claim(), return_exceptions=True
            )
            assert {type(claim) for claim in claims} == {type(None), StorageForeign}


async def test_processes_of_one_database_that_start_together_agree(
    databases: Databases, storage: Storage, tmp_path: Path
) -> None:
    url = await asyncio.to_thread(databases.create, tmp_path / "1")
    async with (
        service(url, storage) as first,
        service(url, storage) as second,
        service(url, storage) as third,
    ):
        await asyncio.gather(*(each.ownership.claim() for each in (first, second, third)))
        ids = {await each.ownership.own_id() for each in (first, second, third)}
        assert len(ids) == 1
        held = await third.ownership.held()
        assert held is not None
        assert {held.installation} == ids


async def test_an_unmarked_storage_is_claimed_if_the_database_knows_a_file_in_it(
    databases: Databases, storage: Storage, tmp_path: Path
) -> None:
    """As after an update from a version without marks, with the leftovers of a killed process."""
    url, other = (
        await asyncio.to_thread(databases.create, tmp_path / "1"),
        await asyncio.to_thread(databases.create, tmp_path / "2"),
    )
    async with service(url, storage) as ours, service(other, storage) as fresh:
        file_id = await ours.store()
        await asyncio.to_thread(write_named, ours, uuid4())
        with pytest.raises(
            StorageForeign,
            match=r"holds files and no granula.json, and this database knows none of them",
        ):
            await fresh.ownership.claim()
        assert await fresh.ownership.held() is None, "refusing leaves no mark"
        await ours.ownership.claim()
        assert ours.is_there(file_id)
        held = await ours.ownership.held()
        assert held is not None
        assert held.installation == await ours.ownership.own_id()


@pytest.mark.parametrize("what", ["partial", "outputs"])
async def test_a_storage_with_only_unknown_files_is_refused(
    databases: Databases, storage: Storage, tmp_path: Path, what: str
) -> None:
    async with service(await asyncio.to_thread(databases.create, tmp_path / "1"), storage) as fresh:
        if what == "outputs":
            await asyncio.to_thread(
                fresh.places.outputs.write, uuid4(), "0-a.part", len(CONTENT), [CONTENT]
            )
        else:
            await asyncio.to_thread(write_partial, fresh, uuid4())
        with pytest.raises(StorageForeign):
            await fresh.ownership.claim()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"installation": 7}', b"\xff", b"null"])
async def test_an_unreadable_mark_is_not_overwritten(
    databases: Databases, storage: Storage, tmp_path: Path, content: bytes
) -> None:
    async with service(await asyncio.to_thread(databases.create, tmp_path / "1"), storage) as ours:
        await asyncio.to_thread(ours.places.mark.replace, content)
        with pytest.raises(StorageForeign, match="cannot be read"):
            await ours.ownership.claim()
        assert await asyncio.to_thread(ours.places.mark.read) == content
        await ours.ownership.adopt()
        await ours.ownership.claim()


def write_named(service: Service, file_id: UUID) -> None:
    writer = service.places.storage.writer(file_id)
    writer.write(CONTENT)
    writer.finish()
    writer.publish()


def write_partial(service: Service, upload_id: UUID) -> None:
    service.places.partials.create(upload_id)
    with service.places.partials.locked(upload_id) as growing:
        growing.append(CONTENT)
        growing.sync()


async def test_unknown_files_are_kept_for_days_and_then_removed(
    databases: Databases, storage: Storage, tmp_path: Path
) -> None:
    url = await asyncio.to_thread(databases.create, tmp_path / "1")
    async with service(url, storage) as ours:
        await ours.ownership.claim()
        known, unknown = await ours.store(), uuid4()
        await asyncio.to_thread(write_named, ours, unknown)
        assert await ours.sweep() == Swept(lost=1)
        assert await ours.sweep() == Swept(lost=1)
        assert ours.lost() == {unknown}
        assert await swept_of(url) == [(1, 0)]
        assert ours.is_there(known)
    async with service(url, storage, lost_seconds=-60) as later:
        assert await later.sweep() == Swept()
        assert later.lost() == set()
        assert not later.is_there(unknown)
        assert later.is_there(known)


async def swept_of(url: str) -> list[tuple[object, ...]]:
    return await asyncio.to_thread(query, url, "SELECT lost_files, held_files FROM installation")


async def test_a_restored_older_database_loses_nothing_and_the_newer_one_finds_everything(
    databases: Databases, storage: Storage, tmp_path: Path
) -> None:
    """Files, pieces of resumable uploads and parts of transforms that are newer than the backup."""
    url = await asyncio.to_thread(databases.create, tmp_path / "1")
    async with service(url, storage) as ours:
        await ours.ownership.claim()
        old = await ours.store()
        own_id = await ours.ownership.own_id()
        new = [await ours.store() for _ in range(FEW)]
        # The older backup: the same id, without the newer files.
        older = await asyncio.to_thread(databases.create, tmp_path / "2")
        await asyncio.to_thread(copy_row, older, own_id)
        async with service(older, storage) as restored:
            await restored.ownership.claim()
            found = await restored.sweep()
            assert found.lost + found.held >= FEW
        assert await ours.sweep() == Swept()
        assert all(ours.is_there(each) for each in (old, *new))
        assert ours.lost() == set()


def copy_row(url: str, own_id: UUID) -> None:
    literal = own_id.hex if url.startswith("sqlite") else own_id
    query(
        url,
        f"INSERT INTO installation (key, id, created_at) VALUES (1, '{literal}', '2026-01-01"
        " 00:00:00')",
    )


async def test_a_file_in_lost_and_found_returns_when_it_is_read(
    databases: Databases, storage: Storage, tmp_path: Path
) -> None:
    async with service(await asyncio.to_thread(databases.create, tmp_path / "1"), storage) as ours:
        await ours.ownership.claim()
        file_id, upload_id, job_id = await ours.store(), uuid4(), uuid4()
        await asyncio.to_thread(write_partial, ours, upload_id)
        await asyncio.to_thread(
            ours.places.outputs.write, job_id, "0-a.part", len(CONTENT), [CONTENT]
        )
        places = ours.places
        for place, each in (
            (places.storage, file_id),
            (places.partials, upload_id),
            (places.outputs, job_id),
        ):
            await asyncio.to_thread(place.lost.keep, each)
        assert (
            await asyncio.to_thread(places.storage.read, str(file_id), 0, len(CONTENT), None)
            == CONTENT
        )
        assert await asyncio.to_thread(places.partials.size, upload_id) == len(CONTENT)
        assert b"".join(places.partials.blocks(upload_id)) == CONTENT
        assert b"".join(places.outputs.blocks(job_id, "0-a.part")) == CONTENT


async def test_too_many_unknown_files_wait_for_an_operator(
    databases: Databases, storage: Storage, tmp_path: Path
) -> None:
    url = await asyncio.to_thread(databases.create, tmp_path / "1")
    async with service(url, storage) as ours:
        await ours.ownership.claim()
        known = await ours.store()
        unknown = [uuid4() for _ in range(FEW + 1)]
        for each in unknown:
            await asyncio.to_thread(write_named, ours, each)
        assert await ours.sweep() == Swept(held=FEW + 1)
        assert all(ours.is_there(each) for each in unknown)
        assert await swept_of(url) == [(0, FEW + 1)]
        assert await ours.sweep(has_limit=False) == Swept(lost=FEW + 1)
        assert ours.lost() == set(unknown)
        assert await ours.sweeper.purge() == FEW + 1
        assert ours.lost() == set()
        assert not any(ours.is_there(each) for each in unknown)
        assert ours.is_there(known)


async def test_parts_of_unknown_jobs_and_uploads_are_kept_too(
    databases: Databases, tmp_path: Path, bucket: OurBucket
) -> None:
    async with service(
        await asyncio.to_thread(databases.create, tmp_path / "1"),
        Storage("folder", bucket, tmp_path / "files"),
    ) as ours:
        await ours.ownership.claim()
        upload_id, empty, job_id = uuid4(), uuid4(), uuid4()
        await asyncio.to_thread(write_partial, ours, upload_id)
        await asyncio.to_thread(ours.places.partials.create, empty)
        await asyncio.to_thread(
            ours.places.outputs.write, job_id, "0-a.part", len(CONTENT), [CONTENT]
        )
        for each in (upload_id, empty):
            os.utime(tmp_path / "files" / "partial" / str(each), (0, 0))
        assert await ours.sweep() == Swept(lost=2)
        assert (
            tmp_path / "files" / "lost+found" / "partial" / str(upload_id)
        ).read_bytes() == CONTENT
        assert (
            tmp_path / "files" / "lost+found" / "outputs" / str(job_id) / "0-a.part"
        ).read_bytes() == CONTENT
        assert not list((tmp_path / "files" / "partial").iterdir())


# ---------------------------------------------------------------------- processes


@pytest.fixture(params=PLACES)
def settings(
    request: pytest.FixtureRequest, bucket: OurBucket, tmp_path: Path
) -> Iterator[dict[str, str]]:
    """Settings of services that share a storage."""
    if request.param == "bucket":
        yield bucket.settings(bucket.url())
    else:
        yield {"STORAGE_URL": f"file://{tmp_path / 'files'}"}


def run(*command: str, **environment: object) -> subprocess.CompletedProcess[str]:
    given = {
        **os.environ,
        "MIN_FREE_DISK_MB": "0",
        **{name: str(value) for name, value in environment.items()},
    }
    return commands.run(*command, environment=given, seconds=120)


def test_a_service_with_another_database_does_not_start_and_removes_nothing(
    databases: Databases, settings: dict[str, str], tmp_path: Path
) -> None:
    one, other = databases.create(tmp_path / "1"), databases.create(tmp_path / "2")
    first = Server(one, tmp_path / "1", RECONCILE_SECONDS=0.1, **settings).start()
    with first.client() as client:
        file_id = Api(client).run(CONTENT)["file_id"]
        second = Server(other, tmp_path / "2", **settings)
        second.launch()
        assert second.process is not None
        assert second.process.wait(60) == 2
        assert second.log.read_text().count("belongs to another Granula database") == 1
        assert "Traceback" not in second.log.read_text()
        answer = client.get(f"/api/v1/files/{file_id}/download")
        assert (answer.status_code, answer.content) == (200, CONTENT)
    first.stop()
    assert "lost+found" not in first.log.read_text()


def test_every_command_reports_a_foreign_storage_until_it_is_adopted(
    postgres: Postgres, templates: dict[str, str], tmp_path: Path
) -> None:
    databases = Databases("sqlite", postgres, templates)
    one, other = databases.create(tmp_path / "1"), databases.create(tmp_path / "2")
    common = {"STORAGE_URL": f"file://{tmp_path / 'files'}", "GRANULA_URL": ""}
    mine = {"DATABASE_URL": one, "STORAGE_DIR": tmp_path / "1", **common}
    foreign = {"DATABASE_URL": other, "STORAGE_DIR": tmp_path / "2", **common}
    assert run("app", "storage", "adopt", **mine).returncode == 0
    services = {"ENDPOINT_URL": "http://127.0.0.1:1", "ML_API_URL": "http://127.0.0.1:1"}
    for command, code in (
        (("app", "serve", "--port", "0"), 2),
        (("uvicorn", "app.main:app", "--port", "0"), 2),
        (("app", "pipeline"), 2),
        (("app", "storage", "sweep"), 4),
    ):
        refused = run(*command, **services, **foreign)
        said = refused.stdout + refused.stderr
        assert refused.returncode == code, said
        assert "another Granula database" in said or "another database" in said
        assert "Traceback" not in said
    doctor = json.loads(run("app", "doctor", "--json", **foreign).stdout)
    (check,) = [check for check in doctor["checks"] if check["name"] == "installation"]
    assert check["state"] == "bad"
    assert "storage adopt" in check["remedy"]

    assert run("app", "storage", "adopt", **foreign).returncode == 0
    again = run("app", "storage", "status", "--json", **mine)
    assert again.returncode == 1
    told = json.loads(again.stdout)
    assert told["belongs_to"] != told["installation"]


def test_a_worker_reports_the_storage_of_another_database_in_one_line(
    postgres: Postgres, templates: dict[str, str], tmp_path: Path
) -> None:
    databases = Databases("postgresql", postgres, templates)
    one, other = databases.create(tmp_path / "1"), databases.create(tmp_path / "2")
    common = {"QUEUE": "procrastinate", "STORAGE_DIR": tmp_path / "files"}
    assert run("app", "storage", "adopt", DATABASE_URL=one, **common).returncode == 0
    refused = run("app", "worker", DATABASE_URL=other, **common)
    assert refused.returncode == 2, refused.stderr
    assert refused.stderr.count("\n") == 1
    assert "belongs to another Granula database" in refused.stderr
    databases.close()


def test_processes_that_start_together_on_a_new_storage_share_it(
    postgres: Postgres, templates: dict[str, str], settings: dict[str, str], tmp_path: Path
) -> None:
    databases = Databases("postgresql", postgres, templates)
    url = databases.create(tmp_path / "1")
    shared = {"QUEUE": "procrastinate", **settings}
    processes = [
        Server(url, tmp_path / "1", **shared),
        *(Worker(url, tmp_path / "1", **shared) for _ in range(2)),
    ]
    for process in processes:
        process.launch()
    try:
        for process in processes:
            process.wait_until_ready()
        with processes[0].client() as client:
            assert Api(client).run(CONTENT)["status"] == "completed"
    finally:
        for process in processes:
            process.stop()
    databases.close()


def test_a_restored_older_database_removes_no_file(
    databases: Databases, settings: dict[str, str], tmp_path: Path
) -> None:
    """The service is started on a copy of its database from before the uploads, and then on the
    newer one.
    """
    url = databases.create(tmp_path / "1")
    service = Server(url, tmp_path / "1", RECONCILE_SECONDS=0.05, **settings).start()
    contents = [CONTENT + b"%d,b\n" % number for number in range(3)]
    with service.client() as client:
        file_ids = [Api(client).run(content)["file_id"] for content in contents]
    service.stop()
    folder = tmp_path / "files" / "uploads"
    is_folder = folder.is_dir()
    for file_id in file_ids if is_folder else ():
        os.utime(folder / file_id, (0, 0))
    ((own_id,),) = query(url, "SELECT id FROM installation")
    older = databases.create(tmp_path / "2")
    copy_row(older, UUID(str(own_id)))
    restored = Server(older, tmp_path / "2", RECONCILE_SECONDS=0.05, **settings).start()
    with restored.client() as client:
        assert client.get("/api/v1/jobs").json()["items"] == []
        wait_until(
            lambda: query(older, "SELECT swept_at FROM installation")[0][0],
            60,
            "a round of the sweep",
        )
        lost = 3.0 if is_folder else 0.0  # in the bucket they are too young
        assert f'granula_unknown_files{{state="lost_found"}} {lost}' in client.get("/metrics").text
    restored.stop()
    if is_folder:
        assert "is unknown to this database; moved to lost+found" in restored.log.read_text()
    newer = Server(url, tmp_path / "1", **settings).start()
    with newer.client() as client:
        for content, file_id in zip(contents, file_ids, strict=True):
            assert client.get(f"/api/v1/files/{file_id}/download").content == content
    newer.stop()
