"""Jobs over files that are here already: the stored bytes are read again, nothing is copied."""

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
from app.jobs.factory import JobFactory, Wanted
from app.processors.base import version_of
from app.processors.registry import Processors
from app.sources.base import OBJECTS

WITHOUT_ROWS = ("parquet", "batch", OBJECTS)
"""Formats that jobs cannot read: of files that are only made, and that stand for others."""
DOOR = "jobs"


InputFile = FileRow | NewFile
"""What a job is to read: a file that is here, or one that is inserted with the job."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A job that is to be made over a file."""

    processor: str
    options: dict[str, Any]
    part_files: tuple[UUID, ...] = ()
    """If the job is made of parts: the files that they read, in their order."""
    part_processor: str = ""
    columns: Sequence[str] | None = None
    """Of the result, where the options decide them."""
    chunk_size: int | None = None
    """Rows of a chunk, if not the usual number."""


@dataclass(frozen=True, slots=True)
class Made:
    """A job that was asked for."""

    job_id: UUID
    file_id: UUID
    """Its file, which of an earlier job may be another one with the same bytes."""
    is_cached: bool
    """It had ended before: the same was asked of the same bytes, and its result is the answer."""


Recorded = Callable[[AsyncConnection, Made], Awaitable[None]]
"""Called inside the transaction that makes a job, or finds the one that is its equal; what it
raises undoes that.
"""


async def not_recorded(connection: AsyncConnection, made: Made) -> None:
    """Nothing else is to be kept."""


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
    ) -> Made:
        """Raises NotFound, StoredBytesGone, and what the processor has against the columns."""

        async def record(connection: AsyncConnection) -> Made:
            found = await all_files(connection, [file_id, *plan.part_files], owner)
            earlier = None
            if not fresh:
                earlier = await self.find_cached(connection, owner, found[file_id], plan, found)
            if earlier is not None:
                made = Made(earlier.id, earlier.file_id, is_cached=True)
            else:
                new_jobs = self.jobs_for(owner, found[file_id], plan, priority, found)
                await self._factory.make(connection, new_jobs)
                made = Made(new_jobs[0].id, file_id, is_cached=False)
            await recorded(connection, made)
            return made

        return await self._database.transact(record)

    async def find_cached(
        self,
        connection: AsyncConnection,
        owner: str,
        file: InputFile,
        plan: Plan,
        found: Mapping[UUID, InputFile],
    ) -> JobRow | None:
        """The job that did the same with the same bytes before, if what it found out is still
        there.
        """
        key = self._cache_key(file, plan, found)
        return None if key is None else await jobs.find_cached(connection, owner, key)

    def _cache_key(
        self, file: InputFile, plan: Plan, found: Mapping[UUID, InputFile]
    ) -> str | None:
        """Of all that the result depends on: not of the ids of files, but of their bytes and how
        they are read.
        """
        names = [plan.processor, *([plan.part_processor] if plan.part_files else [])]
        versions = [
            version_of(self._processors.get(name), self._processors.restored(name, plan.options))
            for name in names
        ]
        read = [file, *(found[each] for each in plan.part_files)]
        if None in versions or not all(each.sha256 for each in read):
            return None
        ids = [str(file.id), *map(str, plan.part_files)]
        options = {name: value for name, value in plan.options.items() if value not in ids}
        same = [[[each.sha256, each.dialect] for each in read], names, versions, options]
        return hashlib.sha256(msgspec.json.encode(same, order="sorted")).hexdigest()

    def jobs_for(
        self,
        owner: str,
        file: InputFile,
        plan: Plan,
        priority: int,
        found: Mapping[UUID, InputFile],
        parent_id: UUID | None = None,
        *,
        door: str = DOOR,
        public_id: str | None = None,
    ) -> list[NewJob]:
        """The job over this file, as a part of `parent_id` if given, then its own parts. `found`
        are the files that these read. Raises StoredBytesGone, NotRows, and what the processor has
        against the columns.
        """
        check_rows(file)
        columns = self.columns(file, plan)
        wanted = Wanted(
            owner,
            plan.processor,
            plan.options,
            priority,
            door,
            public_id,
            chunk_size=plan.chunk_size,
            parent_id=parent_id,
            cache_key=self._cache_key(file, plan, found),
        )
        if not plan.part_files:
            return [self._factory.reading(wanted, file, columns)]
        job = self._factory.of_parts(wanted, file, columns, part_count=len(plan.part_files))
        of_part = Wanted(owner, plan.part_processor, {}, priority, door, parent_id=job.id)
        return [job, *(self._part(of_part, found[file_id]) for file_id in plan.part_files)]

    def columns(self, file: InputFile, plan: Plan) -> Sequence[str]:
        """Of the results of a job; raises what the processor has against those of the file."""
        if plan.columns is not None:
            return plan.columns
        header = file.dialect.get("columns", [])
        return self._processors.columns(plan.processor, header, plan.options)

    def _part(self, wanted: Wanted, file: InputFile) -> NewJob:
        check_rows(file)
        columns = self._processors.columns(
            wanted.processor, file.dialect.get("columns", []), wanted.options
        )
        return self._factory.reading(wanted, file, columns)

    def failed_job(
        self,
        owner: str,
        file: InputFile,
        plan: Plan,
        priority: int,
        parent_id: UUID,
        error: RequestError,
        *,
        door: str = DOOR,
    ) -> NewJob:
        """A part that had failed before it could begin."""
        wanted = Wanted(
            owner,
            plan.processor,
            plan.options,
            priority,
            door,
            chunk_size=plan.chunk_size,
            parent_id=parent_id,
        )
        return self._factory.failed(wanted, file, error)

    async def _file(self, connection: AsyncConnection, owner: str, file_id: UUID) -> FileRow:
        file = await files.find_file(connection, file_id, owner)
        if file is None:
            raise NotFound(f"There is no file {file_id}.")
        check_rows(file)
        return file

    async def file(self, owner: str, file_id: UUID) -> FileRow:
        """A stored file that jobs can read; raises NotFound, StoredBytesGone, NotRows."""
        async with self._database.reading() as connection:
            return await self._file(connection, owner, file_id)


async def all_files(
    connection: AsyncConnection, ids: Iterable[UUID], owner: str
) -> dict[UUID, FileRow]:
    """The files with these ids, in their order; raises NotFound naming the first that is not
    there.
    """
    needed = list(dict.fromkeys(ids))
    found = await files.find_files(connection, needed, owner)
    missing = next((file_id for file_id in needed if file_id not in found), None)
    if missing is not None:
        raise NotFound(f"There is no file {missing}.")
    return {file_id: found[file_id] for file_id in needed}


def check_rows(file: InputFile) -> None:
    """Raises StoredBytesGone, NotRows."""
    if file.format in WITHOUT_ROWS:
        raise NotRows
    if file.storage_uri is None:
        raise StoredBytesGone
