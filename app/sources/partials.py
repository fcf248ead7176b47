"""Files of resumable uploads while they grow. The length of a file is the offset of its upload."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

from app.errors import UploadLocked
from app.sources.faults import translated, translated_wholly
from app.sources.folders import sync_folder
from app.sources.lost import LostFolder


class GrowingFile:
    """A locked file: no other process or task appends to it. All calls block."""

    block_bytes = 1 << 20
    holds_back = False

    def __init__(self, descriptor: int, folder: Path) -> None:
        self._descriptor = descriptor
        self._folder = folder

    def size(self) -> int:
        with translated(self._folder):
            return os.fstat(self._descriptor).st_size

    def append(self, data: bytes) -> None:
        view = memoryview(data)
        offset = self.size()
        with translated(self._folder):
            while view:
                written = os.pwrite(self._descriptor, view, offset)
                view, offset = view[written:], offset + written

    def hold(self) -> None:
        """Do nothing: all bytes of a file are visible immediately."""

    def cut(self, size: int) -> None:
        """Truncate the file to `size`, durably."""
        with translated(self._folder):
            os.ftruncate(self._descriptor, size)
            os.fsync(self._descriptor)

    def sync(self) -> None:
        with translated(self._folder):
            os.fsync(self._descriptor)


class PartialFiles:
    """A folder next to that of the stored files."""

    is_shared = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lost = LostFolder(folder)

    def prepare(self) -> None:
        with translated_wholly(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def path(self, upload_id: UUID) -> Path:
        return self.folder / str(upload_id)

    def _restored_path(self, upload_id: UUID) -> Path:
        """Return the file's path, restoring it from lost+found: the caller knows it from the
        database.
        """
        path = self.path(upload_id)
        if not path.exists():
            self.lost.give_back(upload_id)
        return path

    def create(self, upload_id: UUID) -> None:
        """Create an empty file durably, or none."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        with translated_wholly(self.folder):
            os.close(os.open(self.path(upload_id), flags, 0o600))
            try:
                sync_folder(self.folder)
            except OSError:
                with suppress(OSError):
                    self.path(upload_id).unlink(missing_ok=True)
                raise

    @contextmanager
    def locked(self, upload_id: UUID) -> Iterator[GrowingFile]:
        """Lock the file. Raises UploadLocked if it is locked, FileNotFoundError. The lock ends with
        the process.
        """
        with translated(self.folder):
            descriptor = os.open(
                self._restored_path(upload_id), os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
            )
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UploadLocked(headers={"Retry-After": "1"}) from None
            yield GrowingFile(descriptor, self.folder)
        finally:
            os.close(descriptor)

    def size(self, upload_id: UUID) -> int | None:
        with translated(self.folder):
            try:
                return self._restored_path(upload_id).stat().st_size
            except FileNotFoundError:
                return None

    def synced_size(self, upload_id: UUID) -> int | None:
        """Return the number of durable bytes, also during an append."""
        with translated(self.folder):
            try:
                descriptor = os.open(self._restored_path(upload_id), os.O_RDONLY)
            except FileNotFoundError:
                return None
            try:
                size = os.fstat(descriptor).st_size
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        return size

    def blocks(self, upload_id: UUID) -> Iterator[bytes]:
        with translated(self.folder):
            with self._restored_path(upload_id).open("rb") as file:
                while block := file.read(GrowingFile.block_bytes):
                    yield block

    def delete(self, upload_id: UUID) -> None:
        with translated(self.folder):
            self.path(upload_id).unlink(missing_ok=True)

    def ids(self, older_than_seconds: float) -> list[UUID]:
        """Return uploads that were not touched for this long."""
        limit = time.time() - older_than_seconds
        stale_ids = []
        with translated_wholly(self.folder):
            for path in self.folder.iterdir():
                with suppress(FileNotFoundError, ValueError):
                    if path.stat().st_mtime < limit:
                        stale_ids.append(UUID(path.name))
        return stale_ids
