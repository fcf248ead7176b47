"""Jobs over stored files: what they read, what is refused, and which earlier job is reused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.config import load_settings
from app.db import files, jobs
from app.db.engine import Database
from app.db.models import Job
from app.db.rows import JobRow, NewFile
from app.errors import InvalidParameter, MissingColumn, NotFound, NotRows, StoredBytesGone
from app.formats.base import Rows
from app.jobs.factory import JobFactory
from app.jobs.file_jobs import FileJobs, JobRequest, Plan, PlannedFile, SubmittedJob, refused
from app.jobs.job_types import JobTypes
from app.jobs.limits import OwnerLimits
from app.processors.base import ChunkContext, ChunkOutcome, Processor
from app.processors.options import Options
from app.processors.registry import Processors
from app.states import JobStatus
from tests.conftest import Databases

OWNER = "o"
SHA = "5a" * 32


class Choice(Options):
    column: str = "a"
    other_file: UUID | None = None


class Chosen(Processor):
    """One column of the file; its version is that of the test."""

    name = "chosen"
    options = Choice
    chunk_size = 7

    def __init__(self) -> None:
        self.version: str | None = "1"

    def columns(self, header: Sequence[str], options: Any) -> Sequence[str]:
        if options.column not in header:
            raise MissingColumn(f"There is no column {options.column}.")
        return [options.column]

    def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        raise AssertionError("nothing is run here")


class Service:
    """The use case over a database, and the jobs that it enqueued."""

    def __init__(self, database: Database, storage: Path) -> None:
        settings = load_settings(storage_dir=storage)
        self.database = database
        self.chosen = Chosen()
        self.queued: list[UUID] = []
        self.processors = processors = Processors(instances=[self.chosen])
        limits = OwnerLimits(settings, database)
        factory = JobFactory(settings, processors, limits, self._enqueue)
        self.file_jobs = FileJobs(database, processors, factory)

    async def _enqueue(self, connection: AsyncConnection, job_id: UUID, priority: int) -> None:
        self.queued.append(job_id)

    async def file(
        self,
        *,
        owner: str = OWNER,
        sha256: str = SHA,
        uri: str | None = "f",
        format: str = "csv",
        delimiter: str = ",",
    ) -> UUID:
        dialect = {
            "kind": "csv",
            "columns": ["a", "b"],
            "delimiter": delimiter,
            "data_start": 4,
            "data_line": 2,
        }
        file = NewFile(
            owner=owner,
            filename="f.csv",
            format=format,
            encoding="utf-8",
            dialect=dialect,
            size_bytes=9,
            stored_bytes=9,
            sha256=sha256,
            content_key=sha256,
            storage_uri=uri,
        )
        await self.database.transact(lambda c: files.insert_file(c, file))
        return file.id

    async def submit(self, file_id: UUID, *, fresh: bool = False, **options: Any) -> SubmittedJob:
        return await self.file_jobs.submit_plan(
            OWNER, file_id, self.plan(**options), 0, fresh=fresh
        )

    def plan(self, **options: Any) -> Plan:
        """Create a job as a job type does; raises InvalidParameter."""
        return Plan("chosen", JobTypes(self.processors).options("chosen", options))

    async def end(self, *job_ids: UUID, status: JobStatus = JobStatus.COMPLETED) -> None:
        """End a job by way of `processing`."""

        async def move(connection: AsyncConnection) -> None:
            of_these = update(Job).where(Job.id.in_(job_ids))
            queued = of_these.where(Job.status == JobStatus.QUEUED)
            await connection.execute(queued.values(status=JobStatus.PROCESSING))
            await connection.execute(of_these.values(status=status))

        await self.database.transact(move)

    async def job(self, job_id: UUID) -> JobRow:
        async with self.database.reading() as connection:
            job = await jobs.load_job(connection, job_id)
        assert job is not None
        return job

    async def parts(self, job_id: UUID) -> list[JobRow]:
        async with self.database.reading() as connection:
            return await jobs.children(connection, job_id)


@pytest.fixture
async def service(databases: Databases, tmp_path: Path) -> AsyncIterator[Service]:
    url = await asyncio.to_thread(databases.create, tmp_path)
    database = Database(load_settings(database_url=url, storage_dir=tmp_path))
    yield Service(database, tmp_path)
    await database.close()


async def test_a_job_reads_the_stored_file_from_its_first_row(service: Service) -> None:
    file_id = await service.file()
    made = await service.file_jobs.submit_plan(OWNER, file_id, service.plan(column="b"), 4)
    assert not made.is_cached
    assert service.queued == [made.job_id]
    job = await service.job(made.job_id)
    assert (job.file_id, job.status, job.priority, job.origin) == (file_id, "queued", 4, "jobs")
    assert (job.split_offset, job.split_lines, job.chunk_size) == (4, 2, 7)
    assert (job.columns, job.options) == (["b"], {"column": "b"})


async def test_columns_and_rows_of_a_chunk_can_be_set(service: Service) -> None:
    file_id = await service.file()
    plan = replace(service.plan(), columns=["x", "y"], chunk_size=3)
    made = await service.file_jobs.submit_plan(OWNER, file_id, plan, 0)
    job = await service.job(made.job_id)
    assert (job.columns, job.chunk_size) == (["x", "y"], 3)


async def test_an_unreadable_file_is_refused_and_creates_no_job(service: Service) -> None:
    refused: list[tuple[UUID, type[Exception]]] = [
        (uuid4(), NotFound),
        (await service.file(owner="somebody else"), NotFound),
        (await service.file(uri=None), StoredBytesGone),
        (await service.file(format="parquet"), NotRows),
    ]
    for file_id, error in refused:
        with pytest.raises(error):
            await service.submit(file_id)
        with pytest.raises(error):
            await service.file_jobs.file(OWNER, file_id)
    good = await service.file()
    assert (await service.file_jobs.file(OWNER, good)).id == good
    with pytest.raises(InvalidParameter):
        await service.submit(good, colour="red")
    with pytest.raises(MissingColumn):
        await service.submit(good, column="c")
    assert service.queued == []


# ---------------------------------------------------------------------- an earlier job


async def test_a_request_for_the_same_bytes_returns_the_finished_job(
    service: Service,
) -> None:
    first = await service.submit(await service.file(), column="b")
    still_in_work = await service.submit(await service.file(), column="b")
    assert not still_in_work.is_cached
    await service.end(first.job_id)
    again = await service.submit(await service.file(), column="b")
    assert again == SubmittedJob(first.job_id, first.file_id, is_cached=True)
    assert service.queued == [first.job_id, still_in_work.job_id], "nothing is queued for it"


async def test_fresh_creates_a_job_despite_an_earlier_one(service: Service) -> None:
    file_id = await service.file()
    first = await service.submit(file_id)
    await service.end(first.job_id)
    fresh = await service.submit(file_id, fresh=True)
    assert (fresh.is_cached, fresh.job_id != first.job_id) == (False, True)


async def test_only_inputs_of_the_result_lead_to_another_job(service: Service) -> None:
    file_id, other = await service.file(), await service.file()
    first = await service.submit(file_id, column="a", other_file=str(file_id))
    await service.end(first.job_id)
    same = await service.submit(other, column="a", other_file=str(other))
    assert same == SubmittedJob(first.job_id, first.file_id, is_cached=True), (
        "an id stands for its bytes"
    )
    cases: tuple[tuple[UUID, dict[str, str]], ...] = (
        (await service.file(sha256="6b" * 32), {"column": "a"}),
        (await service.file(delimiter=";"), {"column": "a"}),
        (file_id, {"column": "b"}),
        (file_id, {"column": "a", "other_file": str(other)}),
    )
    for changed, said in cases:
        options: dict[str, Any] = {"other_file": str(changed), **said}
        assert not (await service.submit(changed, **options)).is_cached, options
    service.chosen.version = "2"
    assert not (await service.submit(file_id, other_file=str(file_id))).is_cached


async def test_nondeterministic_jobs_and_bytes_without_a_hash_are_not_reused(
    service: Service,
) -> None:
    unhashed = await service.file(sha256="")
    await service.end((await service.submit(unhashed)).job_id)
    assert not (await service.submit(unhashed)).is_cached
    service.chosen.version = None
    file_id = await service.file()
    await service.end((await service.submit(file_id)).job_id)
    assert not (await service.submit(file_id)).is_cached


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.CANCELLED])
async def test_an_unsuccessful_job_is_not_reused(service: Service, status: JobStatus) -> None:
    file_id = await service.file()
    await service.end((await service.submit(file_id)).job_id, status=status)
    assert not (await service.submit(file_id)).is_cached


async def test_a_job_of_another_owner_is_not_reused(service: Service) -> None:
    theirs = await service.file(owner="somebody else")
    made = await service.file_jobs.submit_plan("somebody else", theirs, service.plan(), 0)
    await service.end(made.job_id)
    assert not (await service.submit(await service.file())).is_cached


# ---------------------------------------------------------------------- parts


async def with_parts(service: Service, *file_ids: UUID, fresh: bool = False) -> SubmittedJob:
    plan = Plan("rows", {}, file_ids, "chosen")
    return await service.file_jobs.submit_plan(OWNER, file_ids[0], plan, 3, fresh=fresh)


async def test_a_job_has_one_part_for_each_file_in_order(service: Service) -> None:
    one, two = await service.file(), await service.file(sha256="6b" * 32)
    made = await with_parts(service, two, one, two)
    parent = await service.job(made.job_id)
    assert (parent.file_id, parent.status, parent.child_count) == (two, "processing", 3)
    parts = await service.parts(made.job_id)
    assert [part.file_id for part in parts] == [two, one, two]
    assert {(part.processor, part.status, part.priority, part.split_offset) for part in parts} == {
        ("chosen", "queued", 3, 4)
    }
    assert [part.columns for part in parts] == [["a"]] * 3
    assert service.queued == [parent.id, *(part.id for part in parts)]


async def test_one_unreadable_part_prevents_all_from_being_created(service: Service) -> None:
    good, gone = await service.file(), await service.file(uri=None)
    for bad, error in ((gone, StoredBytesGone), (uuid4(), NotFound)):
        with pytest.raises(error):
            await with_parts(service, good, bad)
    assert service.queued == []


async def test_an_earlier_job_of_the_same_parts_is_reused_only_in_the_same_order(
    service: Service,
) -> None:
    one, two = await service.file(), await service.file(sha256="6b" * 32)
    first = await with_parts(service, one, two)
    parts = await service.parts(first.job_id)
    await service.end(*(part.id for part in parts), first.job_id)
    again = await with_parts(service, one, two)
    assert again == SubmittedJob(first.job_id, first.file_id, is_cached=True)
    assert not (await with_parts(service, two, one)).is_cached
    assert not (await with_parts(service, one, two, fresh=True)).is_cached


async def test_a_part_that_failed_before_its_start_has_the_reason(service: Service) -> None:
    file_id = await service.file()
    async with service.database.reading() as connection:
        file = await files.find_file(connection, file_id, OWNER)
    assert file is not None
    request = JobRequest(OWNER, "chosen", {}, 5)
    failed = refused(request, file, MissingColumn("There is no column a."))
    good = PlannedFile(file, Plan("chosen", {}))
    family = service.file_jobs.family(request, [good, failed], {file.id: file}, whole=file)
    parent, _, job = family.jobs
    assert family.parts[1] is job
    assert (job.parent_id, parent.child_count) == (parent.id, 2)
    assert (job.status, job.priority, job.split_done) == ("failed", 5, True)
    assert job.error == {"code": "missing_column", "message": "There is no column a."}
