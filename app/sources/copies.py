"""Copies a whole storage to files in a folder, and back. Nothing is ever removed from the
storage.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from app.errors import BackupUnusable, StoredFileMissing
from app.sources.folders import sync_folder
from app.sources.stores import Stores

UPLOADS, PARTIAL, OUTPUTS = "uploads", "partial", "outputs"
INDEX = "storage.jsonl"
BLOCK_BYTES = 1 << 20
ANY_AGE = -(10.0**9)


@dataclass
class Copied:
    """The copied files, by name without the folder."""

    crc32: dict[UUID, int] = field(default_factory=dict)
    """CRC-32 of each stored file."""
    etags: dict[UUID, str | None] = field(default_factory=dict)
    """ETag of each restored file: its current version."""
    count: int = 0
    size: int = 0


def save(places: Stores, folder: Path) -> Copied:
    """Copy everything into the folder; blocking. Files deleted meanwhile are left out."""
    copied = Copied()
    with open(os.open(folder / INDEX, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as index:

        def add(folder_name: str, name: str, blocks: Iterable[bytes]) -> None:
            path = folder / folder_name / name
            with suppress(FileNotFoundError, StoredFileMissing):
                size, crc32 = _written(path, blocks)
                index.write(
                    json.dumps({"place": folder_name, "name": name, "size": size, "crc32": crc32})
                    + "\n"
                )
                copied.count += 1
                copied.size += size
                if folder_name == UPLOADS:
                    copied.crc32[UUID(name)] = crc32

        for file_id in _named(places):
            add(UPLOADS, str(file_id), _stored(places, file_id))
        for upload_id in places.partials.ids(ANY_AGE):
            add(PARTIAL, str(upload_id), places.partials.blocks(upload_id))
        for job_id in places.outputs.jobs():
            for name in places.outputs.names(job_id):
                add(OUTPUTS, f"{job_id}/{name}", places.outputs.blocks(job_id, name))
        index.flush()
        os.fsync(index.fileno())
    return copied


def _named(places: Stores) -> list[UUID]:
    return [stale.file_id for stale in places.storage.stale(ANY_AGE) if not stale.is_part]


def _stored(places: Stores, file_id: UUID) -> Iterator[bytes]:
    size = places.storage.size(str(file_id))
    if size is None:
        raise StoredFileMissing
    with places.storage.open(str(file_id), size, None) as file:
        yield from _blocks(file)


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(BLOCK_BYTES):
        yield block


def _written(path: Path, blocks: Iterable[bytes]) -> tuple[int, int]:
    """Write a file; return its size and CRC-32. An interrupted write leaves nothing."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    size = crc32 = 0
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            for block in blocks:
                file.write(block)
                size, crc32 = size + len(block), zlib.crc32(block, crc32)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    return size, crc32


# ---------------------------------------------------------------------- restoring


def load(places: Stores, folder: Path) -> Copied:
    """Copy everything back; blocking. Unchanged files stay, stored files with other bytes are
    replaced.

    Raises BackupUnusable at a missing or damaged file of the backup; the files before it are
    restored then.
    """
    copied = Copied()
    try:
        lines = (folder / INDEX).read_text().splitlines()
    except FileNotFoundError:
        raise BackupUnusable(f"{folder} has no {INDEX}.") from None
    load_one: dict[str, Callable[[Stores, str, Path, int], str | None]] = {
        UPLOADS: _load_file,
        PARTIAL: _load_partial,
        OUTPUTS: _load_part,
    }
    for line in lines:
        entry = json.loads(line)
        path = folder / entry["place"] / entry["name"]
        _check(path, entry["size"], entry["crc32"])
        etag = load_one[entry["place"]](places, entry["name"], path, entry["crc32"])
        copied.count += 1
        copied.size += entry["size"]
        if entry["place"] == UPLOADS:
            copied.crc32[UUID(entry["name"])] = entry["crc32"]
            copied.etags[UUID(entry["name"])] = etag
    return copied


def _check(path: Path, size: int, crc32: int) -> None:
    try:
        with path.open("rb") as file:
            found_crc32, count = 0, 0
            for block in _blocks(file):
                found_crc32, count = zlib.crc32(block, found_crc32), count + len(block)
    except FileNotFoundError:
        raise BackupUnusable(f"{path} is missing in the backup.") from None
    if (count, found_crc32) != (size, crc32):
        raise BackupUnusable(f"{path} differs from what the backup recorded: it was damaged.")


def _load_file(places: Stores, name: str, path: Path, crc32: int) -> str | None:
    file_id, size = UUID(name), path.stat().st_size
    if places.storage.size(name) == size:
        found_crc32 = 0
        for block in _stored(places, file_id):
            found_crc32 = zlib.crc32(block, found_crc32)
        if found_crc32 == crc32:
            return places.storage.etag(name)
    writer = places.storage.writer(file_id, size)
    try:
        with path.open("rb") as file:
            for block in _blocks(file):
                writer.write(block)
        writer.finish()
        return writer.publish().etag
    except BaseException:
        writer.discard()
        raise


def _load_partial(places: Stores, name: str, path: Path, crc32: int) -> None:
    upload_id = UUID(name)
    if places.partials.size(upload_id):
        return  # it exists, and may have more bytes
    with suppress(FileExistsError):
        places.partials.create(upload_id)
    with places.partials.locked(upload_id) as growing, path.open("rb") as file:
        while block := file.read(growing.block_bytes):
            growing.append(block)
        growing.sync()


def _load_part(places: Stores, name: str, path: Path, crc32: int) -> None:
    job, _, part = name.partition("/")
    if part not in places.outputs.names(UUID(job)):
        with path.open("rb") as file:
            blocks = iter(lambda: file.read(BLOCK_BYTES), b"")
            places.outputs.write(UUID(job), part, path.stat().st_size, blocks)
