"""Live progress, computed from chunk states alone. One reader for each job serves any number of
watchers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import chunks, jobs, undo
from app.db.engine import Database
from app.db.labels import labels_of
from app.db.rows import ChunkTally, JobBase, JobRow, ListedJob, data_bytes
from app.errors import JobHasParts, NotFound, RowsRemoved, TransientError
from app.jobs.pace import Mark, marks_per_job, rows_left, rows_per_second, seconds_left
from app.jobs.topics import Topic, Topics
from app.states import ChunkStatus, JobStatus

POLL_SECONDS = 0.5
MAX_ERRORS = 20
MAX_STATUSES = 256
"""Limit of statuses in one query."""
_Call = tuple[UUID, str]
"""(id of a file or a job, owner)"""


async def find(connection: AsyncConnection, identifier: UUID, owner: str) -> JobRow:
    """Return a job by its own id, or the first job of a file by the file's id; raises NotFound."""
    jobs_found = [
        job for job in await jobs.find_all(connection, [identifier]) if job.owner == owner
    ]
    if not jobs_found:
        raise NotFound
    return jobs_found[0]


async def find_with_rows(connection: AsyncConnection, identifier: UUID, owner: str) -> JobRow:
    """Return a job with rows of its own; raises NotFound, JobHasParts."""
    job = await find(connection, identifier, owner)
    if job.child_count is not None:
        raise JobHasParts(
            f"The job has {job.child_count} parts, which have the rows: GET "
            f"/api/v1/jobs?parent={job.id}"
        )
    return job


def check_results_kept(job: JobRow) -> None:
    """Raises RowsRemoved if retention has removed the results of the job."""
    if job.rows_removed_at is not None:
        raise RowsRemoved(f"The results were removed on {job.rows_removed_at:%Y-%m-%d}.")


def check_rejects_kept(job: JobRow) -> None:
    """Raises RowsRemoved if retention has removed the rejects of the job."""
    if job.rejects_removed_at is not None:
        raise RowsRemoved(f"The rejects were removed on {job.rejects_removed_at:%Y-%m-%d}.")


class Statuses:
    """Job statuses for any number of callers.

    One query runs at a time and answers every call made before it began. Later calls wait for the
    next one, so no answer is older than its call.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[_Call, asyncio.Future[dict[str, Any] | None]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def get(self, identifier: UUID, owner: str) -> dict[str, Any]:
        """Return the status of a job by its file's id or its own; raises NotFound. The dict is
        shared and must not be changed.
        """
        with self._database.waiting.counted():
            answer = self._waiting.get((identifier, owner))
            if answer is None:
                answer = self._waiting[identifier, owner] = (
                    asyncio.get_running_loop().create_future()
                )
            if self._reading is None:
                self._reading = asyncio.create_task(self._read_all(), name="statuses")
            status = await asyncio.shield(answer)
        if status is None:
            raise NotFound
        return status

    async def _read_all(self) -> None:
        """Read until no call is waiting."""
        try:
            while self._waiting:
                calls = [
                    (key, self._waiting.pop(key)) for key in list(self._waiting)[:MAX_STATUSES]
                ]
                await self._answer(calls)
        finally:
            self._reading = None

    async def _answer(
        self, calls: list[tuple[_Call, asyncio.Future[dict[str, Any] | None]]]
    ) -> None:
        try:
            async with self._database.reading() as connection:
                statuses = await _find_all(connection, [key for key, _ in calls])
        except Exception as error:
            for _, answer in calls:
                answer.set_exception(error)
                answer.exception()  # retrieve the exception even if the caller is gone
            return
        for key, answer in calls:
            answer.set_result(statuses.get(key))


async def _find_all(
    connection: AsyncConnection, calls: Sequence[_Call]
) -> dict[_Call, dict[str, Any]]:
    """Return the status of each job that exists, with three statements and a few more for each job
    with parts or failed chunks.
    """
    rows = await jobs.find_all(
        connection, list(dict.fromkeys(identifier for identifier, _ in calls))
    )
    named: dict[_Call, JobRow] = {(row.id, row.owner): row for row in rows}
    for row in sorted(rows, key=attrgetter("number"), reverse=True):
        named[row.file_id, row.owner] = row  # the first job of a file
    rows_by_call = {key: named[key] for key in calls if key in named}
    bodies = await _describe_all(
        connection, list({row.id: row for row in rows_by_call.values()}.values())
    )
    return {key: bodies[row.id] for key, row in rows_by_call.items()}


async def _describe_all(
    connection: AsyncConnection, rows: Sequence[JobRow]
) -> dict[UUID, dict[str, Any]]:
    """Return the statuses by job id."""
    tallies = await chunks.tally_all(
        connection, [row.id for row in rows if row.child_count is None]
    )
    marks = await marks_of(connection, rows)
    bodies: dict[UUID, dict[str, Any]] = {}
    labels = await labels_of(connection, [row.id for row in rows])
    for job in rows:
        if job.child_count is not None:
            sums = await chunks.tally(connection, job.id, is_parent=True)
            body = status_body(job, _by_status(sums), [], marks.get(job.id, []))
            bodies[job.id] = _with_parts(body, await jobs.children(connection, job.id))
            continue
        tally = _by_status(tallies.get(job.id, []))
        errors = await chunks.errors(connection, job.id) if ChunkStatus.FAILED in tally else []
        bodies[job.id] = status_body(
            job, tally, [msgspec.structs.asdict(error) for error in errors], marks.get(job.id, [])
        )
    for job_id, body in bodies.items():
        body["labels"] = labels.get(job_id, [])
    return bodies


async def marks_of(
    connection: AsyncConnection, rows: Sequence[ListedJob]
) -> dict[UUID, list[Mark]]:
    """Return the marks for the time left, by job, for running jobs that do not wait."""
    moving = [row for row in rows if row.status == JobStatus.PROCESSING and row.waiting_on is None]
    limit = marks_per_job(len(moving))
    marks: dict[UUID, list[Mark]] = {}
    for of_parts in (False, True):
        ids = [row.id for row in moving if (row.child_count is not None) is of_parts]
        if ids:
            ended = await chunks.last_ended(connection, ids, limit, of_parts=of_parts)
            marks |= {
                job_id: [Mark(at.timestamp(), count) for at, count in ends]
                for job_id, ends in ended.items()
            }
    return marks


def waiting(job: JobBase) -> dict[str, str | None]:
    """Return what a job waits for and since when; both are None if it does not wait."""
    if JobStatus(job.status).is_final or job.waiting_on is None:
        return {"waiting_on": None, "waiting_since": None}
    return {
        "waiting_on": job.waiting_detail or job.waiting_on,
        "waiting_since": _iso(job.waiting_since),
    }


def _by_status(tally: Sequence[ChunkTally]) -> dict[ChunkStatus, ChunkTally]:
    return {ChunkStatus(t.status): t for t in tally}


def _with_parts(body: dict[str, Any], parts: Sequence[JobRow]) -> dict[str, Any]:
    """Add the parts to the status of a job with parts, except for the sums."""
    waits = [wait for part in parts if (wait := waiting(part))["waiting_on"]]
    first = min(waits, key=lambda wait: str(wait["waiting_on"]), default=None)
    count = dict.fromkeys(map(str, JobStatus), 0)
    for part in parts:
        count[part.status] += 1
    failed = [part for part in parts if part.error][:MAX_ERRORS]
    return body | {
        "total_chunks": sum(part.chunk_count for part in parts),
        "split_complete": all(part.split_done for part in parts),
        **(first or {"waiting_on": None, "waiting_since": None}),
        "parts": {"total": len(parts), **count},
        "errors": [{"job_id": str(p.id), "filename": p.filename, "error": p.error} for p in failed],
    }


def status_body(
    job: JobRow,
    tally: dict[ChunkStatus, ChunkTally],
    errors: list[dict[str, Any]],
    marks: Sequence[Mark],
    now: datetime | None = None,
) -> dict[str, Any]:
    """Build the body of the status endpoint; `marks` is given for a running job. Pure."""
    status = JobStatus(job.status)
    now = now or datetime.now(UTC)

    def total(attribute: str, *states: ChunkStatus) -> int:
        return sum(getattr(t, attribute) for s, t in tally.items() if not states or s in states)

    done = tuple(s for s in ChunkStatus if s.is_final and s is not ChunkStatus.CANCELLED)
    rows = total("rows")
    ok, invalid, failed = total("ok"), total("invalid"), total("failed")
    counts = chunks.counts(list(tally.values()))
    all_bytes = data_bytes(job)
    done_bytes = total("bytes", *done)
    seconds = ((job.finished_at or now) - job.started_at).total_seconds() if job.started_at else 0.0
    left = rows_left(
        known_rows=rows,
        known_bytes=total("bytes"),
        done_rows=ok + invalid + failed,
        all_bytes=all_bytes,
    )
    return {
        "file_id": str(job.file_id),
        "job_id": str(job.id),
        "number": job.number,
        "user_id": job.owner,
        "status": status,
        **waiting(job),
        "parent_id": str(job.parent_id) if job.parent_id else None,
        "total_chunks": job.chunk_count,
        "processed_chunks": total("chunks", ChunkStatus.COMPLETED),
        "failed_chunks": total("chunks", ChunkStatus.FAILED),
        "progress_percent": percent(status, done_bytes, all_bytes),
        "chunks": {str(s): total("chunks", s) for s in ChunkStatus},
        "split_complete": job.split_done,
        "rows": {
            "total": rows,
            "ok": ok,
            "invalid": invalid,
            "failed": failed,
            "unprocessed": rows - ok - invalid - failed,
        },
        "counts": counts,
        "bytes": {"total": all_bytes, "processed": done_bytes},
        "rows_per_second": rows_per_second(counts["loaded"] + counts["rejected"], seconds),
        "eta_seconds": seconds_left(marks, left, now.timestamp()),
        "corrections": {"accepted": job.corrections, "rows": job.corrected_rows},
        "priority": job.priority,
        "processor": job.processor,
        "filename": job.filename,
        "format": job.format,
        "dialect": job.dialect,
        "decoding": job.decoding or [],
        "fetched": job.fetched,
        "columns": job.columns,
        "size_bytes": job.size_bytes,
        "sha256": job.sha256 or None,
        "etag": job.etag,
        "summary": job.summary,
        "undo": undo.body(job),
        "undo_state": job.undo_state or "none",
        "rows_removed_at": _iso(job.rows_removed_at),
        "rejects_removed_at": _iso(job.rejects_removed_at),
        "error": job.error,
        "errors": errors,
        "created_at": job.created_at.isoformat(),
        "started_at": _iso(job.started_at),
        "finished_at": _iso(job.finished_at),
        "updated_at": job.updated_at.isoformat(),
    }


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def percent(status: JobStatus, done_bytes: int, all_bytes: int) -> float:
    """Return progress by bytes, which are known from the start. 100 only for a final status, so
    that a bar never looks complete while the job runs.
    """
    if status.is_final and status is not JobStatus.CANCELLED:
        return 100.0
    share = 100 * done_bytes / all_bytes if all_bytes else 0.0
    return min(99.9, int(share * 10) / 10)


class StatusFeed:
    """Job status as server-sent events. One task reads a job, however many clients watch it. A slow
    client skips versions and takes no extra memory.
    """

    def __init__(self, statuses: Statuses) -> None:
        self._statuses = statuses
        self._topics: Topics[UUID, _Status] = Topics()

    async def watch(self, identifier: UUID, owner: str) -> AsyncIterator[dict[str, Any]]:
        """Yield the status now and after each change, until it is final or the job is deleted;
        raises NotFound before the first one.
        """
        status = await self._statuses.get(identifier, owner)
        if self._topics.closed:
            yield status
            return
        job_id = UUID(status["job_id"])

        def read(topic: _Status) -> Coroutine[None, None, None]:
            return self._read(job_id, owner, topic)

        seen = -1
        with self._topics.watched(job_id, lambda: _Status(status), read, "feed") as topic:
            while topic.version != seen:
                # Read both before the yield: a change while a slow client takes this step must not
                # count as seen.
                status, seen = topic.status, topic.version
                yield status
                if JobStatus(status["status"]).is_final:
                    return
                await topic.wait_for_news(seen)

    def close(self) -> None:
        """End all streams, including those that are about to start; their clients reconnect, here
        or to another process.
        """
        self._topics.close()

    async def _read(self, job_id: UUID, owner: str, topic: _Status) -> None:
        try:
            while not JobStatus(topic.status["status"]).is_final:
                await asyncio.sleep(POLL_SECONDS)
                try:
                    status = await self._statuses.get(job_id, owner)
                except TransientError:
                    continue
                except NotFound:
                    return
                if status != topic.status:
                    async with topic.changed:
                        topic.status, topic.version = status, topic.version + 1
                        topic.changed.notify_all()
        finally:
            await topic.end()


class _Status(Topic):
    def __init__(self, status: dict[str, Any]) -> None:
        super().__init__()
        self.status = status
