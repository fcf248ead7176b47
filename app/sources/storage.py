"""Where uploads lie. A stored file is written once under a name of our own, and only read after that."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from app.errors import StoredFileCorrupt, StoredFileMissing

PART = ".part"


class LocalStorage:
    """A folder. `uri` is the file's name in it, so that the folder may be moved."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def free_bytes(self) -> int:
        return shutil.disk_usage(self.folder).free

    def space(self) -> tuple[int, int]:
        """(free, total) bytes where uploads are stored."""
        usage = shutil.disk_usage(self.folder)
        return usage.free, usage.total

    def part_path(self, file_id: UUID) -> Path:
        return self.folder / f"{file_id}{PART}"

    def create_part(self, file_id: UUID) -> None:
        """An empty file that did not exist, readable by us alone; a link planted under its name is not followed."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        os.close(os.open(self.part_path(file_id), flags, 0o600))

    async def publish(self, file_id: UUID) -> str:
        """Give a part, already flushed to disk, its final name, durably; the uri."""
        await asyncio.to_thread(self._publish, file_id)
        return str(file_id)

    def _publish(self, file_id: UUID) -> None:
        os.rename(self.part_path(file_id), self.folder / str(file_id))
        self._sync_folder()

    def _sync_folder(self) -> None:
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def open(self, uri: str) -> BinaryIO:
        """For reading; raises StoredFileMissing."""
        try:
            return open(self.folder / uri, "rb")
        except FileNotFoundError:
            raise StoredFileMissing(f"The stored upload {uri} is not on disk any more.") from None

    def read(self, uri: str, start: int, end: int) -> bytes:
        """Bytes [start, end); raises StoredFileMissing, StoredFileCorrupt if the file ends before `end`."""
        with self.open(uri) as file:
            file.seek(start)
            data = file.read(end - start)
        if len(data) != end - start:
            raise StoredFileCorrupt(f"The stored upload ends at byte {start + len(data)}, expected at least {end}.")
        return data

    def size(self, uri: str) -> int | None:
        try:
            return (self.folder / uri).stat().st_size
        except FileNotFoundError:
            return None

    def discard_part(self, file_id: UUID) -> None:
        self.part_path(file_id).unlink(missing_ok=True)

    def delete(self, uri: str) -> None:
        (self.folder / uri).unlink(missing_ok=True)

    def stale(self, older_than_seconds: float) -> list[Path]:
        """Parts and files not touched for so long; the caller knows which of them still belong to something."""
        limit = time.time() - older_than_seconds
        found = []
        for path in self.folder.iterdir():
            with suppress(FileNotFoundError):  # deleted this very moment
                if not path.name.startswith(".") and path.stat().st_mtime < limit:
                    found.append(path)
        return found
