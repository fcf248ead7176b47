"""Reads the beginnings of files that are not in the body of the request."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from uuid import UUID

from app.db.engine import Database
from app.errors import ObjectNotFound
from app.features.preview.beginning import Beginning, named, of_body, of_pieces
from app.features.preview.queries import EarlierFile, list_loaded
from app.formats.detect import SAMPLE_BYTES, Declared
from app.jobs.file_jobs import FileJobs
from app.jobs.objects import as_request_error
from app.jobs.originals import is_reversible, original, plain_filename
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
        if not is_reversible(file):
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
