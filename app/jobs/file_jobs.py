"""Jobs over stored files: their bytes are read again, nothing is copied."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import files, jobs
from app.db.engine import Database
from app.db.labels import change_labels
from app.db.rows import FileRow, JobRow, NewFile, NewJob
from app.errors import (
    NotConfigured,
    NotFound,
    NotRows,
    RequestError,
    StoredBytesGone,
    Unavailable,
)
from app.jobs.factory import JobFactory, JobSpec
from app.processors.base import version_of
from app.processors.registry import Processors
from app.sources.base import OBJECTS

WITHOUT_ROWS = ("parquet", "arrow", "xlsx", "batch", OBJECTS)
"""Formats without rows to read: output files, and files that stand for several others."""
ORIGIN = "jobs"


InputFile = FileRow | NewFile
"""A file for a job: one that exists, or one that is inserted with the job."""
AnyFile = TypeVar("AnyFile", bound=InputFile)
PlannedAs = TypeVar("PlannedAs", bound=InputFile, covariant=True)


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
class PlannedFile(Generic[PlannedAs]):
    """A file with the job over it, or the error that its job ends with."""

    file: PlannedAs
    plan: Plan
    error: RequestError | None = None


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What the jobs of one request have in common, however many files they read."""

    owner: str
    processor: str
    """Processor of a part that fails before it can start."""
    options: dict[str, Any]
    """Options of such a part."""
    priority: int = 0
    origin: str = ORIGIN
    public_id: str | None = None
    """Id that the endpoint shows, if it is neither the job's id nor its number."""
    chunk_size: int | None = None
    max_rejects: str = ""
    """Limit of rejects for each file."""
    is_cacheable: bool = True
    """Whether the results may answer a later request."""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Family:
    """The jobs of one request."""

    jobs: list[NewJob]
    """All of them, a parent before its parts."""
    parts: list[NewJob]
    """The parts of the first job in the order of their files; empty if it reads a file itself."""


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
        labels: tuple[str, ...] = (),
        recorded: Recorded = not_recorded,
    ) -> SubmittedJob:
        """Create the job, or find one with the same result unless `fresh`. One that is found gets
        the labels in addition to its own.

        Raises NotFound, StoredBytesGone, and the processor's error for unsuitable columns.
        """

        async def record(connection: AsyncConnection) -> SubmittedJob:
            files = await all_files(connection, [file_id, *plan.part_files], owner)
            earlier = None
            if not fresh:
                earlier = await self.find_cached(connection, owner, files[file_id], plan, files)
            if earlier is not None:
                if labels:
                    await jobs.lock_job(connection, earlier.id)
                    await change_labels(connection, earlier.id, added=labels)
                job = SubmittedJob(earlier.id, earlier.file_id, is_cached=True)
            else:
                new_jobs = self.jobs_for(
                    owner, files[file_id], plan, priority, files, labels=labels
                )
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
        labels: tuple[str, ...] = (),
    ) -> list[NewJob]:
        """Return the job over this file, as a part of `parent_id` if given, then its own parts.

        `files` are those that the parts read, `total_rows` are those of the file if they are
        counted already. The result of a job that is not cacheable is never reused. Raises
        StoredBytesGone, NotRows, and the processor's error for unsuitable columns.
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
            labels=labels,
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

    async def plan(
        self,
        request: JobRequest,
        plan_for: Callable[[InputFile], Awaitable[Plan]],
        file: AnyFile,
    ) -> PlannedFile[AnyFile]:
        """Return the file with its job, or with the error that prevents one.

        Raises what no other file could avoid: NotFound for something missing that the options name,
        NotConfigured, Unavailable.
        """
        try:
            check_rows(file)
            plan = await plan_for(file)
            plan = replace(
                plan,
                columns=self.columns(file, plan),
                chunk_size=request.chunk_size or plan.chunk_size,
                max_rejects=request.max_rejects or plan.max_rejects,
            )
        except (NotFound, NotConfigured, Unavailable):
            raise
        except RequestError as error:
            return refused(request, file, error)
        return PlannedFile(file, plan)

    def family(
        self,
        request: JobRequest,
        planned: Sequence[PlannedFile[InputFile]],
        files: Mapping[UUID, InputFile],
        *,
        whole: InputFile | None = None,
        plan: Plan | None = None,
        total_rows: int | None = None,
    ) -> Family:
        """Return the job over the only file; or with `whole`, the file that stands for all of them,
        a job with a part for each.

        `files` are all that the jobs read. `plan` is that of the parent; by default it is like the
        first part that can run. A file that cannot be read fails its own part. Raises its error if
        there is no parent, and NotConfigured, Unavailable.
        """
        if whole is None:
            (only,) = planned
            if only.error is not None:
                raise only.error
            return Family(self._jobs_over(request, only, files, total_rows=total_rows), [])
        plan = plan or next(part.plan for part in planned if part.error is None)
        spec = JobSpec(
            request.owner,
            plan.processor,
            plan.options,
            request.priority,
            request.origin,
            request.public_id,
            plan.chunk_size,
            labels=request.labels,
        )
        parent = self._factory.of_parts(spec, whole, plan.columns or (), part_count=len(planned))
        family = Family([parent], [])
        for part in planned:
            of_part = self._part_of(request, part, files, parent.id)
            family.jobs.extend(of_part)
            family.parts.append(of_part[0])
        return family

    def _part_of(
        self,
        request: JobRequest,
        part: PlannedFile[InputFile],
        files: Mapping[UUID, InputFile],
        parent_id: UUID,
    ) -> list[NewJob]:
        """Return the job over one file and its own parts, or one that has already failed."""
        error = part.error
        if error is None:
            try:
                return self._jobs_over(request, part, files, parent_id)
            except (NotConfigured, Unavailable):
                raise
            except RequestError as raised:
                error = raised
        spec = JobSpec(
            request.owner,
            part.plan.processor,
            part.plan.options,
            request.priority,
            request.origin,
            chunk_size=part.plan.chunk_size,
            parent_id=parent_id,
        )
        return [self._factory.failed(spec, part.file, error)]

    def _jobs_over(
        self,
        request: JobRequest,
        planned: PlannedFile[InputFile],
        files: Mapping[UUID, InputFile],
        parent_id: UUID | None = None,
        *,
        total_rows: int | None = None,
    ) -> list[NewJob]:
        return self.jobs_for(
            request.owner,
            planned.file,
            planned.plan,
            request.priority,
            files,
            parent_id,
            origin=request.origin,
            public_id=request.public_id if parent_id is None else None,
            total_rows=total_rows,
            is_cacheable=request.is_cacheable,
            labels=request.labels if parent_id is None else (),
        )

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


def refused(request: JobRequest, file: AnyFile, error: RequestError) -> PlannedFile[AnyFile]:
    """Return the file with the error that its part ends with."""
    plan = Plan(request.processor, request.options, chunk_size=request.chunk_size)
    return PlannedFile(file, plan, error)


def raise_if_all_failed(planned: Sequence[PlannedFile[InputFile]]) -> None:
    """Raise the error of the first file if every file has one."""
    errors = [part.error for part in planned if part.error is not None]
    if errors and len(errors) == len(planned):
        raise errors[0]


async def all_files(
    connection: AsyncConnection, ids: Iterable[UUID], owner: str
) -> dict[UUID, FileRow]:
    """Return the files with these ids, in their order; raises NotFound with the first missing
    one.
    """
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
