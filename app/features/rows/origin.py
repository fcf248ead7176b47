"""One loaded row with its origin."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from app.db import files
from app.db.engine import Database
from app.db.rows import FilePlaces, JobRow
from app.decoders.places import places_from_json
from app.errors import NotFound, TerminalError
from app.features.rows.choice import Choice, ranges_of
from app.features.rows.reading import JobRows, by_number
from app.formats.encodings import shown
from app.jobs.origins import Origin, StoredFile, find_origin
from app.sources.base import Sources

MOST_RAW_BYTES = 64 << 10
UNKNOWN = ("chunk_index", "line", "byte_start", "byte_end", "raw", "correction_id")


async def row_with_origin(
    database: Database, sources: Sources, of_job: JobRows, row_number: int
) -> bytes:
    """Return a row with its origin as JSON; raises NotFound, and TransientError if the stored bytes
    cannot be read now.
    """
    job = of_job.job
    chosen = Choice(tuple(job.columns), rows=ranges_of([row_number]))
    rows = await by_number(database, of_job, chosen)
    if not rows:
        raise NotFound(f"The job has no result with the row number {row_number}.")
    body: dict[str, Any] = {
        "file_id": str(job.file_id),
        "job_id": str(job.id),
        "row_number": row_number,
        "columns": job.columns,
        "cells": as_cells(job.columns, rows[0][1]),
        **dict.fromkeys(UNKNOWN),
    }
    origin, file_places = await _origin(database, sources, job, row_number)
    if origin is not None:
        body["chunk_index"] = origin.chunk_index
        body["correction_id"] = origin.correction_id
        body |= await asyncio.to_thread(_place, sources, job, origin)
    if body["line"] is not None and file_places is not None:
        places = places_from_json(file_places.places)
        if places is not None:
            body["place"] = places.at(body["line"], None, row_number)
    return msgspec.json.encode(body)


def as_cells(columns: Sequence[str], row: msgspec.Raw) -> Any:
    """Return the cells in the order of the columns, as raw JSON, so that no number is rounded."""
    if bytes(memoryview(row)[:1]) != b"{":
        return row
    values = msgspec.json.decode(row, type=dict[str, msgspec.Raw])
    return [values.get(column) for column in columns]


async def _origin(
    database: Database, sources: Sources, job: JobRow, row_number: int
) -> tuple[Origin | None, FilePlaces | None]:
    stored = None
    if job.storage_uri is not None:
        stored = StoredFile(job.storage_uri, job.etag, job.dialect)
    async with database.reading() as connection:
        file_places = await files.find_places(connection, job.file_id)
        try:
            origin = await find_origin(connection, sources, job.id, stored, row_number)
        except TerminalError:  # the bytes are deleted or damaged: the row still exists
            origin = await find_origin(connection, sources, job.id, None, row_number)
    return origin, file_places


def _place(sources: Sources, job: JobRow, origin: Origin) -> dict[str, Any]:
    if origin.place is None or job.storage_uri is None:
        return {}
    line, start, end = origin.place.line, origin.place.byte_start, origin.place.byte_end
    raw = sources.read(job.storage_uri, start, min(end, start + MOST_RAW_BYTES), job.etag)
    place = {"line": line, "byte_start": start, "byte_end": end}
    return place | shown(raw, job.dialect.get("encoding", "utf-8"))
