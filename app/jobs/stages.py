"""The status of a job in the words of the job door: five statuses, whole percents, named stages that real work moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import chunks, jobs
from app.db.engine import Database
from app.errors import NotFound, ResultNotReady, ResultUnavailable
from app.states import JobStatus

STAGES: dict[str, tuple[tuple[str, int], ...]] = {
    "profile": (("queued", 0), ("splitting", 10), ("profiling", 30), ("done", 100)),
    "transform": (("queued", 0), ("splitting", 20), ("transforming", 50), ("writing", 80), ("done", 100)),
    "mapping": (("queued", 0), ("profiling_input", 20), ("profiling_reference", 40), ("matching", 60), ("done", 100)),
}
"""By processor: the stages in their order, and the percent at which each begins."""
OTHERS = (("queued", 0), ("processing", 0), ("done", 100))


async def get_status(database: Database, job_id: UUID, owner: str) -> dict[str, Any]:
    """Raises NotFound."""
    async with database.reading() as connection:
        job = await jobs.find_job(connection, job_id, owner)
        if job is None:
            raise NotFound
        parts = await jobs.children(connection, job_id) if job["child_count"] is not None else []
        done = await chunks.done_bytes(connection, [job_id, *(part["id"] for part in parts)])
        errors = await _error(connection, job)
    return _body(job, parts, done) | {"error_message": errors}


async def _error(connection: AsyncConnection, job: RowMapping) -> str | None:
    if not job["error"]:
        return None
    return str(job["error"].get("message") or job["error"].get("code"))


async def get_result(database: Database, job_id: UUID, owner: str) -> dict[str, Any]:
    """What the job found out; raises NotFound, ResultNotReady, ResultUnavailable."""
    async with database.reading() as connection:
        job = await jobs.find_job(connection, job_id, owner)
        if job is None:
            raise NotFound
        found = await jobs.find_result(connection, job_id)
    status = JobStatus(job["status"])
    if not status.is_final:
        raise ResultNotReady(headers={"Retry-After": "1"})
    if found is None:
        raise ResultUnavailable(f"The job is {status.in_five} and has no result of its own.")
    return {"job_id": str(job_id), "job_type": job_type(job), "status": status.in_five, "result": found["data"]}


def job_type(job: RowMapping) -> str:
    return {"profile": "analyze"}.get(job["processor"], str(job["processor"]))


def _body(job: RowMapping, parts: Sequence[RowMapping], done: dict[UUID, int]) -> dict[str, Any]:
    status = JobStatus(job["status"])
    if job["processor"] == "mapping" and status is JobStatus.PROCESSING and all(not p["chunk_count"] for p in parts):
        status = JobStatus.QUEUED  # it has been `processing` from the start, since its parts do the work
    stages = STAGES.get(job["processor"], OTHERS)
    percent = progress(job, parts, done, status)
    stage = stages[0][0] if status is JobStatus.QUEUED else _stage(stages, percent, status)
    return {
        "id": str(job["id"]),
        "user_id": job["owner"],
        "job_type": job_type(job),
        "status": status.in_five,
        "progress": percent,
        "stage": stage,
        "stages": [{"name": name, "begins_at": begin} for name, begin in stages],
        "is_active": not status.is_final,
        "input_file_id": str(job["file_id"]),
        "reference_file_id": job["options"].get("reference_file_id"),
        "template_id": job["options"].get("template_id"),
        "result_file_id": str(job["result_file_id"]) if job["result_file_id"] else None,
        "waiting_on": None if status.is_final else job["waiting_on"],
        "created_at": job["created_at"].isoformat(),
        "updated_at": job["updated_at"].isoformat(),
    }


def _stage(stages: Sequence[tuple[str, int]], percent: int, status: JobStatus) -> str:
    """The last stage that has begun; a job that ended early stays at the one in which it was."""
    if status in (JobStatus.COMPLETED, JobStatus.COMPLETED_WITH_ERRORS):
        return stages[-1][0]
    return [name for name, begin in stages[1:-1] if begin <= percent or name == stages[1][0]][-1]


def progress(job: RowMapping, parts: Sequence[RowMapping], done: dict[UUID, int], status: JobStatus) -> int:
    """0 to 100, by the bytes that were split and worked on; 100 only when the job is final, and it never falls."""
    if status.is_final and status is not JobStatus.CANCELLED:
        return 100
    if status is JobStatus.QUEUED:
        return 0
    if job["processor"] == "mapping":
        first, second = ([*(_share(p, done) for p in parts), 0.0, 0.0])[:2]
        return int(20 + 20 * first + 20 * second)
    if job["processor"] == "profile":
        return min(99, int(10 + 20 * _split_share(job) + 70 * _share(job, done)))
    if job["processor"] == "transform":
        return int(20 + 30 * _split_share(job) + 30 * _share(job, done))
    pieces = parts or [job]
    return min(99, int(100 * sum(_share(p, done) for p in pieces) / len(pieces)))


def _share(job: RowMapping, done: dict[UUID, int]) -> float:
    size = job["stored_bytes"] - job["dialect"]["data_start"]
    if JobStatus(job["status"]).is_final:
        return 1.0
    return min(1.0, done.get(job["id"], 0) / size) if size > 0 else 0.0


def _split_share(job: RowMapping) -> float:
    start = job["dialect"]["data_start"]
    size = job["stored_bytes"] - start
    if job["split_done"]:
        return 1.0
    return min(1.0, (job["split_offset"] - start) / size) if size > 0 else 0.0
