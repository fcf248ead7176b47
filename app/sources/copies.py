"""Everything in a storage as files of a folder, and back. Nothing that is in a storage is ever
removed here.
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
    """What was copied, by name without the place."""

    crc32: dict[UUID, int] = field(default_factory=dict)
    """Of each stored file."""
    etags: dict[UUID, str | None] = field(default_factory=dict)
    """Of each stored file that was put back: the version that is there now."""
    count: int = 0
    size: int = 0


def save(places: Stores, folder: Path) -> Copied:
    """Blocking. A file that is deleted meanwhile is left out."""
    copied = Copied()
    with open(os.open(folder / INDEX, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as index:

        def add(place: str, name: str, blocks: Iterable[bytes]) -> None:
            path = folder / place / name
            with suppress(FileNotFoundError, StoredFileMissing):
                size, crc32 = _written(path, blocks)
                index.write(
                    json.dumps({"place": place, "name": name, "size": size, "crc32": crc32}) + "\n"
                )
                copied.count += 1
                copied.size += size
                if place == UPLOADS:
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
    return [each.file_id for each in places.storage.stale(ANY_AGE) if not each.is_part]


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
    """Size and CRC-32. Nothing stays of what breaks off."""
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


# ---------------------------------------------------------------------- back


def load(places: Stores, folder: Path) -> Copied:
    """Blocking. What is there as it was stays; a stored file that is there with other bytes is
    replaced. Raises BackupUnusable at a file of the backup that is missing or damaged; those before
    it are put back then.
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
        told = json.loads(line)
        path = folder / told["place"] / told["name"]
        _check(path, told["size"], told["crc32"])
        etag = load_one[told["place"]](places, told["name"], path, told["crc32"])
        copied.count += 1
        copied.size += told["size"]
        if told["place"] == UPLOADS:
            copied.crc32[UUID(told["name"])] = told["crc32"]
            copied.etags[UUID(told["name"])] = etag
    return copied


def _check(path: Path, size: int, crc32: int) -> None:
    try:
        with path.open("rb") as file:
            found, count = 0, 0
            for block in _blocks(file):
                found, count = zlib.crc32(block, found), count + len(block)
    except FileNotFoundError:
        raise BackupUnusable(f"{path} is missing in the backup.") from None
    if (count, found) != (size, crc32):
        raise BackupUnusable(f"{path} is not what the backup says: it was damaged.")


def _load_file(places: Stores, name: str, path: Path, crc32: int) -> str | None:
    file_id, size = UUID(name), path.stat().st_size
    if places.storage.size(name) == size:
        found = 0
        for block in _stored(places, file_id):
            found = zlib.crc32(block, found)
        if found == crc32:
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
        return  # it is there, and may be further
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
