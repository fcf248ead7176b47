"""The factory creates jobs, their files and their tokens together, or nothing."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from app.config import Settings
from app.db import files as db_files
from app.db import jobs, undo
from app.db.engine import Database
from app.db.jobs import JobFilter
from app.db.rows import NewFile, NewJob, SplitPosition
from app.errors import BinaryContent, QuotaExceeded
from app.jobs.factory import JobFactory, JobSpec
from app.jobs.limits import OwnerLimits
from app.processors.registry import Processors
from tests.conftest import Databases
from tests.integration.db.test_readers import OWNER, opened

EVERYTHING = JobFilter()


class Made:
    """A factory over a database, and the jobs that it enqueued."""

    def __init__(self, database: Database, tmp_path: Path, *, max_jobs: int = 0) -> None:
        settings = Settings(storage_dir=tmp_path, owner_max_queued_jobs=max_jobs)
        self._database = database
        self.queued: list[UUID] = []
        self.factory = JobFactory(
            settings, Processors(), OwnerLimits(settings, database), self._enqueue
        )

    async def _enqueue(self, connection: AsyncConnection, job_id: UUID, priority: int) -> None:
        self.queued.append(job_id)

    async def make(self, new_jobs: list[NewJob], new_files: list[NewFile]) -> list[int]:
        return await self._database.transact(lambda c: self.factory.make(c, new_jobs, new_files))

    async def listed(self, wanted: JobFilter = EVERYTHING) -> list[UUID]:
        async with self._database.reading() as connection:
            return [job.id for job in await jobs.list_jobs(connection, OWNER, wanted, limit=10)]


def a_file(name: str = "data.csv") -> NewFile:
    return NewFile(
        owner=OWNER,
        filename=name,
        format="csv",
        encoding="utf-8",
        dialect={"data_start": 3, "data_line": 2},
        size_bytes=9,
        stored_bytes=9,
        content_key=name,
        storage_uri=name,
    )


async def test_a_job_with_parts_is_created_in_one_transaction_and_failed_parts_do_not_wait(
    databases: Databases, tmp_path: Path
) -> None:
    async with opened(databases, tmp_path) as database:
        made = Made(database, tmp_path)
        whole, good, bad = a_file("whole"), a_file("good"), a_file("bad")
        parent = made.factory.of_parts(JobSpec(OWNER, "rows", {}), whole, [], part_count=2)
        of_part = JobSpec(OWNER, "rows", {}, parent_id=parent.id)
        reading = made.factory.reading(of_part, good, ["a"])
        failed = made.factory.failed(of_part, bad, BinaryContent("no text"))
        numbers = await made.make([parent, reading, failed], [whole, good, bad])
        assert numbers == sorted(numbers), "a parent comes before its parts"
        assert made.queued == [parent.id, reading.id]
        async with database.reading() as connection:
            parts = await jobs.children(connection, parent.id)
        assert [(part.id, part.status, part.split_offset) for part in parts] == [
            (reading.id, "queued", 3),
            (failed.id, "failed", 3),
        ]
        assert parts[1].error == {"code": "binary_content", "message": "no text"}
        assert parts[1].split_done


async def test_jobs_over_the_limit_of_the_owner_are_refused(
    databases: Databases, tmp_path: Path
) -> None:
    async with opened(databases, tmp_path) as database:
        made = Made(database, tmp_path, max_jobs=1)
        files = [a_file("first"), a_file("second")]
        wanted = JobSpec(OWNER, "rows", {})
        with pytest.raises(QuotaExceeded):
            await made.make([made.factory.reading(wanted, file, []) for file in files], files)
        assert not await made.listed()
        await made.make([made.factory.reading(wanted, files[0], [])], files[:1])
        assert len(await made.listed()) == 1


async def test_a_filter_combines_its_conditions_with_and(
    databases: Databases, tmp_path: Path
) -> None:
    async with opened(databases, tmp_path) as database:
        made = Made(database, tmp_path)
        files = [a_file("Über.csv"), a_file("100%.csv"), a_file("part.csv")]
        first = made.factory.reading(JobSpec(OWNER, "rows", {}), files[0], [])
        parent = made.factory.of_parts(JobSpec(OWNER, "rows", {}), files[1], [], part_count=1)
        part = made.factory.reading(JobSpec(OWNER, "rows", {}, parent_id=parent.id), files[2], [])
        numbers = await made.make([first, parent, part], files)
        assert await made.listed() == [part.id, parent.id, first.id], "newest first"
        assert await made.listed(JobFilter(before=numbers[2])) == [parent.id, first.id]
        assert await made.listed(JobFilter(status="queued", with_parts=False)) == [first.id]
        assert await made.listed(JobFilter(parent=parent.id)) == [part.id]
        assert await made.listed(JobFilter(search="über")) == [first.id]
        assert await made.listed(JobFilter(search="%")) == [parent.id], "no pattern"
        assert await made.listed(JobFilter(processor="records")) == []
        async with database.reading() as connection:
            (newest,) = await jobs.list_jobs(connection, OWNER, JobFilter(), limit=1)
        assert part.id in await made.listed(JobFilter(since=newest.created_at))


async def test_a_filter_applies_to_the_counts_too(databases: Databases, tmp_path: Path) -> None:
    async with opened(databases, tmp_path) as database:
        made = Made(database, tmp_path)
        files = [a_file(f"{number}.csv") for number in range(4)]
        origins = ("imports", "imports", "batches", "imports")
        new = [
            made.factory.reading(JobSpec(OWNER, "rows", {}, origin=origin), file, [])
            for origin, file in zip(origins, files, strict=True)
        ]
        await made.make(new, files)
        first, second, third, fourth = (job.id for job in new)
        await database.transact(lambda c: jobs.cancel(c, second))
        await database.transact(lambda c: undo.begin(c, [second]))
        gone = files[3].id
        await database.transact(lambda c: db_files.mark_deleted(c, gone, OWNER))
        of_origin = JobFilter(origin="imports")
        assert await made.listed(of_origin) == [second, first], "not that of a deleted file"
        assert await made.listed(JobFilter(origin="imports", is_undone=True)) == [second]
        assert await made.listed(JobFilter(is_undone=False)) == [third, first]
        async with database.reading() as connection:
            (behind,) = await jobs.list_jobs(connection, OWNER, of_origin, limit=5, offset=1)
            assert behind.id == first
            counts = await jobs.count_jobs(connection, OWNER, of_origin)
            assert counts == {"queued": 1, "cancelled": 1}
            assert await jobs.count_jobs(connection, OWNER) == {"queued": 2, "cancelled": 1}
            assert await jobs.count_jobs(connection, "somebody else", of_origin) == {}
            assert await jobs.count_by_status(connection) == {"queued": 3, "cancelled": 1}
        assert fourth not in await made.listed()


async def test_a_split_job_waits_for_no_split(databases: Databases, tmp_path: Path) -> None:
    async with opened(databases, tmp_path) as database:
        made = Made(database, tmp_path)
        of, file = a_file("corrected"), a_file("correction")
        target = made.factory.reading(JobSpec(OWNER, "rows", {}), of, ["a"])
        position = SplitPosition(
            split_offset=9,
            split_rows=2,
            split_lines=4,
            split_crc32=7,
            split_done=True,
            chunk_count=1,
        )
        wanted = JobSpec(OWNER, "rows", {}, 3, "corrections", chunk_size=50, parent_id=target.id)
        cut = made.factory.cut(wanted, file, ["a"], position)
        await made.make([target, cut], [of, file])
        async with database.reading() as connection:
            job = await jobs.load_job(connection, cut.id)
        assert job is not None
        assert (job.status, job.split_done, job.stores_results) == ("processing", True, False)
        assert (job.split_offset, job.split_rows, job.split_lines) == (9, 2, 4)
        assert (job.split_crc32, job.chunk_count, job.chunk_size) == (7, 1, 50)
        assert (job.parent_id, job.origin, job.priority) == (target.id, "corrections", 3)
        assert job.started_at is not None
