"""Jobs over objects of a remote source: one job for one object, a job with parts for a prefix or a
pattern. Nothing is copied.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.engine import Database
from app.db.rows import NewFile
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
from app.jobs.factory import JobFactory
from app.jobs.file_jobs import (
    Family,
    FileJobs,
    InputFile,
    JobRequest,
    Plan,
    PlannedFile,
    Recorded,
    SubmittedJob,
    all_files,
    not_recorded,
    raise_if_all_failed,
    refused,
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

        async def inspect(object_: Object) -> PlannedFile[NewFile]:
            async with slots:
                return await self._inspect(submission, plan_for, source, object_)

        inspected_objects = await asyncio.gather(*(inspect(object_) for object_ in objects))
        raise_if_all_failed(inspected_objects)
        return await self._record(
            submission, uri, inspected_objects, announce, recorded, with_parent=True
        )

    async def _inspect(
        self,
        submission: ObjectsSubmission,
        plan_for: PlanFor,
        source: RemoteSource,
        object_: Object,
    ) -> PlannedFile[NewFile]:
        """Read the first bytes of the object, and determine its dialect and its job."""
        read = partial(source.read, object_.uri, 0, min(object_.size, SAMPLE_BYTES), object_.etag)
        request = _request(submission)
        file = _file_of(submission, object_, CsvDialect())

        async def plan_object(file: InputFile) -> Plan:
            plan = await plan_for(file)
            return replace(plan, options=_with_source(submission, plan.options))

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
        except Unavailable:
            raise
        except RequestError as error:
            planned = refused(request, file, error)
        else:
            planned = await self._file_jobs.plan(request, plan_object, file)
        if planned.error is not None and object_.uri not in planned.error.detail:
            planned.error.detail = f"{printable(object_.uri)}: {planned.error.detail}"
        return planned

    async def _record(
        self,
        submission: ObjectsSubmission,
        uri: str,
        inspected: list[PlannedFile[NewFile]],
        announce: Callable[[set[UUID]], None],
        recorded: Recorded,
        *,
        with_parent: bool,
    ) -> dict[str, Any]:
        """Insert the jobs in one transaction: the job with parts, if any, then its parts."""
        new_files = [item.file for item in inspected]
        ids = {file.id for file in new_files}
        others = {file_id for item in inspected for file_id in item.plan.part_files} - ids
        whole = None
        if with_parent:
            size = sum(item.file.size_bytes for item in inspected)
            whole = _file(submission, uri, size, CsvDialect(), OBJECTS)
            new_files.insert(0, whole)

        async def record(connection: AsyncConnection) -> Family:
            files: dict[UUID, InputFile] = {file.id: file for file in new_files}
            files |= await all_files(connection, others, submission.owner)
            family = self._file_jobs.family(_request(submission), inspected, files, whole=whole)
            await self._factory.make(connection, family.jobs, new_files)
            submitted = SubmittedJob(family.jobs[0].id, new_files[0].id, is_cached=False)
            await recorded(connection, submitted)
            return family

        family = await self._database.transact(record)
        announce({job.id for job in family.jobs})
        return {
            "job_id": str(family.jobs[0].id),
            "file_id": str(new_files[0].id),
            **({"public_id": submission.public_id} if submission.public_id else {}),
            "status": str(family.jobs[0].status),
            "source": submission.source,
            "processor": submission.job_type.processor,
            "priority": submission.priority,
            "objects": len(inspected),
            "size_bytes": new_files[0].size_bytes,
            "parts": [str(job.id) for job in family.parts],
        }


def _request(submission: ObjectsSubmission) -> JobRequest:
    return JobRequest(
        submission.owner,
        submission.job_type.processor,
        _with_source(submission, submission.options),
        submission.priority,
        submission.origin,
        submission.public_id,
        submission.chunk_size,
        submission.max_rejects,
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
