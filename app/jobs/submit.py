"""Submission: turns a body into a durable file with a job. Nothing is acknowledged before both are
stored.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from uuid import UUID, uuid4

import msgspec
from msgspec import structs
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.config import Settings
from app.db import files, jobs
from app.db.engine import Database
from app.db.rows import JobRow, NewFile, NewJob
from app.decoders.base import Kind, Report
from app.decoders.base import Wanted as DecodingWanted
from app.decoders.places import Places, places_to_json
from app.decoders.registry import plain_name
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
from app.jobs.factory import JobFactory
from app.jobs.file_jobs import FileJobs, InputFile, Plan, all_files
from app.jobs.job_types import JobTypes
from app.jobs.limits import OwnerLimits
from app.sources.places import Storage, Stored
from app.sources.upload import Received, UploadSource, check_room, touch_periodically

DECODED_AT_ONCE = 2
"""Workbooks, each by a process that may take SPREADSHEET_MEMORY_MB."""
ACCEPTED_AT_ONCE = 4
"""Number of received uploads whose jobs are created at the same time. The event loop serves all
ready tasks in turn, so more of them would delay readers.
"""


class Inspector(Protocol):
    """Inspects a body while it is stored.

    Called in threads, one call at a time. May raise a RequestError to reject the body; nothing of
    it is kept then.
    """

    def feed(self, piece: bytes) -> None:
        """Take the next decompressed bytes."""

    def finish(self) -> int:
        """End the input; return the number of rows."""


@dataclass(frozen=True, slots=True)
class Submission:
    """What a request asks for. Fields of a form may follow its file and produce another submission."""

    owner: str
    filename: str = "upload"
    media_type: str = ""
    declared: Declared = field(default_factory=Declared)
    processor: str = "rows"
    options: dict[str, Any] = field(default_factory=dict)
    chunk_size: int | None = None
    priority: int = 0
    on_duplicate: str = "new"
    idempotency_key: str | None = None
    expected_sha256: bytes | None = None
    content_length: int | None = None
    declared_kind: Kind | None = None
    """Declared compression of the body; None if not declared."""
    door: str = "files"
    public_id: str | None = None
    """Id that the endpoint shows, if it is neither the job's id nor its number."""
    recorded: Callable[[AsyncConnection, dict[str, Any]], Awaitable[None]] | None = None
    """Called with the answer inside the transaction that creates file and job; an exception rolls
    both back.
    """
    reserved_bytes: int = 0
    """Bytes already counted for the resumable upload that this comes from."""
    inspector: Inspector | None = None
    """Inspects the stored bytes as they arrive, and counts their rows."""


Complete = Callable[[], Submission]
"""Returns the submission after the body has been received, with the fields of the form. Raises a
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
        self._decoding = asyncio.Semaphore(DECODED_AT_ONCE)

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
        self, submission: Submission, body: AsyncIterator[bytes], complete: Complete | None = None
    ) -> Accepted:
        """Store the body and queue its job. Raises RequestError if it is rejected; nothing is kept
        then.
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
        limit = self._settings.max_upload_bytes
        left = await self._bytes_left(submission)
        upload = UploadSource(
            self._storage,
            uuid4(),
            max_bytes=limit if left is None else min(limit, left),
            reserve_bytes=self._settings.min_free_disk_mb << 20,
            turns=self._decoding,
            declared=submission.declared_kind,
            inspect=None if submission.inspector is None else submission.inspector.feed,
        )
        async with upload, touch_periodically(self._storage, upload.file_id):
            try:
                async for data in body:
                    await upload.write(data)
                if complete is not None:
                    submission = complete()
                received = await upload.finish(self._wanted(submission))
            except (FileTooLarge, DecompressedTooLarge):
                if left is None or left >= limit:
                    raise
                raise QuotaExceeded(
                    f"You may store {left} more bytes, and this is more.", limit="stored_bytes"
                ) from None
            async with self._accepting:
                return await self._accept(submission, upload, received)

    def _wanted(self, submission: Submission) -> DecodingWanted:
        return DecodingWanted(
            submission.declared.sheet,
            self._settings.spreadsheet_memory_mb,
            self._settings.spreadsheet_seconds,
        )

    async def _accept(
        self, submission: Submission, upload: UploadSource, received: Received
    ) -> Accepted:
        """Check the received bytes, and create their file and job."""
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
        file = _new_file(upload.file_id, submission, received, dialect, content_key)
        plan = await self._plan(submission, file)
        if submission.on_duplicate != "new":
            async with self._database.reading() as connection:
                existing = await files.find_by_content(connection, submission.owner, content_key)
            if existing is not None:
                return await self._duplicate(submission, existing)
        hit("upload.before_rename")
        stored = await upload.publish()
        hit("upload.after_rename")
        file = structs.replace(file, storage_uri=stored.uri, etag=stored.etag)
        return await self._record(submission, stored, file, plan, total_rows, fingerprint)

    async def _plan(self, submission: Submission, file: NewFile) -> Plan:
        """Return the job that the submission asks for; raises RequestError if it cannot run over
        this file.
        """
        job_type = self._job_types.of_upload(submission.processor)
        plan_for = await job_type.plan_for_checked(submission.owner, submission.options)
        plan = await plan_for(file)
        return replace(
            plan,
            columns=self._file_jobs.columns(file, plan),
            chunk_size=submission.chunk_size or plan.chunk_size,
        )

    async def _record(
        self,
        submission: Submission,
        stored: Stored,
        file: NewFile,
        plan: Plan,
        total_rows: int | None,
        fingerprint: str,
    ) -> Accepted:
        """Insert file, jobs, queue tokens and idempotency key in one transaction; return the
        answer.
        """
        other_files = set(plan.part_files) - {file.id}

        async def record(connection: AsyncConnection) -> dict[str, Any]:
            by_id: dict[UUID, InputFile] = {file.id: file}
            by_id |= await all_files(connection, other_files, submission.owner)
            new_jobs = self._file_jobs.jobs_for(
                submission.owner,
                file,
                plan,
                submission.priority,
                by_id,
                door=submission.door,
                public_id=submission.public_id,
                total_rows=total_rows,
                is_cacheable=False,
            )
            numbers = await self._factory.make(
                connection, new_jobs, [file], reserved_bytes=submission.reserved_bytes
            )
            body = _answer(file, new_jobs[0], numbers[0])
            key = submission.idempotency_key
            await self._factory.remember(connection, submission.owner, key, fingerprint, 201, body)
            if submission.recorded is not None:
                await submission.recorded(connection, body)
            hit("upload.before_commit")
            return body

        try:
            body = await self._database.transact(record)
        except IntegrityError:  # a concurrent request with the same key won
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
            raise  # the commit is uncertain: keep the file, the sweep decides
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
        if row is None:  # deleted in the meantime
            raise DuplicateUpload(existing_id=str(existing))
        return Accepted(200, _answer(row, row, row.number) | {"duplicate": True})


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


def _detect(submission: Submission, received: Received) -> Dialect:
    if not received.stored_bytes:
        raise EmptyFile("The file is empty.")
    declared = submission.declared
    for report in received.reports:
        declared = replace(declared, **report.declared)
    dialect = detect(
        received.sample,
        complete=received.stored_bytes <= SAMPLE_BYTES,
        declared=declared,
        filename=plain_name(submission.filename, [report.decoder for report in received.reports]),
        media_type=submission.media_type,
    )
    return dialect.of_size(received.stored_bytes)


def _new_file(
    file_id: UUID,
    submission: Submission,
    received: Received,
    dialect: Dialect,
    content_key: str,
) -> NewFile:
    """The row of the file; where its bytes are stored is not known yet."""
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
        storage_uri="",
        decoding=[report.shown() for report in received.reports] or None,
        places=places_to_json(_places(received.reports)),
    )


def _places(reports: Sequence[Report]) -> Places | None:
    """Where the rows come from, as the last decoder says it that knows."""
    return next((report.places for report in reversed(reports) if report.places), None)


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
        "decoding": file.decoding or [],
        "columns": job.columns,
        "processor": job.processor,
        "priority": job.priority,
        "duplicate": False,
    }


def _fingerprint(submission: Submission, received: Received) -> str:
    declared = msgspec.to_builtins(submission.declared)
    # Keeps the fingerprints of requests that were stored before these options existed or could be
    # absent.
    for added in ("skip_initial_space", "sheet"):
        if declared[added] is None:
            del declared[added]
    declared["skip_footer"] = declared["skip_footer"] or 0
    del declared["cell_faults"]  # follows from the bytes
    same = [
        received.sha256,
        submission.processor,
        submission.options,
        declared,
        submission.chunk_size,
        submission.priority,
    ]
    return hashlib.sha256(msgspec.json.encode(same, order="sorted")).hexdigest()


def _content_key(submission: Submission, received: Received, dialect: Dialect) -> str:
    same = [received.sha256, reading_of(dialect), submission.processor, submission.options]
    if sheets := [report.facts["sheet"] for report in received.reports if "sheet" in report.facts]:
        same.append(sheets)
    return hashlib.sha256(msgspec.json.encode(same, order="sorted")).hexdigest()
