"""Where a loaded row came from: its line and bytes in the stored file, and its correction."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import chunks, corrections
from app.db.rows import ChunkRow
from app.formats.base import Format, Span
from app.formats.registry import from_json, open_format
from app.sources.base import Sources


@dataclass(frozen=True, slots=True)
class StoredFile:
    """The file of a job as it is stored."""

    uri: str
    etag: str | None
    dialect: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Place of a record in the stored file."""

    byte_start: int
    byte_end: int
    line: int


@dataclass(frozen=True, slots=True)
class Origin:
    """What is known of the origin of a row."""

    chunk_index: int
    correction_id: UUID | None
    place: Place | None
    """None if the file is deleted."""


async def find_origin(
    connection: AsyncConnection,
    sources: Sources,
    job_id: UUID,
    file: StoredFile | None,
    number: int,
) -> Origin | None:
    """Return the origin of a row of a job; None if no chunk has such a row. Raises TransientError
    or TerminalError if the stored bytes cannot be read.
    """
    indexes = await chunks.indexes_of(connection, job_id, number, number)
    if not indexes:
        return None
    index = indexes[0][1]
    (chunk,) = await chunks.list_chunks(connection, job_id, after=index - 1, limit=1)
    correction = await corrections.find_of_row(connection, job_id, index, number)
    place = None
    if file is not None:
        form = open_format(from_json(file.dialect))
        place = await asyncio.to_thread(_locate, sources, form, chunk, number, file)
    return Origin(index, correction, place)


def _locate(
    sources: Sources, form: Format, chunk: ChunkRow, number: int, file: StoredFile
) -> Place:
    data = sources.read(file.uri, chunk.byte_start, chunk.byte_end, file.etag)
    span = Span(
        chunk.byte_start,
        chunk.byte_end,
        chunk.first_row,
        chunk.row_count,
        chunk.first_line,
        chunk.crc32,
    )
    start, end, line = form.locate(data, span, [number])[0]
    return Place(start, end, line)
