"""The list of jobs: every order is paged exactly while jobs arrive, and labels are kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from app.db import chunks, jobs
from app.db.engine import Database
from app.db.job_order import Order, Place, Sort
from app.db.jobs import JobFilter
from app.db.labels import change_labels, count_labels, labels_of
from app.db.models import Chunk, Job
from app.db.rows import NewJob
from app.errors import InvalidParameter
from app.features.jobs.listing import cursor_of, list_jobs, place_of
from app.formats.base import Span
from app.jobs.factory import JobSpec
from app.states import ChunkStatus
from tests.conftest import Databases
from tests.integration.db.test_factory import Made, a_file
from tests.integration.db.test_readers import OWNER, opened

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@dataclass
class Wanted:
    """A job to list, with what each order compares."""

    name: str
    rows: int = 0
    rejected: int = 0
    milliseconds: int | None = None
    status: str = "completed_with_errors"
    labels: tuple[str, ...] = ()


TIES = [
    Wanted("b.csv", rows=10, rejected=1, milliseconds=1500),
    Wanted("B.csv", rows=10, rejected=1, milliseconds=1500, labels=("red",)),
    Wanted("ä.csv", rows=30, rejected=1, milliseconds=7, labels=("red", "blue")),
    Wanted("a.csv", rows=30, rejected=30, milliseconds=86_400_000),
    Wanted("Ä.csv", rows=0, milliseconds=1500),
    Wanted("c.csv", rows=3, status="processing"),
    Wanted("c.csv", rows=3, rejected=1, milliseconds=0),
]


class Lists:
    def __init__(self, database: Database, tmp_path: Path) -> None:
        self.database = database
        self._made = Made(database, tmp_path)
        self._count = 0

    async def add(self, wanted: Wanted, parent_id: UUID | None = None) -> NewJob:
        self._count += 1
        file = a_file(wanted.name)
        spec = JobSpec(OWNER, "rows", {}, parent_id=parent_id, labels=wanted.labels)
        job = self._made.factory.reading(spec, file, [])
        await self._made.make([job], [file])
        if wanted.rows:
            span = Span(0, 2, 1, wanted.rows, 1, 0)
            await self._run(
                lambda c: chunks.insert_chunks(c, job.id, 0, [span], ChunkStatus.PROCESSING)
            )
            ends = {
                "status": "completed",
                "rows_ok": wanted.rows - wanted.rejected,
                "rows_invalid": wanted.rejected,
                "finished_at": NOON,
            }
            await self._run(
                lambda c: c.execute(update(Chunk).where(Chunk.job_id == job.id).values(**ends))
            )
        ended = None
        if wanted.milliseconds is not None:
            ended = NOON + timedelta(milliseconds=wanted.milliseconds)
        change = update(Job).where(Job.id == job.id)
        await self._run(lambda c: c.execute(change.values(status="processing", started_at=NOON)))
        if wanted.status != "processing":
            last = {"status": wanted.status, "finished_at": ended}
            await self._run(lambda c: c.execute(change.values(**last)))
        return job

    async def _run(self, work: Any) -> None:
        await self.database.transact(work)

    async def names(self, job_filter: JobFilter) -> list[str]:
        page = await list_jobs(self.database, OWNER, job_filter, limit=50)
        return [item["filename"] for item in page["items"]]


def key(by: Sort, wanted: Wanted) -> Any:
    """What people expect an order to compare."""
    if by is Sort.NAME:
        return wanted.name.lower()
    if by is Sort.ROWS:
        return wanted.rows
    if by is Sort.REJECTED:
        return wanted.rejected / wanted.rows if wanted.rows else 0
    if by is Sort.DURATION:
        return -1 if wanted.milliseconds is None else wanted.milliseconds
    return 0


async def test_every_order_is_paged_exactly_with_ties_while_jobs_arrive(
    databases: Databases, tmp_path: Path
) -> None:
    async with opened(databases, tmp_path) as database:
        lists = Lists(database, tmp_path)
        old = {(await lists.add(wanted)).id: wanted for wanted in TIES}
        for by in Sort:
            for is_ascending in (True, False):
                order = Order(by, is_ascending=is_ascending)
                in_time = list(old.values())
                expected = [id(wanted) for wanted in in_time]
                places = {id(wanted): place for place, wanted in enumerate(in_time)}
                ranked = sorted(
                    in_time,
                    key=lambda wanted: (key(by, wanted), places[id(wanted)]),
                    reverse=not is_ascending,
                )
                expected = [id(wanted) for wanted in ranked]
                listed: list[int] = []
                cursor, at_most = None, 50
                while at_most:
                    page = await list_jobs(
                        database, OWNER, JobFilter(), order, limit=2, cursor=cursor
                    )
                    listed += [
                        id(old[UUID(item["job_id"])])
                        for item in page["items"]
                        if UUID(item["job_id"]) in old
                    ]
                    cursor, at_most = page["next_cursor"], at_most - 1
                    if cursor is None:
                        break
                    if at_most > 47:  # three that tie with old ones, anywhere in the order
                        await lists.add(TIES[at_most % len(TIES)])
                assert listed == expected, (by, is_ascending)


async def test_a_cursor_belongs_to_its_order() -> None:
    by_rows = Order(Sort.ROWS)
    assert place_of(cursor_of(Place(7, 3), by_rows), by_rows) == Place(7, 3)
    by_name = Order(Sort.NAME)
    assert place_of(cursor_of(Place("ä,\u2028", 3), by_name), by_name) == Place("ä,\u2028", 3)
    for wrong in (
        cursor_of(Place(7, 3), Order(Sort.SIZE)),
        cursor_of(Place(7, 3), Order(Sort.ROWS, is_ascending=True)),
        cursor_of(Place("7", 3), by_rows),
        cursor_of(Place(2**70, 3), by_rows),
        "",
        "ä",
        "W10",
        "%%%",
    ):
        with pytest.raises(InvalidParameter):
            place_of(wrong, by_rows)


async def test_jobs_are_found_by_label_rejects_time_and_number(
    databases: Databases, tmp_path: Path
) -> None:
    async with opened(databases, tmp_path) as database:
        lists = Lists(database, tmp_path)
        made = [await lists.add(wanted) for wanted in TIES]
        assert await lists.names(JobFilter(labels=("red",))) == ["ä.csv", "B.csv"]
        assert await lists.names(JobFilter(labels=("red", "blue"))) == ["ä.csv"]
        assert await lists.names(JobFilter(labels=("Red",))) == []
        assert await lists.names(JobFilter(rejected_over=0)) == [
            "c.csv",
            "a.csv",
            "ä.csv",
            "B.csv",
            "b.csv",
        ]
        assert await lists.names(JobFilter(rejected_over=10)) == ["c.csv", "a.csv"]
        assert await lists.names(JobFilter(rejected_over=3.33)) == [
            "c.csv",
            "a.csv",
            "ä.csv",
            "B.csv",
            "b.csv",
        ]
        async with database.reading() as connection:
            listed = await jobs.list_jobs(connection, OWNER, JobFilter(), limit=10)
            at = {job.id: job for job in listed}
            third = at[made[2].id]
            assert await jobs.find_id(connection, third.number, OWNER) == third.id
            assert await jobs.find_id(connection, third.number, "somebody else") is None
        assert await lists.names(JobFilter(number=third.number)) == ["ä.csv"]
        before = await lists.names(JobFilter(until=third.created_at))
        since = await lists.names(JobFilter(since=third.created_at))
        assert since + before == [wanted.name for wanted in reversed(TIES)]
        assert "ä.csv" in since


async def test_a_job_with_parts_is_ordered_by_their_rows(
    databases: Databases, tmp_path: Path
) -> None:
    async with opened(databases, tmp_path) as database:
        lists = Lists(database, tmp_path)
        whole = await lists.add(Wanted("whole.zip"))
        await lists.add(Wanted("single.csv", rows=5))
        await database.transact(
            lambda c: c.execute(update(Job).where(Job.id == whole.id).values(child_count=2))
        )
        for name in ("one.csv", "two.csv"):
            await lists.add(Wanted(name, rows=4), parent_id=whole.id)
        page = await list_jobs(
            database, OWNER, JobFilter(with_parts=False), Order(Sort.ROWS), limit=5
        )
        assert [item["filename"] for item in page["items"]] == ["whole.zip", "single.csv"]


async def test_labels_are_changed_counted_and_go_with_their_job(
    databases: Databases, tmp_path: Path
) -> None:
    async with opened(databases, tmp_path) as database:
        lists = Lists(database, tmp_path)
        first = await lists.add(Wanted("a.csv", labels=("q3", "shop")))
        second = await lists.add(Wanted("b.csv", labels=("shop",)))
        after = await database.transact(
            lambda c: change_labels(c, first.id, added=["new", "shop"], removed=["q3", "absent"])
        )
        assert after == ["new", "shop"]
        async with database.reading() as connection:
            assert await labels_of(connection, [first.id, second.id]) == {
                first.id: ["new", "shop"],
                second.id: ["shop"],
            }
            assert await count_labels(connection, OWNER, 10) == {"shop": 2, "new": 1}
            assert await count_labels(connection, "somebody else", 10) == {}
        await database.transact(lambda c: jobs.remove_jobs(c, [first.id]))
        async with database.reading() as connection:
            assert await labels_of(connection, [first.id]) == {}


async def test_jobs_with_chunks_to_run_again_are_counted_down_to_the_parts_of_parts(
    databases: Databases, tmp_path: Path
) -> None:
    async with opened(databases, tmp_path) as database:
        lists = Lists(database, tmp_path)
        whole = await lists.add(Wanted("whole.zip", status="failed"))
        part = await lists.add(Wanted("book.xlsx"), parent_id=whole.id)
        sheet = await lists.add(Wanted("sheet", status="processing"), parent_id=part.id)
        await lists.add(Wanted("rejects.csv", rows=2, rejected=2))
        retry = JobFilter(can_retry=True)
        assert await lists.names(retry) == []
        span = Span(0, 2, 1, 2, 1, 0)
        await database.transact(
            lambda c: chunks.insert_chunks(c, sheet.id, 0, [span], ChunkStatus.PROCESSING)
        )
        failed = update(Chunk).where(Chunk.job_id == sheet.id).values(status="failed")
        await database.transact(lambda c: c.execute(failed))
        assert await lists.names(retry) == ["book.xlsx", "whole.zip"]
