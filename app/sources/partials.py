"""Files of resumable uploads while they grow. How long one is, is how far its upload is."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

from app.errors import UploadLocked
from app.sources.storage import sync_folder


class GrowingFile:
    """One file, locked: nobody else appends to it, in this process or another. All calls block."""

    block_bytes = 1 << 20
    holds_back = False

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def append(self, data: bytes) -> None:
        view = memoryview(data)
        offset = self.size()
        while view:
            done = os.pwrite(self._descriptor, view, offset)
            view, offset = view[done:], offset + done

    def hold(self) -> None:
        """A file shows all that it has."""

    def cut(self, size: int) -> None:
        """Forget what lies behind `size`, for good."""
        os.ftruncate(self._descriptor, size)
        os.fsync(self._descriptor)

    def sync(self) -> None:
        os.fsync(self._descriptor)


class PartialFiles:
    """A folder beside that of the stored files."""

    is_shared = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def path(self, upload_id: UUID) -> Path:
        return self.folder / str(upload_id)

    def create(self, upload_id: UUID) -> None:
        """An empty file, durably."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        os.close(os.open(self.path(upload_id), flags, 0o600))
        sync_folder(self.folder)

    @contextmanager
    def locked(self, upload_id: UUID) -> Iterator[GrowingFile]:
        """Raises UploadLocked if somebody has it, FileNotFoundError. A process that dies lets go of it."""
        descriptor = os.open(self.path(upload_id), os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UploadLocked(headers={"Retry-After": "1"}) from None
            yield GrowingFile(descriptor)
        finally:
            os.close(descriptor)

    def size(self, upload_id: UUID) -> int | None:
        with suppress(FileNotFoundError):
            return self.path(upload_id).stat().st_size
        return None

    def synced_size(self, upload_id: UUID) -> int | None:
        """The bytes that are on disk for good, whoever is adding more."""
        try:
            descriptor = os.open(self.path(upload_id), os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            size = os.fstat(descriptor).st_size
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return size

    def blocks(self, upload_id: UUID) -> Iterator[bytes]:
        with self.path(upload_id).open("rb") as file:
            while block := file.read(GrowingFile.block_bytes):
                yield block

    def delete(self, upload_id: UUID) -> None:
        self.path(upload_id).unlink(missing_ok=True)

    def ids(self, older_than_seconds: float) -> list[UUID]:
        """Those not touched for so long."""
        limit = time.time() - older_than_seconds
        found = []
        for path in self.folder.iterdir():
            with suppress(FileNotFoundError, ValueError):
                if path.stat().st_mtime < limit:
                    found.append(UUID(path.name))
        return found
