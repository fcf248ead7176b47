"""A job of any type, over a stored file or over objects where they lie."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from app.features.job_types.requests import NewJob
from app.jobs.file_jobs import FileJobs, Made
from app.jobs.job_types import JobType, JobTypes
from app.jobs.objects import ObjectsSubmitter


@dataclass(frozen=True, slots=True)
class Started:
    made: Made
    details: dict[str, Any]
    """`job_id`, `file_id`, `status`, `processor`, `priority`; of objects also `source`, their
    number and the parts.
    """


class JobStarter:
    def __init__(self, job_types: JobTypes, file_jobs: FileJobs, objects: ObjectsSubmitter) -> None:
        self._job_types = job_types
        self._file_jobs = file_jobs
        self._objects = objects

    async def start(self, owner: str, job: NewJob, *, fresh: bool = False) -> Started:
        """The job, or, unless it must be `fresh`, the earlier one that did the same with the same
        bytes.

        Raises UnknownJobType, InvalidParameter, NotFound, and the RequestError that the type has
        for options or file.
        """
        job.check()
        job_type = self._job_types.get(job.type)
        if job.file_id is not None:
            return await self._over_file(owner, job, job_type, job.file_id, fresh=fresh)
        details = await self._objects.submit(job.objects(owner, job_type, job.options))
        return Started(Made(UUID(details["job_id"]), is_cached=False), details)

    async def _over_file(
        self, owner: str, job: NewJob, job_type: JobType, file_id: UUID, *, fresh: bool
    ) -> Started:
        plan_for = await job_type.prepare(owner, job.options)
        plan = await plan_for(await self._file_jobs.file(owner, file_id))
        if job.chunk_size is not None:
            plan = replace(plan, chunk_size=job.chunk_size)
        made = await self._file_jobs.submit_plan(owner, file_id, plan, job.priority, fresh=fresh)
        details = {
            "job_id": str(made.job_id),
            "file_id": str(file_id),
            "status": "completed" if made.is_cached else "queued",
            "processor": job_type.processor,
            "priority": job.priority,
        }
        return Started(made, details)
