"""Resumable uploads: bytes arrive in pieces, and become a file and a job like those of any upload.

Acknowledged bytes are durable: their number is the offset, also after a crash. The complete bytes
go through `Submitter.submit` once, by whichever comes first: the request with the last bytes, or
this service.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from app.config import Settings
from app.db import uploads
from app.db.engine import Database
from app.db.rows import NewUpload, UploadRow
from app.errors import (
    BadTusRequest,
    ChecksumMismatch,
    FileTooLarge,
    GranulaError,
    NotFound,
    OffsetMismatch,
    QuotaExceeded,
    RequestError,
    TransientError,
    UploadExpired,
    UploadLocked,
    request_errors,
)
from app.failpoints import hit
from app.formats.detect import Declared
from app.jobs.limits import OwnerLimits
from app.jobs.submit import Submission, Submitter
from app.sources.places import Growing, Partials

logger = logging.getLogger(__name__)
SYNC_BYTES = 32 << 20
RESERVED_AHEAD_BYTES = 32 << 20
"""An upload of unknown length reserves this many bytes ahead, so that not every block queries the
database.
"""
POLL_SECONDS = 10.0
ALIVE_SECONDS, QUIET_SECONDS = 10.0, 60.0
"""A process that finishes an upload reports this at the first interval; without a report for the
second one, others take it for dead.
"""
SILENT_SECONDS, HANDOVER_SECONDS, GRACE_SECONDS = 2.0, 5.0, 10.0
KEPT = (
    "filename",
    "media_type",
    "processor",
    "options",
    "chunk_size",
    "max_rejects",
    "priority",
    "on_duplicate",
    "content_length",
)
"""Members of a submission to store, besides the declared dialect."""


@dataclass(frozen=True, slots=True)
class Checksum:
    algorithm: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload in its current state."""

    id: UUID
    offset: int
    length: int | None
    sent_metadata: str
    expires_at: Any
    is_partial: bool
    parts: list[str] | None
    answer: dict[str, Any] | None
    problem: dict[str, Any] | None


class _Settled(Exception):
    """Another process has created file and job of this upload."""


@dataclass(slots=True)
class _Writer:
    """A request that is appending to an upload."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    heard_at: float = field(default_factory=time.monotonic)

    async def pieces(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the body; raises UploadLocked if another request takes over the upload."""
        stopped = asyncio.ensure_future(self.stop.wait())
        try:
            while True:
                following = asyncio.ensure_future(anext(body, None))
                await asyncio.wait({following, stopped}, return_when=asyncio.FIRST_COMPLETED)
                if not following.done():
                    following.cancel()
                    await asyncio.wait({following})
                    raise UploadLocked("Another request has resumed the upload.")
                if (data := following.result()) is None:
                    return
                self.heard_at = time.monotonic()
                yield data
        finally:
            stopped.cancel()


class Uploads:
    def __init__(
        self,
        settings: Settings,
        database: Database,
        files: Partials,
        submitter: Submitter,
        limits: OwnerLimits,
    ) -> None:
        self._settings = settings
        self._database = database
        self._files = files
        self._submitter = submitter
        self._limits = limits
        self._lifetime = settings.upload_expiry_hours * 3600
        self._finishing: dict[UUID, asyncio.Task[None]] = {}
        self._writers: dict[UUID, _Writer] = {}

    # ------------------------------------------------------------------ verbs of the protocol

    async def create(
        self,
        submission: Submission,
        *,
        length: int | None,
        sent_metadata: str,
        is_partial: bool = False,
        parts: list[UUID] | None = None,
    ) -> Upload:
        """Create an upload; it is durable when this returns. Raises the errors of a plain upload
        before its first byte.
        """
        if parts is not None:
            length = await self._length_of(parts, submission.owner)
            submission = replace(submission, reserved_bytes=length)  # its parts are counted for it
        submission = replace(submission, content_length=length)
        await self._submitter.check(submission)
        upload_id = uuid4()
        own_bytes = 0 if parts is not None else length or 0
        new = NewUpload(
            id=upload_id,
            owner=submission.owner,
            length=length,
            sent_metadata=sent_metadata,
            submission=_to_json(submission),
            is_partial=is_partial,
            parts=None if parts is None else [str(part) for part in parts],
            reserved_bytes=own_bytes,
        )

        async def insert(connection: AsyncConnection) -> None:
            await self._limits.admit(connection, submission.owner, new_bytes=own_bytes, uploads=1)
            await uploads.insert_upload(connection, new, self._lifetime)

        await asyncio.to_thread(self._files.create, upload_id)
        try:
            await self._database.transact(insert)
        except GranulaError:
            with suppress(TransientError):
                await asyncio.to_thread(self._files.delete, upload_id)
            raise
        hit("tus.created")
        row = await self._find(upload_id, submission.owner)
        if length == 0 or parts is not None:
            await self._finish(row)
        return await self.get(upload_id, submission.owner)

    async def get(self, upload_id: UUID, owner: str) -> Upload:
        """Return an upload; raises NotFound, UploadExpired. The offset counts durable bytes
        only.
        """
        row = await self._find(upload_id, owner)
        return await self._described(row)

    async def resume(self, upload_id: UUID, owner: str) -> Upload:
        """Return an upload to a client that wants to resume. A silent request, whose connection may
        be lost, is ended.
        """
        writer = self._writers.get(upload_id)
        if writer is not None and time.monotonic() - writer.heard_at > SILENT_SECONDS:
            writer.stop.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(HANDOVER_SECONDS):
                    await writer.ended.wait()
        return await self.get(upload_id, owner)

    async def append(
        self,
        upload_id: UUID,
        owner: str,
        body: AsyncIterator[bytes],
        *,
        offset: int,
        length: int | None = None,
        size: int | None = None,
        checksum: Checksum | None = None,
    ) -> Upload:
        """Append the bytes of `body`, `size` of them if known, at `offset`.

        Bytes before an interruption are kept, unless there is a `checksum`: then all or nothing.
        Raises NotFound, UploadExpired, UploadLocked, OffsetMismatch, ChecksumMismatch,
        FileTooLarge, InsufficientStorage; with the last byte also the errors of a plain upload.
        """
        row = await self._find(upload_id, owner)
        if row.parts is not None:
            raise OffsetMismatch("An upload that is concatenated from others accepts no bytes.")
        if row.is_open:
            try:
                with self._files.locked(upload_id) as file, self._writing(upload_id) as writer:
                    pieces = writer.pieces(body)
                    row = await self._append(row, file, pieces, offset, length, size, checksum)
            except FileNotFoundError:
                # it became a file in the meantime, or was removed
                row = await self._find(upload_id, owner)
        else:
            if offset != row.length:
                raise OffsetMismatch(f"The upload is complete at {row.length} bytes.")
            await _refuse_more(row, body, size)
        return await self._end(row)

    @contextmanager
    def _writing(self, upload_id: UUID) -> Iterator[_Writer]:
        writer = self._writers[upload_id] = _Writer()
        try:
            yield writer
        finally:
            self._writers.pop(upload_id, None)
            writer.ended.set()

    async def terminate(self, upload_id: UUID, owner: str) -> None:
        """Delete the upload and its bytes; a file that it became stays. Raises NotFound,
        UploadLocked.
        """
        row = await self._find(upload_id, owner, also_expired=True)
        if upload_id in self._finishing:
            raise UploadLocked(headers={"Retry-After": "1"})
        try:
            with self._files.locked(upload_id):
                await self._database.transact(lambda c: uploads.remove(c, upload_id))
        except FileNotFoundError:
            await self._database.transact(lambda c: uploads.remove(c, row.id))
        await asyncio.to_thread(self._files.delete, upload_id)

    # ------------------------------------------------------------------ appending

    async def _append(
        self,
        row: UploadRow,
        file: Growing,
        body: AsyncIterator[bytes],
        offset: int,
        length: int | None,
        size: int | None,
        checksum: Checksum | None,
    ) -> UploadRow:
        upload_id, owner = row.id, row.owner
        # under the lock: the state after the previous request
        row = await self._find(upload_id, owner)
        if not row.is_open:
            if offset == row.length:
                await _refuse_more(row, body, size)
            return row
        start = await asyncio.to_thread(_recovered, file, row.verified_offset)
        if offset != start:
            raise OffsetMismatch(
                f"The upload has {start} bytes.", headers={"Upload-Offset": str(start)}
            )
        if length is not None:
            if row.length not in (None, length) or length < start:
                raise BadTusRequest(
                    "The length of the upload is already known, or is smaller than the number of stored bytes."
                )
            self._refuse_large(length)
            row = await self._set_length(row, length)
        limit = row.length if length is None else length
        at_most = (self._settings.max_upload_bytes if limit is None else limit) - start
        if size is not None and size > at_most:
            raise _too_long(start + at_most)
        if checksum is not None and file.holds_back:
            await asyncio.to_thread(file.hold)
        elif checksum is not None:
            await self._database.transact(lambda c: uploads.begin_verified(c, upload_id, start))
        try:
            await self._take(row, file, body, at_most, checksum)
        except BaseException:
            if checksum is not None:
                await asyncio.to_thread(file.cut, start)
            await self._database.transact(
                lambda c: uploads.keep_alive(c, upload_id, self._lifetime)
            )
            raise
        hit("tus.appended")
        await self._database.transact(lambda c: uploads.keep_alive(c, upload_id, self._lifetime))
        return await self._find(upload_id, owner)

    async def _set_length(self, row: UploadRow, length: int) -> UploadRow:
        """Store the length; raises QuotaExceeded if it exceeds the owner's quota."""
        if row.length is not None:
            return row

        async def set_length(connection: AsyncConnection) -> None:
            await self._limits.admit(connection, row.owner, new_bytes=length - row.reserved_bytes)
            await uploads.set_length(connection, row.id, length)
            await uploads.reserve(connection, [row.id], length)

        await self._database.transact(set_length)
        return await self._find(row.id, row.owner)

    async def _reserve(self, row: UploadRow, reserved: int, end: int) -> int:
        """Reserve bytes for an upload of unknown length that grows to `end`; return the bytes that
        count for it now. Raises QuotaExceeded.
        """

        async def reserve(connection: AsyncConnection, size: int) -> int:
            await self._limits.admit(connection, row.owner, new_bytes=size - reserved)
            await uploads.reserve(connection, [row.id], size)
            return size

        with suppress(QuotaExceeded):
            return await self._database.transact(lambda c: reserve(c, end + RESERVED_AHEAD_BYTES))
        return await self._database.transact(lambda c: reserve(c, end))

    async def _take(
        self,
        row: UploadRow,
        file: Growing,
        body: AsyncIterator[bytes],
        at_most: int,
        checksum: Checksum | None,
    ) -> None:
        """Write the body in blocks. Received bytes are durable when this ends, however it ends;
        those with a checksum only if it matches.
        """
        upload_id, has_length = row.id, row.length is not None
        reserved, end = row.reserved_bytes, await asyncio.to_thread(file.size)
        digest = hashlib.new(checksum.algorithm, usedforsecurity=False) if checksum else None
        pending: list[bytes] = []
        waiting = received = unsynced = 0

        async def flush() -> None:
            nonlocal pending, waiting, unsynced, reserved, end
            if not has_length and end + waiting > reserved:
                reserved = await self._reserve(row, reserved, end + waiting)
            end += waiting
            block, pending, waiting = b"".join(pending), [], 0
            await asyncio.to_thread(_store, file, block, digest)
            hit("tus.piece_written")
            unsynced += len(block)
            # another process may remove expired uploads, and does not see the lock
            if file.holds_back:
                await self._database.transact(
                    lambda c: uploads.keep_alive(c, upload_id, self._lifetime)
                )
            elif unsynced >= SYNC_BYTES:
                await asyncio.to_thread(file.sync)
                unsynced = 0
                await self._submitter.check_room()

        try:
            async for data in body:
                received += len(data)
                if received > at_most:
                    raise _too_long(at_most)
                pending.append(data)
                waiting += len(data)
                if waiting >= file.block_bytes:
                    await flush()
        finally:
            if pending:
                await flush()
            if checksum is None or not file.holds_back:
                await asyncio.to_thread(file.sync)
            if not has_length:
                await self._database.transact(lambda c: uploads.reserve(c, [upload_id], end))
        if checksum is not None and digest is not None and digest.digest() != checksum.digest:
            raise ChecksumMismatch
        if checksum is not None and file.holds_back:
            await asyncio.to_thread(file.sync)

    def _refuse_large(self, length: int) -> None:
        if length > self._settings.max_upload_bytes:
            raise FileTooLarge(limit_bytes=self._settings.max_upload_bytes)

    # ------------------------------------------------------------------ finishing

    async def _end(self, row: UploadRow) -> Upload:
        """Finish the upload if it is complete; raises the error of its rejection."""
        upload = await self._described(row)
        if (
            upload.answer is None
            and upload.problem is None
            and upload.offset == upload.length
            and not row.is_partial
        ):
            await self._finish(row)
            upload = await self._described(await self._find(row.id, row.owner))
        if upload.problem is not None:
            raise as_error(upload.problem)
        return upload

    async def _finish(self, row: UploadRow) -> None:
        """Create file and job, once for any number of callers. Continues if the caller
        disconnects.
        """
        task = self._finishing.get(row.id)
        if task is None:
            task = asyncio.create_task(self._submit(row), name=f"finish upload {row.id}")
            self._finishing[row.id] = task
            task.add_done_callback(lambda _: self._finishing.pop(row.id, None))
        await asyncio.shield(task)

    async def _submit(self, row: UploadRow) -> None:
        upload_id, length = row.id, row.length
        assert length is not None, "nothing is created for an upload of unknown length"
        sources = [UUID(part) for part in row.parts] if row.parts is not None else [upload_id]

        async def recorded(connection: AsyncConnection, answer: dict[str, Any]) -> None:
            if not await uploads.accept(connection, upload_id, answer):
                raise _Settled
            await uploads.reserve(connection, sources, 0)  # from here on, the file counts
            hit("tus.settled")

        async with self._database.reading() as connection:
            reserved_bytes = await uploads.reserved(connection, sources)
        submission = _from_json(row.owner, row.submission)
        submission = replace(submission, recorded=recorded, reserved_bytes=reserved_bytes)
        try:
            async with self._kept_alive(upload_id):
                accepted = await self._submitter.submit(submission, self._bytes(sources, length))
        except _Settled:
            return
        except FileNotFoundError:
            again = await self._find(upload_id, row.owner)
            if again.is_open:
                raise
            return  # another process was faster, and has removed them
        except RequestError as error:
            if error.status >= 500 or "Retry-After" in error.headers:
                raise  # this service retries later
            problem = {"code": error.code, "detail": error.detail, "errors": error.errors}
            await self._database.transact(lambda c: uploads.refuse(c, upload_id, problem))
        else:
            if accepted.body["duplicate"]:  # no file was created, so nothing was recorded
                await self._database.transact(lambda c: uploads.accept(c, upload_id, accepted.body))
        if row.parts is not None:
            await self._database.transact(lambda c: uploads.expire(c, sources))
        for used_id in {upload_id, *sources}:
            await asyncio.to_thread(self._files.delete, used_id)

    @asynccontextmanager
    async def _kept_alive(self, upload_id: UUID) -> AsyncIterator[None]:
        """Report to other processes that this one is finishing the upload."""

        async def tell() -> None:
            while True:
                await asyncio.sleep(ALIVE_SECONDS)
                with suppress(TransientError):
                    await self._database.transact(
                        lambda c: uploads.keep_alive(c, upload_id, self._lifetime)
                    )

        task = (
            asyncio.create_task(tell(), name=f"finishing upload {upload_id}")
            if self._files.is_shared
            else None
        )
        try:
            yield
        finally:
            if task is not None:
                task.cancel()

    async def _bytes(self, ids: list[UUID], length: int) -> AsyncIterator[bytes]:
        """Yield all bytes; raises FileNotFoundError if some are missing."""
        size = 0
        for part_id in ids:
            blocks = self._files.blocks(part_id)
            while (block := await asyncio.to_thread(next, blocks, None)) is not None:
                size += len(block)
                yield block
        if size != length:
            raise FileNotFoundError(f"{size} bytes of {length} are there")

    async def _length_of(self, parts: list[UUID], owner: str) -> int:
        """Return the length of a concatenation; raises BadTusRequest if one of these is not a
        complete part.
        """
        total = 0
        for part in parts:
            try:
                upload = await self.get(part, owner)
            except (NotFound, UploadExpired):
                raise BadTusRequest("A part of the upload does not exist.") from None
            if not upload.is_partial or upload.length is None or upload.offset != upload.length:
                raise BadTusRequest("A part of the upload is not complete.")
            total += upload.length
        return total

    # ------------------------------------------------------------------ reading

    async def _find(self, upload_id: UUID, owner: str, *, also_expired: bool = False) -> UploadRow:
        async with self._database.reading() as connection:
            row = await uploads.find_upload(connection, upload_id, owner)
        if row is None:
            raise NotFound("The upload does not exist.")
        if row.is_expired and not also_expired:
            raise UploadExpired
        return row

    async def _described(self, row: UploadRow) -> Upload:
        offset = row.length or 0
        if row.is_open and row.parts is None:
            stored_offset = await asyncio.to_thread(self._offset, row.id, row.verified_offset)
            if not stored_offset and self._files.is_shared:
                # Missing pieces became a file; read the row again.
                again = await self._find(row.id, row.owner, also_expired=True)
                if not again.is_open:
                    return await self._described(again)
            offset = offset if stored_offset is None else stored_offset
        return Upload(
            row.id,
            offset,
            row.length,
            row.sent_metadata,
            row.expires_at,
            row.is_partial,
            row.parts,
            row.answer,
            row.problem,
        )

    def _offset(self, upload_id: UUID, verified_offset: int | None) -> int | None:
        """Return the number of durable bytes, without those that are arriving with a checksum."""
        # without the lock: a query must not reject the sender
        size = self._files.synced_size(upload_id)
        return size if size is None or verified_offset is None else min(size, verified_offset)

    # ------------------------------------------------------------------ in the background

    async def run(self) -> None:
        """Finish complete uploads and remove expired ones, now and periodically. The sweep removes
        bytes without a row.
        """
        while True:
            try:
                await self.run_once()
            except TransientError as error:
                logger.warning("Upload maintenance is waiting: %s", error)
            except Exception:
                logger.exception("Upload maintenance failed; retrying")
            await asyncio.sleep(POLL_SECONDS)

    async def close(self) -> None:
        """Wait briefly for uploads that are being finished; the next start finishes the others."""
        if self._finishing:
            await asyncio.wait(list(self._finishing.values()), timeout=GRACE_SECONDS)

    async def run_once(self) -> None:
        async with self._database.reading() as connection:
            # Several processes may see the upload: the one that has just touched it finishes it.
            within = self._lifetime - QUIET_SECONDS if self._files.is_shared else None
            open_uploads = await uploads.list_open(connection, expire_within=within)
            expired = await uploads.list_expired(connection)
        for row in open_uploads:
            size = (
                row.length
                if row.parts is not None
                else await asyncio.to_thread(self._files.size, row.id)
            )
            if size == row.length and row.verified_offset is None:
                with suppress(GranulaError, FileNotFoundError):
                    await self._finish(row)
        for upload_id in expired:
            with suppress(UploadLocked):
                await self._remove(upload_id)

    async def _remove(self, upload_id: UUID) -> None:
        with suppress(FileNotFoundError), self._files.locked(upload_id):
            await asyncio.to_thread(self._files.delete, upload_id)
        await self._database.transact(lambda c: uploads.remove(c, upload_id))


def _recovered(file: Growing, verified_offset: int | None) -> int:
    """Return the offset after removing bytes whose checksum was never compared."""
    size = file.size()
    if verified_offset is not None and size > verified_offset:
        file.cut(verified_offset)
        return verified_offset
    return size


def _store(file: Growing, block: bytes, digest: Any) -> None:
    if digest is not None:
        digest.update(block)
    file.append(block)


def _too_long(limit: int) -> FileTooLarge:
    return FileTooLarge(
        f"More bytes were sent than the upload's length of {limit}.", limit_bytes=limit
    )


async def _refuse_more(row: UploadRow, body: AsyncIterator[bytes], size: int | None) -> None:
    """Reject bytes for an upload that has become a file; a rejected one answers with its error."""
    if row.answer is None:
        return
    if size is None:
        size = len(await anext((data async for data in body if data), b""))
    if size:
        raise _too_long(row.length or 0)


def as_error(problem: dict[str, Any]) -> RequestError:
    """Return the stored error of a rejection."""
    return request_errors()[problem["code"]](problem["detail"], errors=problem["errors"])


def _to_json(submission: Submission) -> dict[str, Any]:
    return {name: getattr(submission, name) for name in KEPT} | {
        "declared": asdict(submission.declared),
        "labels": list(submission.labels),
    }


def _from_json(owner: str, value: dict[str, Any]) -> Submission:
    stored = {name: value[name] for name in KEPT}
    labels = tuple(value.get("labels", ()))  # uploads of earlier versions have none
    return Submission(owner, declared=Declared(**value["declared"]), labels=labels, **stored)
