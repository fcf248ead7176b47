"""Jobs over objects of a source: one job for one object, a job with parts for a prefix or a pattern.
Text in a bucket is read where it is; all other files are copied into the storage first.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.engine import Database
from app.db.rows import NewFile
from app.decoders.chain import BEGINNING_BYTES, Chain
from app.decoders.json_records import records_wanted
from app.errors import (
    ObjectAccessDenied,
    ObjectNotFound,
    RequestError,
    SourceAccessDenied,
    SourceChanged,
    SourceNotFound,
    SourceReplaced,
    SourceUnavailable,
    Unavailable,
)
from app.failpoints import hit
from app.formats.csv import CsvDialect
from app.formats.detect import SAMPLE_BYTES, Declared, detect
from app.formats.registry import Dialect, reading_of, to_json
from app.jobs.factory import JobFactory
from app.jobs.fetching import Fetcher, Kept
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
from app.jobs.submit import Submission
from app.sources.base import OBJECTS, Sources
from app.sources.http import without_query
from app.sources.remote import Object, RemoteSource, Source
from app.sources.s3 import MAX_URI_LENGTH

MAX_OBJECTS = 10_000
AT_ONCE = 8
RETRY_SECONDS = 5
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ObjectsSubmission:
    owner: str
    source: str
    """`s3://bucket/key`, `https://host/path` or `file:///folder/name`. A key or path that ends in
    `/` selects all with that prefix; one with `*`, `?` or `[` that does not exist itself selects
    all that match.
    """
    job_type: JobType
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the job type."""
    priority: int = 0
    chunk_size: int | None = None
    max_rejects: str = ""
    """Limit of rejects for each object."""
    labels: tuple[str, ...] = ()
    declared: Declared = field(default_factory=Declared)
    origin: str = "files"
    public_id: str | None = None
    credentials: str = ""
    """Name of the credentials for a web server."""
    pinned: Object | None = None
    """The object in its version, if the caller has looked it up already."""


class _NeedsCopy(Exception):
    """The object has to be decoded before it can be read."""


class ObjectsSubmitter:
    def __init__(
        self,
        database: Database,
        sources: Sources,
        file_jobs: FileJobs,
        factory: JobFactory,
        fetcher: Fetcher,
    ) -> None:
        self._database = database
        self._sources = sources
        self._file_jobs = file_jobs
        self._factory = factory
        self._fetcher = fetcher

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
        source = self._sources.of(submission.source)
        source.check_configured()
        plan_for = await submission.job_type.plan_for(submission.owner, submission.options)
        uri = source.full(submission.source)
        single = submission.pinned
        if single is None:
            single = await as_request_error(asyncio.to_thread(source.single, uri))
        async with self._fetcher.keeping() as kept:
            if single is not None:
                planned = await self._planned(submission, plan_for, source, single, kept)
                raise_if_all_failed(planned)
                return await self._record(submission, uri, planned, announce, recorded, kept)
            objects = await self._found(source, uri)
            slots = asyncio.Semaphore(AT_ONCE)

            async def plan(object_: Object) -> list[PlannedFile[NewFile]]:
                async with slots:
                    return await self._planned(submission, plan_for, source, object_, kept)

            planned_objects = await _all(plan(object_) for object_ in objects)
            planned = list(chain.from_iterable(planned_objects))
            raise_if_all_failed(planned)
            return await self._record(
                submission, uri, planned, announce, recorded, kept, object_count=len(objects)
            )

    @staticmethod
    async def _found(source: Source, uri: str) -> list[Object]:
        """Return all objects that the URI stands for; raises ObjectNotFound."""
        objects = await as_request_error(asyncio.to_thread(source.find, uri, MAX_OBJECTS))
        if not objects:
            raise ObjectNotFound(f"No object matches {uri}.")
        if len(objects) > MAX_OBJECTS:
            raise ObjectNotFound(
                f"More than {MAX_OBJECTS} objects match {uri}; give a longer prefix."
            )
        return objects

    async def _planned(
        self,
        submission: ObjectsSubmission,
        plan_for: PlanFor,
        source: Source,
        object_: Object,
        kept: Kept,
    ) -> list[PlannedFile[NewFile]]:
        """Return the files that an object is read as, each with its job or its error: several if it
        has several sheets.
        """

        async def plan_object(file: InputFile) -> Plan:
            plan = await plan_for(file)
            return replace(plan, options=_with_source(submission, plan.options))

        in_place = self._sources.in_place(object_.uri)
        if in_place is not None:
            with suppress(_NeedsCopy):
                return [await self._inspect(submission, plan_object, in_place, object_)]
        return await self._copied(submission, plan_object, source, object_, kept)

    async def _copied(
        self,
        submission: ObjectsSubmission,
        plan_object: PlanFor,
        source: Source,
        object_: Object,
        kept: Kept,
    ) -> list[PlannedFile[NewFile]]:
        """Store the object decoded, and plan the job over each file that it becomes."""
        request = _request(submission)
        upload = Submission(
            submission.owner,
            declared=submission.declared,
            processor=submission.job_type.processor,
            options=submission.options,
            max_rejects=submission.max_rejects,
        )
        planned: list[PlannedFile[NewFile]] = []
        try:
            files = await as_request_error(
                self._fetcher.fetch(upload, source, object_, submission.credentials, kept)
            )
        except Unavailable:
            raise
        except RequestError as error:
            file = _file(submission, object_.uri, object_.size, CsvDialect(), "csv")
            planned.append(refused(request, file, error))
        else:
            for fetched in files:
                if fetched.error is not None:
                    planned.append(refused(request, fetched.file, fetched.error))
                else:
                    planned.append(await self._file_jobs.plan(request, plan_object, fetched.file))
        for item in planned:
            _name_object(item, object_)
        return planned

    async def _inspect(
        self,
        submission: ObjectsSubmission,
        plan_object: PlanFor,
        source: RemoteSource,
        object_: Object,
    ) -> PlannedFile[NewFile]:
        """Read the first bytes of the object, and determine its dialect and its job. Raises
        _NeedsCopy.
        """
        read = partial(source.read, object_.uri, 0, min(object_.size, SAMPLE_BYTES), object_.etag)
        request = _request(submission)
        file = _file_of(submission, object_, CsvDialect())
        try:
            sample = await as_request_error(asyncio.to_thread(read))
            if _is_decoded(sample, submission.declared):
                raise _NeedsCopy
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
        _name_object(planned, object_)
        return planned

    async def _record(
        self,
        submission: ObjectsSubmission,
        uri: str,
        planned: list[PlannedFile[NewFile]],
        announce: Callable[[set[UUID]], None],
        recorded: Recorded,
        kept: Kept,
        *,
        object_count: int | None = None,
    ) -> dict[str, Any]:
        """Insert the jobs in one transaction: the job with parts, if any, then its parts.
        `object_count` is given if the source stands for several objects.
        """
        new_files = [item.file for item in planned]
        ids = {file.id for file in new_files}
        others = {file_id for item in planned for file_id in item.plan.part_files} - ids
        whole = None
        if object_count is not None or len(planned) > 1:
            size = sum(item.file.size_bytes for item in planned)
            whole = _file(submission, uri, size, CsvDialect(), OBJECTS)
            new_files.insert(0, whole)

        async def record(connection: AsyncConnection) -> Family:
            files: dict[UUID, InputFile] = {file.id: file for file in new_files}
            files |= await all_files(connection, others, submission.owner)
            family = self._file_jobs.family(_request(submission), planned, files, whole=whole)
            await self._factory.make(connection, family.jobs, new_files)
            submitted = SubmittedJob(family.jobs[0].id, new_files[0].id, is_cached=False)
            await recorded(connection, submitted)
            hit("source.before_commit")
            return family

        kept.is_committing = True
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
            "objects": object_count or 1,
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
        is_cacheable=False,
        labels=submission.labels,
    )


def _name_object(planned: PlannedFile[NewFile], object_: Object) -> None:
    """Begin the detail of an error with the object."""
    error, uri = planned.error, without_query(object_.uri)
    if error is not None and uri not in error.detail:
        error.detail = f"{printable(uri)}: {error.detail}"


def _is_decoded(sample: bytes, declared: Declared) -> bool:
    """Return whether the bytes of an object that begins so are not those that are split; raises
    UnsupportedEncoding, InvalidParameter.
    """
    chain = Chain()
    chain.encoding = declared.encoding
    chain.or_likely = True
    chain.format = declared.format
    chain.records = records_wanted(declared.format, declared.records, declared.record_key)
    return not chain.keeps(sample[:BEGINNING_BYTES])


async def _all(work: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Return the results in order. The first exception ends the others before it is raised."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in work]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        raise


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
    except SourceNotFound as error:
        raise ObjectNotFound(error.detail) from None
    except SourceChanged as error:
        raise SourceReplaced(error.detail) from None
    except SourceAccessDenied as error:
        raise ObjectAccessDenied(error.detail) from None
    except SourceUnavailable as error:
        seconds = round(error.retry_after or RETRY_SECONDS)
        raise Unavailable(error.detail, headers={"Retry-After": str(seconds)}) from None
