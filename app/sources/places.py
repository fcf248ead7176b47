"""What a place must do in which files lie: a folder (storage.py, partials.py, outputs.py), or a
bucket (objects.py ...).

All calls block: call them from threads. What a place cannot do just now it says by
StorageUnavailable or, where there is no room, by DiskFull.
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
    """A file that is whole and durable."""

    uri: str
    """Its name in the storage, which may be moved."""
    etag: str | None
    """The version of an object; None in a folder."""


@dataclass(frozen=True, slots=True)
class Stale:
    """Something that nobody has touched for a while."""

    file_id: UUID
    is_part: bool
    """It was never published, so that no row of the database can mean it."""
    name: str
    """What `Storage.remove` needs to know."""


class Stream(Protocol):
    """For a coroutine that writes one piece after the other."""

    async def write(self, data: bytes, /) -> int: ...

    async def close(self) -> None: ...


class Writer(Protocol):
    """A file on its way into a storage: it is there whole, or not at all. One call at a time."""

    def write(self, data: Any) -> int:
        """All of it; how many bytes that were."""

    async def stream(self) -> Stream:
        """The same, not blocking. Its `close` ends nothing but itself."""

    def file(self) -> AbstractContextManager[Path]:
        """An empty file on this machine: what it holds at the end of the block becomes that of this
        one.
        """

    def finish(self) -> None:
        """Nothing more comes. What can be made safe without giving it its name, is."""

    def publish(self) -> Stored:
        """Give it its name. When this returns, the file is there for good."""

    def discard(self) -> None:
        """Leave nothing of it; does nothing once it is published."""


class LostFound(Protocol):
    """What no row of the database knows, kept for some days."""

    def keep(self, file_id: UUID, /) -> None:
        """From now on the days are counted."""

    def give_back(self, file_id: UUID, /) -> bool:
        """Somebody knows it after all; False if it is not here."""

    def found(self) -> dict[UUID, float]:
        """How many seconds ago each came here."""

    def remove(self, file_id: UUID, /) -> None:
        """For good."""


class Storage(Protocol):
    """Where stored files lie, each written once under a name of ours and only read after that."""

    is_shared: bool
    """Whether processes on other machines use it too: then the clock of a file says nothing of the
    process that made it.
    """
    touch_seconds: float
    """How often a file that is being written must be touched at least, to be seen as that."""

    @property
    def lost(self) -> LostFound: ...

    def prepare(self) -> None: ...

    def check(self) -> None:
        """Write a byte and remove it. Raises StorageUnavailable, DiskFull if that cannot be done
        now.
        """

    def space(self) -> tuple[int, int] | None:
        """(free, total) bytes; None if nobody knows."""

    def writer(self, file_id: UUID, most_bytes: int = 0) -> Writer:
        """`most_bytes`: how large the file may become, if that may be more than an upload can
        be.
        """

    def open(self, uri: str, size: int, etag: str | None) -> BinaryIO:
        """For reading and seeking; raises StoredFileMissing, StoredFileCorrupt if it has not `size`
        bytes.
        """

    def read(self, uri: str, start: int, end: int, etag: str | None) -> bytes:
        """Bytes [start, end); raises StoredFileMissing, StoredFileCorrupt if the file ends before
        `end`.
        """

    def size(self, uri: str) -> int | None:
        """None if it is not there."""

    def etag(self, uri: str) -> str | None:
        """The version that is there now; None in a folder."""

    def delete(self, uri: str) -> None:
        """Also if it is not there."""

    def touch(self, file_id: UUID) -> None:
        """The file is being written, however slowly: it is not stale."""

    def release(self, file_id: UUID) -> None:
        """It is written, and the database knows it."""

    def stale(self, older_than_seconds: float) -> list[Stale]:
        """What was not touched for so long; the caller knows what of it still belongs to
        something.
        """

    def remove(self, stale: Stale) -> None: ...


class Growing(Protocol):
    """The bytes of a resumable upload, held by one request."""

    block_bytes: int
    """How much of the body to gather before each `append`."""
    holds_back: bool
    """Whether `hold` can keep bytes out of sight, so that none ever has to be cut off."""

    def size(self) -> int: ...

    def append(self, data: bytes) -> None:
        """Raises OffsetMismatch if another process has gone on with the upload."""

    def hold(self) -> None:
        """What is appended from now on counts only from `sync` on."""

    def cut(self, size: int) -> None:
        """Forget what lies behind `size`, for good; of a place that holds back, only what it
        holds.
        """

    def sync(self) -> None:
        """What was appended is there for good."""


class Partials(Protocol):
    """The bytes of resumable uploads while they grow. How many there are, is how far an upload
    is.
    """

    is_shared: bool

    @property
    def lost(self) -> LostFound: ...

    def prepare(self) -> None: ...

    def create(self, upload_id: UUID) -> None:
        """An empty one, durably."""

    def locked(self, upload_id: UUID) -> AbstractContextManager[Growing]:
        """Raises UploadLocked if another request has it, FileNotFoundError."""

    def size(self, upload_id: UUID) -> int | None: ...

    def synced_size(self, upload_id: UUID) -> int | None:
        """The bytes that are there for good, whoever is adding more."""

    def blocks(self, upload_id: UUID) -> Iterator[bytes]:
        """All bytes in their order; raises FileNotFoundError."""

    def delete(self, upload_id: UUID) -> None: ...

    def ids(self, older_than_seconds: float) -> list[UUID]:
        """Those not touched for so long."""


class Outputs(Protocol):
    """Parts of files that jobs make, written before the transaction that names them, gone with the
    job.
    """

    @property
    def lost(self) -> LostFound: ...

    def write(self, job_id: UUID, name: str, size: int, blocks: Iterable[bytes]) -> int:
        """So many bytes, durably, under a name that is given once; their CRC-32. Raises DiskFull,
        StorageUnavailable.
        """

    def blocks(self, job_id: UUID, name: str) -> Iterator[bytes]:
        """Of one part; raises FileNotFoundError."""

    def workspace(self, job_id: UUID, names: Sequence[str]) -> Path:
        """A folder on this machine that has these parts, and room for files of one's own; it is the
        same until `remove`. Raises FileNotFoundError, DiskFull.
        """

    def remove(self, job_id: UUID) -> None: ...

    def jobs(self) -> list[UUID]:
        """Those that have parts here."""

    def names(self, job_id: UUID) -> list[str]:
        """Of its parts."""
