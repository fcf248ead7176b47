"""submit: a body becomes a durable file with a job. Nothing is acknowledged before both are
safe.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from uuid import UUID, uuid4

import msgspec
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.config import Settings
from app.db import files, jobs
from app.db.engine import Database
from app.db.rows import JobRow, NewFile, NewJob
from app.decoders.base import Kind
from app.errors import (
    DecompressedTooLarge,
    DigestMismatch,
    DuplicateUpload,
    EmptyFile,
    FileTooLarge,
    IdempotencyInFlight,
    IdempotencyKeyReused,
    QuotaExceeded,
    TransientError,
)
from app.failpoints import hit
from app.formats.detect import SAMPLE_BYTES, Declared, detect
from app.formats.registry import Dialect, reading_of, to_json
from app.jobs.factory import JobFactory, Wanted
from app.jobs.file_jobs import Plan
from app.jobs.job_types import JobType, JobTypes
from app.jobs.limits import OwnerLimits
from app.processors.registry import Processors
from app.sources.places import Storage, Stored
from app.sources.upload import Received, UploadSource, check_room, kept_young

ACCEPTED_AT_ONCE = 4
"""Uploads whose bytes have come and whose job is being made. The loop takes equal turns with all
that is ready, so a crowd of uploads would keep readers waiting.
"""


class Inspector(Protocol):
    """Looks at a body while it is stored. It is called in threads, one call at a time, and may
    raise a RequestError to refuse the body; then nothing of it is kept.
    """

    def feed(self, piece: bytes) -> None:
        """The next bytes, decompressed."""

    def finish(self) -> int:
        """No more will come; how many rows there were."""


@dataclass(frozen=True, slots=True)
class Submission:
    """What a request asks for. A form may ask for more behind its file: what it says makes another
    submission.
    """

    owner: str
    filename: str = "upload"
    media_type: str = ""
    declared: Declared = field(default_factory=Declared)
    processor: str = "rows"
    options: dict[str, Any] = field(default_factory=dict)
    chunk_size: int | None = None
    max_rejects: str = ""
    priority: int = 0
    on_duplicate: str = "new"
    idempotency_key: str | None = None
    expected_sha256: bytes | None = None
    content_length: int | None = None
    declared_kind: Kind | None = None
    """How the bytes of the body come, if that was said."""
    door: str = "files"
    public_id: str | None = None
    """The name that the door gives the job, where that is neither its id nor its number."""
    recorded: Callable[[AsyncConnection, dict[str, Any]], Awaitable[None]] | None = None
    """Called with the answer inside the transaction that makes file and job; what it raises undoes
    both.
    """
    reserved_bytes: int = 0
    """What the owner's resumable upload that this is made of counts for already."""
    inspector: Inspector | None = None
    """Sees the stored bytes as they come, and counts their rows."""


Complete = Callable[[], Submission]
"""The submission as it is once the body has come: the one that was given, and what a form said
besides its file. Raises a RequestError to refuse it.
"""


@dataclass(frozen=True, slots=True)
class Accepted:
    status_code: int
    body: dict[str, Any]
    replayed: bool = False
    total_rows: int | None = None
    """Of what was sent, if an inspector counted them."""


class Submitter:
    def __init__(
        self,
        settings: Settings,
        database: Database,
        storage: Storage,
        processors: Processors,
        limits: OwnerLimits,
        factory: JobFactory,
        job_types: JobTypes,
    ) -> None:
        self._settings = settings
        self._database = database
        self._storage = storage
        self._processors = processors
        self._limits = limits
        self._factory = factory
        self._job_types = job_types
        self._keys_in_flight: set[tuple[str, str]] = set()
        self._accepting = asyncio.Semaphore(ACCEPTED_AT_ONCE)

    async def check_room(self, wanted: int = 0) -> None:
        """Raises InsufficientStorage if so many more bytes do not fit on the disk of the
        uploads.
        """
        await asyncio.to_thread(
            check_room, self._storage, self._settings.min_free_disk_mb << 20, wanted
        )

    async def check(self, submission: Submission) -> None:
        """What can be refused before the first byte of the body, besides the options, which are
        checked where they are read; raises RequestError, DatabaseUnavailable.
        """
        settings = self._settings
        length = submission.content_length or 0
        if length > settings.max_upload_bytes:
            raise FileTooLarge(
                f"The upload has {length} bytes; at most {settings.max_upload_bytes} are accepted.",
                limit_bytes=settings.max_upload_bytes,
            )
        await self.check_room(length)
        await self._database.ping()
        await self._bytes_left(submission, length)

    async def _bytes_left(self, submission: Submission, wanted: int = 0) -> int | None:
        """That the owner may still store, None for any number; raises QuotaExceeded. A request that
        is sent again stores nothing again.
        """
        if submission.idempotency_key is not None:
            async with self._database.reading() as connection:
                if (
                    await files.find_idempotent(
                        connection, submission.owner, submission.idempotency_key
                    )
                    is not None
                ):
                    return None
        return await self._limits.bytes_left(submission.owner, wanted, submission.reserved_bytes)

    async def submit(
        self, submission: Submission, body: AsyncIterator[bytes], complete: Complete | None = None
    ) -> Accepted:
        """Store the body and queue its job; raises RequestError if it is refused, and then nothing
        is kept.
        """
        key = submission.idempotency_key
        if key is None:
            return await self._submit(submission, body, complete)
        in_flight = (submission.owner, key)
        if in_flight in self._keys_in_flight:
            raise IdempotencyInFlight(headers={"Retry-After": "1"})
        self._keys_in_flight.add(in_flight)
        try:
            return await self._submit(submission, body, complete)
        finally:
            self._keys_in_flight.discard(in_flight)

    async def _submit(
        self, submission: Submission, body: AsyncIterator[bytes], complete: Complete | None
    ) -> Accepted:
        most = self._settings.max_upload_bytes
        left = await self._bytes_left(submission)
        upload = UploadSource(
            self._storage,
            uuid4(),
            max_bytes=most if left is None else min(most, left),
            reserve_bytes=self._settings.min_free_disk_mb << 20,
            declared=submission.declared_kind,
            inspect=None if submission.inspector is None else submission.inspector.feed,
        )
        async with upload, kept_young(self._storage, upload.file_id):
            try:
                async for data in body:
                    await upload.write(data)
                if complete is not None:
                    submission = complete()
                received = await upload.finish()
            except (FileTooLarge, DecompressedTooLarge):
                if left is None or left >= most:
                    raise
                raise QuotaExceeded(
                    f"You may store {left} more bytes, and this is more.", limit="stored_bytes"
                ) from None
            async with self._accepting:
                return await self._accept(submission, upload, received)

    async def _accept(
        self, submission: Submission, upload: UploadSource, received: Received
    ) -> Accepted:
        """Check what was received, and make file and job of it."""
        if submission.expected_sha256 not in (None, bytes.fromhex(received.sha256)):
            raise DigestMismatch(f"The bytes received have the sha-256 {received.sha256}.")
        total_rows = None
        if submission.inspector is not None:
            total_rows = await asyncio.to_thread(submission.inspector.finish)
        accepted = await self._make(submission, upload, received, total_rows)
        return replace(accepted, total_rows=total_rows)

    async def _make(
        self,
        submission: Submission,
        upload: UploadSource,
        received: Received,
        total_rows: int | None,
    ) -> Accepted:
        fingerprint = _fingerprint(submission, received)
        if (replay := await self._replay(submission, fingerprint)) is not None:
            return replay
        dialect = await asyncio.to_thread(_detect, submission, received)
        content_key = _content_key(submission, received, dialect)
        if submission.on_duplicate != "new":
            async with self._database.reading() as connection:
                existing = await files.find_by_content(connection, submission.owner, content_key)
            if existing is not None:
                return await self._duplicate(submission, existing)
        job_type = self._job_types.planning(submission.processor)
        plan = Plan(submission.processor, submission.options)
        if job_type is None:
            columns = self._processors.columns(plan.processor, dialect.columns, plan.options)
            plan = replace(plan, columns=columns)
        hit("upload.before_rename")
        stored = await upload.publish()
        hit("upload.after_rename")
        file = _new_file(upload.file_id, submission, received, dialect, stored, content_key)
        if job_type is not None:
            plan = await self._planned(job_type, submission, file, stored)
        wanted = Wanted(
            submission.owner,
            plan.processor,
            plan.options,
            submission.priority,
            submission.door,
            submission.public_id,
            submission.chunk_size or plan.chunk_size,
            max_rejects=submission.max_rejects,
        )
        job = self._factory.reading(wanted, file, plan.columns or (), total_rows)
        return await self._record(submission, stored, file, job, fingerprint)

    async def _planned(
        self, job_type: JobType, submission: Submission, file: NewFile, stored: Stored
    ) -> Plan:
        """What the job will do with the file; raises RequestError, DatabaseUnavailable, and then
        nothing is kept.
        """
        try:
            plan_for = await job_type.prepare(submission.owner, submission.options)
            return await plan_for(file)
        except BaseException:
            await asyncio.to_thread(self._storage.delete, stored.uri)
            raise

    async def _record(
        self, submission: Submission, stored: Stored, file: NewFile, job: NewJob, fingerprint: str
    ) -> Accepted:
        """File, job, its place in the queue and the idempotency key in one transaction; then the
        answer.
        """

        async def record(connection: AsyncConnection) -> dict[str, Any]:
            (number,) = await self._factory.make(
                connection, [job], [file], reserved_bytes=submission.reserved_bytes
            )
            body = _answer(file, job, number)
            key = submission.idempotency_key
            await self._factory.remember(connection, submission.owner, key, fingerprint, 201, body)
            if submission.recorded is not None:
                await submission.recorded(connection, body)
            hit("upload.before_commit")
            return body

        try:
            body = await self._database.transact(record)
        except IntegrityError:  # a twin was faster
            await asyncio.to_thread(self._storage.delete, stored.uri)
            if (replay := await self._replay(submission, fingerprint)) is not None:
                return replay
            async with self._database.reading() as connection:
                existing = await files.find_by_content(
                    connection, submission.owner, file.content_key
                )
            if existing is None:
                raise
            return await self._duplicate(submission, existing)
        except TransientError:
            raise  # whether it was committed is unknown: the file stays, and the sweep decides
        except Exception:
            await asyncio.to_thread(self._storage.delete, stored.uri)
            raise
        hit("upload.after_commit")
        return Accepted(201, body)

    async def _replay(self, submission: Submission, fingerprint: str) -> Accepted | None:
        return await answered_before(
            self._database, submission.owner, submission.idempotency_key, fingerprint
        )

    async def _duplicate(self, submission: Submission, existing: UUID) -> Accepted:
        if submission.on_duplicate == "reject":
            raise DuplicateUpload(existing_id=str(existing))
        async with self._database.reading() as connection:
            row = await jobs.find_by_file(connection, existing, submission.owner)
        if row is None:  # deleted this very moment
            raise DuplicateUpload(existing_id=str(existing))
        return Accepted(200, _answer(row, row, row.number) | {"duplicate": True})


async def answered_before(
    database: Database, owner: str, key: str | None, fingerprint: str
) -> Accepted | None:
    """What the same request was answered under this Idempotency-Key; raises IdempotencyKeyReused
    for another one.
    """
    if key is None:
        return None
    async with database.reading() as connection:
        found = await files.find_idempotent(connection, owner, key)
    if found is None:
        return None
    if found.fingerprint != fingerprint:
        raise IdempotencyKeyReused
    return Accepted(found.status_code, found.body, replayed=True)


def _detect(submission: Submission, received: Received) -> Dialect:
    if not received.stored_bytes:
        raise EmptyFile("The file is empty.")
    dialect = detect(
        received.sample,
        complete=received.stored_bytes <= SAMPLE_BYTES,
        declared=submission.declared,
        filename=submission.filename,
        media_type=submission.media_type,
    )
    return dialect.of_size(received.stored_bytes)


def _new_file(
    file_id: UUID,
    submission: Submission,
    received: Received,
    dialect: Dialect,
    stored: Stored,
    content_key: str,
) -> NewFile:
    return NewFile(
        id=file_id,
        owner=submission.owner,
        filename=submission.filename,
        media_type=submission.media_type,
        format=dialect.format_name,
        encoding=dialect.encoding,
        dialect=to_json(dialect),
        size_bytes=received.size_bytes,
        stored_bytes=received.stored_bytes,
        sha256=received.sha256,
        crc32=received.crc32,
        content_key=content_key,
        dedup_key=None if submission.on_duplicate == "new" else content_key,
        storage_uri=stored.uri,
        etag=stored.etag,
    )


def _answer(file: NewFile | JobRow, job: NewJob | JobRow, number: int) -> dict[str, Any]:
    return {
        "file_id": str(job.file_id),
        "job_id": str(job.id),
        "number": number,
        **({"public_id": job.public_id} if job.public_id else {}),
        "status": str(job.status),
        "filename": file.filename,
        "sha256": file.sha256,
        "size_bytes": file.size_bytes,
        "format": file.format,
        "dialect": file.dialect,
        "columns": job.columns,
        "processor": job.processor,
        "priority": job.priority,
        "duplicate": False,
    }


def _fingerprint(submission: Submission, received: Received) -> str:
    declared = msgspec.to_builtins(submission.declared)
    if (
        declared["skip_initial_space"] is None
    ):  # so that a request is known again that came before there was such a thing
        del declared["skip_initial_space"]
    same = [
        received.sha256,
        submission.processor,
        submission.options,
        declared,
        submission.chunk_size,
        submission.priority,
        *([submission.max_rejects] if submission.max_rejects else []),
    ]
    return hashlib.sha256(msgspec.json.encode(same, order="sorted")).hexdigest()


def _content_key(submission: Submission, received: Received, dialect: Dialect) -> str:
    same = [received.sha256, reading_of(dialect), submission.processor, submission.options]
    if submission.max_rejects:
        same.append(submission.max_rejects)
    return hashlib.sha256(msgspec.json.encode(same, order="sorted")).hexdigest()
