"""The snapshot of a running job: never changed, only replaced by a newer one."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.db.rows import JobWork
from app.destinations.registry import Destinations
from app.formats.csv import CsvDialect
from app.formats.registry import open_format
from app.pipeline import pool
from app.pipeline.columns import Columns
from app.pipeline.cutter import Position
from app.pipeline.pool import WorkerPool
from app.pipeline.running import TAKEN_SECONDS, InFlight, JobSnapshot, RunningJob
from app.processors.base import Capabilities
from app.processors.options import NoOptions
from app.processors.rows import RowsProcessor
from app.states import JobStatus


def snapshot() -> JobSnapshot:
    processor = RowsProcessor()
    return JobSnapshot(
        id=uuid4(),
        file_id=uuid4(),
        uri="f",
        etag=None,
        stored_bytes=100,
        stored_crc32=None,
        form=open_format(CsvDialect(columns=["a"])),
        processor=processor,
        can=Capabilities.of(processor),
        options=NoOptions(),
        destination=Destinations((), is_sqlite=True).of(JobWork("rows", {})),
        chunk_size=10,
        columns=Columns(["a"]),
        position=Position(2, 0, 2),
        split_crc32=None,
        chunk_count=0,
        split_done=False,
        status=JobStatus.QUEUED,
        data_start=2,
        waiting_on=None,
        parent_id=None,
        is_parent=False,
        is_over_objects=False,
        child_count=0,
    )


def test_a_snapshot_cannot_be_changed() -> None:
    taken: Any = snapshot()
    with pytest.raises(FrozenInstanceError):
        taken.chunk_count = 1
    job: Any = RunningJob(taken)
    with pytest.raises(AttributeError):
        job.snapshot = snapshot()


def test_updates_of_splitter_and_committer_are_kept_together() -> None:
    """Each update replaces the newest snapshot, not the one that it started with."""
    job = RunningJob(snapshot())
    begun = job.snapshot
    job.has_columns(Columns(["a", "b"]))
    job.was_cut(Position(50, 5, 7, crc32=9), 3, JobStatus.PROCESSING, done=False)
    job.waits_for("ml_api")
    now = job.snapshot
    assert (list(now.columns), now.waiting_on) == (["a", "b"], "ml_api")
    assert (now.position.offset, now.split_crc32, now.chunk_count) == (50, 9, 3)
    assert (now.split_done, now.status) == (False, JobStatus.PROCESSING)
    assert (begun.position.offset, begun.chunk_count, list(begun.columns)) == (2, 0, ["a"])


def test_waiting_longer_for_the_same_service_is_no_change() -> None:
    job = RunningJob(snapshot())
    begun = job.snapshot
    job.waits_for(None)
    assert job.snapshot is begun


async def test_a_snapshot_read_before_an_own_change_is_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Several processes read a job for each turn while other turns of it commit. The read below
    sees the database as it was before such a commit: taken as the newest, it would hide that a
    service is waited for, and nobody would write that it responds again.
    """
    nothing: Any = None
    workers = WorkerPool(
        slots=1,
        leases=nothing,
        database=nothing,
        queue=nothing,
        processors=nothing,
        destinations=nothing,
        splitter=nothing,
        runner=nothing,
        finisher=nothing,
        is_shared=True,
    )
    job = RunningJob(snapshot())
    stored = [job.snapshot, replace(job.snapshot, waiting_on="ml_api")]

    async def load(
        database: Any, processors: Any, destinations: Any, job_id: UUID
    ) -> JobSnapshot | None:
        old = stored.pop(0)
        if stored:
            job.waits_for("ml_api")
        return old

    monkeypatch.setattr(pool, "load", load)
    read = await workers._read(job.id, job)
    assert read is not None
    assert read.waiting_on == "ml_api"
    assert stored == []


def test_a_claim_is_skipped_only_while_all_chunks_are_taken() -> None:
    at_work = InFlight(chunks={7})
    assert not at_work.are_all_taken(10, 0.0), "no claim has said so"
    at_work.claimed_too_few(10, moment=100.0)
    assert at_work.are_all_taken(10, 100.1)
    assert not at_work.are_all_taken(11, 100.1), "more were cut"
    assert not at_work.are_all_taken(10, 100.0 + TAKEN_SECONDS), "others may give one back"

    waiting = InFlight(chunks={7}, has_waiting_chunks=True)
    waiting.claimed_too_few(10, moment=100.0)
    assert not waiting.are_all_taken(10, 100.1), "one of them may be due again"

    idle = InFlight()
    idle.claimed_too_few(10, moment=100.0)
    assert not idle.are_all_taken(10, 100.1), "nobody would ask again"
