"""Stored files, unchanged, for reading."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, cast
from uuid import UUID

from app.db import files
from app.db.engine import Database
from app.errors import NotFound, StoredBytesGone, StoredFileCorrupt, StoredFileMissing
from app.jobs.progress import find_with_rows
from app.sources.base import Sources, is_remote

BLOCK_BYTES = 1 << 20
CHECKED_FIRST_BYTES = 16 << 20
"""Files up to this size are read and checked before the response begins, so any range is checked.
"""
DAMAGED = "The stored bytes differ from the uploaded ones: their checksum does not match."


@dataclass(frozen=True, slots=True)
class StoredFile:
    open: Callable[[], BinaryIO]
    """Opens the file; blocking. Raises StoredBytesGone, StorageUnavailable. When read from the
    beginning to the end, it raises StoredFileCorrupt instead of the last bytes if the checksum does
    not match.
    """
    made_at: datetime
    filename: str
    media_type: str
    size: int
    tag: str
    """Identifies the bytes; never changes."""
    sha256: str | None
    """SHA-256 of these bytes; None if they were uploaded compressed."""


async def find(database: Database, sources: Sources, identifier: UUID, owner: str) -> StoredFile:
    """Return a file by its own id, or the file that a job reads; raises NotFound, JobHasParts,
    StoredBytesGone.
    """
    async with database.reading() as connection:
        file = await files.find_file(connection, identifier, owner)
        if file is None:
            job = await find_with_rows(connection, identifier, owner)
            file = await files.find_file(connection, job.file_id, owner)
    if file is None:
        raise NotFound
    uri = file.storage_uri
    if uri is None:
        raise StoredBytesGone
    if is_remote(uri):
        raise StoredBytesGone(f"The file is in a bucket, not in this storage: {uri}")
    if await asyncio.to_thread(sources.storage.size, uri) != file.stored_bytes:
        raise StoredBytesGone("The stored file is missing or was changed.")
    is_as_it_came = file.size_bytes == file.stored_bytes
    return StoredFile(
        lambda: _checked(
            sources.open(uri, file.stored_bytes, file.etag), file.stored_bytes, file.crc32
        ),
        file.created_at,
        file.filename if is_as_it_came else file.filename.removesuffix(".gz"),
        file.media_type if is_as_it_came and "/" in file.media_type else "application/octet-stream",
        file.stored_bytes,
        file.sha256 if is_as_it_came else f"{file.sha256}-decompressed",
        file.sha256 if is_as_it_came else None,
    )


def check_piece(sources: Sources, uri: str, size: int, crc32: int | None, etag: str | None) -> None:
    """Check a small file completely before a piece of it is sent. Blocking; raises StoredBytesGone
    if the file is damaged.
    """
    if size <= CHECKED_FIRST_BYTES and crc32 is not None:
        _checked(sources.open(uri, size, etag), size, crc32).close()


def _checked(file: BinaryIO, size: int, crc32: int | None) -> BinaryIO:
    if crc32 is None:
        return file
    checked = CheckedFile(file, size, crc32)
    if size <= CHECKED_FIRST_BYTES:
        try:
            while checked.read(BLOCK_BYTES):
                pass
            checked.seek(0)
        except (StoredFileCorrupt, StoredFileMissing):
            checked.close()
            raise StoredBytesGone(DAMAGED) from None
        except BaseException:
            checked.close()
            raise
    return cast(BinaryIO, checked)


class CheckedFile:
    """A stored file that is checked while it is read: the last bytes are returned only if the
    checksum matches. After a seek to any other position than the beginning nothing is checked.
    """

    def __init__(self, file: BinaryIO, size: int, crc32: int) -> None:
        self._file = file
        self._size = size
        self._expected = crc32
        self._crc32 = self._read = 0
        self._is_compared = True

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        if self._is_compared:
            self._crc32 = zlib.crc32(data, self._crc32)
            self._read += len(data)
            is_end = self._read >= self._size or not data
            if is_end and (self._read, self._crc32) != (self._size, self._expected):
                raise StoredFileCorrupt(DAMAGED)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        self._is_compared = offset == 0 and whence == 0
        self._crc32 = self._read = 0
        return self._file.seek(offset, whence)

    def close(self) -> None:
        self._file.close()
