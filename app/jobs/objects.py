"""Objects of a remote source become jobs: one for one object, a job with parts for a prefix or a
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
from app.processors.options import as_json
from app.processors.registry import Processors
from app.sources.base import Sources
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
    processor: str = "scoring"
    options: dict[str, Any] = field(default_factory=dict)
    """Of the processor."""
    priority: int = 0
    chunk_size: int | None = None
    declared: Declared = field(default_factory=Declared)
    door: str = "files"
    public_id: str | None = None


@dataclass(frozen=True, slots=True)
class _Looked:
    """An object whose beginning was read, or why it cannot be read as rows."""

    object: Object
    dialect: Dialect
    columns: list[str]
    error: RequestError | None = None


class ObjectsSubmitter:
    def __init__(
        self,
        database: Database,
        sources: Sources,
        processors: Processors,
        factory: JobFactory,
    ) -> None:
        self._database = database
        self._sources = sources
        self._processors = processors
        self._factory = factory

    async def submit(
        self,
        submission: ObjectsSubmission,
        announce: Callable[[set[UUID]], None] = lambda ids: None,
    ) -> dict[str, Any]:
        """Make the job; its ids, and those of its parts. `announce` hears of them before anything
        runs.

        Raises RequestError if there is nothing that it could read. An object that cannot be read as
        rows fails the request if it is the only one, else its part alone.
        """
        source = self._sources.remote(submission.source)
        source.check_configured()
        options = as_json(self._processors.options(submission.processor, submission.options))
        submission = replace(submission, options=options)
        uri = source.full(submission.source)
        single = await _told(asyncio.to_thread(source.single, uri))
        if single is not None:
            looked = await self._look(submission, source, single)
            if looked.error is not None:
                raise looked.error
            return await self._record(submission, uri, [looked], announce, with_parent=False)
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
                return await self._look(submission, source, each)

        all_looked = await asyncio.gather(*(look(each) for each in objects))
        errors = [looked.error for looked in all_looked if looked.error is not None]
        if len(errors) == len(all_looked):
            raise errors[0]
        return await self._record(submission, uri, all_looked, announce, with_parent=True)

    async def _look(
        self, submission: ObjectsSubmission, source: RemoteSource, found: Object
    ) -> _Looked:
        """Read the beginning and find out how the object is to be read."""
        read = partial(source.read, found.uri, 0, min(found.size, SAMPLE_BYTES), found.etag)
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
            columns = self._processors.columns(
                submission.processor, dialect.columns, submission.options
            )
        except Unavailable:
            raise
        except RequestError as error:
            if found.uri not in error.detail:
                error.detail = f"{printable(found.uri)}: {error.detail}"
            return _Looked(found, CsvDialect(), [], error)
        return _Looked(found, dialect.of_size(found.size), columns)

    async def _record(
        self,
        submission: ObjectsSubmission,
        uri: str,
        looked: list[_Looked],
        announce: Callable[[set[UUID]], None],
        *,
        with_parent: bool,
    ) -> dict[str, Any]:
        """All in one transaction: the parts, and first the job that they are parts of."""
        new_files: list[NewFile] = []
        new_jobs: list[NewJob] = []
        parent_id = None
        if with_parent:
            file, job = self._parent(submission, uri, looked)
            new_files.append(file)
            new_jobs.append(job)
            parent_id = job.id
        for each in looked:
            file, job = self._job(submission, each, parent_id)
            new_files.append(file)
            new_jobs.append(job)
        await self._database.transact(lambda c: self._factory.make(c, new_jobs, new_files))
        announce({job.id for job in new_jobs})
        return {
            "job_id": str(new_jobs[0].id),
            "file_id": str(new_files[0].id),
            **({"public_id": submission.public_id} if submission.public_id else {}),
            "status": str(new_jobs[0].status),
            "source": submission.source,
            "processor": submission.processor,
            "priority": submission.priority,
            "objects": len(looked),
            "size_bytes": new_files[0].size_bytes,
            "parts": [str(job.id) for job in new_jobs[1:]],
        }

    def _job(
        self, submission: ObjectsSubmission, looked: _Looked, parent_id: UUID | None
    ) -> tuple[NewFile, NewJob]:
        uri = looked.object.uri
        file = _file(
            submission,
            uri,
            looked.object.size,
            looked.dialect,
            looked.dialect.format_name,
            storage_uri=printable(uri)[:MAX_URI_LENGTH],  # as it is, if it can be read
            etag=looked.object.etag or None,
        )
        wanted = _wanted(submission, None if parent_id else submission.public_id, parent_id)
        if looked.error is not None:
            return file, self._factory.failed(wanted, file, looked.error)
        return file, self._factory.reading(wanted, file, looked.columns)

    def _parent(
        self, submission: ObjectsSubmission, uri: str, looked: list[_Looked]
    ) -> tuple[NewFile, NewJob]:
        """A job without bytes of its own: its file stands for all of them."""
        size = sum(each.object.size for each in looked)
        file = _file(submission, uri, size, CsvDialect(), "objects")
        columns = next(each.columns for each in looked if each.error is None)
        wanted = _wanted(submission, submission.public_id, None)
        return file, self._factory.of_parts(wanted, file, columns, part_count=len(looked))


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
    key = msgspec.json.encode([uri, reading_of(dialect), submission.processor], order="sorted")
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


def _wanted(submission: ObjectsSubmission, public_id: str | None, parent_id: UUID | None) -> Wanted:
    return Wanted(
        submission.owner,
        submission.processor,
        {**submission.options, "source": submission.source},
        submission.priority,
        submission.door,
        public_id,
        submission.chunk_size,
        parent_id,
    )


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
