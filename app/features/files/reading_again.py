"""Reads a stored upload again with other settings. The result is a new upload."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import BinaryIO
from uuid import UUID

from app.api.receiving import check_plan, described
from app.api.services import Services
from app.errors import StoredBytesGone, StoredFileCorrupt, StoredFileMissing
from app.features.files import downloads
from app.features.files.parameters import FileOptions
from app.jobs.originals import original, plain_filename
from app.jobs.submit import Accepted

PIECE_BYTES = 1 << 20


async def read_again(
    app: Services, owner: str, file_id: UUID, options: FileOptions, idempotency_key: str | None
) -> Accepted:
    """Copy the stored bytes of an upload, as they were received, into a new upload with these
    options. Raises NotFound, NotRows, StoredBytesGone, and the errors of an upload.
    """
    file = await app.file_jobs.file(owner, file_id)
    stored = await downloads.find(app.database, app.sources, file_id, owner)
    pieces = original(file, _pieces(stored.open))
    submission = described(owner, options, file.media_type, app)
    submission = replace(
        submission,
        filename=options.name_of(plain_filename(file)),
        content_length=file.stored_bytes,
        idempotency_key=idempotency_key,
    )
    await check_plan(submission, app)
    await app.submitter.check(submission)
    return await app.submitter.submit(submission, _from_thread(pieces))


def _pieces(open_file: Callable[[], BinaryIO]) -> Iterator[bytes]:
    with closing(open_file()) as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


async def _from_thread(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    try:
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            yield piece
    except (StoredFileCorrupt, StoredFileMissing):
        raise StoredBytesGone(downloads.DAMAGED) from None
