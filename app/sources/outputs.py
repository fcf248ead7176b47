"""Parts of output files: one folder for each job, written before the transaction that names them,
and removed with the job.
"""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from app.sources.faults import translated, translated_wholly
from app.sources.folders import sync_folder
from app.sources.lost import LostFolder

BLOCK_BYTES = 1 << 20


class OutputParts:
    """Names are written once and never again, so a part that the database names is complete."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.lost = LostFolder(folder)

    def folder(self, job_id: UUID) -> Path:
        return self._folder / str(job_id)

    def _restored_path(self, job_id: UUID) -> Path:
        """Return the job's folder, restoring it from lost+found: the caller knows the job from the
        database.
        """
        folder = self.folder(job_id)
        if not folder.exists():
            self.lost.give_back(job_id)
        return folder

    def write(self, job_id: UUID, name: str, size: int, blocks: Iterable[bytes]) -> int:
        """Write a part durably or not at all; return the CRC-32 of the bytes. Raises DiskFull,
        StorageUnavailable.
        """
        folder, crc32 = self._restored_path(job_id), 0
        with translated_wholly(self._folder):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                with open(folder / name, "wb", buffering=0) as file:
                    for block in blocks:
                        crc32 = zlib.crc32(block, crc32)
                        remaining = memoryview(block)
                        while len(remaining):
                            remaining = remaining[file.write(remaining) :]
                    os.fsync(file.fileno())
                sync_folder(folder)
            except OSError:
                with suppress(OSError):
                    (folder / name).unlink(missing_ok=True)
                raise
        return crc32

    def blocks(self, job_id: UUID, name: str) -> Iterator[bytes]:
        with translated(self._folder):
            yield from blocks_of(self._restored_path(job_id) / name)

    def workspace(self, job_id: UUID, names: Sequence[str]) -> Path:
        """Return the job's own folder, which has the parts already."""
        return self._restored_path(job_id)

    def remove(self, job_id: UUID) -> None:
        shutil.rmtree(self.folder(job_id), ignore_errors=True)

    def jobs(self) -> list[UUID]:
        """Return the jobs that have parts here."""
        if not self._folder.is_dir():
            return []
        job_ids = []
        for path in self._folder.iterdir():
            try:
                job_ids.append(UUID(path.name))
            except ValueError:
                continue
        return job_ids

    def names(self, job_id: UUID) -> list[str]:
        folder = self._restored_path(job_id)
        return (
            sorted(path.name for path in folder.iterdir() if path.is_file())
            if folder.is_dir()
            else []
        )


def blocks_of(path: Path) -> Iterator[bytes]:
    with open(path, "rb", buffering=0) as file:
        while block := file.read(BLOCK_BYTES):
            yield block
