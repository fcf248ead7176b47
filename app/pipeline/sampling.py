"""Reads a sample of the rows of a job's file, from chunks that are cut already."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Sequence

from app.db import chunks
from app.db.engine import Database
from app.db.rows import ChunkRow, JobRow
from app.errors import StoredFileCorrupt, StoredFileMissing
from app.formats.base import Format, Rows, Span
from app.formats.registry import from_json, open_format
from app.processors.base import NO_ROWS, RowSample

ROWS_A_PLACE = 200
"""Rows from the beginning of a file, as many from its middle, and as many from its end."""
ReadBytes = Callable[[str, int, int, str | None], bytes]
"""(address, start, end, version) of a stored file to its bytes."""


async def sample_of(database: Database, read: ReadBytes, job: JobRow) -> RowSample:
    """Return rows from the beginning, the middle and the end of the file, in their order; none if
    its bytes are gone. At most three chunks are read.

    Raises TransientError if the storage does not answer.
    """
    if job.storage_uri is None or not job.chunk_count:
        return NO_ROWS
    indexes = sorted({0, job.chunk_count // 2, job.chunk_count - 1})
    places: list[ChunkRow] = []
    async with database.working() as connection:
        for index in indexes:
            places += await chunks.list_chunks(connection, job.id, after=index - 1, limit=1)
    try:
        return await asyncio.to_thread(_read, read, job, places)
    except (StoredFileMissing, StoredFileCorrupt):
        return NO_ROWS


def _read(read: ReadBytes, job: JobRow, places: Sequence[ChunkRow]) -> RowSample:
    form = open_format(from_json(job.dialect))
    columns: Sequence[str] = job.dialect.get("columns", ())
    numbers: list[int] = []
    rows: list[list[str | None] | bytes] = []
    last = places[-1].chunk_index if places else 0
    for chunk in places:
        parsed = _rows_of(read, job, form, chunk)
        if parsed is None:
            continue
        kept = parsed.select(_kept(len(parsed), chunk.chunk_index, last))
        numbers += kept.numbers
        rows += kept.undecoded()
        columns = columns or parsed.columns
    return RowSample(tuple(columns), tuple(numbers), rows)


def _rows_of(read: ReadBytes, job: JobRow, form: Format, chunk: ChunkRow) -> Rows | None:
    """Return the rows of a chunk; None if its only record is too long to be one, or if its bytes
    are not those that were cut.
    """
    span = Span(
        chunk.byte_start,
        chunk.byte_end,
        chunk.first_row,
        chunk.row_count,
        chunk.first_line,
        chunk.crc32,
    )
    if span.is_oversize:
        return None
    assert job.storage_uri is not None
    data = read(job.storage_uri, span.byte_start, span.byte_end, job.etag)
    return form.read(data, span).rows if zlib.crc32(data) == span.crc32 else None


def _kept(count: int, index: int, last: int) -> list[int]:
    """Return which of the rows of a chunk belong to the sample: the first ones of the first chunk,
    the last ones of the last, and those in the middle of the one between. A chunk that stands for
    several of them has the rows of each.
    """
    places: set[int] = set()
    if index == 0:
        places |= set(range(min(count, ROWS_A_PLACE)))
    if index == last:
        places |= set(range(max(0, count - ROWS_A_PLACE), count))
    if 0 < index < last or last == 0:
        start = max(0, (count - ROWS_A_PLACE) // 2)
        places |= set(range(start, min(count, start + ROWS_A_PLACE)))
    return sorted(places)
