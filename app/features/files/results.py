"""Results and rejects by page, by offset or by cursor."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid5

import msgspec

from app.db import chunks, files, results
from app.db.engine import Database
from app.db.results import RejectFilter
from app.db.rows import FilePlaces, JobRow, RejectRow
from app.decoders.places import Places, places_from_json
from app.destinations.registry import Destinations
from app.formats.encodings import UNDECODED_BYTE, restored, shown
from app.formats.faults import unmarked
from app.jobs.progress import check_rejects_kept, check_results_kept, find_with_rows
from app.jobs.reject_files import layout_of, place_of
from app.jobs.stored_rows import ANSWER_BYTES, Row, named, rows_at, rows_behind
from app.states import JobStatus

NO_CELL = len(b",null")
MOST_CAUSES = 1_000


async def get_results(
    database: Database,
    destinations: Destinations,
    identifier: UUID,
    owner: str,
    *,
    limit: int,
    offset: int,
    after: int | None,
    as_object: bool,
) -> bytes:
    """Return one page in row order as JSON, from the first finished chunk on; raises NotFound,
    JobHasParts.

    By `offset` (rows to skip) or by `after` (number of the last row read), which is not affected by
    rows that finish in between. The cost depends on the returned rows, not on the offset: at most
    `limit` rows, and no more than fit into a response. `next_after` and `next_offset` say where to
    continue; both are null at the end.
    """
    async with database.snapshot() as connection:
        job = await find_with_rows(connection, identifier, owner)
        check_results_kept(job)
        stored = destinations.of(job).results
        total = (
            int(sum(t.ok for t in await chunks.tally(connection, job.id)))
            if job.stores_results and stored.keeps_rows
            else 0
        )
        # Objects as cells have one cell for each column of the job, however few columns a row has.
        padding = 0 if as_object or job.dialect.get("columns") else NO_CELL * len(job.columns)
        if after is not None:
            some = await rows_behind(connection, stored, job.id, after, limit, padding=padding)
        else:
            some = await rows_at(connection, stored, job.id, offset, limit, padding=padding)
        rows = some.rows
        spans = await chunks.indexes_of(connection, job.id, rows[0][0], rows[-1][0]) if rows else []
    body: dict[str, Any] = {
        "file_id": str(job.file_id),
        "columns": job.columns,
        "items": [],
        "total": total,
        "limit": limit,
        "offset": offset,
        "next_after": rows[-1][0] if some.is_cut else None,
        "next_offset": offset + len(rows) if some.is_cut and after is None else None,
        "complete": JobStatus(job.status).is_final,
    }
    return await asyncio.to_thread(_with_items, body, job, rows, spans, as_object)


def _with_items(
    body: dict[str, Any],
    job: JobRow,
    rows: Sequence[Row],
    spans: Sequence[tuple[int, int]],
    as_object: bool,
) -> bytes:
    position = 0
    shown = _as_object if as_object else _as_cells
    for number, raw in rows:
        while position + 1 < len(spans) and spans[position + 1][0] <= number:
            position += 1
        body["items"].append(
            {
                "id": str(uuid5(job.id, str(number))),
                "row_number": number,
                "chunk_index": spans[position][1],
                "data": shown(job.columns, raw),
            }
        )
    return msgspec.json.encode(body)


def _is_object(raw: msgspec.Raw) -> bool:
    return bytes(memoryview(raw)[:1]) == b"{"


def _as_object(columns: Sequence[str], raw: msgspec.Raw) -> Any:
    return raw if _is_object(raw) else named(columns, msgspec.json.decode(raw))


def _as_cells(columns: Sequence[str], raw: msgspec.Raw) -> Any:
    """Return the cells in the order of the columns, as raw JSON, so that no number is rounded."""
    if not _is_object(raw):
        return {"row": raw}
    values = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    return {"row": [values.get(column) for column in columns]}


async def get_rejects(
    database: Database,
    identifier: UUID,
    owner: str,
    *,
    limit: int,
    offset: int,
    after: int,
    code: str | None = None,
    column: str | None = None,
    search: str = "",
    with_cells: bool = False,
) -> bytes:
    """Return one page in row order as JSON: at most `limit`, and no more than fit into a
    response. `with_cells`: also the cells of each row, and the columns where they are a guess.
    """
    chosen = RejectFilter(code, column, search)
    async with database.snapshot() as connection:
        job = await find_with_rows(connection, identifier, owner)
        check_rejects_kept(job)
        stored = await files.find_places(connection, job.file_id)
        counts = await results.count_rejects(connection, job.id)
        if not chosen.is_by_code:
            total = await results.count_chosen(connection, job.id, chosen)
        elif chosen.code is None:
            total = sum(counts.values())
        else:
            total = counts.get(chosen.code, 0)
        rows, is_cut = await results.list_rejects(
            connection,
            job.id,
            after=after,
            limit=limit,
            offset=offset,
            chosen=chosen,
            most_bytes=ANSWER_BYTES,
        )
    body: dict[str, Any] = {
        "file_id": str(job.file_id),
        "items": [],
        "total": total,
        "codes": counts,
        "limit": limit,
        "offset": offset,
        "next_after": rows[-1].row_number if is_cut else None,
        "next_offset": offset + len(rows) if is_cut else None,
        "complete": JobStatus(job.status).is_final,
    }
    places = _places(stored)
    return await asyncio.to_thread(_with_rejects, body, rows, job, places, with_cells)


async def get_causes(database: Database, identifier: UUID, owner: str) -> dict[str, Any]:
    """Return the causes of rejects, each with its column; raises NotFound, JobHasParts."""
    async with database.reading() as connection:
        job = await find_with_rows(connection, identifier, owner)
        check_rejects_kept(job)
        causes = await results.count_causes(connection, job.id, MOST_CAUSES)
    return {
        "file_id": str(job.file_id),
        "items": [
            {"code": code, "column": column, "count": count} for code, column, count in causes
        ],
    }


def _places(stored: FilePlaces | None) -> Places | None:
    return None if stored is None else places_from_json(stored.places)


def _with_rejects(
    body: dict[str, Any],
    rows: Sequence[RejectRow],
    job: JobRow,
    places: Places | None,
    with_cells: bool,
) -> bytes:
    as_stored = rows
    if job.dialect.get("cell_faults"):
        rows = [msgspec.structs.replace(row, raw=unmarked(row.raw)) for row in rows]
    elif decoded_from := job.dialect.get("decoded_from"):
        rows = [_as_received(row, decoded_from) for row in rows]
    encoding = job.dialect.get("decoded_from") or job.dialect.get("encoding", "utf-8")
    body["items"] = [reject_body(row, encoding) for row in rows]
    if places is not None:
        columns = job.dialect.get("columns", [])
        for item, row in zip(body["items"], rows, strict=True):
            item["place"] = place_of(row, columns, places)
    if with_cells:
        layout = layout_of(job)
        for item, row in zip(body["items"], as_stored, strict=True):
            item["cells"] = layout.split(row)
            item["uncertain"] = layout.uncertain(row)
    return msgspec.json.encode(body)


def _as_received(row: RejectRow, encoding: str) -> RejectRow:
    """Return the reject with its bytes before they were decoded. Valid text in UTF-16 stays UTF-8,
    since its bytes could pass for text with NULs.
    """
    if encoding.startswith("utf-16") and UNDECODED_BYTE not in row.raw:
        return row
    return msgspec.structs.replace(row, raw=restored(row.raw, encoding))


def reject_body(row: RejectRow, encoding: str) -> dict[str, Any]:
    """Return a reject as JSON, with its bytes as `shown` has them."""
    body = {
        name: getattr(row, name)
        for name in (
            "row_number",
            "line",
            "kind",
            "code",
            "message",
            "value",
            "byte_start",
            "byte_end",
        )
    }
    return body | {"column": row.column_name} | shown(row.raw, encoding)
