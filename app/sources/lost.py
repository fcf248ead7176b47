"""lost+found: files that the database does not know. They are kept for some days, and restored when
they are read.

In a folder, a file is moved to `lost+found/<place>/<id>`. An object is not moved, since a copy has
another ETag: the mark `lost+found/<place>/<id>` holds the time from which it counts as unknown.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from app.sources.bucket import Bucket
from app.sources.faults import translated

LOST = "lost+found"


class LostFolder:
    def __init__(self, place: Path) -> None:
        """`place` is a folder of the storage whose files or folders have ids as names."""
        self._place = place
        self._folder = place.parent / LOST / place.name

    def keep(self, file_id: UUID) -> None:
        with translated(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            target = self._folder / str(file_id)
            with suppress(FileNotFoundError, FileExistsError):  # deleted in the meantime
                _move(self._place / str(file_id), target)
                os.utime(target)  # its days are counted from now on

    def give_back(self, file_id: UUID) -> bool:
        """Restore the file; return whether it was here."""
        with translated(self._folder):
            try:
                _move(self._folder / str(file_id), self._place / str(file_id))
            except (FileNotFoundError, FileExistsError):
                return False
        return True

    def ages(self) -> dict[UUID, float]:
        """Return the age in lost+found of each file in seconds."""
        if not self._folder.is_dir():
            return {}
        ages: dict[UUID, float] = {}
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError, ValueError):
                ages[UUID(path.name)] = time.time() - path.stat().st_mtime
        return ages

    def remove(self, file_id: UUID) -> None:
        """Remove the file permanently."""
        path = self._folder / str(file_id)
        with translated(self._folder):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _move(source: Path, target: Path) -> None:
    """Raises FileNotFoundError, FileExistsError."""
    if target.exists():
        raise FileExistsError(target)
    os.rename(source, target)


class LostObjects:
    def __init__(self, bucket: Bucket, place: str, remove: Callable[[UUID], None]) -> None:
        """`remove` deletes the object with an id."""
        self._bucket = bucket
        self._place = place
        self._remove = remove

    def _key(self, file_id: UUID) -> str:
        return f"{LOST}/{self._place}/{file_id}"

    def keep(self, file_id: UUID) -> None:
        self._bucket.create(self._key(file_id), b"")

    def give_back(self, file_id: UUID) -> bool:
        self._bucket.delete([self._key(file_id)])
        return True

    def ages(self) -> dict[UUID, float]:
        now = datetime.now(UTC)
        ages: dict[UUID, float] = {}
        for entry in self._bucket.entries(f"{LOST}/{self._place}"):
            with suppress(ValueError):
                ages[UUID(entry.key.rpartition("/")[2])] = (now - entry.touched_at).total_seconds()
        return ages

    def remove(self, file_id: UUID) -> None:
        self._remove(file_id)
        self._bucket.delete([self._key(file_id)])
