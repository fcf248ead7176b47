"""Jobs over stored files: their bytes are read again, nothing is copied."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import files, jobs
from app.db.engine import Database
from app.db.rows import FileRow, JobRow, NewFile, NewJob
from app.errors import NotFound, NotRows, RequestError, StoredBytesGone
from app.jobs.factory import JobFactory, JobSpec
from app.processors.base import version_of
from app.processors.registry import Processors
from app.sources.base import OBJECTS

WITHOUT_ROWS = ("parquet", "arrow", "xlsx", "batch", OBJECTS)
"""Formats without rows to read: output files, and files that stand for several others."""
ORIGIN = "jobs"


InputFile = FileRow | NewFile
"""A file for a job: one that exists, or one that is inserted with the job."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A job to create over a file."""

    processor: str
    options: dict[str, Any]
    part_files: tuple[UUID, ...] = ()
    """Files of the parts, in order, if the job has parts."""
    part_processor: str = ""
    columns: Sequence[str] | None = None
    """Columns of the result, if the options determine them."""
    chunk_size: int | None = None
    """Rows per chunk; None for the processor's default."""
    max_rejects: str = ""
    """Rows, or percent with a percent sign; empty for no limit."""


@dataclass(frozen=True, slots=True)
class SubmittedJob:
    """The job that a request started or found."""

    job_id: UUID
    file_id: UUID
    """The file of the job. An earlier job may have read another file with the same bytes."""
    is_cached: bool
    """Whether an earlier job over the same bytes with the same options already has the result."""


Recorded = Callable[[AsyncConnection, SubmittedJob], Awaitable[None]]
"""Called inside the transaction that creates or finds the job; an exception rolls it back."""


async def not_recorded(connection: AsyncConnection, submitted: SubmittedJob) -> None:
    """Do nothing: the default for requests that store nothing with the job."""


class FileJobs:
    def __init__(
        self,
        database: Database,
        processors: Processors,
        factory: JobFactory,
    ) -> None:
        self._database = database
        self._processors = processors
        self.check_installed = processors.check_installed
        self._factory = factory

    async def submit_plan(
        self,
        owner: str,
        file_id: UUID,
        plan: Plan,
        priority: int,
        *,
        fresh: bool = False,
        recorded: Recorded = not_recorded,
    ) -> SubmittedJob:
        """Create the job, or find one with the same result unless `fresh`.

        Raises NotFound, StoredBytesGone, and the processor's error for unsuitable columns.
        """

        async def record(connection: AsyncConnection) -> SubmittedJob:
            files = await all_files(connection, [file_id, *plan.part_files], owner)
            earlier = None
            if not fresh:
                earlier = await self.find_cached(connection, owner, files[file_id], plan, files)
            if earlier is not None:
                job = SubmittedJob(earlier.id, earlier.file_id, is_cached=True)
            else:
                new_jobs = self.jobs_for(owner, files[file_id], plan, priority, files)
                await self._factory.make(connection, new_jobs)
                job = SubmittedJob(new_jobs[0].id, file_id, is_cached=False)
            await recorded(connection, job)
            return job

        return await self._database.transact(record)

    async def find_cached(
        self,
        connection: AsyncConnection,
        owner: str,
        file: InputFile,
        plan: Plan,
        files: Mapping[UUID, InputFile],
    ) -> JobRow | None:
        """Return the earlier job with the same options over the same bytes, if its result still
        exists.
        """
        key = self._cache_key(file, plan, files)
        return None if key is None else await jobs.find_cached(connection, owner, key)

    def _cache_key(
        self, file: InputFile, plan: Plan, files: Mapping[UUID, InputFile]
    ) -> str | None:
        """Return the hash of everything that determines the result. Files count by their bytes and
        dialect, not by their ids. None if the job cannot be cached.
        """
        names = [plan.processor, *([plan.part_processor] if plan.part_files else [])]
        versions = [
            version_of(self._processors.get(name), self._processors.restored(name, plan.options))
            for name in names
        ]
        inputs = [file, *(files[input_] for input_ in plan.part_files)]
        if None in versions or not all(input_.sha256 for input_ in inputs):
            return None
        ids = [str(file.id), *map(str, plan.part_files)]
        options = {name: value for name, value in plan.options.items() if value not in ids}
        key = [[[input_.sha256, input_.dialect] for input_ in inputs], names, versions, options]
        if plan.max_rejects:
            key.append(plan.max_rejects)
        return hashlib.sha256(msgspec.json.encode(key, order="sorted")).hexdigest()

    def jobs_for(
        self,
        owner: str,
        file: InputFile,
        plan: Plan,
        priority: int,
        files: Mapping[UUID, InputFile],
        parent_id: UUID | None = None,
        *,
        origin: str = ORIGIN,
        public_id: str | None = None,
        total_rows: int | None = None,
        is_cacheable: bool = True,
    ) -> list[NewJob]:
        """Return the job over this file, as a part of `parent_id` if given, then its own parts.

        `files` are those that the parts read, `total_rows` are those of the file if they are
        counted already. The result of a job that is not cacheable never answers a later request.
        Raises StoredBytesGone, NotRows, and the processor's error for unsuitable columns.
        """
        check_rows(file)
        columns = self.columns(file, plan)
        spec = JobSpec(
            owner,
            plan.processor,
            plan.options,
            priority,
            origin,
            public_id,
            chunk_size=plan.chunk_size,
            parent_id=parent_id,
            cache_key=self._cache_key(file, plan, files) if is_cacheable else None,
            max_rejects=plan.max_rejects,
        )
        if not plan.part_files:
            return [self._factory.reading(spec, file, columns, total_rows)]
        job = self._factory.of_parts(spec, file, columns, part_count=len(plan.part_files))
        of_part = JobSpec(owner, plan.part_processor, {}, priority, origin, parent_id=job.id)
        return [job, *(self._part(of_part, files[file_id]) for file_id in plan.part_files)]

    def columns(self, file: InputFile, plan: Plan) -> Sequence[str]:
        """Return the columns of the job's results; raises the processor's error for unsuitable
        columns of the file.
        """
        if plan.columns is not None:
            return plan.columns
        header = file.dialect.get("columns", [])
        return self._processors.columns(plan.processor, header, plan.options)

    def _part(self, spec: JobSpec, file: InputFile) -> NewJob:
        check_rows(file)
        columns = self._processors.columns(
            spec.processor, file.dialect.get("columns", []), spec.options
        )
        return self._factory.reading(spec, file, columns)

    def failed_job(
        self,
        owner: str,
        file: InputFile,
        plan: Plan,
        priority: int,
        parent_id: UUID,
        error: RequestError,
        *,
        origin: str = ORIGIN,
    ) -> NewJob:
        """Return a part that failed before it could start."""
        spec = JobSpec(
            owner,
            plan.processor,
            plan.options,
            priority,
            origin,
            chunk_size=plan.chunk_size,
            parent_id=parent_id,
        )
        return self._factory.failed(spec, file, error)

    async def _file(self, connection: AsyncConnection, owner: str, file_id: UUID) -> FileRow:
        file = await files.find_file(connection, file_id, owner)
        if file is None:
            raise NotFound(f"There is no file {file_id}.")
        check_rows(file)
        return file

    async def file(self, owner: str, file_id: UUID) -> FileRow:
        """Return a stored file with rows; raises NotFound, StoredBytesGone, NotRows."""
        async with self._database.reading() as connection:
            return await self._file(connection, owner, file_id)


async def all_files(
    connection: AsyncConnection, ids: Iterable[UUID], owner: str
) -> dict[UUID, FileRow]:
    """Return the files with these ids, in their order; raises NotFound with the first missing one."""
    needed = list(dict.fromkeys(ids))
    files_by_id = await files.find_files(connection, needed, owner)
    missing = next((file_id for file_id in needed if file_id not in files_by_id), None)
    if missing is not None:
        raise NotFound(f"There is no file {missing}.")
    return {file_id: files_by_id[file_id] for file_id in needed}


def check_rows(file: InputFile) -> None:
    """Raises StoredBytesGone, NotRows."""
    if file.format in WITHOUT_ROWS:
        raise NotRows
    if file.storage_uri is None:
        raise StoredBytesGone
