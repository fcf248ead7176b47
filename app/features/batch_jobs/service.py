"""A job over many files: a parent job with a part for each file. A bad file fails only its own
part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.engine import Database
from app.db.rows import FileRow, NewFile, NewJob, data_bytes
from app.errors import InvalidParameter, NotConfigured, NotFound, RequestError
from app.formats.csv import CsvDialect
from app.formats.registry import to_json
from app.jobs.factory import JobFactory, JobSpec
from app.jobs.file_jobs import ORIGIN, FileJobs, Plan, all_files, check_rows
from app.jobs.job_types import JobType, JobTypes, PlanFor

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
        plans, refused = await self._plans(plan_for, job_type, list(to_plan.values()))
        others = [file_id for plan in plans.values() for file_id in plan.part_files]

        async def record(
            connection: AsyncConnection,
        ) -> tuple[UUID, dict[UUID, UUID], dict[UUID, UUID]]:
            files_by_id = await all_files(connection, [*file_ids, *others], submission.owner)
            usable = {file_id: plan for file_id, plan in plans.items() if file_id not in refused}
            cached = (
                {}
                if submission.fresh
                else await self._cached(connection, submission.owner, files_by_id, usable)
            )
            standing_in, parent = self._parent(
                submission, [files_by_id[file_id] for file_id in file_ids], cached
            )
            new_jobs = [parent]
            part_ids: dict[UUID, UUID] = {}
            for file_id in file_ids:
                if file_id in cached:
                    continue
                parts = self._part(
                    submission,
                    files_by_id,
                    file_id,
                    plans[file_id],
                    parent.id,
                    refused.get(file_id),
                )
                part_ids[file_id] = parts[0].id
                new_jobs += parts
            await self._factory.make(connection, new_jobs, [standing_in])
            return parent.id, part_ids, cached

        parent_id, part_ids, cached = await self._database.transact(record)
        return {
            "job_id": str(parent_id),
            "status": "pending",
            "message": "Batch job created and queued",
            "children": [_child(file_id, part_ids, cached) for file_id in file_ids],
        }

    @staticmethod
    async def _plans(
        plan_for: PlanFor, job_type: JobType, to_plan: Sequence[FileRow]
    ) -> tuple[dict[UUID, Plan], dict[UUID, RequestError]]:
        """Return the job for each file, and the error of each file without one.

        Raises NotFound for an unknown id in the options, and the first error if every file has one.
        """
        plans: dict[UUID, Plan] = {}
        refused: dict[UUID, RequestError] = {}
        for file in to_plan:
            try:
                check_rows(file)
                plans[file.id] = await plan_for(file)
            except NotFound:
                raise
            except RequestError as error:
                plans[file.id], refused[file.id] = Plan(job_type.processor, {}), error
        if len(refused) == len(to_plan):
            raise refused[to_plan[0].id]
        return plans, refused

    async def _cached(
        self,
        connection: AsyncConnection,
        owner: str,
        files_by_id: dict[UUID, FileRow],
        plans: dict[UUID, Plan],
    ) -> dict[UUID, UUID]:
        """Return the earlier jobs whose results can be reused, by file."""
        earlier = {
            file_id: await self._file_jobs.find_cached(
                connection, owner, files_by_id[file_id], plan, files_by_id
            )
            for file_id, plan in plans.items()
        }
        return {file_id: job.id for file_id, job in earlier.items() if job is not None}

    def _part(
        self,
        submission: BatchSubmission,
        files_by_id: dict[UUID, FileRow],
        file_id: UUID,
        plan: Plan,
        parent_id: UUID,
        refused: RequestError | None,
    ) -> list[NewJob]:
        """Return the job over one file and its own parts, or one that has already failed."""
        owner, file, priority = submission.owner, files_by_id[file_id], submission.priority
        if refused is None:
            try:
                return self._file_jobs.jobs_for(owner, file, plan, priority, files_by_id, parent_id)
            except NotConfigured:
                raise  # not the fault of a file
            except RequestError as error:
                refused = error
        return [self._file_jobs.failed_job(owner, file, plan, priority, parent_id, refused)]

    def _parent(
        self, submission: BatchSubmission, batch_files: Sequence[FileRow], cached: dict[UUID, UUID]
    ) -> tuple[NewFile, NewJob]:
        """Return a job without bytes of its own, whose file stands for all of them."""
        dialect = to_json(CsvDialect())
        to_do = [batch_file for batch_file in batch_files if batch_file.id not in cached]
        file = NewFile(
            owner=submission.owner,
            filename=f"{len(batch_files)} files",
            format="batch",
            encoding=dialect["encoding"],
            dialect=dialect,
            size_bytes=sum(batch_file.size_bytes for batch_file in to_do),
            stored_bytes=sum(data_bytes(batch_file) for batch_file in to_do),
            content_key="",
        )
        options = {
            "job_type": submission.job_type,
            "options": submission.options,
            "file_ids": [str(file_id) for file_id in submission.file_ids],
            "cached": {str(file_id): str(job_id) for file_id, job_id in cached.items()},
        }
        spec = JobSpec(submission.owner, PROCESSOR, options, submission.priority, ORIGIN)
        return file, self._factory.of_parts(spec, file, [], part_count=len(to_do))


def _child(file_id: UUID, part_ids: dict[UUID, UUID], cached: dict[UUID, UUID]) -> dict[str, Any]:
    names = {"file_id": str(file_id), "job_id": str(part_ids.get(file_id) or cached[file_id])}
    return names | ({"cached": True} if file_id in cached else {})
