"""The beginnings of files that are not in the body of the request."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from uuid import UUID

from app.db.engine import Database
from app.decoders.registry import by_content
from app.errors import BinaryContent, ObjectNotFound
from app.features.preview.beginning import Beginning, of_pieces
from app.features.preview.queries import EarlierFile, list_loaded
from app.formats.detect import SAMPLE_BYTES, Declared
from app.jobs.file_jobs import FileJobs
from app.jobs.objects import as_request_error
from app.jobs.originals import is_workbook, original, plain_filename
from app.sources.base import Sources


class Previews:
    def __init__(self, database: Database, file_jobs: FileJobs, sources: Sources) -> None:
        self._database = database
        self._file_jobs = file_jobs
        self._sources = sources

    async def of_file(self, owner: str, file_id: UUID, said: Declared) -> Beginning:
        """Return the beginning of an upload as it was received, so that it shows what reading the
        upload again would give. Raises NotFound, StoredBytesGone, NotRows.
        """
        file = await self._file_jobs.file(owner, file_id)
        assert file.storage_uri is not None
        size = file.stored_bytes
        read = partial(self._sources.read, file.storage_uri, 0, min(size, SAMPLE_BYTES), file.etag)
        sample = await as_request_error(asyncio.to_thread(read))
        is_complete = size <= SAMPLE_BYTES
        if is_workbook(file):
            decoding = tuple(file.decoding or ())
            return Beginning(sample, is_complete, file.filename, decoding=decoding)
        beginning = await asyncio.to_thread(
            of_pieces, original(file, [sample]), said, is_partial=not is_complete
        )
        return replace(beginning, filename=plain_filename(file))

    async def loaded_before(self, owner: str) -> list[EarlierFile]:
        """Return the latest files whose rows were all loaded, newest first."""
        async with self._database.reading() as connection:
            return await list_loaded(connection, owner)

    async def of_source(self, uri: str) -> Beginning:
        """Of an object, or of the first one where the URI stands for several; raises BadSourceUri,
        NotConfigured, ObjectNotFound, ObjectAccessDenied, Unavailable, BinaryContent.
        """
        source = self._sources.remote(uri)
        source.check_configured()
        full = source.full(uri)
        single = await as_request_error(asyncio.to_thread(source.single, full))
        if single is None:
            objects = await as_request_error(asyncio.to_thread(source.find, full, 1))
            if not objects:
                raise ObjectNotFound(f"No object matches {full}.")
            single = objects[0]
        end = min(single.size, SAMPLE_BYTES)
        read = partial(source.read, single.uri, 0, end, single.etag)
        sample = await as_request_error(asyncio.to_thread(read))
        if by_content(sample) is not None:
            raise BinaryContent(
                f"{single.uri} is compressed; only plain objects can be read in place."
            )
        name = single.uri.rpartition("/")[2]
        return Beginning(sample, single.size <= SAMPLE_BYTES, name)
