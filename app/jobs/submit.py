"""Submission: turns a body into a durable file with a job. Nothing is acknowledged before both are
stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from uuid import UUID, uuid4

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.config import Settings
from app.db import files, jobs
from app.db.engine import Database
from app.db.rows import NewFile
from app.decoders.base import Kind
from app.decoders.base import Wanted as DecodingWanted
from app.decoders.json_records import records_wanted
from app.errors import (
    DecompressedTooLarge,
    DigestMismatch,
    DuplicateUpload,
    FileTooLarge,
    IdempotencyInFlight,
    IdempotencyKeyReused,
    QuotaExceeded,
    TransientError,
)
from app.failpoints import hit
from app.formats.detect import Declared
from app.jobs import uploaded
from app.jobs.factory import JobFactory
from app.jobs.file_jobs import (
    FileJobs,
    InputFile,
    JobRequest,
    PlannedFile,
    all_files,
    raise_if_all_failed,
    refused,
)
from app.jobs.job_types import JobTypes
from app.jobs.limits import OwnerLimits
from app.jobs.uploaded import Reading
from app.sources.decoding import DecodingLimits
from app.sources.places import Storage, Stored
from app.sources.upload import Received, UploadSource, check_room, touch_periodically

ORIGIN = "files"
DECODED_AT_ONCE = 2
"""Workbooks, each by a process that may take SPREADSHEET_MEMORY_MB, and archives."""
ACCEPTED_AT_ONCE = 4
"""Number of received uploads whose jobs are created at the same time. The event loop serves all
ready tasks in turn, so more of them would delay readers.
"""


class Inspector(Protocol):
    """Inspects a body while it is stored.

    Called in threads, one call at a time. May raise a RequestError to reject the body, which is
    removed then.
    """

    def feed(self, piece: bytes) -> None:
        """Take the next decompressed bytes."""

    def finish(self) -> int:
        """End the input; return the number of rows."""


@dataclass(frozen=True, slots=True)
class Submission:
    """Parameters of a request. Fields of a form may follow its file and produce another
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
    labels: tuple[str, ...] = ()
    priority: int = 0
    on_duplicate: str = "new"
    idempotency_key: str | None = None
    expected_sha256: bytes | None = None
    content_length: int | None = None
    declared_kind: Kind | None = None
    """Declared compression of the body; None if not declared."""
    origin: str = ORIGIN
    public_id: str | None = None
    """Id that the endpoint uses, if it is neither the job's id nor its number."""
    recorded: Callable[[AsyncConnection, dict[str, Any]], Awaitable[None]] | None = None
    """Called with the answer inside the transaction that creates file and job; an exception rolls
    both back.
    """
    reserved_bytes: int = 0
    """Bytes already counted for the resumable upload that this comes from."""
    inspector: Inspector | None = None
    """Inspects the stored bytes as they arrive, and counts their rows."""


class Form(Protocol):
    """A form whose file is the body. Fields may follow the file."""

    def declared(self) -> Declared:
        """Return what is declared before the first byte of the file about its encoding and records."""

    def complete(self) -> Submission:
        """Return the submission with all fields, after the body has been received. Raises a
        RequestError to reject it.
        """


@dataclass(frozen=True, slots=True)
class Accepted:
    status_code: int
    body: dict[str, Any]
    replayed: bool = False
    total_rows: int | None = None
    """Number of rows, if an inspector counted them."""


class Submitter:
    def __init__(
        self,
        settings: Settings,
        database: Database,
        storage: Storage,
        limits: OwnerLimits,
        factory: JobFactory,
        job_types: JobTypes,
        file_jobs: FileJobs,
    ) -> None:
        self._settings = settings
        self._database = database
        self._storage = storage
        self._limits = limits
        self._factory = factory
        self._job_types = job_types
        self._file_jobs = file_jobs
        self._keys_in_flight: set[tuple[str, str]] = set()
        self._accepting = asyncio.Semaphore(ACCEPTED_AT_ONCE)
        self.decoding = DecodingLimits(asyncio.Semaphore(DECODED_AT_ONCE))
        """Shared by all that decode what they receive."""

    async def check_room(self, new_bytes: int = 0) -> None:
        """Raises InsufficientStorage if `new_bytes` do not fit on the disk of the uploads."""
        await asyncio.to_thread(
            check_room, self._storage, self._settings.min_free_disk_mb << 20, new_bytes
        )

    async def check(self, submission: Submission) -> None:
        """Check everything that is known before the first byte of the body, except the options,
        which are checked where they are parsed. Raises RequestError, DatabaseUnavailable.
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

    async def _bytes_left(self, submission: Submission, new_bytes: int = 0) -> int | None:
        """Return the remaining quota in bytes, None if unlimited; raises QuotaExceeded. A repeated
        request stores nothing and needs no quota.
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
        return await self._limits.bytes_left(submission.owner, new_bytes, submission.reserved_bytes)

    async def submit(
        self, submission: Submission, body: AsyncIterator[bytes], form: Form | None = None
    ) -> Accepted:
        """Store the body and queue its job. Raises RequestError if the body is rejected, and
        removes it.
        """
        key = submission.idempotency_key
        if key is None:
            return await self._submit(submission, body, form)
        in_flight = (submission.owner, key)
        if in_flight in self._keys_in_flight:
            raise IdempotencyInFlight(headers={"Retry-After": "1"})
        self._keys_in_flight.add(in_flight)
        try:
            return await self._submit(submission, body, form)
        finally:
            self._keys_in_flight.discard(in_flight)

    async def _submit(
        self, submission: Submission, body: AsyncIterator[bytes], form: Form | None
    ) -> Accepted:
        limit = self._settings.max_upload_bytes
        left = await self._bytes_left(submission)
        upload = UploadSource(
            self._storage,
            uuid4(),
            max_bytes=limit if left is None else min(limit, left),
            reserve_bytes=self._settings.min_free_disk_mb << 20,
            limits=self.decoding,
            declared=submission.declared_kind,
            inspect=None if submission.inspector is None else submission.inspector.feed,
        )
        async with upload, touch_periodically(self._storage, upload.file_ids):
            try:
                detects = submission.origin == ORIGIN and submission.inspector is None
                declare(upload, submission.declared, or_likely=detects)
                async for data in body:
                    if form is not None and not upload.received_bytes:
                        declare(upload, form.declared(), or_likely=detects)
                    await upload.write(data)
                if form is not None:
                    submission = form.complete()
                readings: list[Reading] = []
                complete = submission
                received = await upload.finish(
                    self._wanted(complete),
                    lambda part: readings.append(uploaded.reading(complete, part)),
                )
            except (FileTooLarge, DecompressedTooLarge):
                if left is None or left >= limit:
                    raise
                raise QuotaExceeded(
                    f"The file is larger than the {left} bytes that you may still store.",
                    limit="stored_bytes",
                ) from None
            async with self._accepting:
                return await self._accept(submission, upload, received, readings)

    def _wanted(self, submission: Submission) -> DecodingWanted:
        is_upload = submission.origin == ORIGIN and submission.inspector is None
        return decoding_wanted(self._settings, submission.declared, is_upload=is_upload)

    async def _accept(
        self,
        submission: Submission,
        upload: UploadSource,
        received: Received,
        readings: Sequence[Reading],
    ) -> Accepted:
        """Check the received bytes, and create their file and job."""
        if submission.expected_sha256 not in (None, bytes.fromhex(received.sha256)):
            raise DigestMismatch(f"The bytes received have the sha-256 {received.sha256}.")
        total_rows = None
        if submission.inspector is not None:
            total_rows = await asyncio.to_thread(submission.inspector.finish)
        accepted = await self._make(submission, upload, received, readings, total_rows)
        return replace(accepted, total_rows=total_rows)

    async def _make(
        self,
        submission: Submission,
        upload: UploadSource,
        received: Received,
        readings: Sequence[Reading],
        total_rows: int | None,
    ) -> Accepted:
        fingerprint = uploaded.fingerprint(submission, received)
        if (replay := await self._replay(submission, fingerprint)) is not None:
            return replay
        uploaded.check_readings(readings)
        content_key = uploaded.content_key(submission, received, readings)
        if submission.on_duplicate != "new":
            async with self._database.reading() as connection:
                existing = await files.find_by_content(connection, submission.owner, content_key)
            if existing is not None:
                return await self._duplicate(submission, existing)
        hit("upload.before_rename")
        stored = await upload.publish()
        hit("upload.after_rename")
        request = self._request(submission)
        try:
            new_files = uploaded.new_files(submission, received, readings, stored, content_key)
            planned = await self._plan(submission, request, readings, new_files)
        except BaseException:
            await self._delete(stored)
            raise
        whole = None
        if len(new_files) > 1:
            whole = uploaded.whole_file(submission, received, content_key)
            new_files.insert(0, whole)
        return await self._record(
            submission, request, stored, new_files, planned, whole, total_rows, fingerprint
        )

    def _request(self, submission: Submission) -> JobRequest:
        return JobRequest(
            submission.owner,
            self._job_types.of_upload(submission.processor).processor,
            submission.options,
            submission.priority,
            submission.origin,
            submission.public_id,
            submission.chunk_size,
            submission.max_rejects,
            is_cacheable=False,
            labels=submission.labels,
        )

    async def _plan(
        self,
        submission: Submission,
        request: JobRequest,
        readings: Sequence[Reading],
        new_files: Sequence[NewFile],
    ) -> list[PlannedFile[NewFile]]:
        """Return the files of the upload with the job over each, as the submission asks for it.
        Raises the RequestError of the only file, or of the first if no file can be used.
        """
        job_type = self._job_types.of_upload(submission.processor)
        plan_for = await job_type.plan_for_checked(submission.owner, submission.options)
        planned: list[PlannedFile[NewFile]] = []
        for reading, file in zip(readings, new_files, strict=True):
            if reading.error is not None:
                planned.append(refused(request, file, reading.error))
            else:
                planned.append(await self._file_jobs.plan(request, plan_for, file))
        raise_if_all_failed(planned)
        return planned

    async def _record(
        self,
        submission: Submission,
        request: JobRequest,
        stored: Sequence[Stored | None],
        new_files: Sequence[NewFile],
        planned: Sequence[PlannedFile[NewFile]],
        whole: NewFile | None,
        total_rows: int | None,
        fingerprint: str,
    ) -> Accepted:
        """Insert files, jobs, queue tokens and idempotency key in one transaction; return the
        answer.
        """
        read = {file_id for part in planned for file_id in part.plan.part_files}
        other_ids = read - {file.id for file in new_files}

        async def record(connection: AsyncConnection) -> dict[str, Any]:
            to_read: dict[UUID, InputFile] = {file.id: file for file in new_files}
            to_read |= await all_files(connection, other_ids, submission.owner)
            family = self._file_jobs.family(
                request, planned, to_read, whole=whole, total_rows=total_rows
            )
            numbers = await self._factory.make(
                connection, family.jobs, new_files, reserved_bytes=submission.reserved_bytes
            )
            body = uploaded.answer(new_files[0], family.jobs[0], numbers[0])
            if family.parts:
                body["parts"] = [str(job.id) for job in family.parts]
                if errors := uploaded.errors(planned, family.parts):
                    body["errors"] = errors
            key = submission.idempotency_key
            await self._factory.remember(connection, submission.owner, key, fingerprint, 201, body)
            if submission.recorded is not None:
                await submission.recorded(connection, body)
            hit("upload.before_commit")
            return body

        try:
            body = await self._database.transact(record)
        except IntegrityError:  # a concurrent request with the same key won
            await self._delete(stored)
            if (replay := await self._replay(submission, fingerprint)) is not None:
                return replay
            async with self._database.reading() as connection:
                existing = await files.find_by_content(
                    connection, submission.owner, new_files[0].content_key
                )
            if existing is None:
                raise
            return await self._duplicate(submission, existing)
        except TransientError:
            raise  # the commit is uncertain: keep the files, the sweep decides
        except Exception:
            await self._delete(stored)
            raise
        hit("upload.after_commit")
        return Accepted(201, body)

    async def _delete(self, stored: Sequence[Stored | None]) -> None:
        for file in filter(None, stored):
            await asyncio.to_thread(self._storage.delete, file.uri)

    async def _replay(self, submission: Submission, fingerprint: str) -> Accepted | None:
        return await answered_before(
            self._database, submission.owner, submission.idempotency_key, fingerprint
        )

    async def _duplicate(self, submission: Submission, existing: UUID) -> Accepted:
        if submission.on_duplicate == "reject":
            raise DuplicateUpload(existing_id=str(existing))
        async with self._database.reading() as connection:
            row = await jobs.find_by_file(connection, existing, submission.owner)
        if row is None:  # deleted in the meantime
            raise DuplicateUpload(existing_id=str(existing))
        return Accepted(200, uploaded.answer(row, row, row.number) | {"duplicate": True})


async def answered_before(
    database: Database, owner: str, key: str | None, fingerprint: str
) -> Accepted | None:
    """Return the answer to the same earlier request with this Idempotency-Key; raises
    IdempotencyKeyReused if it was a different request.
    """
    if key is None:
        return None
    async with database.reading() as connection:
        answer = await files.find_idempotent(connection, owner, key)
    if answer is None:
        return None
    if answer.fingerprint != fingerprint:
        raise IdempotencyKeyReused
    return Accepted(answer.status_code, answer.body, replayed=True)


def declare(upload: UploadSource, declared: Declared, *, or_likely: bool) -> None:
    """Tell the decoders what is known before the first byte; raises InvalidParameter."""
    records = records_wanted(declared.format, declared.records, declared.record_key)
    upload.declare(declared.encoding, or_likely=or_likely, records=records, form=declared.format)


def decoding_wanted(
    settings: Settings, declared: Declared, *, is_upload: bool = True
) -> DecodingWanted:
    """Return what is wanted of the decoders once all bytes have come. An upload may become several
    files, and its text may be in an encoding that is not declared.
    """
    return DecodingWanted(
        declared.sheet,
        takes_parts=is_upload,
        memory_mb=settings.spreadsheet_memory_mb,
        seconds=settings.spreadsheet_seconds,
        members=declared.members,
        format=declared.format,
        encoding=declared.encoding,
        or_likely=is_upload,
        records=declared.records,
        record_key=declared.record_key,
        json_records=records_wanted(declared.format, declared.records, declared.record_key),
    )
