"""Stored files as they are, for reading."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO
from uuid import UUID

from app.db import files
from app.db.engine import Database
from app.errors import NotFound, StoredBytesGone
from app.jobs.progress import find_with_rows
from app.sources.base import Sources
from app.sources.s3 import S3_SCHEME


@dataclass(frozen=True, slots=True)
class StoredFile:
    open: Callable[[], BinaryIO]
    """Blocking; raises StoredFileMissing, StoredFileCorrupt, StorageUnavailable."""
    made_at: datetime
    filename: str
    media_type: str
    size: int
    tag: str
    """What the bytes follow from: the same for ever."""
    sha256: str | None
    """Of these bytes; None if those that came were others, compressed."""


async def find(database: Database, sources: Sources, identifier: UUID, owner: str) -> StoredFile:
    """By its own id, or as the file that a job reads; raises NotFound, JobHasParts, StoredBytesGone."""
    async with database.reading() as connection:
        file = await files.find_file(connection, identifier, owner)
        if file is None:
            job = await find_with_rows(connection, identifier, owner)
            file = await files.find_file(connection, job["file_id"], owner)
    if file is None:
        raise NotFound
    uri = file["storage_uri"]
    if uri is None:
        raise StoredBytesGone
    if uri.startswith(S3_SCHEME):
        raise StoredBytesGone(f"The file lies in a bucket, not here: {uri}")
    if await asyncio.to_thread(sources.storage.size, uri) != file["stored_bytes"]:
        raise StoredBytesGone("The file is not there as it was stored.")
    is_as_it_came = file["size_bytes"] == file["stored_bytes"]
    return StoredFile(
        lambda: sources.open(uri, file["stored_bytes"], file["etag"]),
        file["created_at"],
        file["filename"] if is_as_it_came else file["filename"].removesuffix(".gz"),
        file["media_type"] if is_as_it_came and "/" in file["media_type"] else "application/octet-stream",
        file["stored_bytes"],
        file["sha256"] if is_as_it_came else f"{file['sha256']}-decompressed",
        file["sha256"] if is_as_it_came else None,
    )
