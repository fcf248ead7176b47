"""Stored files and parts of outputs as objects of a bucket, for any number of processes and
machines.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from app.errors import StorageUnavailable, StoredFileCorrupt, StoredFileMissing
from app.sources.bucket import Bucket, ObjectWriter
from app.sources.faults import translated
from app.sources.lost import LostObjects
from app.sources.places import Stale, Stored, Stream
from app.sources.s3 import ranged
from app.sources.scratch import Scratch

logger = logging.getLogger(__name__)
UPLOADS, OUTPUTS = "uploads", "outputs"
MARK = ".part"
TOUCH_SECONDS = 60.0
BLOCK_BYTES = 8 << 20


class ObjectStorage:
    """A file is the object `uploads/<id>`. The mark `uploads/<id>.part` says that a large one is
    being written: neither a multipart upload nor its object can be touched, both are as old as the
    start of the upload.
    """

    is_shared = True
    touch_seconds = TOUCH_SECONDS

    def __init__(self, bucket: Bucket, scratch: Scratch, most_bytes: int) -> None:
        """`most_bytes` is the limit of an uploaded file."""
        self.bucket = bucket
        self._scratch = scratch
        self._most_bytes = most_bytes
        self._marked: set[UUID] = set()
        self.lost = LostObjects(
            bucket, UPLOADS, lambda file_id: bucket.delete([self._key(str(file_id))])
        )

    def prepare(self) -> None:
        """Do nothing: a bucket needs no folders, and an unreachable one does not prevent the
        start.
        """

    def check(self) -> None:
        self.bucket.check()

    def space(self) -> tuple[int, int] | None:
        return None

    def writer(self, file_id: UUID, most_bytes: int = 0) -> _Writer:
        key = self._key(str(file_id))
        opened = self.bucket.writer(key, max(self._most_bytes, most_bytes))
        return _Writer(self, file_id, key, opened, self._scratch.folder)

    @staticmethod
    def _key(uri: str) -> str:
        return f"{UPLOADS}/{uri}"

    def open(self, uri: str, size: int, etag: str | None) -> BinaryIO:
        stored_size = self.size(uri)
        if stored_size is None:
            raise StoredFileMissing(
                f"The stored file {self.bucket}/{self._key(uri)} no longer exists."
            )
        if stored_size != size:
            raise StoredFileCorrupt(f"The stored upload has {stored_size} bytes, expected {size}.")
        return ranged(lambda start, end, version: self.read(uri, start, end, version), size, etag)

    def read(self, uri: str, start: int, end: int, etag: str | None) -> bytes:
        return self.bucket.read(self._key(uri), start, end, etag)

    def size(self, uri: str) -> int | None:
        stored = self.bucket.head(self._key(uri))
        return None if stored is None else stored.size

    def etag(self, uri: str) -> str | None:
        stored = self.bucket.head(self._key(uri))
        return None if stored is None else stored.etag

    def delete(self, uri: str) -> None:
        self.bucket.delete([self._key(uri)])

    def touch(self, file_id: UUID) -> None:
        self._marked.add(file_id)
        self.bucket.put(f"{self._key(str(file_id))}{MARK}", b"")

    def release(self, file_id: UUID) -> None:
        if file_id in self._marked:
            self._marked.discard(file_id)
            self.bucket.delete([f"{self._key(str(file_id))}{MARK}"])

    def stale(self, older_than_seconds: float) -> list[Stale]:
        """Object, mark and multipart upload of a file count as old as the youngest of them."""
        youngest: dict[UUID, datetime] = {}
        candidates: list[Stale] = []

        def add(key: str, upload_id: str, touched_at: datetime) -> None:
            name = key.rpartition("/")[2]
            try:
                file_id = UUID(name.removesuffix(MARK))
            except ValueError:
                return  # not one of ours
            youngest[file_id] = max(touched_at, youngest.get(file_id, touched_at))
            candidates.append(
                Stale(file_id, bool(upload_id) or name.endswith(MARK), f"{name}?{upload_id}")
            )

        for upload in self.bucket.unfinished(f"{UPLOADS}/"):
            add(upload.key, upload.upload_id, upload.begun_at)
        for entry in self.bucket.entries(UPLOADS):
            add(entry.key, "", entry.touched_at)
        limit = datetime.now(UTC) - timedelta(seconds=older_than_seconds)
        return [upload for upload in candidates if youngest[upload.file_id] <= limit]

    def remove(self, stale: Stale) -> None:
        name, _, upload_id = stale.name.partition("?")
        if upload_id:
            self.bucket.abort(self._key(name), upload_id)
        else:
            self.bucket.delete([self._key(name)])


class _Writer:
    def __init__(
        self, storage: ObjectStorage, file_id: UUID, key: str, out: ObjectWriter, folder: Path
    ) -> None:
        self._storage = storage
        self._file_id = file_id
        self._key = key
        self._out = out
        self._folder = folder
        self._is_marked = self._is_closing = self._is_published = False

    def write(self, data: Any) -> int:
        if not self._is_marked and self._out.size + memoryview(data).nbytes >= self._out.part_bytes:
            self._is_marked = True
            self._storage.touch(self._file_id)
        return self._out.write(data)

    async def stream(self) -> Stream:
        return _InThreads(self)

    @contextmanager
    def file(self) -> Iterator[Path]:
        with translated(self._folder):
            descriptor, name = tempfile.mkstemp(dir=self._folder)
            os.close(descriptor)
        path = Path(name)
        try:
            yield path
            with path.open("rb") as file:
                while block := file.read(BLOCK_BYTES):
                    self.write(block)
        finally:
            path.unlink(missing_ok=True)

    def finish(self) -> None:
        """Do nothing: the last part is sent by `publish`, so that the upload can be discarded
        without a trace until then.
        """

    def publish(self) -> Stored:
        self._is_closing = True
        entry = self._out.close()
        self._is_published = True
        return Stored(str(self._file_id), entry.etag)

    def discard(self) -> None:
        if self._is_published:
            return
        self._out.abort()
        try:
            if self._is_closing:  # perhaps only the response was lost
                self._storage.bucket.delete([self._key])
            self._storage.release(self._file_id)
        except StorageUnavailable as error:
            logger.warning("Could not delete a file; the sweep will: %s", error)


class _InThreads:
    def __init__(self, out: _Writer) -> None:
        self._out = out

    async def write(self, data: bytes, /) -> int:
        return await asyncio.to_thread(self._out.write, data)

    async def close(self) -> None:
        """Do nothing: `publish` or `discard` ends the object."""


class OutputObjects:
    """Parts of outputs are the objects `outputs/<job id>/<name>`."""

    def __init__(self, bucket: Bucket, scratch: Scratch) -> None:
        self._bucket = bucket
        self._folder = scratch.folder / OUTPUTS
        self.lost = LostObjects(bucket, OUTPUTS, self.remove)

    @staticmethod
    def _key(job_id: UUID, name: str = "") -> str:
        return f"{OUTPUTS}/{job_id}/{name}"

    def write(self, job_id: UUID, name: str, size: int, blocks: Iterable[bytes]) -> int:
        key, crc32 = self._key(job_id, name), 0
        if size < BLOCK_BYTES:
            data = b"".join(blocks)
            self._bucket.put(key, data)
            return zlib.crc32(data)
        out = self._bucket.writer(key, size)
        try:
            for block in blocks:
                crc32 = zlib.crc32(block, crc32)
                out.write(block)
            out.close()
        except BaseException:
            out.abort()
            raise
        return crc32

    def blocks(self, job_id: UUID, name: str) -> Iterator[bytes]:
        stored = self._bucket.head(self._key(job_id, name))
        if stored is None:
            raise FileNotFoundError(name)
        for start in range(0, stored.size, BLOCK_BYTES):
            yield self._bucket.read(
                self._key(job_id, name), start, min(stored.size, start + BLOCK_BYTES), stored.etag
            )

    def workspace(self, job_id: UUID, names: Sequence[str]) -> Path:
        folder = self._folder / str(job_id)
        with translated(self._folder):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for name in names:
                if not (folder / name).exists():
                    self._fetch(job_id, name, folder)
        return folder

    def _fetch(self, job_id: UUID, name: str, folder: Path) -> None:
        descriptor, path = tempfile.mkstemp(dir=folder)
        try:
            with open(descriptor, "wb") as file:
                for block in self.blocks(job_id, name):
                    file.write(block)
            os.replace(path, folder / name)
        except BaseException:
            Path(path).unlink(missing_ok=True)
            raise

    def remove(self, job_id: UUID) -> None:
        shutil.rmtree(self._folder / str(job_id), ignore_errors=True)
        for upload in self._bucket.unfinished(self._key(job_id)):
            self._bucket.abort(upload.key, upload.upload_id)
        self._bucket.delete(
            [entry.key for entry in self._bucket.entries(self._key(job_id).rstrip("/"))]
        )

    def jobs(self) -> list[UUID]:
        names = set(self._bucket.folders(OUTPUTS))
        names |= {upload.key.split("/")[1] for upload in self._bucket.unfinished(f"{OUTPUTS}/")}
        if self._folder.is_dir():
            names |= {path.name for path in self._folder.iterdir()}
        job_ids = []
        for name in sorted(names):
            try:
                job_ids.append(UUID(name))
            except ValueError:
                continue
        return job_ids

    def names(self, job_id: UUID) -> list[str]:
        folder = self._key(job_id).rstrip("/")
        return [entry.key.rpartition("/")[2] for entry in self._bucket.entries(folder)]
