"""Protocols of a storage: a folder (storage.py, partials.py, outputs.py) or a bucket (objects.py
...).

All calls block: run them in threads. They raise StorageUnavailable for what cannot be done now, and
DiskFull if there is no space.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Stored:
    """A complete and durable file."""

    uri: str
    """Name in the storage, which may be moved as a whole."""
    etag: str | None
    """Version of an object; None in a folder."""


@dataclass(frozen=True, slots=True)
class Stale:
    """A file that has not been touched for a while."""

    file_id: UUID
    is_part: bool
    """Whether it was never published, so that no row of the database can refer to it."""
    name: str
    """Argument for `Storage.remove`."""


class Stream(Protocol):
    """An asynchronous writer, for one piece after the other."""

    async def write(self, data: bytes, /) -> int: ...

    async def close(self) -> None: ...


class Writer(Protocol):
    """Writes a file into a storage: it exists completely or not at all. One call at a time."""

    def write(self, data: Any) -> int:
        """Write all of the data; return its size."""

    async def stream(self) -> Stream:
        """Return an asynchronous writer. Its `close` does not end this one."""

    def file(self) -> AbstractContextManager[Path]:
        """Yield an empty local file; its content at the end of the block becomes that of this
        one.
        """

    def finish(self) -> None:
        """End the input, and make durable as much as possible before publishing."""

    def publish(self) -> Stored:
        """Give the file its name. It is durable when this returns."""

    def discard(self) -> None:
        """Remove all of it; does nothing after it is published."""


class LostFound(Protocol):
    """Files that the database does not know, kept for some days."""

    def keep(self, file_id: UUID, /) -> None:
        """Move the file here; its days are counted from now on."""

    def give_back(self, file_id: UUID, /) -> bool:
        """Restore the file, which is known after all; return False if it is not here."""

    def ages(self) -> dict[UUID, float]:
        """Return the age in lost+found of each file in seconds."""

    def remove(self, file_id: UUID, /) -> None:
        """Remove the file permanently."""


class Storage(Protocol):
    """A storage of files, each written once under a generated name and only read afterwards."""

    is_shared: bool
    """Whether processes on other machines use it too. A file's age then says nothing about the
    process that wrote it.
    """
    touch_seconds: float
    """Interval at which a file that is being written must be touched to not count as stale."""

    @property
    def lost(self) -> LostFound: ...

    def prepare(self) -> None: ...

    def check(self) -> None:
        """Write a byte and remove it. Raises StorageUnavailable or DiskFull if that fails."""

    def space(self) -> tuple[int, int] | None:
        """Return (free, total) bytes; None if unknown."""

    def writer(self, file_id: UUID, most_bytes: int = 0) -> Writer:
        """Return a writer. `most_bytes` is the limit of the file if it may be larger than an
        upload.
        """

    def open(self, uri: str, size: int, etag: str | None) -> BinaryIO:
        """Open the file for reading and seeking; raises StoredFileMissing, StoredFileCorrupt if it
        does not have `size` bytes.
        """

    def read(self, uri: str, start: int, end: int, etag: str | None) -> bytes:
        """Return the bytes [start, end); raises StoredFileMissing, StoredFileCorrupt if the file
        ends before `end`.
        """

    def size(self, uri: str) -> int | None:
        """Return None if it does not exist."""

    def etag(self, uri: str) -> str | None:
        """Return the current version; None in a folder."""

    def delete(self, uri: str) -> None:
        """Delete the file; a missing one is ignored."""

    def touch(self, file_id: UUID) -> None:
        """Mark the file as being written, so that it does not count as stale."""

    def release(self, file_id: UUID) -> None:
        """Mark the file as written and known to the database."""

    def stale(self, older_than_seconds: float) -> list[Stale]:
        """Return files that were not touched for this long; the caller decides which are still in
        use.
        """

    def remove(self, stale: Stale) -> None: ...


class Growing(Protocol):
    """The bytes of a resumable upload, locked by one request."""

    block_bytes: int
    """Size of the blocks to collect before each `append`."""
    holds_back: bool
    """Whether `hold` can hide bytes, so that they never have to be truncated."""

    def size(self) -> int: ...

    def append(self, data: bytes) -> None:
        """Append bytes. Raises OffsetMismatch if another process has continued the upload."""

    def hold(self) -> None:
        """Hide bytes appended from now on until `sync`."""

    def cut(self, size: int) -> None:
        """Truncate to `size`, durably; where bytes are hidden, drop only hidden ones."""

    def sync(self) -> None:
        """Make appended bytes durable."""


class Partials(Protocol):
    """The bytes of resumable uploads while they grow. Their number is the offset of the upload."""

    is_shared: bool

    @property
    def lost(self) -> LostFound: ...

    def prepare(self) -> None: ...

    def create(self, upload_id: UUID) -> None:
        """Create an empty one, durably."""

    def locked(self, upload_id: UUID) -> AbstractContextManager[Growing]:
        """Lock the upload. Raises UploadLocked if another request has it, FileNotFoundError."""

    def size(self, upload_id: UUID) -> int | None: ...

    def synced_size(self, upload_id: UUID) -> int | None:
        """Return the number of durable bytes, also during an append."""

    def blocks(self, upload_id: UUID) -> Iterator[bytes]:
        """Yield all bytes in order; raises FileNotFoundError."""

    def delete(self, upload_id: UUID) -> None: ...

    def ids(self, older_than_seconds: float) -> list[UUID]:
        """Return uploads that were not touched for this long."""


class Outputs(Protocol):
    """Parts of output files, written before the transaction that names them, and removed with the
    job.
    """

    @property
    def lost(self) -> LostFound: ...

    def write(self, job_id: UUID, name: str, size: int, blocks: Iterable[bytes]) -> int:
        """Write `size` bytes durably under a new name; return their CRC-32. Raises DiskFull,
        StorageUnavailable.
        """

    def blocks(self, job_id: UUID, name: str) -> Iterator[bytes]:
        """Yield the bytes of one part; raises FileNotFoundError."""

    def workspace(self, job_id: UUID, names: Sequence[str]) -> Path:
        """Return a local folder with these parts and space for other files; it is the same until
        `remove`. Raises FileNotFoundError, DiskFull.
        """

    def remove(self, job_id: UUID) -> None: ...

    def jobs(self) -> list[UUID]:
        """Return the jobs that have parts here."""

    def names(self, job_id: UUID) -> list[str]:
        """Return the names of a job's parts."""
