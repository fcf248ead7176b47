"""Copies files of a source into the storage, through the decoders, as an upload would be stored."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

from msgspec import structs

from app.config import Settings
from app.db.rows import NewFile
from app.errors import (
    DecompressedTooLarge,
    FileTooLarge,
    QuotaExceeded,
    RequestError,
    TransientError,
)
from app.failpoints import hit
from app.jobs import uploaded
from app.jobs.limits import OwnerLimits
from app.jobs.submit import Submission, declare, decoding_wanted
from app.sources.decoding import DecodingLimits
from app.sources.http import BrokenOff, without_query
from app.sources.places import Storage, Stored
from app.sources.remote import Fetched, Object, Source
from app.sources.upload import Received, UploadSource, touch_periodically

logger = logging.getLogger(__name__)
AT_ONCE = 2
"""Files that one request fetches at the same time."""
TRIES = 3
"""Transfers of a file whose server names no version to continue."""


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """A stored file, and why it cannot be read, if it cannot."""

    file: NewFile
    error: RequestError | None


@dataclass(slots=True)
class Kept:
    """What a request has stored so far, without a row in the database."""

    file_ids: list[UUID] = field(default_factory=list)
    stored: list[Stored] = field(default_factory=list)
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    is_committing: bool = False
    """Whether the database may know the files, so that only the sweep may remove them."""


class Fetcher:
    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        limits: OwnerLimits,
        decoding: DecodingLimits,
    ) -> None:
        self._settings = settings
        self._storage = storage
        self._limits = limits
        self._decoding = decoding

    @asynccontextmanager
    async def keeping(self) -> AsyncIterator[Kept]:
        """Keep the fetched files from the sweep until the database knows them. If the block raises,
        they are deleted, unless the outcome of the commit is uncertain.
        """
        kept = Kept()
        async with touch_periodically(self._storage, kept.file_ids):
            try:
                yield kept
            except BaseException as error:
                if not (kept.is_committing and isinstance(error, TransientError)):
                    await self._delete(kept.stored)
                raise

    async def _delete(self, stored: list[Stored]) -> None:
        for file in stored:
            try:
                await asyncio.to_thread(self._storage.delete, file.uri)
            except TransientError as error:
                logger.warning("Could not delete a file; the sweep will: %s", error)

    async def fetch(
        self,
        submission: Submission,
        source: Source,
        object_: Object,
        credentials: str,
        kept: Kept,
    ) -> list[FetchedFile]:
        """Store the object: several files if it has several sheets or members. Raises RequestError if it
        cannot be fetched or if none of its files can be read, TransientError.
        """
        for attempt in range(1, TRIES + 1):
            try:
                async with kept.slots:
                    return await self._fetch_once(submission, source, object_, credentials, kept)
            except BrokenOff as error:
                if attempt == TRIES:
                    raise
                logger.warning("%s Starting again.", error)
        raise AssertionError("the last attempt returns or raises")

    async def _fetch_once(
        self,
        submission: Submission,
        source: Source,
        object_: Object,
        credentials: str,
        kept: Kept,
    ) -> list[FetchedFile]:
        left = await self._limits.bytes_left(submission.owner)
        limit = self._settings.max_upload_bytes
        async with source.fetch(object_, credentials) as fetched:
            if fetched.size is not None and fetched.size > limit:
                raise FileTooLarge(
                    f"{without_query(object_.uri)} has {fetched.size} bytes; at most {limit} are"
                    " accepted.",
                    limit_bytes=limit,
                )
            submission = replace(
                submission, filename=fetched.name[:255], media_type=fetched.media_type
            )
            upload = UploadSource(
                self._storage,
                uuid4(),
                max_bytes=limit if left is None else min(limit, left),
                reserve_bytes=self._settings.min_free_disk_mb << 20,
                limits=self._decoding,
                declared=fetched.coding,
            )
            async with upload, touch_periodically(self._storage, upload.file_ids, release=False):
                readings: list[uploaded.Reading] = []
                try:
                    received = await self._received(submission, upload, fetched, readings)
                except (FileTooLarge, DecompressedTooLarge):
                    if left is None or left >= limit:
                        raise
                    raise QuotaExceeded(
                        f"The file is larger than the {left} bytes that you may still store.",
                        limit="stored_bytes",
                    ) from None
                hit("source.received")
                return await self._files(
                    submission, upload, received, readings, fetched, object_, kept
                )

    async def _received(
        self,
        submission: Submission,
        upload: UploadSource,
        fetched: Fetched,
        readings: list[uploaded.Reading],
    ) -> Received:
        """Store the bytes; `readings` gets how each of the files is read."""
        declare(upload, submission.declared, or_likely=True)
        async for data in fetched.pieces:
            await upload.write(data)
        return await upload.finish(
            decoding_wanted(self._settings, submission.declared),
            lambda part: readings.append(uploaded.reading(submission, part)),
        )

    async def _files(
        self,
        submission: Submission,
        upload: UploadSource,
        received: Received,
        readings: list[uploaded.Reading],
        fetched: Fetched,
        object_: Object,
        kept: Kept,
    ) -> list[FetchedFile]:
        uploaded.check_readings(readings)
        content_key = uploaded.content_key(submission, received, readings)
        kept.file_ids += upload.file_ids
        stored = await upload.publish()
        kept.stored += filter(None, stored)
        version = _version(object_, fetched, received)
        files = uploaded.new_files(submission, received, readings, stored, content_key)
        return [
            FetchedFile(structs.replace(file, fetched=version), reading.error)
            for file, reading in zip(files, readings, strict=True)
        ]


def _version(object_: Object, fetched: Fetched, received: Received) -> dict[str, Any]:
    """Return which version was fetched, as it is shown."""
    return {
        "uri": without_query(object_.uri),
        "etag": fetched.etag or None,
        "size_bytes": received.size_bytes,
        "modified_at": fetched.modified_at,
    }
