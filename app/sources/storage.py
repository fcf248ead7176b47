"""Storage of uploads in a folder. A stored file is written once under a generated name, and only
read afterwards.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO
from uuid import UUID

import aiofiles

from app.errors import StoredFileCorrupt, StoredFileMissing
from app.sources.faults import translated, translated_wholly
from app.sources.folders import sync_folder
from app.sources.lost import LostFolder
from app.sources.places import Stale, Stored, Stream

logger = logging.getLogger(__name__)
PART = ".part"


class LocalStorage:
    """A folder. `uri` is the file's name in it, so that the folder can be moved."""

    is_shared = False
    touch_seconds = 0.0

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lost = LostFolder(folder)

    def prepare(self) -> None:
        with translated_wholly(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def check(self) -> None:
        with translated_wholly(self.folder), tempfile.TemporaryFile(dir=self.folder) as file:
            file.write(b"\n")
            file.flush()
            os.fsync(file.fileno())

    def space(self) -> tuple[int, int] | None:
        with translated_wholly(self.folder):
            usage = shutil.disk_usage(self.folder)
        return usage.free, usage.total

    def part_path(self, file_id: UUID) -> Path:
        return self.folder / f"{file_id}{PART}"

    def writer(self, file_id: UUID, most_bytes: int = 0) -> LocalWriter:
        """Create an empty file that did not exist, readable by this user alone. A symbolic link
        under its name is not followed.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        with translated_wholly(self.folder):
            return LocalWriter(self.folder, file_id, os.open(self.part_path(file_id), flags, 0o600))

    def open(self, uri: str, size: int, etag: str | None = None) -> BinaryIO:
        stored_size = self.size(uri)
        if stored_size is not None and stored_size != size:
            raise StoredFileCorrupt(f"The stored upload has {stored_size} bytes, expected {size}.")
        return self._open(uri)

    def _open(self, uri: str) -> BinaryIO:
        with translated(self.folder):
            try:
                return open(self._restored_path(uri), "rb")
            except FileNotFoundError:
                raise StoredFileMissing(f"The stored upload {uri} is no longer on disk.") from None

    def _restored_path(self, uri: str) -> Path:
        """Return the file's path, restoring it from lost+found: the caller knows it from the
        database.
        """
        path = self.folder / uri
        if not path.exists():
            with suppress(ValueError):
                self.lost.give_back(UUID(uri))
        return path

    def read(self, uri: str, start: int, end: int, etag: str | None = None) -> bytes:
        with self._open(uri) as file, translated(self.folder):
            file.seek(start)
            data = file.read(end - start)
        if len(data) != end - start:
            raise StoredFileCorrupt(
                f"The stored upload ends at byte {start + len(data)}, expected at least {end}."
            )
        return data

    def size(self, uri: str) -> int | None:
        with translated(self.folder):
            try:
                return self._restored_path(uri).stat().st_size
            except FileNotFoundError:
                return None

    def etag(self, uri: str) -> str | None:
        return None

    def delete(self, uri: str) -> None:
        with translated(self.folder):
            self._restored_path(uri).unlink(missing_ok=True)

    def touch(self, file_id: UUID) -> None:
        for path in (self.part_path(file_id), self.folder / str(file_id)):
            with suppress(OSError):
                os.utime(path)

    def release(self, file_id: UUID) -> None:
        """Do nothing: the file's own timestamp shows that it is being written."""

    def stale(self, older_than_seconds: float) -> list[Stale]:
        limit = time.time() - older_than_seconds
        stale = []
        with translated_wholly(self.folder):
            for path in self.folder.iterdir():
                # deleted in the meantime; not one of ours
                with suppress(FileNotFoundError, ValueError):
                    if path.stat().st_mtime < limit:
                        file_id = UUID(path.name.removesuffix(PART))
                        stale.append(Stale(file_id, path.name.endswith(PART), path.name))
        return stale

    def remove(self, stale: Stale) -> None:
        with translated(self.folder):
            (self.folder / stale.name).unlink(missing_ok=True)


class LocalWriter:
    """A `.part` file, published by a rename."""

    def __init__(self, folder: Path, file_id: UUID, descriptor: int) -> None:
        self._folder = folder
        self._file_id = file_id
        self.path = folder / f"{file_id}{PART}"
        self._file = open(descriptor, "wb", buffering=0)
        # An abandoned call continues in its thread, and must find the file closed, not another file
        # with the same descriptor.
        self._lock = Lock()

    def write(self, data: Any) -> int:
        with (
            self._lock,
            translated_wholly(self._folder),
            memoryview(data) as view,
            view.cast("B") as piece,
        ):
            written = 0
            while written < len(piece):
                with piece[written:] as remaining:
                    written += self._file.write(remaining)
        return written

    async def stream(self) -> Stream:
        with translated_wholly(self._folder):
            return _FileStream(await aiofiles.open(self.path, "r+b", buffering=0), self._folder)

    @contextmanager
    def file(self) -> Iterator[Path]:
        yield self.path

    def finish(self) -> None:
        with self._lock, translated_wholly(self._folder):
            os.fsync(self._file.fileno())
            self._file.close()

    def publish(self) -> Stored:
        """Publish the file. A failure leaves neither part nor name: nothing refers to the file
        yet.
        """
        name = self._folder / str(self._file_id)
        with translated_wholly(self._folder):
            with self._lock:
                self._file.close()
            os.rename(self.path, name)
            try:
                sync_folder(self._folder)
            except OSError:
                with suppress(OSError):
                    name.unlink(missing_ok=True)
                raise
        return Stored(str(self._file_id), None)

    def discard(self) -> None:
        try:
            with self._lock:
                self._file.close()
            self.path.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("Could not delete %s; the sweep will: %s", self.path.name, error)


class _FileStream:
    def __init__(self, opened: Any, folder: Path) -> None:
        self._opened = opened
        self._folder = folder

    async def write(self, data: bytes, /) -> int:
        """Write all of the data: on a nearly full disk, a write may be partial without an error."""
        written = 0
        with translated_wholly(self._folder):
            while written < len(data):
                written += await self._opened.write(memoryview(data)[written:])
        return written

    async def close(self) -> None:
        with translated_wholly(self._folder):
            await self._opened.close()
