"""granula.json, which says to which database a storage belongs."""

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
    """One small file at the root of a storage. Raises StorageUnavailable, DiskFull."""

    where: str
    """The storage, for messages."""

    def read(self) -> bytes | None:
        """None if there is none."""

    def create(self, data: bytes) -> bool:
        """Durably; False if there is one already, of any number that try at once."""

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
        """Written whole under another name first: a reader never sees half of it."""
        with translated_wholly(self._folder):
            made = self._written(data)
            try:
                os.link(made, self._folder / NAME)
            except FileExistsError:
                return False
            except (
                OSError
                # a file system without hard links; two that begin at this very moment ask again
                # afterwards
            ):
                if (self._folder / NAME).exists():
                    return False
                os.replace(made, self._folder / NAME)
            finally:
                made.unlink(missing_ok=True)
            sync_folder(self._folder)
        return True

    def replace(self, data: bytes) -> None:
        with translated_wholly(self._folder):
            made = self._written(data)
            os.replace(made, self._folder / NAME)
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
        found = self._bucket.head(NAME)
        if found is None:
            return None
        try:
            return self._bucket.read(NAME, 0, found.size)
        except StoredFileMissing:
            return None

    def create(self, data: bytes) -> bool:
        return self._bucket.create(NAME, data)

    def replace(self, data: bytes) -> None:
        self._bucket.put(NAME, data)
