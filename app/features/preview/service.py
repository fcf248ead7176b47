"""The beginnings of files that are not in the body of the request."""

from __future__ import annotations

import asyncio
from functools import partial
from uuid import UUID

from app.errors import ObjectNotFound
from app.features.preview.beginning import Beginning, named, of_body
from app.formats.detect import SAMPLE_BYTES, Declared
from app.jobs.file_jobs import FileJobs
from app.jobs.objects import as_request_error
from app.sources.base import Sources


class Previews:
    def __init__(self, file_jobs: FileJobs, sources: Sources) -> None:
        self._file_jobs = file_jobs
        self._sources = sources

    async def of_file(self, owner: str, file_id: UUID) -> Beginning:
        """Of an upload; raises NotFound, StoredBytesGone, NotRows."""
        file = await self._file_jobs.file(owner, file_id)
        assert file.storage_uri is not None
        size = file.stored_bytes
        read = partial(self._sources.read, file.storage_uri, 0, min(size, SAMPLE_BYTES), file.etag)
        sample = await as_request_error(asyncio.to_thread(read))
        # It is stored as it was decoded, whatever is said of the file that came.
        encoding = file.dialect.get("decoded_from")
        read_as = {"encoding": "utf-8", "decoded_from": encoding} if encoding else {}
        return Beginning(sample, size <= SAMPLE_BYTES, file.filename, read_as=read_as)

    async def of_source(self, uri: str, said: Declared, credentials: str) -> Beginning:
        """Return the beginning of an object, or of the first one if the URI stands for several.
        Raises RequestErrors of the source, Unavailable.
        """
        return await as_request_error(self._of_source(uri, said, credentials))

    async def _of_source(self, uri: str, said: Declared, credentials: str) -> Beginning:
        source = self._sources.of(uri)
        source.check_configured()
        full = source.full(uri)
        single = await asyncio.to_thread(source.single, full)
        if single is None:
            objects = await asyncio.to_thread(source.find, full, 1)
            if not objects:
                raise ObjectNotFound(f"No object matches {full}.")
            single = objects[0]
        async with source.fetch(single, credentials) as fetched:
            kind = fetched.coding
            beginning = await of_body(fetched.pieces, said, kind, is_partial=False)
            name = fetched.name.rpartition("/")[2]
            return named(beginning, name, fetched.media_type)
