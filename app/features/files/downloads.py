"""Stored files as they are, for reading."""

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
"""A file of up to so many is read and checked before the answer begins, and so in any range."""
DAMAGED = "The bytes that are stored are not those that came: their checksum is another one."


@dataclass(frozen=True, slots=True)
class StoredFile:
    open: Callable[[], BinaryIO]
    """Blocking; raises StoredBytesGone, StorageUnavailable. Read from its beginning to its end, it
    raises StoredFileCorrupt in place of its last bytes if they are not those that were stored.
    """
    made_at: datetime
    filename: str
    media_type: str
    size: int
    tag: str
    """What the bytes follow from: the same for ever."""
    sha256: str | None
    """Of these bytes; None if those that came were others, compressed."""


async def find(database: Database, sources: Sources, identifier: UUID, owner: str) -> StoredFile:
    """By its own id, or as the file that a job reads; raises NotFound, JobHasParts,
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
        raise StoredBytesGone(f"The file lies in a bucket, not here: {uri}")
    if await asyncio.to_thread(sources.storage.size, uri) != file.stored_bytes:
        raise StoredBytesGone("The file is not there as it was stored.")
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
    """Before a piece of it is given out. Blocking; raises StoredBytesGone if the file is damaged,
    as far as it is small enough to be looked at.
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
    """A stored file that is compared with its checksum as it is read: the last bytes come only if
    all of them were right. After a jump to another place than the beginning nothing is compared.
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
