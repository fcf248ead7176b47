"""Jobs over objects of a remote source: one job for one object, a job with parts for a prefix or a
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
from app.jobs.factory import JobFactory, JobSpec
from app.jobs.file_jobs import (
    FileJobs,
    InputFile,
    Plan,
    Recorded,
    SubmittedJob,
    all_files,
    not_recorded,
)
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
    """`s3://bucket/key`. A key that ends in `/` selects all keys with that prefix; one with `*`,
    `?` or `[` that does not exist itself selects all keys that match.
    """
    job_type: JobType
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the job type."""
    priority: int = 0
    chunk_size: int | None = None
    max_rejects: str = ""
    """Limit of rejects for each object."""
    declared: Declared = field(default_factory=Declared)
    origin: str = "files"
    public_id: str | None = None


@dataclass(frozen=True, slots=True)
class _InspectedObject:
    """An object whose first bytes were read, and the job for it or the error that prevents one."""

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
        """Create the job and return its id and those of its parts. `announce` gets the ids before
        anything runs.

        Raises RequestError if no object can be read. An object without a possible job fails the
        request if it is the only one, and only its own part otherwise.
        """
        source = self._sources.remote(submission.source)
        source.check_configured()
        plan_for = await submission.job_type.plan_for(submission.owner, submission.options)
        uri = source.full(submission.source)
        single = await as_request_error(asyncio.to_thread(source.single, uri))
        if single is not None:
            inspected = await self._inspect(submission, plan_for, source, single)
            if inspected.error is not None:
                raise inspected.error
            return await self._record(
                submission, uri, [inspected], announce, recorded, with_parent=False
            )
        objects = await as_request_error(asyncio.to_thread(source.find, uri, MAX_OBJECTS))
        if not objects:
            raise ObjectNotFound(f"No object matches {uri}.")
        if len(objects) > MAX_OBJECTS:
            raise ObjectNotFound(
                f"More than {MAX_OBJECTS} objects match {uri}; give a longer prefix."
            )
        slots = asyncio.Semaphore(AT_ONCE)

        async def inspect(object_: Object) -> _InspectedObject:
            async with slots:
                return await self._inspect(submission, plan_for, source, object_)

        inspected_objects = await asyncio.gather(*(inspect(object_) for object_ in objects))
        errors = [inspected.error for inspected in inspected_objects if inspected.error is not None]
        if len(errors) == len(inspected_objects):
            raise errors[0]
        return await self._record(
            submission, uri, inspected_objects, announce, recorded, with_parent=True
        )

    async def _inspect(
        self,
        submission: ObjectsSubmission,
        plan_for: PlanFor,
        source: RemoteSource,
        object_: Object,
    ) -> _InspectedObject:
        """Read the first bytes of the object, and determine its dialect and its job."""
        read = partial(source.read, object_.uri, 0, min(object_.size, SAMPLE_BYTES), object_.etag)
        file = _file_of(submission, object_, CsvDialect())
        try:
            sample = await as_request_error(asyncio.to_thread(read))
            if by_content(sample) is not None:
                raise BinaryContent(
                    f"{object_.uri} is compressed or a workbook; only text can be read in place."
                )
            dialect = detect(
                sample,
                complete=object_.size <= SAMPLE_BYTES,
                declared=submission.declared,
                filename=object_.uri.rpartition("/")[2],
            )
            file = _file_of(submission, object_, dialect.of_size(object_.size))
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
            if object_.uri not in error.detail:
                error.detail = f"{printable(object_.uri)}: {error.detail}"
            options = _with_source(submission, submission.options)
            refused = Plan(submission.job_type.processor, options, chunk_size=submission.chunk_size)
            return _InspectedObject(file, refused, error)
        return _InspectedObject(file, plan)

    async def _record(
        self,
        submission: ObjectsSubmission,
        uri: str,
        inspected: list[_InspectedObject],
        announce: Callable[[set[UUID]], None],
        recorded: Recorded,
        *,
        with_parent: bool,
    ) -> dict[str, Any]:
        """Insert the jobs in one transaction: the job with parts, if any, then its parts."""
        new_files = [item.file for item in inspected]
        ids = {file.id for file in new_files}
        others = {file_id for item in inspected for file_id in item.plan.part_files} - ids
        parent = None
        if with_parent:
            file, parent = self._parent(submission, uri, inspected)
            new_files.insert(0, file)

        async def record(connection: AsyncConnection) -> tuple[list[NewJob], list[NewJob]]:
            files: dict[UUID, InputFile] = {file.id: file for file in new_files}
            files |= await all_files(connection, others, submission.owner)
            families = [self._jobs(submission, item, files, parent) for item in inspected]
            new_jobs = [] if parent is None else [parent]
            new_jobs += chain.from_iterable(families)
            await self._factory.make(connection, new_jobs, new_files)
            submitted = SubmittedJob(new_jobs[0].id, new_files[0].id, is_cached=False)
            await recorded(connection, submitted)
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
            "objects": len(inspected),
            "size_bytes": new_files[0].size_bytes,
            "parts": [str(job.id) for job in parts],
        }

    def _jobs(
        self,
        submission: ObjectsSubmission,
        inspected: _InspectedObject,
        files: Mapping[UUID, InputFile],
        parent: NewJob | None,
    ) -> list[NewJob]:
        """Return the job over one object and its own parts, or one that has already failed."""
        owner, priority, origin = submission.owner, submission.priority, submission.origin
        if inspected.error is not None:
            assert parent is not None, "the request fails with its only object"
            return [
                self._file_jobs.failed_job(
                    owner,
                    inspected.file,
                    inspected.plan,
                    priority,
                    parent.id,
                    inspected.error,
                    origin=origin,
                )
            ]
        return self._file_jobs.jobs_for(
            owner,
            inspected.file,
            inspected.plan,
            priority,
            files,
            None if parent is None else parent.id,
            origin=origin,
            public_id=submission.public_id if parent is None else None,
        )

    def _parent(
        self, submission: ObjectsSubmission, uri: str, inspected: list[_InspectedObject]
    ) -> tuple[NewFile, NewJob]:
        """Return a job without bytes of its own, whose file stands for all objects. Its options and
        columns are those of the first part.
        """
        size = sum(item.file.size_bytes for item in inspected)
        file = _file(submission, uri, size, CsvDialect(), OBJECTS)
        plan = next(item.plan for item in inspected if item.error is None)
        spec = JobSpec(
            submission.owner,
            plan.processor,
            plan.options,
            submission.priority,
            submission.origin,
            submission.public_id,
            submission.chunk_size,
        )
        return file, self._factory.of_parts(
            spec, file, plan.columns or (), part_count=len(inspected)
        )


def _file_of(submission: ObjectsSubmission, object_: Object, dialect: Dialect) -> NewFile:
    return _file(
        submission,
        object_.uri,
        object_.size,
        dialect,
        dialect.format_name,
        storage_uri=printable(object_.uri)[:MAX_URI_LENGTH],  # the exact key, if it is printable
        etag=object_.etag or None,
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
    """Return the URI with control characters percent-encoded: a key may hold any, but the database
    and terminals should not.
    """
    return CONTROL.sub(lambda match: f"%{ord(match[0]):02X}", uri)


async def as_request_error(work: Coroutine[Any, Any, Result]) -> Result:
    """Translate errors of a source into errors of the request."""
    try:
        return await work
    except (SourceNotFound, SourceChanged) as error:
        raise ObjectNotFound(error.detail) from None
    except SourceAccessDenied as error:
        raise ObjectAccessDenied(error.detail) from None
    except SourceUnavailable as error:
        raise Unavailable(error.detail, headers={"Retry-After": "5"}) from None
