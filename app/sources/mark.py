"""granula.json, which names the database that a storage belongs to."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from app.errors import StoredFileMissing
from app.sources.bucket import Bucket
from app.sources.faults import translated_wholly
from app.sources.folders import sync_folder

NAME = "granula.json"


class Mark(Protocol):
    """A small file at the root of a storage. Raises StorageUnavailable, DiskFull."""

    where: str
    """Name of the storage in messages."""

    def read(self) -> bytes | None:
        """Return the content; None if the file does not exist."""

    def create(self, data: bytes) -> bool:
        """Create the file durably; return False if it exists. Of several concurrent calls, one gets
        True.
        """

    def replace(self, data: bytes) -> None: ...


class FolderMark:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.where = str(folder)

    def read(self) -> bytes | None:
        with translated_wholly(self._folder):
            try:
                return (self._folder / NAME).read_bytes()
            except FileNotFoundError:
                return None

    def create(self, data: bytes) -> bool:
        """Write the file under another name first, so that readers never see a part of it."""
        with translated_wholly(self._folder):
            temporary = self._written(data)
            try:
                os.link(temporary, self._folder / NAME)
            except FileExistsError:
                return False
            except (
                OSError
                # A file system without hard links: two concurrent starts check again afterwards.
            ):
                if (self._folder / NAME).exists():
                    return False
                os.replace(temporary, self._folder / NAME)
            finally:
                temporary.unlink(missing_ok=True)
            sync_folder(self._folder)
        return True

    def replace(self, data: bytes) -> None:
        with translated_wholly(self._folder):
            temporary = self._written(data)
            os.replace(temporary, self._folder / NAME)
            sync_folder(self._folder)

    def _written(self, data: bytes) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._folder / f".{NAME}-{uuid4().hex}"
        try:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            with suppress(OSError):
                path.unlink(missing_ok=True)
            raise
        return path


class BucketMark:
    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self.where = str(bucket)

    def read(self) -> bytes | None:
        stored = self._bucket.head(NAME)
        if stored is None:
            return None
        try:
            return self._bucket.read(NAME, 0, stored.size)
        except StoredFileMissing:
            return None

    def create(self, data: bytes) -> bool:
        return self._bucket.create(NAME, data)

    def replace(self, data: bytes) -> None:
        self._bucket.put(NAME, data)
