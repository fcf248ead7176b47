"""The result of a job: computed once when all of it is final, from summaries in file order, in
bounded memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.config import load_settings
from app.db import chunks, files, jobs
from app.db.chunks import Claim
from app.db.engine import Database
from app.db.models import Job
from app.db.rows import ChunkCompletion, NewFile, NewJob
from app.db.types import now
from app.destinations.pages import Pages
from app.destinations.registry import Destinations
from app.destinations.sqlite import SqliteWriter
from app.destinations.staged import Assembly, Compute, StagedJob, StagedResults
from app.formats.base import Rows, Span
from app.pipeline.concluder import SUMMARIES_AT_ONCE, Concluder, concludes
from app.pipeline.running import JobSnapshot, load
from app.processors.base import (
    ChunkContext,
    ChunkOutcome,
    Conclusion,
    FileFacts,
    MakesFile,
    OutputMaker,
    Part,
    Reduces,
    ReducesParts,
    compute_here,
)
from app.processors.registry import Processors
from app.states import ChunkStatus, JobStatus
from tests.conftest import Databases

OWNER = "o"


def no_bytes(uri: str, start: int, end: int, etag: str | None = None) -> bytes:
    raise AssertionError("nothing is read here")


class Counted(Reduces):
    name = "counted"

    def __init__(self) -> None:
        self.most_at_once = 0

    def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        raise AssertionError("nothing is run here")

    def combine(self, summaries: Iterable[dict[str, Any]]) -> dict[str, Any]:
        parts = list(summaries)
        self.most_at_once = max(self.most_at_once, len(parts))
        return {"seen": [index for part in parts for index in part["seen"]]}

    def conclude(self, combined: dict[str, Any], facts: FileFacts) -> Conclusion:
        return Conclusion({"seen": combined["seen"]}, asdict(facts))


class Compared(ReducesParts):
    name = "compared"

    async def conclude_parts(
        self,
        parts: Sequence[Part],
        options: Any,
        compute: Callable[..., Awaitable[Any]],
        in_thread: Callable[..., Awaitable[Any]],
    ) -> Conclusion:
        told = [(part.filename, part.columns, part.result, part.state) for part in parts]
        return Conclusion({}, {"parts": await compute(sorted, told)})


class Pieces(OutputMaker):
    def described(self, document: bytes) -> tuple[bytes, list[tuple[str, str]]]:
        raise AssertionError("nothing is made here")


class Written(MakesFile):
    name = "written"
    output = Pieces()

    def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        raise AssertionError("nothing is run here")


class Settling(Pages, StagedResults):
    """Results of which one row proves invalid when all are there."""

    def __init__(self, database: Database) -> None:
        super().__init__(SqliteWriter(1))
        self.steps: list[str] = []
        self.assembly = Assembly(Conclusion({"rows": 1}, {}))
        self._database = database

    def of(self, processor: str, options: Mapping[str, Any]) -> StagedResults | None:
        return self if processor == "written" else None

    async def settle(self, job: StagedJob, compute: Compute) -> None:
        self.steps.append("settle")
        await self._database.transact(
            lambda c: chunks.demote(c, job.id, 0, rows_ok=2, by=1, code="not_unique")
        )

    async def assemble(self, job: StagedJob, compute: Compute) -> Assembly:
        self.steps.append("assemble")
        return self.assembly

    async def publish(
        self, connection: AsyncConnection, job_id: UUID, assembly: Assembly
    ) -> Conclusion:
        return assembly.conclusion

    async def discard(self, assembly: Assembly) -> None: ...

    async def forget(self, job_id: UUID) -> None: ...


class Service:
    """A concluder over a database, and its jobs."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.counted = Counted()
        self.processors = Processors(instances=[self.counted, Compared(), Written()])
        self.staged = Settling(database)
        self.destinations = Destinations((), is_sqlite=True)
        self.destinations.add(self.staged)
        self.concluder = Concluder(database, compute_here, no_bytes)

    async def job(
        self,
        processor: str = "counted",
        *,
        name: str = "f",
        chunk_count: int = 0,
        is_cut: bool = True,
        status: JobStatus = JobStatus.PROCESSING,
        parent_id: UUID | None = None,
        child_count: int | None = None,
    ) -> UUID:
        """Create a job of this processor with this many chunks of two rows."""
        file = NewFile(
            owner=OWNER,
            filename=name,
            format="csv",
            encoding="utf-8",
            size_bytes=9,
            stored_bytes=9,
            sha256="5a",
            dialect={"kind": "csv", "columns": ["a"], "data_start": 2, "data_line": 2},
            content_key=name,
            storage_uri=name,
        )
        job = NewJob(
            owner=OWNER,
            file_id=file.id,
            processor=processor,
            options={},
            chunk_size=2,
            priority=0,
            status=status,
            columns=["a"],
            split_done=is_cut,
            chunk_count=chunk_count,
            split_rows=2 * chunk_count,
            parent_id=parent_id,
            child_count=child_count,
        )
        spans = [Span(2 * i, 2 * i + 2, 2 * i, 2, i, 0) for i in range(chunk_count)]

        async def record(connection: AsyncConnection) -> None:
            await files.insert_file(connection, file)
            await jobs.insert_job(connection, job)
            await chunks.insert_chunks(connection, job.id, 0, spans, ChunkStatus.PENDING)

        await self.database.transact(record)
        return job.id

    async def loaded(self, job_id: UUID) -> JobSnapshot:
        job = await load(self.database, self.processors, self.destinations, job_id)
        assert job is not None
        return job

    async def claim(self, job_id: UUID, limit: int = 100) -> list[Claim]:
        return await self.database.transact(
            lambda c: chunks.claim(c, job_id, "w", 60.0, token=uuid4(), limit=limit)
        )

    async def complete(self, claims: Sequence[Claim], *, rejects: int = 0) -> None:
        """End each chunk with `rejects` rows that are not numbers; chunks without a valid row have
        no summary.
        """
        values = [
            ChunkCompletion(
                rows_ok=2 - rejects,
                rows_invalid=rejects,
                rows_failed=0,
                hash_read="",
                summary={"seen": [claim.index]} if rejects < 2 else None,
                reject_codes={"no_number": rejects} if rejects else None,
            )
            for claim in claims
        ]
        await self.database.transact(lambda c: chunks.complete(c, claims, values))

    async def put_result(self, job_id: UUID, data: dict[str, Any], state: str) -> None:
        await self.database.transact(lambda c: jobs.put_result(c, job_id, data, state))

    async def fail(self, claim: Claim) -> None:
        error = {"code": "x", "message": "x"}
        assert await self.database.transact(lambda c: chunks.fail(c, claim, error))


@pytest.fixture
async def service(databases: Databases, tmp_path: Path) -> AsyncIterator[Service]:
    url = await asyncio.to_thread(databases.create, tmp_path)
    database = Database(load_settings(database_url=url, storage_dir=tmp_path))
    yield Service(database)
    await database.close()


async def conclusion_of(service: Service, job_id: UUID) -> Conclusion | None:
    """Return the conclusion of a job that is due."""
    concluded = await service.concluder.conclude(await service.loaded(job_id))
    assert concluded is not None
    return concluded.conclusion


# ---------------------------------------------------------------------- of chunks


async def test_a_job_is_not_due_while_a_chunk_may_still_run(service: Service) -> None:
    job_id = await service.job(chunk_count=2)
    job = await service.loaded(job_id)
    assert await service.concluder.conclude(job) is None
    first, second = await service.claim(job_id)
    await service.complete([first])
    assert await service.concluder.conclude(job) is None, "one is in work"
    await service.fail(second)
    assert await service.concluder.conclude(job) is not None
    not_cut = await service.job(chunk_count=1, is_cut=False)
    await service.complete(await service.claim(not_cut))
    assert await service.concluder.conclude(await service.loaded(not_cut)) is None


async def test_summaries_are_combined_in_file_order_in_small_groups(
    service: Service,
) -> None:
    count = 3 * SUMMARIES_AT_ONCE + 1
    job_id = await service.job(chunk_count=count)
    claims = await service.claim(job_id)
    for claim in reversed(claims):
        await service.complete([claim])
    conclusion = await conclusion_of(service, job_id)
    assert conclusion is not None
    assert conclusion.summary == {"seen": list(range(count))}
    assert service.counted.most_at_once == SUMMARIES_AT_ONCE + 1


async def test_the_facts_describe_the_file_and_all_of_its_rejects(service: Service) -> None:
    job_id = await service.job(name="people.csv", chunk_count=3)
    one, two, three = await service.claim(job_id)
    await service.complete([one], rejects=1)
    await service.complete([two], rejects=2)
    await service.complete([three])
    conclusion = await conclusion_of(service, job_id)
    assert conclusion is not None
    assert conclusion.summary == {"seen": [0, 2]}
    assert conclusion.result == {
        "filename": "people.csv",
        "format": "csv",
        "dialect": {"kind": "csv", "columns": ["a"], "data_start": 2, "data_line": 2},
        "size_bytes": 9,
        "sha256": "5a",
        "rows": 6,
        "rejects": {"no_number": 3},
    }


async def test_a_file_without_valid_rows_has_a_conclusion_and_a_failed_job_has_none(
    service: Service,
) -> None:
    empty = await service.job(chunk_count=0)
    rejected = await service.job(chunk_count=1)
    await service.complete(await service.claim(rejected), rejects=2)
    for job_id in (empty, rejected):
        conclusion = await conclusion_of(service, job_id)
        assert conclusion is not None
        assert conclusion.summary == {"seen": []}
    failed = await service.job(chunk_count=1)
    for claim in await service.claim(failed):
        await service.fail(claim)
    assert await conclusion_of(service, failed) is None


async def test_retried_chunks_change_the_basis(service: Service) -> None:
    """An earlier conclusion must not be taken for theirs."""
    job_id = await service.job(chunk_count=2)
    job = await service.loaded(job_id)
    first, second = await service.claim(job_id)
    await service.complete([first])
    await service.fail(second)
    before = await service.concluder.conclude(job)
    same = await service.concluder.conclude(job)
    assert await service.database.transact(lambda c: chunks.retry_failed(c, job_id)) == 1
    await service.complete(await service.claim(job_id))
    after = await service.concluder.conclude(job)
    assert before is not None
    assert same is not None
    assert after is not None
    assert before.basis == same.basis != after.basis


# ---------------------------------------------------------------------- of parts


async def family(service: Service, *statuses: JobStatus) -> tuple[UUID, list[UUID]]:
    """A job with a part in each of these states; completed parts have a result."""
    parent = await service.job("compared", child_count=len(statuses))
    parts = []
    for number, status in enumerate(statuses):
        part = await service.job(name=f"{number}.csv", parent_id=parent, status=status)
        if status in (JobStatus.COMPLETED, JobStatus.COMPLETED_WITH_ERRORS):
            await service.put_result(part, {"number": number}, f"state {number}")
        parts.append(part)
    return parent, parts


async def test_a_job_with_parts_ends_with_the_results_of_the_parts(service: Service) -> None:
    parent, _ = await family(service, JobStatus.COMPLETED, JobStatus.COMPLETED_WITH_ERRORS)
    conclusion = await conclusion_of(service, parent)
    assert conclusion is not None
    assert conclusion.result == {
        "parts": [
            ("0.csv", ["a"], {"number": 0}, "state 0"),
            ("1.csv", ["a"], {"number": 1}, "state 1"),
        ]
    }


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.PROCESSING])
async def test_a_job_with_parts_is_due_after_its_last_part(
    service: Service, status: JobStatus
) -> None:
    parent, _ = await family(service, JobStatus.COMPLETED, status)
    assert await service.concluder.conclude(await service.loaded(parent)) is None


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.CANCELLED])
async def test_a_job_without_one_of_its_parts_concludes_nothing(
    service: Service, status: JobStatus
) -> None:
    parent, _ = await family(service, JobStatus.COMPLETED, status)
    assert await conclusion_of(service, parent) is None


async def test_a_missing_part_is_noticed(service: Service) -> None:
    """Its file was deleted."""
    parent, parts = await family(service, JobStatus.COMPLETED, JobStatus.COMPLETED)
    missing = update(Job).where(Job.id == parts[0]).values(parent_id=None)
    await service.database.transact(lambda c: c.execute(missing))
    assert await conclusion_of(service, parent) is None


async def test_a_retried_part_changes_the_basis(service: Service) -> None:
    parent, (part,) = await family(service, JobStatus.COMPLETED)
    job = await service.loaded(parent)
    before = await service.concluder.conclude(job)
    later = update(Job).where(Job.id == part).values(finished_at=now(60))
    await service.database.transact(lambda c: c.execute(later))
    after = await service.concluder.conclude(job)
    assert before is not None
    assert after is not None
    assert before.basis != after.basis


# ---------------------------------------------------------------------- with a file


async def test_staged_results_are_assembled_after_their_rows_are_settled(
    service: Service,
) -> None:
    job_id = await service.job("written", chunk_count=1)
    await service.complete(await service.claim(job_id))
    concluded = await service.concluder.conclude(await service.loaded(job_id))
    assert concluded is not None
    assert concluded.assembly is service.staged.assembly
    assert concluded.conclusion is concluded.assembly.conclusion
    assert service.staged.steps == ["settle", "assemble"]
    assert concluded.basis == ((ChunkStatus.COMPLETED, 1, 1, 1, 0),)


# ---------------------------------------------------------------------- which jobs


async def test_only_jobs_that_reduce_or_make_a_file_conclude(service: Service) -> None:
    told = {}
    for processor in ("rows", "counted", "written", "compared"):
        job = await service.loaded(await service.job(processor))
        parent = await service.loaded(await service.job(processor, child_count=1))
        told[processor] = (concludes(job), concludes(parent))
    assert told == {
        "rows": (False, False),
        "counted": (True, False),
        "written": (True, False),
        "compared": (False, True),
    }
