"""The status of a job in the terms of /api/v1/jobs: five statuses, whole percents, and named
stages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import chunks, jobs, undo
from app.db.engine import Database
from app.db.rows import JobRow, data_bytes, data_start
from app.errors import NotFound, ResultNotReady, ResultUnavailable
from app.jobs.progress import waiting
from app.processors.base import CollectsFiles
from app.processors.options import Options
from app.processors.registry import Processors
from app.processors.stages import IN_PARTS, IN_WORK, By, Stages
from app.sources.base import OBJECTS
from app.states import JobStatus


@dataclass(frozen=True, slots=True)
class _Collected:
    """The files of a job over many files."""

    processor: CollectsFiles
    options: Options
    files: Mapping[UUID, UUID | None]
    """Files in the order of the request, with the earlier job that replaces one."""

    @property
    def earlier(self) -> dict[UUID, UUID]:
        """Return the jobs whose results are reused, by file."""
        return {file_id: job_id for file_id, job_id in self.files.items() if job_id is not None}


def _collected(job: JobRow, processors: Processors) -> _Collected | None:
    """Return None for a job over one file, or if its processor is not installed any more."""
    if processors.find(job.processor) is None:
        return None
    collects = processors.capabilities(job.processor).collects
    if collects is None:
        return None
    options = processors.restored(job.processor, job.options)
    return _Collected(collects, options, collects.collected(options))


async def get_status(
    database: Database, processors: Processors, job_id: UUID, owner: str
) -> dict[str, Any]:
    """Return the status of a job; raises NotFound."""
    async with database.reading() as connection:
        job = await jobs.find_job(connection, job_id, owner)
        if job is None:
            raise NotFound
        collected = _collected(job, processors)
        parts = await jobs.children(connection, job_id) if job.child_count is not None else []
        earlier = await _earlier(connection, collected, owner)
        smaller = await _parts_of(connection, parts)
        tally = await chunks.tally(connection, job_id, is_parent=job.child_count is not None)
        done_bytes = await chunks.done_bytes(
            connection, [job_id, *(p.id for p in [*parts, *chain(*smaller.values())])]
        )
    body = _body(job, parts, done_bytes, smaller, processors)
    body |= {"counts": chunks.counts(tally), "error_message": _error(job), "children": None}
    if collected is None:
        return body
    children = {
        part.file_id: _child(part, smaller.get(part.id, []), done_bytes, processors)
        for part in parts
    }
    for file_id, row in earlier.items():
        again = {"file_id": str(file_id), "cached": True}
        children[file_id] = _child(row, [], done_bytes, processors) | again
    in_order = [children[file_id] for file_id in collected.files if file_id in children]
    return body | {"children": in_order}


async def _earlier(
    connection: AsyncConnection, collected: _Collected | None, owner: str
) -> dict[UUID, JobRow]:
    """Return the jobs whose results are reused, by file, as long as they exist."""
    if collected is None:
        return {}
    named = collected.earlier
    earlier_jobs = await jobs.find_jobs(connection, list(named.values()), owner)
    return {
        file_id: earlier_jobs[job_id] for file_id, job_id in named.items() if job_id in earlier_jobs
    }


async def _parts_of(
    connection: AsyncConnection, parts: Sequence[JobRow]
) -> dict[UUID, list[JobRow]]:
    """Return the parts of those parts that have some, by parent."""
    by_parent: dict[UUID, list[JobRow]] = {}
    if any(part.child_count is not None for part in parts):
        for row in await jobs.children_of(connection, [part.id for part in parts]):
            assert row.parent_id is not None
            by_parent.setdefault(row.parent_id, []).append(row)
    return by_parent


def _child(
    part: JobRow, smaller: Sequence[JobRow], done_bytes: dict[UUID, int], processors: Processors
) -> dict[str, Any]:
    body = _body(part, smaller, done_bytes, {}, processors)
    shown = {name: body[name] for name in ("status", "progress", "stage")}
    names = {"file_id": str(part.file_id), "job_id": str(part.id), "filename": part.filename}
    return names | shown | {"error_message": _error(part)}


def _error(job: JobRow) -> str | None:
    if not job.error:
        return None
    return str(job.error.get("message") or job.error.get("code"))


async def get_result(
    database: Database, processors: Processors, job_id: UUID, owner: str
) -> dict[str, Any]:
    """Return the result of a job; raises NotFound, ResultNotReady, ResultUnavailable."""
    async with database.reading() as connection:
        job = await jobs.find_job(connection, job_id, owner)
        if job is None:
            raise NotFound
        result = await jobs.find_result(connection, job_id)
        collected = _collected(job, processors)
        parts = await jobs.children(connection, job_id) if collected is not None else []
        earlier = await _earlier(connection, collected, owner)
    status = JobStatus(job.status)
    if not status.is_final:
        raise ResultNotReady(headers={"Retry-After": "1"})
    if collected is not None:
        return {
            "job_id": str(job_id),
            "job_type": _job_type(job, processors),
            "status": status.public_status,
            "result": _outcomes(collected, parts, earlier),
        }
    if result is None:
        raise ResultUnavailable(f"The job is {status.public_status} and has no result of its own.")
    return {
        "job_id": str(job_id),
        "job_type": _job_type(job, processors),
        "status": status.public_status,
        "result": result.data,
    }


def _outcomes(
    collected: _Collected, parts: Sequence[JobRow], earlier: Mapping[UUID, JobRow]
) -> dict[str, Any]:
    """Return the outcome of each file in the order of the request."""
    of = {part.file_id: part for part in parts} | dict(earlier)
    cached = collected.earlier
    children = [
        _outcome(str(file_id), of.get(file_id)) | {"cached": file_id in cached}
        for file_id in collected.files
    ]
    return collected.processor.report(collected.options, children)


def _outcome(file_id: str, part: JobRow | None) -> dict[str, Any]:
    if part is None:
        return {
            "file_id": file_id,
            "job_id": None,
            "filename": None,
            "status": "deleted",
            "error_message": None,
        }
    return {
        "file_id": file_id,
        "job_id": str(part.id),
        "filename": part.filename,
        "status": JobStatus(part.status).public_status,
        "error_message": _error(part),
    }


def _job_type(job: JobRow, processors: Processors) -> str:
    processor = processors.find(job.processor)
    return str(job.processor) if processor is None else processor.job_type or processor.name


def stages_of(job: JobRow, processors: Processors) -> Stages:
    """Return the stages of a job, even if its processor is not installed any more."""
    processor = processors.find(job.processor)
    if processor is None:
        return IN_WORK
    if job.format == OBJECTS and processor.stages.is_of_parts:
        return IN_PARTS  # each of its parts goes through the processor's stages
    return processor.stages


def _body(
    job: JobRow,
    parts: Sequence[JobRow],
    done_bytes: dict[UUID, int],
    smaller: Mapping[UUID, Sequence[JobRow]],
    processors: Processors,
) -> dict[str, Any]:
    status = JobStatus(job.status)
    has_begun = any(
        p.chunk_count or JobStatus(p.status).is_final for p in [*parts, *chain(*smaller.values())]
    )
    stages = stages_of(job, processors)
    if stages.is_of_parts and status is JobStatus.PROCESSING and not has_begun:
        # `processing` from the start, since its parts do the work
        status = JobStatus.QUEUED
    percent = progress(job, parts, done_bytes, status, smaller, processors)
    named = stages.named
    stage = named[0][0] if status is JobStatus.QUEUED else _stage(named, percent, status)
    return {
        "id": str(job.id),
        "user_id": job.owner,
        "job_type": _job_type(job, processors),
        "status": status.public_status,
        "progress": percent,
        "stage": stage,
        "stages": [{"name": name, "begins_at": begin} for name, begin in named],
        "is_active": not status.is_final,
        "input_file_id": str(job.file_id),
        "reference_file_id": job.options.get("reference_file_id"),
        "template_id": job.options.get("template_id"),
        "result_file_id": str(job.result_file_id) if job.result_file_id else None,
        **waiting(job),
        "undo": undo.body(job),
        "created_at": job.created_at.isoformat(),
        "updated_at": job.updated_at.isoformat(),
    }


def _stage(stages: Sequence[tuple[str, int]], percent: int, status: JobStatus) -> str:
    """Return the current stage; a job that ended early stays at its last one."""
    if status in (JobStatus.COMPLETED, JobStatus.COMPLETED_WITH_ERRORS):
        return stages[-1][0]
    return [name for name, begin in stages[1:-1] if begin <= percent or name == stages[1][0]][-1]


def progress(
    job: JobRow,
    parts: Sequence[JobRow],
    done_bytes: dict[UUID, int],
    status: JobStatus,
    smaller: Mapping[UUID, Sequence[JobRow]],
    processors: Processors,
) -> int:
    """Return the progress from 0 to 100 by the bytes that were split and processed. It never
    decreases, and is 100 only for a final job.
    """
    if status.is_final and status is not JobStatus.CANCELLED:
        return 100
    if status is JobStatus.QUEUED:
        return 0
    stages = stages_of(job, processors)
    percent: float = stages.work[0].begins_at
    for stage, width in stages.spans:
        if stage.by is By.PARTS:
            percent += width * _percent_of_parts(job, parts, done_bytes, smaller, processors) / 100
        else:
            percent += width * _moved(stage.by, job, parts, done_bytes)
    return min(99, int(percent))


def _percent_of_parts(
    job: JobRow,
    parts: Sequence[JobRow],
    done_bytes: dict[UUID, int],
    smaller: Mapping[UUID, Sequence[JobRow]],
    processors: Processors,
) -> int:
    """Return the mean of the parts; results of earlier jobs count as finished parts."""
    of = (
        progress(p, smaller.get(p.id, ()), done_bytes, JobStatus(p.status), {}, processors)
        for p in parts
    )
    collected = _collected(job, processors)
    cached = 0 if collected is None else len(collected.earlier)
    return (sum(of) + 100 * cached) // max(1, len(parts) + cached)


def _moved(by: By, job: JobRow, parts: Sequence[JobRow], done_bytes: dict[UUID, int]) -> float:
    """Return the progress of a stage, from 0 to 1."""
    if by is By.SPLIT:
        return _split_share(job)
    if by is By.ROWS:
        pieces = parts or [job]
        return sum(_share(piece, done_bytes) for piece in pieces) / len(pieces)
    if by is By.FIRST_PART:
        return _share(parts[0], done_bytes) if parts else 0.0
    if by is By.SECOND_PART:
        return _share(parts[1], done_bytes) if len(parts) > 1 else 0.0
    return 0.0


def _share(job: JobRow, done_bytes: dict[UUID, int]) -> float:
    size = data_bytes(job)
    if JobStatus(job.status).is_final:
        return 1.0
    return min(1.0, done_bytes.get(job.id, 0) / size) if size > 0 else 0.0


def _split_share(job: JobRow) -> float:
    size = data_bytes(job)
    if job.split_done:
        return 1.0
    return min(1.0, (job.split_offset - data_start(job)) / size) if size > 0 else 0.0
