"""Objects of a remote source become jobs: one for one object, a job with parts for a prefix or a
pattern. Nothing is copied.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.engine import Database
from app.db.rows import NewFile, NewJob
from app.decoders.registry import by_content
from app.errors import (
    BinaryContent,
    ObjectAccessDenied,
    ObjectNotFound,
    RequestError,
    SourceAccessDenied,
    SourceChanged,
    SourceNotFound,
    SourceUnavailable,
    Unavailable,
)
from app.formats.csv import CsvDialect
from app.formats.detect import SAMPLE_BYTES, Declared, detect
from app.formats.registry import Dialect, reading_of, to_json
from app.jobs.factory import JobFactory, Wanted
from app.jobs.file_jobs import FileJobs, InputFile, Made, Plan, Recorded, all_files, not_recorded
from app.jobs.job_types import JobType, PlanFor
from app.sources.base import OBJECTS, Sources
from app.sources.remote import Object, RemoteSource
from app.sources.s3 import MAX_URI_LENGTH

MAX_OBJECTS = 10_000
AT_ONCE = 8
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ObjectsSubmission:
    owner: str
    source: str
    """`s3://bucket/key`; all keys with that beginning if it ends in `/`, all that match if it holds
    `*`, `?` or `[` and is no key itself.
    """
    job_type: JobType
    options: dict[str, Any] = field(default_factory=dict)
    """Of the job type."""
    priority: int = 0
    chunk_size: int | None = None
    max_rejects: str = ""
    """Of each object."""
    declared: Declared = field(default_factory=Declared)
    door: str = "files"
    public_id: str | None = None


@dataclass(frozen=True, slots=True)
class _Looked:
    """An object whose beginning was read, and what is to be done with it, or why nothing can be."""

    file: NewFile
    plan: Plan
    error: RequestError | None = None


class ObjectsSubmitter:
    def __init__(
        self,
        database: Database,
        sources: Sources,
        file_jobs: FileJobs,
        factory: JobFactory,
    ) -> None:
        self._database = database
        self._sources = sources
        self._file_jobs = file_jobs
        self._factory = factory

    async def submit(
        self,
        submission: ObjectsSubmission,
        announce: Callable[[set[UUID]], None] = lambda ids: None,
        recorded: Recorded = not_recorded,
    ) -> dict[str, Any]:
        """Make the job; its ids, and those of its parts. `announce` hears of them before anything
        runs.

        Raises RequestError if there is nothing that it could read. An object that the job cannot be
        made for fails the request if it is the only one, else its part alone.
        """
        source = self._sources.remote(submission.source)
        source.check_configured()
        plan_for = await submission.job_type.prepare(submission.owner, submission.options)
        uri = source.full(submission.source)
        single = await _told(asyncio.to_thread(source.single, uri))
        if single is not None:
            looked = await self._look(submission, plan_for, source, single)
            if looked.error is not None:
                raise looked.error
            return await self._record(
                submission, uri, [looked], announce, recorded, with_parent=False
            )
        objects = await _told(asyncio.to_thread(source.find, uri, MAX_OBJECTS))
        if not objects:
            raise ObjectNotFound(f"No object matches {uri}.")
        if len(objects) > MAX_OBJECTS:
            raise ObjectNotFound(
                f"More than {MAX_OBJECTS} objects match {uri}; give a longer prefix."
            )
        turn = asyncio.Semaphore(AT_ONCE)

        async def look(each: Object) -> _Looked:
            async with turn:
                return await self._look(submission, plan_for, source, each)

        all_looked = await asyncio.gather(*(look(each) for each in objects))
        errors = [looked.error for looked in all_looked if looked.error is not None]
        if len(errors) == len(all_looked):
            raise errors[0]
        return await self._record(submission, uri, all_looked, announce, recorded, with_parent=True)

    async def _look(
        self,
        submission: ObjectsSubmission,
        plan_for: PlanFor,
        source: RemoteSource,
        found: Object,
    ) -> _Looked:
        """Read the beginning and find out how the object is to be read, and what is to be done."""
        read = partial(source.read, found.uri, 0, min(found.size, SAMPLE_BYTES), found.etag)
        file = _file_of(submission, found, CsvDialect())
        try:
            sample = await _told(asyncio.to_thread(read))
            if by_content(sample) is not None:
                raise BinaryContent(
                    f"{found.uri} is compressed; only plain objects can be read in place."
                )
            dialect = detect(
                sample,
                complete=found.size <= SAMPLE_BYTES,
                declared=submission.declared,
                filename=found.uri.rpartition("/")[2],
            )
            file = _file_of(submission, found, dialect.of_size(found.size))
            plan = await plan_for(file)
            plan = replace(
                plan,
                options=_with_source(submission, plan.options),
                columns=self._file_jobs.columns(file, plan),
                chunk_size=submission.chunk_size or plan.chunk_size,
                max_rejects=submission.max_rejects,
            )
        except Unavailable:
            raise
        except RequestError as error:
            if found.uri not in error.detail:
                error.detail = f"{printable(found.uri)}: {error.detail}"
            options = _with_source(submission, submission.options)
            refused = Plan(submission.job_type.processor, options, chunk_size=submission.chunk_size)
            return _Looked(file, refused, error)
        return _Looked(file, plan)

    async def _record(
        self,
        submission: ObjectsSubmission,
        uri: str,
        looked: list[_Looked],
        announce: Callable[[set[UUID]], None],
        recorded: Recorded,
        *,
        with_parent: bool,
    ) -> dict[str, Any]:
        """All in one transaction: the parts, and first the job that they are parts of."""
        new_files = [each.file for each in looked]
        ids = {file.id for file in new_files}
        others = {file_id for each in looked for file_id in each.plan.part_files} - ids
        parent = None
        if with_parent:
            file, parent = self._parent(submission, uri, looked)
            new_files.insert(0, file)

        async def record(connection: AsyncConnection) -> tuple[list[NewJob], list[NewJob]]:
            found: dict[UUID, InputFile] = {file.id: file for file in new_files}
            found |= await all_files(connection, others, submission.owner)
            families = [self._jobs(submission, each, found, parent) for each in looked]
            new_jobs = [] if parent is None else [parent]
            new_jobs += chain.from_iterable(families)
            await self._factory.make(connection, new_jobs, new_files)
            made = Made(new_jobs[0].id, new_files[0].id, is_cached=False)
            await recorded(connection, made)
            return new_jobs, [family[0] for family in families]

        new_jobs, of_objects = await self._database.transact(record)
        announce({job.id for job in new_jobs})
        parts = [] if parent is None else of_objects
        return {
            "job_id": str(new_jobs[0].id),
            "file_id": str(new_files[0].id),
            **({"public_id": submission.public_id} if submission.public_id else {}),
            "status": str(new_jobs[0].status),
            "source": submission.source,
            "processor": submission.job_type.processor,
            "priority": submission.priority,
            "objects": len(looked),
            "size_bytes": new_files[0].size_bytes,
            "parts": [str(job.id) for job in parts],
        }

    def _jobs(
        self,
        submission: ObjectsSubmission,
        looked: _Looked,
        found: Mapping[UUID, InputFile],
        parent: NewJob | None,
    ) -> list[NewJob]:
        """The job over one object and its own parts, or one that has failed already."""
        owner, priority, door = submission.owner, submission.priority, submission.door
        if looked.error is not None:
            assert parent is not None, "the request fails with its only object"
            return [
                self._file_jobs.failed_job(
                    owner, looked.file, looked.plan, priority, parent.id, looked.error, door=door
                )
            ]
        return self._file_jobs.jobs_for(
            owner,
            looked.file,
            looked.plan,
            priority,
            found,
            None if parent is None else parent.id,
            door=door,
            public_id=submission.public_id if parent is None else None,
        )

    def _parent(
        self, submission: ObjectsSubmission, uri: str, looked: list[_Looked]
    ) -> tuple[NewFile, NewJob]:
        """A job without bytes of its own: its file stands for all of them. It says what the first
        of its parts says.
        """
        size = sum(each.file.size_bytes for each in looked)
        file = _file(submission, uri, size, CsvDialect(), OBJECTS)
        plan = next(each.plan for each in looked if each.error is None)
        wanted = Wanted(
            submission.owner,
            plan.processor,
            plan.options,
            submission.priority,
            submission.door,
            submission.public_id,
            submission.chunk_size,
        )
        return file, self._factory.of_parts(
            wanted, file, plan.columns or (), part_count=len(looked)
        )


def _file_of(submission: ObjectsSubmission, found: Object, dialect: Dialect) -> NewFile:
    return _file(
        submission,
        found.uri,
        found.size,
        dialect,
        dialect.format_name,
        storage_uri=printable(found.uri)[:MAX_URI_LENGTH],  # as it is, if it can be read
        etag=found.etag or None,
    )


def _file(
    submission: ObjectsSubmission,
    uri: str,
    size: int,
    dialect: Dialect,
    form: str,
    *,
    storage_uri: str | None = None,
    etag: str | None = None,
) -> NewFile:
    same = [uri, reading_of(dialect), submission.job_type.processor]
    key = msgspec.json.encode(same, order="sorted")
    return NewFile(
        owner=submission.owner,
        filename=printable(uri)[:255],
        format=form,
        encoding=dialect.encoding,
        dialect=to_json(dialect),
        size_bytes=size,
        stored_bytes=size,
        content_key=hashlib.sha256(key).hexdigest(),
        storage_uri=storage_uri,
        etag=etag,
    )


def _with_source(submission: ObjectsSubmission, options: dict[str, Any]) -> dict[str, Any]:
    return {**options, "source": submission.source}


def printable(uri: str) -> str:
    """With control characters as in a URL: a key may hold any, the database and a terminal should
    not.
    """
    return CONTROL.sub(lambda found: f"%{ord(found[0]):02X}", uri)


async def _told(work: Coroutine[Any, Any, Result]) -> Result:
    """The errors of a source as answers to a request."""
    try:
        return await work
    except (SourceNotFound, SourceChanged) as error:
        raise ObjectNotFound(error.detail) from None
    except SourceAccessDenied as error:
        raise ObjectAccessDenied(error.detail) from None
    except SourceUnavailable as error:
        raise Unavailable(error.detail, headers={"Retry-After": "5"}) from None
