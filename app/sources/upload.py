"""UploadSource: writes the bytes of a request body into the storage, hashing and decoding them on
the way.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from uuid import UUID

from app.decoders.base import Kind, Report, Wanted
from app.decoders.chain import Chain
from app.errors import (
    DecompressedTooLarge,
    FileTooLarge,
    InsufficientStorage,
    TransientError,
)
from app.failpoints import hit
from app.formats.detect import SAMPLE_BYTES
from app.sources.places import Storage, Stored, Writer

logger = logging.getLogger(__name__)
BLOCK_BYTES = 1 << 20
SMALL_BYTES = 64 << 10
MAX_RATIO, RATIO_COUNTS_FROM = 200, 1 << 20
DISK_CHECK_BYTES = 64 << 20
TOUCH_SECONDS = 10.0
ANYHOW = Wanted()


@dataclass(frozen=True, slots=True)
class Received:
    """A body that is durable but has no name yet."""

    size_bytes: int
    """Size as sent."""
    stored_bytes: int
    """Size as written, after decoding."""
    sha256: str
    """Hash of the bytes as sent."""
    crc32: int
    """CRC-32 of the bytes as written."""
    sample: bytes
    """The beginning of the stored bytes; all of them if they are few."""
    reports: tuple[Report, ...] = ()
    """Reports of the decoders, in the order in which they ran."""


class UploadSource:
    """Use it as `async with`: leaving it without `publish` removes what was written."""

    def __init__(
        self,
        storage: Storage,
        file_id: UUID,
        *,
        max_bytes: int,
        reserve_bytes: int,
        turns: asyncio.Semaphore,
        declared: Kind | None = None,
        inspect: Callable[[bytes], None] | None = None,
    ) -> None:
        """Decode in a process while holding one of `turns`. `declared` is the declared compression;
        otherwise the first bytes decide. `inspect` is called in a thread with each written piece,
        in order; an exception ends the upload.
        """
        self._storage = storage
        self.file_id = file_id
        self._max_bytes = max_bytes
        self._reserve_bytes = reserve_bytes
        self._turns = turns
        self._decoders = Chain(declared)
        self._inspect = inspect
        self._sha256 = hashlib.sha256()
        self._crc32 = 0
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._sample = bytearray()
        self._writer: Writer | None = None
        self._out: Any = None
        self.received_bytes = 0
        self.stored_bytes = 0
        self._checked_at = 0
        self._is_kept = False

    async def __aenter__(self) -> UploadSource:
        self._writer = await asyncio.to_thread(self._storage.writer, self.file_id)
        try:
            self._out = await self._writer.stream()
        except BaseException:
            await asyncio.to_thread(self._writer.discard)
            raise
        return self

    @property
    def writer(self) -> Writer:
        assert self._writer is not None, "not entered"
        return self._writer

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._decoders.close()
        try:
            await self._out.close()
        except TransientError as failure:
            logger.warning("%s", failure)  # what is kept is durable already
        if not self._is_kept:
            try:
                await asyncio.to_thread(self.writer.discard)
            except TransientError as failure:
                logger.warning("Could not delete a file; the sweep will: %s", failure)

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

    async def finish(self, wanted: Wanted = ANYHOW) -> Received:
        """Make everything durable, still under the name of the part."""
        await self._flush()
        await self._store_all(self._decoders.finish(wanted))
        if not self._decoders.is_finished:
            async with self._turns:
                await self._store_all(self._decoders.finish(wanted, also_heavy=True))
        hit("upload.before_fsync")
        await asyncio.to_thread(self.writer.finish)
        return Received(
            self.received_bytes,
            self.stored_bytes,
            self._sha256.hexdigest(),
            self._crc32,
            bytes(self._sample),
            tuple(self._decoders.reports()),
        )

    async def publish(self) -> Stored:
        """Give the file its name. From here on only the sweep, which asks the database first, may
        remove it.
        """
        self._is_kept = True
        try:
            return await asyncio.to_thread(self.writer.publish)
        except Exception:
            self._is_kept = False  # it has no name
            raise

    async def _flush(self) -> None:
        if not self._pending:
            return
        block = b"".join(self._pending)
        self._pending, self._pending_bytes = [], 0
        await _computed(block, self._sha256.update, block)
        await self._store_all(self._decoders.feed(block))

    async def _store_all(self, pieces: Iterator[bytes]) -> None:
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            self._refuse_bombs()
            if piece:
                await self._store(piece)

    async def _store(self, piece: bytes) -> None:
        if self.stored_bytes - self._checked_at > DISK_CHECK_BYTES:
            self._checked_at = self.stored_bytes
            await asyncio.to_thread(check_room, self._storage, self._reserve_bytes)
        await self._out.write(piece)
        self._crc32 = await _computed(piece, zlib.crc32, piece, self._crc32)
        if self._inspect is not None:
            await asyncio.to_thread(self._inspect, piece)
        self.stored_bytes += len(piece)
        if len(self._sample) < SAMPLE_BYTES:
            self._sample += piece[: SAMPLE_BYTES - len(self._sample)]

    def _refuse_bombs(self) -> None:
        most = self._decoders.most_bytes
        is_bomb = most > RATIO_COUNTS_FROM and most > MAX_RATIO * self.received_bytes
        if is_bomb or most > self._max_bytes:
            raise DecompressedTooLarge(
                f"The {self._decoders.name} data decompresses to more than {self._max_bytes} bytes"
                f" or {MAX_RATIO} times its size.",
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
    storage: Storage, file_id: UUID, *, release: bool = True
) -> AsyncIterator[None]:
    """Touch the file periodically, however slow the client or the disk is: the sweep removes files
    that nobody has touched for a while. With `release`, the database knows the file at the end, or
    never will.
    """

    async def touch() -> None:
        while True:
            await asyncio.sleep(max(TOUCH_SECONDS, storage.touch_seconds))
            try:
                await asyncio.to_thread(storage.touch, file_id)
            except TransientError as error:
                logger.warning("%s", error)

    task = asyncio.create_task(touch(), name=f"upload {file_id}")
    try:
        yield
    finally:
        task.cancel()
        if storage.is_shared and release:
            await asyncio.wait([task])
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
