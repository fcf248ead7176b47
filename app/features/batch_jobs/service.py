"""A job over many files: a parent job with a part for each file. A bad file fails only its own
part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.engine import Database
from app.db.rows import FileRow, NewFile, data_bytes
from app.errors import InvalidParameter
from app.formats.csv import CsvDialect
from app.formats.registry import to_json
from app.jobs.factory import JobFactory
from app.jobs.file_jobs import (
    ORIGIN,
    FileJobs,
    JobRequest,
    Plan,
    PlannedFile,
    all_files,
    raise_if_all_failed,
)
from app.jobs.job_types import JobTypes

PROCESSOR = "batch"
MAX_FILES = 1_000


@dataclass(frozen=True, slots=True)
class BatchSubmission:
    owner: str
    file_ids: Sequence[UUID]
    job_type: str
    options: dict[str, Any] = field(default_factory=dict)
    priority: int = 0
    fresh: bool = False
    """Whether to ignore results of earlier jobs."""


class BatchJobs:
    def __init__(
        self,
        database: Database,
        job_types: JobTypes,
        file_jobs: FileJobs,
        factory: JobFactory,
    ) -> None:
        self._database = database
        self._job_types = job_types
        self._file_jobs = file_jobs
        self._factory = factory

    async def submit(self, submission: BatchSubmission) -> dict[str, Any]:
        """Create the parent and all its parts in one transaction; return `job_id` and the part of
        each file.

        Raises NotFound for a missing file, and the errors of the options; nothing is created then.
        A file that the job type rejects fails only its own part.
        """
        file_ids = list(submission.file_ids)
        if len(set(file_ids)) < len(file_ids):
            raise InvalidParameter("A file is named twice in file_ids.")
        job_type = self._job_types.get(submission.job_type)
        plan_for = await job_type.plan_for(submission.owner, submission.options)
        async with self._database.reading() as connection:
            to_plan = await all_files(connection, file_ids, submission.owner)
        request = JobRequest(submission.owner, job_type.processor, {}, submission.priority, ORIGIN)
        planned = [await self._file_jobs.plan(request, plan_for, file) for file in to_plan.values()]
        raise_if_all_failed(planned)
        others = [file_id for part in planned for file_id in part.plan.part_files]

        async def record(
            connection: AsyncConnection,
        ) -> tuple[UUID, dict[UUID, UUID], dict[UUID, UUID]]:
            files_by_id = await all_files(connection, [*file_ids, *others], submission.owner)
            cached = (
                {}
                if submission.fresh
                else await self._cached(connection, submission.owner, files_by_id, planned)
            )
            to_do = [
                replace(part, file=files_by_id[part.file.id])
                for part in planned
                if part.file.id not in cached
            ]
            whole = _whole(submission.owner, len(planned), [part.file for part in to_do])
            family = self._file_jobs.family(
                request, to_do, files_by_id, whole=whole, plan=_parent_plan(submission, cached)
            )
            await self._factory.make(connection, family.jobs, [whole])
            part_ids = {job.file_id: job.id for job in family.parts}
            return family.jobs[0].id, part_ids, cached

        parent_id, part_ids, cached = await self._database.transact(record)
        return {
            "job_id": str(parent_id),
            "status": "pending",
            "message": "Batch job created and queued",
            "children": [_child(file_id, part_ids, cached) for file_id in file_ids],
        }

    async def _cached(
        self,
        connection: AsyncConnection,
        owner: str,
        files_by_id: dict[UUID, FileRow],
        planned: Sequence[PlannedFile[FileRow]],
    ) -> dict[UUID, UUID]:
        """Return the earlier jobs whose results can be reused, by file."""
        cached: dict[UUID, UUID] = {}
        for part in planned:
            if part.error is not None:
                continue
            file = files_by_id[part.file.id]
            earlier = await self._file_jobs.find_cached(
                connection, owner, file, part.plan, files_by_id
            )
            if earlier is not None:
                cached[file.id] = earlier.id
        return cached


def _whole(owner: str, file_count: int, to_do: Sequence[FileRow]) -> NewFile:
    """Return the file that stands for all of them. Its sizes are those of the files to read."""
    dialect = to_json(CsvDialect())
    return NewFile(
        owner=owner,
        filename=f"{file_count} files",
        format="batch",
        encoding=dialect["encoding"],
        dialect=dialect,
        size_bytes=sum(file.size_bytes for file in to_do),
        stored_bytes=sum(data_bytes(file) for file in to_do),
        content_key="",
    )


def _parent_plan(submission: BatchSubmission, cached: dict[UUID, UUID]) -> Plan:
    options = {
        "job_type": submission.job_type,
        "options": submission.options,
        "file_ids": [str(file_id) for file_id in submission.file_ids],
        "cached": {str(file_id): str(job_id) for file_id, job_id in cached.items()},
    }
    return Plan(PROCESSOR, options)


def _child(file_id: UUID, part_ids: dict[UUID, UUID], cached: dict[UUID, UUID]) -> dict[str, Any]:
    names = {"file_id": str(file_id), "job_id": str(part_ids.get(file_id) or cached[file_id])}
    return names | ({"cached": True} if file_id in cached else {})
