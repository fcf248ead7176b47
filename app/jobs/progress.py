"""Live progress, computed from the chunk states and nothing else, and handed to any number of
watchers by one reader a job.
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
from app.db.rows import ChunkTally, JobRow, ListedJob, data_bytes
from app.errors import JobHasParts, NotFound, TransientError
from app.jobs.pace import Mark, marks_per_job, rows_left, rows_per_second, seconds_left
from app.jobs.topics import Topic, Topics
from app.states import ChunkStatus, JobStatus

POLL_SECONDS = 0.5
MAX_ERRORS = 20
MAX_STATUSES = 256
"""Read at once."""
_Asked = tuple[UUID, str]
"""(a file's id or a job's own, owner)"""


async def find(connection: AsyncConnection, identifier: UUID, owner: str) -> JobRow:
    """A job by its own id, or the first one of a file by the file's; raises NotFound."""
    jobs_found = [
        job for job in await jobs.find_all(connection, [identifier]) if job.owner == owner
    ]
    if not jobs_found:
        raise NotFound
    return jobs_found[0]


async def find_with_rows(connection: AsyncConnection, identifier: UUID, owner: str) -> JobRow:
    """A job that has rows of its own; raises NotFound, JobHasParts."""
    job = await find(connection, identifier, owner)
    if job.child_count is not None:
        raise JobHasParts(
            f"The job has {job.child_count} parts, and the rows are theirs: GET"
            f" /api/v1/jobs?parent={job.id}"
        )
    return job


class Statuses:
    """The status of jobs, for any number of askers. One read is made at a time, and it serves all
    who have asked until it begins: those who ask meanwhile are served by the next, so no answer is
    older than its question.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._asked: dict[_Asked, asyncio.Future[dict[str, Any] | None]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def get(self, identifier: UUID, owner: str) -> dict[str, Any]:
        """The status of a job, by its file's id or its own; raises NotFound. It is shared: not to
        be changed.
        """
        with self._database.waiting.counted():
            answer = self._asked.get((identifier, owner))
            if answer is None:
                answer = self._asked[identifier, owner] = asyncio.get_running_loop().create_future()
            if self._reading is None:
                self._reading = asyncio.create_task(self._read_all(), name="statuses")
            status = await asyncio.shield(answer)
        if status is None:
            raise NotFound
        return status

    async def _read_all(self) -> None:
        """Until nobody has asked."""
        try:
            while self._asked:
                asked = [(key, self._asked.pop(key)) for key in list(self._asked)[:MAX_STATUSES]]
                await self._answer(asked)
        finally:
            self._reading = None

    async def _answer(
        self, asked: list[tuple[_Asked, asyncio.Future[dict[str, Any] | None]]]
    ) -> None:
        try:
            async with self._database.reading() as connection:
                found = await _find_all(connection, [key for key, _ in asked])
        except Exception as error:
            for _, answer in asked:
                answer.set_exception(error)
                answer.exception()  # of one whose asker is gone nobody takes it
            return
        for key, answer in asked:
            answer.set_result(found.get(key))


async def _find_all(
    connection: AsyncConnection, asked: Sequence[_Asked]
) -> dict[_Asked, dict[str, Any]]:
    """The status of each that is there, in three statements and some for each job that has parts or
    failed chunks.
    """
    rows = await jobs.find_all(
        connection, list(dict.fromkeys(identifier for identifier, _ in asked))
    )
    named: dict[_Asked, JobRow] = {(row.id, row.owner): row for row in rows}
    for row in sorted(rows, key=attrgetter("number"), reverse=True):
        named[row.file_id, row.owner] = row  # the first job of a file
    found = {key: named[key] for key in asked if key in named}
    bodies = await _describe_all(connection, list({row.id: row for row in found.values()}.values()))
    return {key: bodies[row.id] for key, row in found.items()}


async def _describe_all(
    connection: AsyncConnection, rows: Sequence[JobRow]
) -> dict[UUID, dict[str, Any]]:
    """By the job's id."""
    tallies = await chunks.tally_all(
        connection, [row.id for row in rows if row.child_count is None]
    )
    marks = await marks_of(connection, rows)
    bodies: dict[UUID, dict[str, Any]] = {}
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
    return bodies


async def marks_of(
    connection: AsyncConnection, rows: Sequence[ListedJob]
) -> dict[UUID, list[Mark]]:
    """By job, what the time left is measured by, of those that are at work and do not wait."""
    moving = [row for row in rows if row.status == JobStatus.PROCESSING and row.waiting_on is None]
    limit = marks_per_job(len(moving))
    marks: dict[UUID, list[Mark]] = {}
    for of_parts in (False, True):
        ids = [row.id for row in moving if (row.child_count is not None) is of_parts]
        if ids:
            found = await chunks.last_ended(connection, ids, limit, of_parts=of_parts)
            marks |= {
                job_id: [Mark(at.timestamp(), count) for at, count in ends]
                for job_id, ends in found.items()
            }
    return marks


def _by_status(tally: Sequence[ChunkTally]) -> dict[ChunkStatus, ChunkTally]:
    return {ChunkStatus(t.status): t for t in tally}


def _with_parts(body: dict[str, Any], parts: Sequence[JobRow]) -> dict[str, Any]:
    """What the status of a job with parts takes from them, besides the sums."""
    waiting = {
        part.waiting_on for part in parts if part.waiting_on and not JobStatus(part.status).is_final
    }
    count = dict.fromkeys(map(str, JobStatus), 0)
    for part in parts:
        count[part.status] += 1
    failed = [part for part in parts if part.error][:MAX_ERRORS]
    return body | {
        "total_chunks": sum(part.chunk_count for part in parts),
        "split_complete": all(part.split_done for part in parts),
        "waiting_on": min(waiting, default=None),
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
    """The answer of the status route; `marks` of a job that is at work. Pure."""
    status = JobStatus(job.status)
    now = now or datetime.now(UTC)

    def total(what: str, *states: ChunkStatus) -> int:
        return sum(getattr(t, what) for s, t in tally.items() if not states or s in states)

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
        "waiting_on": None if status.is_final else job.waiting_on,
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
        "columns": job.columns,
        "size_bytes": job.size_bytes,
        "sha256": job.sha256 or None,
        "etag": job.etag,
        "summary": job.summary,
        "undo": undo.body(job),
        "error": job.error,
        "errors": errors,
        "created_at": job.created_at.isoformat(),
        "started_at": job.started_at.isoformat() if job.started_at else None,
        "finished_at": job.finished_at.isoformat() if job.finished_at else None,
        "updated_at": job.updated_at.isoformat(),
    }


def percent(status: JobStatus, done_bytes: int, all_bytes: int) -> float:
    """By bytes, since they are known from the start; 100 only when final, so that a bar never
    stands full at work.
    """
    if status.is_final and status is not JobStatus.CANCELLED:
        return 100.0
    share = 100 * done_bytes / all_bytes if all_bytes else 0.0
    return min(99.9, int(share * 10) / 10)


class StatusFeed:
    """Status by server-sent events. However many watch a job, one task reads it; who reads slowly
    misses steps, not memory.
    """

    def __init__(self, statuses: Statuses) -> None:
        self._statuses = statuses
        self._topics: Topics[UUID, _Status] = Topics()

    async def watch(self, identifier: UUID, owner: str) -> AsyncIterator[dict[str, Any]]:
        """The status now, then at each change, until it is final or the job is deleted; raises
        NotFound at once.
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
                # Both before the yield: what comes while a slow reader takes this step must not
                # count as seen.
                status, seen = topic.status, topic.version
                yield status
                if JobStatus(status["status"]).is_final:
                    return
                await topic.wait_for_news(seen)

    def close(self) -> None:
        """End every stream, those that are about to begin too: their clients will connect again,
        here or elsewhere.
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
