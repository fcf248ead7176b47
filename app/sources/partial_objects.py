"""The bytes of resumable uploads as objects of a bucket: `partial/<upload id>/<offset>`, each
stored only if it does not exist.

The bucket decides between two writers, and no lock shared by all processes is needed: each writer
adds only at the end of the pieces, and of two that add at the same offset one fails. A piece is
never overwritten, and never removed while its upload is open. The offset of an upload is the total
size of its consecutive pieces from 0 on.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import IO
from uuid import UUID

from app.errors import OffsetMismatch, StoredFileMissing, UploadLocked
from app.sources.bucket import Bucket, Entry
from app.sources.faults import translated
from app.sources.lost import LostObjects
from app.sources.scratch import Scratch

PARTIAL = "partial"
PIECE_BYTES = 8 << 20
DIGITS = 20


class PartialObjects:
    is_shared = True

    def __init__(self, bucket: Bucket, scratch: Scratch) -> None:
        self._bucket = bucket
        self._scratch = scratch
        self.lost = LostObjects(bucket, PARTIAL, self.delete)
        self._here: set[UUID] = set()
        self._lock = Lock()

    def prepare(self) -> None:
        """Do nothing: there are no folders to create."""

    def create(self, upload_id: UUID) -> None:
        """Do nothing: an upload without bytes has only its row."""

    @contextmanager
    def locked(self, upload_id: UUID) -> Iterator[GrowingObject]:
        """Lock between the requests of this process; the bucket decides between processes."""
        with self._lock:
            if upload_id in self._here:
                raise UploadLocked(headers={"Retry-After": "1"})
            self._here.add(upload_id)
        growing = GrowingObject(self._bucket, upload_id, self._scratch.folder)
        try:
            yield growing
        finally:
            growing.close()
            with self._lock:
                self._here.discard(upload_id)

    def size(self, upload_id: UUID) -> int:
        return size_of(self._bucket, upload_id)

    def synced_size(self, upload_id: UUID) -> int:
        return self.size(upload_id)

    def blocks(self, upload_id: UUID) -> Iterator[bytes]:
        for piece in pieces(self._bucket, upload_id):
            try:
                yield self._bucket.read(piece.key, 0, piece.size, piece.etag)
            except StoredFileMissing:
                raise FileNotFoundError(piece.key) from None

    def delete(self, upload_id: UUID) -> None:
        self._bucket.delete([entry.key for entry in self._bucket.entries(_folder(upload_id))])

    def ids(self, older_than_seconds: float) -> list[UUID]:
        youngest: dict[UUID, datetime] = {}
        for entry in self._bucket.entries(PARTIAL):
            try:
                upload_id = UUID(entry.key.split("/")[1])
            except (ValueError, IndexError):
                continue  # not one of ours
            youngest[upload_id] = max(entry.touched_at, youngest.get(upload_id, entry.touched_at))
        limit = datetime.now(UTC) - timedelta(seconds=older_than_seconds)
        return [upload_id for upload_id, touched_at in youngest.items() if touched_at < limit]


class GrowingObject:
    """The bytes that one request adds. It looks up the end of the pieces once and knows it from
    then on.
    """

    block_bytes = PIECE_BYTES
    holds_back = True

    def __init__(self, bucket: Bucket, upload_id: UUID, folder: Path) -> None:
        self._bucket = bucket
        self._upload_id = upload_id
        self._folder = folder
        self._end: int | None = None
        self._held: IO[bytes] | None = None

    def size(self) -> int:
        if self._end is None:
            self._end = size_of(self._bucket, self._upload_id)
        return self._end

    def append(self, data: bytes) -> None:
        if self._held is not None:
            with translated(self._folder):
                self._held.write(data)
        elif data:
            self._put(data)

    def _put(self, data: bytes) -> None:
        end = self.size()
        if not self._bucket.create(f"{_folder(self._upload_id)}/{end:0{DIGITS}}", data):
            raise OffsetMismatch("Another request has continued the upload.")
        self._end = end + len(data)

    def hold(self) -> None:
        with translated(self._folder):
            self._held = tempfile.TemporaryFile(dir=self._folder)

    def cut(self, size: int) -> None:
        self.close()

    def sync(self) -> None:
        buffer, self._held = self._held, None
        if buffer is not None:
            with buffer:
                buffer.seek(0)
                while data := buffer.read(PIECE_BYTES):
                    self._put(data)

    def close(self) -> None:
        buffer, self._held = self._held, None
        if buffer is not None:
            buffer.close()


def _folder(upload_id: UUID) -> str:
    return f"{PARTIAL}/{upload_id}"


def pieces(bucket: Bucket, upload_id: UUID) -> Iterator[Entry]:
    """Yield the consecutive pieces from the beginning on."""
    end = 0
    for entry in sorted(bucket.entries(_folder(upload_id)), key=lambda item: item.key):
        if entry.key.rpartition("/")[2] != f"{end:0{DIGITS}}":
            return
        yield entry
        end += entry.size


def size_of(bucket: Bucket, upload_id: UUID) -> int:
    return sum(piece.size for piece in pieces(bucket, upload_id))
