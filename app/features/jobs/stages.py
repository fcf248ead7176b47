"""The status of a job in the words of the job door: five statuses, whole percents, named stages
that real work moves.
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
from app.processors.base import CollectsFiles
from app.processors.options import Options
from app.processors.registry import Processors
from app.processors.stages import IN_PARTS, IN_WORK, By, Stages
from app.sources.base import OBJECTS
from app.states import JobStatus


@dataclass(frozen=True, slots=True)
class _Collected:
    """What a job over many files is about."""

    processor: CollectsFiles
    options: Options
    files: Mapping[UUID, UUID | None]
    """In the order in which they are told, with the earlier job that stands for one."""

    @property
    def earlier(self) -> dict[UUID, UUID]:
        """By file, the jobs whose results are used."""
        return {file_id: job_id for file_id, job_id in self.files.items() if job_id is not None}


def _collected(job: JobRow, processors: Processors) -> _Collected | None:
    """None of a job that is over one file, or whose processor is not there any more."""
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
    """Raises NotFound."""
    async with database.reading() as connection:
        job = await jobs.find_job(connection, job_id, owner)
        if job is None:
            raise NotFound
        collected = _collected(job, processors)
        parts = await jobs.children(connection, job_id) if job.child_count is not None else []
        earlier = await _earlier(connection, collected, owner)
        smaller = await _parts_of(connection, parts)
        tally = await chunks.tally(connection, job_id, is_parent=job.child_count is not None)
        done = await chunks.done_bytes(
            connection, [job_id, *(p.id for p in [*parts, *chain(*smaller.values())])]
        )
    body = _body(job, parts, done, smaller, processors)
    body |= {"counts": chunks.counts(tally), "error_message": _error(job), "children": None}
    if collected is None:
        return body
    children = {
        part.file_id: _child(part, smaller.get(part.id, []), done, processors) for part in parts
    }
    for file_id, row in earlier.items():
        again = {"file_id": str(file_id), "cached": True}
        children[file_id] = _child(row, [], done, processors) | again
    in_order = [children[file_id] for file_id in collected.files if file_id in children]
    return body | {"children": in_order}


async def _earlier(
    connection: AsyncConnection, collected: _Collected | None, owner: str
) -> dict[UUID, JobRow]:
    """By file, the jobs whose results are used, as long as they are there."""
    if collected is None:
        return {}
    named = collected.earlier
    found = await jobs.find_jobs(connection, list(named.values()), owner)
    return {file_id: found[job_id] for file_id, job_id in named.items() if job_id in found}


async def _parts_of(
    connection: AsyncConnection, parts: Sequence[JobRow]
) -> dict[UUID, list[JobRow]]:
    """The parts of those parts that have some, by whose they are."""
    found: dict[UUID, list[JobRow]] = {}
    if any(part.child_count is not None for part in parts):
        for row in await jobs.children_of(connection, [part.id for part in parts]):
            assert row.parent_id is not None
            found.setdefault(row.parent_id, []).append(row)
    return found


def _child(
    part: JobRow, smaller: Sequence[JobRow], done: dict[UUID, int], processors: Processors
) -> dict[str, Any]:
    body = _body(part, smaller, done, {}, processors)
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
    """What the job found out; raises NotFound, ResultNotReady, ResultUnavailable."""
    async with database.reading() as connection:
        job = await jobs.find_job(connection, job_id, owner)
        if job is None:
            raise NotFound
        found = await jobs.find_result(connection, job_id)
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
            "status": status.in_five,
            "result": _outcomes(collected, parts, earlier),
        }
    if found is None:
        raise ResultUnavailable(f"The job is {status.in_five} and has no result of its own.")
    return {
        "job_id": str(job_id),
        "job_type": _job_type(job, processors),
        "status": status.in_five,
        "result": found.data,
    }


def _outcomes(
    collected: _Collected, parts: Sequence[JobRow], earlier: Mapping[UUID, JobRow]
) -> dict[str, Any]:
    """What became of each file, in the order in which they were given."""
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
        "status": JobStatus(part.status).in_five,
        "error_message": _error(part),
    }


def _job_type(job: JobRow, processors: Processors) -> str:
    processor = processors.find(job.processor)
    return str(job.processor) if processor is None else processor.job_type or processor.name


def stages_of(job: JobRow, processors: Processors) -> Stages:
    """Also of a job whose processor is not there any more."""
    processor = processors.find(job.processor)
    if processor is None:
        return IN_WORK
    if job.format == OBJECTS and processor.stages.is_of_parts:
        return IN_PARTS  # each of its parts goes through the stages of the processor
    return processor.stages


def _body(
    job: JobRow,
    parts: Sequence[JobRow],
    done: dict[UUID, int],
    smaller: Mapping[UUID, Sequence[JobRow]],
    processors: Processors,
) -> dict[str, Any]:
    status = JobStatus(job.status)
    begun = any(
        p.chunk_count or JobStatus(p.status).is_final for p in [*parts, *chain(*smaller.values())]
    )
    stages = stages_of(job, processors)
    if stages.is_of_parts and status is JobStatus.PROCESSING and not begun:
        # it has been `processing` from the start, since its parts do the work
        status = JobStatus.QUEUED
    percent = progress(job, parts, done, status, smaller, processors)
    named = stages.named
    stage = named[0][0] if status is JobStatus.QUEUED else _stage(named, percent, status)
    return {
        "id": str(job.id),
        "user_id": job.owner,
        "job_type": _job_type(job, processors),
        "status": status.in_five,
        "progress": percent,
        "stage": stage,
        "stages": [{"name": name, "begins_at": begin} for name, begin in named],
        "is_active": not status.is_final,
        "input_file_id": str(job.file_id),
        "reference_file_id": job.options.get("reference_file_id"),
        "template_id": job.options.get("template_id"),
        "result_file_id": str(job.result_file_id) if job.result_file_id else None,
        "waiting_on": None if status.is_final else job.waiting_on,
        "undo": undo.body(job),
        "created_at": job.created_at.isoformat(),
        "updated_at": job.updated_at.isoformat(),
    }


def _stage(stages: Sequence[tuple[str, int]], percent: int, status: JobStatus) -> str:
    """The last stage that has begun; a job that ended early stays at the one in which it was."""
    if status in (JobStatus.COMPLETED, JobStatus.COMPLETED_WITH_ERRORS):
        return stages[-1][0]
    return [name for name, begin in stages[1:-1] if begin <= percent or name == stages[1][0]][-1]


def progress(
    job: JobRow,
    parts: Sequence[JobRow],
    done: dict[UUID, int],
    status: JobStatus,
    smaller: Mapping[UUID, Sequence[JobRow]],
    processors: Processors,
) -> int:
    """0 to 100, by the bytes that were split and worked on; 100 only when the job is final, and it
    never falls.
    """
    if status.is_final and status is not JobStatus.CANCELLED:
        return 100
    if status is JobStatus.QUEUED:
        return 0
    stages = stages_of(job, processors)
    percent: float = stages.work[0].begins_at
    for stage, width in stages.spans:
        if stage.by is By.PARTS:
            percent += width * _percent_of_parts(job, parts, done, smaller, processors) / 100
        else:
            percent += width * _moved(stage.by, job, parts, done)
    return min(99, int(percent))


def _percent_of_parts(
    job: JobRow,
    parts: Sequence[JobRow],
    done: dict[UUID, int],
    smaller: Mapping[UUID, Sequence[JobRow]],
    processors: Processors,
) -> int:
    """The mean; results of earlier jobs count as parts that are done."""
    of = (
        progress(p, smaller.get(p.id, ()), done, JobStatus(p.status), {}, processors) for p in parts
    )
    collected = _collected(job, processors)
    cached = 0 if collected is None else len(collected.earlier)
    return (sum(of) + 100 * cached) // max(1, len(parts) + cached)


def _moved(by: By, job: JobRow, parts: Sequence[JobRow], done: dict[UUID, int]) -> float:
    """How far a stage is, from 0 to 1."""
    if by is By.SPLIT:
        return _split_share(job)
    if by is By.ROWS:
        pieces = parts or [job]
        return sum(_share(piece, done) for piece in pieces) / len(pieces)
    if by is By.FIRST_PART:
        return _share(parts[0], done) if parts else 0.0
    if by is By.SECOND_PART:
        return _share(parts[1], done) if len(parts) > 1 else 0.0
    return 0.0


def _share(job: JobRow, done: dict[UUID, int]) -> float:
    size = data_bytes(job)
    if JobStatus(job.status).is_final:
        return 1.0
    return min(1.0, done.get(job.id, 0) / size) if size > 0 else 0.0


def _split_share(job: JobRow) -> float:
    size = data_bytes(job)
    if job.split_done:
        return 1.0
    return min(1.0, (job.split_offset - data_start(job)) / size) if size > 0 else 0.0
