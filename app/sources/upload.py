"""UploadSource: writes the bytes of a request body into the storage, hashing and decoding them on
the way.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any
from uuid import UUID, uuid4

from app.decoders.base import Kind, Report, Skipped, Wanted
from app.decoders.chain import Chain
from app.decoders.json_records import RecordsWanted
from app.errors import (
    DecompressedTooLarge,
    FileTooLarge,
    InsufficientStorage,
    RequestError,
    TransientError,
)
from app.failpoints import hit
from app.formats.detect import SAMPLE_BYTES
from app.sources.decoding import DecodingLimits
from app.sources.places import Storage, Stored, Stream, Writer

logger = logging.getLogger(__name__)
BLOCK_BYTES = 1 << 20
SMALL_BYTES = 64 << 10
DISK_CHECK_BYTES = 64 << 20
TOUCH_SECONDS = 10.0
ANYHOW = Wanted()


@dataclass(frozen=True, slots=True)
class Part:
    """A file made from a body, durable but without a name yet."""

    file_id: UUID
    stored_bytes: int
    """Size as written, after decoding."""
    crc32: int
    """CRC-32 of the bytes as written."""
    sample: bytes
    """The beginning of the stored bytes; all of them if they are few."""
    reports: tuple[Report, ...] = ()
    """Reports of the decoders, in the order in which they ran."""

    @property
    def error(self) -> RequestError | None:
        """Why a decoder could not make the file, although it could make others. Nothing of it is
        stored then.
        """
        return next((report.error for report in self.reports if report.error is not None), None)


@dataclass(frozen=True, slots=True)
class Received:
    """A received body."""

    size_bytes: int
    """Size as sent."""
    sha256: str
    """Hash of the bytes as sent."""
    parts: tuple[Part, ...]
    """The files made from it; usually one. Their samples have been dropped."""
    skipped: tuple[Skipped, ...] = ()
    """Members of archives that were not read."""


Look = Callable[[Part], None]


def do_nothing(part: Part) -> None:
    """Look at no part."""


class _Output:
    """A file that is being written."""

    def __init__(self, file_id: UUID, writer: Writer, stream: Stream) -> None:
        self.file_id = file_id
        self.writer = writer
        self._stream = stream
        self.size = 0
        self.crc32 = 0
        self.sample = bytearray()
        self.is_kept = False
        self._is_ended = False

    @classmethod
    async def open(cls, storage: Storage, file_id: UUID) -> _Output:
        writer = await asyncio.to_thread(storage.writer, file_id)
        try:
            return cls(file_id, writer, await writer.stream())
        except BaseException:
            await asyncio.to_thread(writer.discard)
            raise

    async def write(self, piece: bytes) -> None:
        await self._stream.write(piece)
        self.crc32 = await _computed(piece, zlib.crc32, piece, self.crc32)
        self.size += len(piece)
        if len(self.sample) < SAMPLE_BYTES:
            self.sample += piece[: SAMPLE_BYTES - len(self.sample)]

    async def end(self) -> None:
        """Make the file durable; it takes no more bytes."""
        if not self._is_ended:
            self._is_ended = True
            await self._stream.close()
            await asyncio.to_thread(self.writer.finish)

    async def discard(self) -> None:
        """Remove the file, which has been ended."""
        self.size = self.crc32 = 0
        self.sample.clear()
        self.is_kept = True  # there is nothing left to remove
        await asyncio.to_thread(self.writer.discard)

    async def publish(self) -> Stored:
        self.is_kept = True
        try:
            return await asyncio.to_thread(self.writer.publish)
        except Exception:
            self.is_kept = False  # it has no name
            raise

    async def close(self) -> None:
        """Close the file, and remove it unless it is published."""
        if not self._is_ended:
            try:
                await self._stream.close()
            except TransientError as failure:
                logger.warning("%s", failure)  # kept files are durable already
        if not self.is_kept:
            try:
                await asyncio.to_thread(self.writer.discard)
            except TransientError as failure:
                logger.warning("Could not delete a file; the sweep will: %s", failure)


class UploadSource:
    """Use it as `async with`: leaving it without `publish` removes what was written."""

    def __init__(
        self,
        storage: Storage,
        file_id: UUID,
        *,
        max_bytes: int,
        reserve_bytes: int,
        limits: DecodingLimits,
        declared: Kind | None = None,
        inspect: Callable[[bytes], None] | None = None,
    ) -> None:
        """`file_id` is that of the first file. `limits` are those of decoding.
        `declared` is the declared compression; otherwise the first bytes decide. `inspect` is
        called in a thread with each written piece, in order; an exception ends the upload.
        """
        self._storage = storage
        self.file_id = file_id
        self.file_ids = [file_id]
        """Ids of all files so far."""
        self._max_bytes = max_bytes
        self._reserve_bytes = reserve_bytes
        self._turns = limits.turns
        self._memory = limits.memory.share()
        self._decoders = Chain(declared)
        self._inspect = inspect
        self._sha256 = hashlib.sha256()
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._outputs: list[_Output] = []
        self._parts: list[Part] = []
        self.received_bytes = 0
        self._stored_bytes = 0
        self._checked_at = 0

    async def __aenter__(self) -> UploadSource:
        self._outputs.append(await _Output.open(self._storage, self.file_id))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._decoders.close()
        self._memory.close()
        for output in self._outputs:
            await output.close()

    def declare(
        self,
        encoding: str | None,
        *,
        or_likely: bool = False,
        records: RecordsWanted | None = None,
        form: str | None = None,
    ) -> None:
        """Set the encoding of the text, before the first byte. With `or_likely` and no encoding,
        text that is not UTF-8 is decoded from its likely encoding. `records` are those to find
        inside a JSON document; `form` is the declared format.
        """
        self._decoders.format = form
        self._decoders.records = records
        self._decoders.encoding = encoding
        self._decoders.or_likely = or_likely

    async def write(self, data: bytes) -> None:
        """Write received bytes; raises FileTooLarge, DecompressedTooLarge, InsufficientStorage,
        DiskFull, StorageUnavailable, and errors of the decoder.
        """
        if not self.received_bytes:
            hit("upload.first_byte")
        self.received_bytes += len(data)
        if self.received_bytes > self._max_bytes:
            raise FileTooLarge(
                f"The upload is larger than {self._max_bytes} bytes.", limit_bytes=self._max_bytes
            )
        self._pending.append(data)
        self._pending_bytes += len(data)
        if self._pending_bytes >= BLOCK_BYTES:
            await self._flush()

    async def finish(self, wanted: Wanted = ANYHOW, look: Look = do_nothing) -> Received:
        """Make everything durable, still under the names of the parts. `look` gets each part with
        its sample, in order, in a thread.
        """
        await self._flush()
        await self._store_all(self._decoders.finish(wanted), look)
        if not self._decoders.is_finished:
            async with self._turns:
                await self._store_all(self._decoders.finish(wanted, also_heavy=True), look)
        hit("upload.before_fsync")
        await self._complete_parts(look)
        return Received(
            self.received_bytes,
            self._sha256.hexdigest(),
            tuple(self._parts),
            tuple(self._decoders.skipped),
        )

    async def _complete_parts(self, look: Look) -> None:
        """Complete the files whose last piece has been written. Only their sizes are kept, since
        there may be many.
        """
        while len(self._parts) < self._decoders.file_count:
            output = self._outputs[len(self._parts)]
            await output.end()
            reports = tuple(self._decoders.reports(len(self._parts)))
            if any(report.error is not None for report in reports):
                await output.discard()
            sample = bytes(output.sample)
            part = Part(output.file_id, output.size, output.crc32, sample, reports)
            await asyncio.to_thread(look, part)
            self._parts.append(replace(part, sample=b""))
            output.sample.clear()

    async def publish(self) -> list[Stored | None]:
        """Give each file its name; None for those with an error. From here on only the sweep, which
        asks the database first, may remove them.
        """
        return [
            await output.publish() if part.error is None else None
            for output, part in zip(self._outputs, self._parts, strict=False)
        ]

    async def _flush(self) -> None:
        if not self._pending:
            return
        block = b"".join(self._pending)
        self._pending, self._pending_bytes = [], 0
        await _computed(block, self._sha256.update, block)
        await self._store_all(self._decoders.feed(block))

    async def _store_all(self, pieces: Iterator[bytes], look: Look = do_nothing) -> None:
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            self._refuse_bombs()
            await self._memory.hold(self._decoders.memory_bytes)
            if len(self._outputs) <= self._decoders.part:
                await self._outputs[-1].end()
                await self._complete_parts(look)
                hit("upload.part_written")
                self.file_ids.append(uuid4())
                self._outputs.append(await _Output.open(self._storage, self.file_ids[-1]))
            if piece:
                await self._store(piece)
        await self._memory.hold(self._decoders.memory_bytes)

    async def _store(self, piece: bytes) -> None:
        if self._stored_bytes - self._checked_at > DISK_CHECK_BYTES:
            self._checked_at = self._stored_bytes
            await asyncio.to_thread(check_room, self._storage, self._reserve_bytes)
        await self._outputs[-1].write(piece)
        self._stored_bytes += len(piece)
        if self._inspect is not None:
            await asyncio.to_thread(self._inspect, piece)

    def _refuse_bombs(self) -> None:
        is_bomb = self._decoders.exceeds_ratio(self.received_bytes)
        if is_bomb or self._decoders.most_bytes > self._max_bytes:
            raise DecompressedTooLarge(
                f"The {self._decoders.name} data decompresses to more than {self._max_bytes} bytes"
                f" or {self._decoders.max_ratio} times its size.",
                limit_bytes=self._max_bytes,
            )


def check_room(storage: Storage, reserve_bytes: int, new_bytes: int = 0) -> None:
    """Raises InsufficientStorage if fewer than `reserve_bytes` would stay free. Blocking."""
    space = storage.space()
    if space is not None and space[0] - new_bytes < reserve_bytes:
        raise InsufficientStorage(
            f"The disk has {space[0]} bytes free, and {reserve_bytes >> 20} MiB must stay free.",
            headers={"Retry-After": "60"},
        )


@asynccontextmanager
async def touch_periodically(
    storage: Storage, file_ids: Sequence[UUID], *, release: bool = True
) -> AsyncIterator[None]:
    """Touch the files periodically, however slow the client or the disk is: the sweep removes files
    that were not touched for a while. `file_ids` may grow meanwhile. With `release`, the database
    knows the files at the end, or never will.
    """

    async def touch() -> None:
        while True:
            await asyncio.sleep(max(TOUCH_SECONDS, storage.touch_seconds))
            for file_id in tuple(file_ids):
                try:
                    await asyncio.to_thread(storage.touch, file_id)
                except TransientError as error:
                    logger.warning("%s", error)

    task = asyncio.create_task(touch(), name="touch stored files")
    try:
        yield
    finally:
        task.cancel()
        if storage.is_shared and release:
            await asyncio.wait([task])
            for file_id in file_ids:
                try:
                    await asyncio.to_thread(storage.release, file_id)
                except TransientError as error:
                    logger.warning("Could not delete a file; the sweep will: %s", error)


async def _computed(data: bytes, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call `function` in a thread, unless switching takes longer than the work: hashing 64 KiB
    takes 0.2 ms.
    """
    if len(data) <= SMALL_BYTES:
        return function(*arguments)
    return await asyncio.to_thread(function, *arguments)
