"""Results and rejects for reading: by offset, by cursor, and as whole downloads that never hold more than some pages."""

from __future__ import annotations

import asyncio
import base64
import csv
import io
import re
import zlib
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID, uuid5

import msgspec
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import chunks, results
from app.db.engine import Database
from app.errors import TooManyColumns
from app.formats.base import PAGE_ROWS, cell_names
from app.formats.detect import MAX_COLUMNS
from app.jobs.progress import find_with_rows
from app.states import JobStatus

Row = tuple[int, msgspec.Raw]
"""(row number, its JSON)"""
StoredRow = dict[str, msgspec.Raw] | list[str | None]
"""Cells, or an object whose values stay the JSON they are, so that no number is rounded on its way out."""


def _rows_of(page: RowMapping) -> list[Row]:
    numbers = page["row_numbers"] or range(page["first_row"], page["first_row"] + page["row_count"])
    rows = msgspec.json.decode(page["data"], type=list[msgspec.Raw])
    return list(zip(numbers, rows, strict=True))


def named(columns: Sequence[str], row: Any) -> dict[str, Any]:
    """A row as an object by column. Cells beyond the header (on_bad_row=keep) have names of their own."""
    if isinstance(row, dict):
        return row
    return dict(zip(cell_names(columns, len(row)), row, strict=False))


def listed(columns: Sequence[str], row: Any) -> list[Any]:
    """A row as cells in the order of the columns."""
    return [row.get(column) for column in columns] if isinstance(row, dict) else row


# ---------------------------------------------------------------------- pages for the API


async def get_results(
    database: Database, identifier: UUID, owner: str, *, limit: int, offset: int, after: int | None, as_object: bool
) -> dict[str, Any]:
    """One page in row order, from the first finished chunk on; raises NotFound, JobHasParts.

    By `offset` (rows skipped) or by `after` (the number of the last row seen), which is never off by rows that were
    finished in between. The cost depends on `limit`, not on the offset.
    """
    async with database.reading() as connection:
        job = await find_with_rows(connection, identifier, owner)
        total = int(sum(t["ok"] for t in await chunks.tally(connection, job["id"]))) if job["stores_results"] else 0
        if after is not None:
            rows = await _rows_after(connection, job["id"], after, limit)
        else:
            rows = await rows_at(connection, job["id"], offset, limit)
        spans = await chunks.indexes_of(connection, job["id"], rows[0][0], rows[-1][0]) if rows else []
    columns = job["columns"]
    items, position = [], 0
    for number, raw in rows:
        while position + 1 < len(spans) and spans[position + 1][0] <= number:
            position += 1
        value = msgspec.json.decode(raw, type=StoredRow)
        data = named(columns, value) if as_object else {"row": listed(columns, value)}
        items.append(
            {
                "id": str(uuid5(job["id"], str(number))),
                "row_number": number,
                "chunk_index": spans[position][1],
                "data": data,
            }
        )
    return {
        "file_id": str(job["file_id"]),
        "columns": columns,
        "items": items,
        "total": total,
        "limit": limit,
        "offset": offset,
        "next_after": rows[-1][0] if len(rows) == limit else None,
        "complete": JobStatus(job["status"]).is_final,
    }


async def rows_at(connection: AsyncConnection, job_id: UUID, offset: int, limit: int) -> list[Row]:
    """Results in row order. Skip whole chunks by their counts, then whole pages by theirs."""
    place = await chunks.locate(connection, job_id, offset)
    if place is None:
        return []
    first_row, before = place
    sizes = await results.page_sizes_from(connection, job_id, first_row, 2 + 100_000 // PAGE_ROWS)
    for first, count in sizes:
        if before + count > offset:
            return await _collect(connection, job_id, first, offset - before, limit)
        before += count
    return []


async def _rows_after(connection: AsyncConnection, job_id: UUID, after: int, limit: int) -> list[Row]:
    pages = await results.pages_from(connection, job_id, after + 1, 2 + limit // PAGE_ROWS)
    rows = [row for page in pages for row in _rows_of(page) if row[0] > after]
    if len(rows) < limit and pages:  # short pages, at the ends of chunks and between rejects
        rows += await _more(connection, job_id, pages[-1]["first_row"], limit - len(rows))
    return rows[:limit]


async def _collect(connection: AsyncConnection, job_id: UUID, first_row: int, skip: int, limit: int) -> list[Row]:
    rows = (await _more(connection, job_id, first_row - 1, skip + limit))[skip:]
    return rows[:limit]


async def _more(connection: AsyncConnection, job_id: UUID, after_page: int, wanted: int) -> list[Row]:
    rows: list[Row] = []
    while len(rows) < wanted:
        pages = await results.pages_after(connection, job_id, after_page, 2 + (wanted - len(rows)) // PAGE_ROWS)
        if not pages:
            break
        rows += [row for page in pages for row in _rows_of(page)]
        after_page = pages[-1]["first_row"]
    return rows


# ---------------------------------------------------------------------- the whole, as a stream


async def download(
    database: Database, job: RowMapping, columns: Sequence[str], *, format: str, gzip: bool, formula_guard: bool
) -> AsyncIterator[bytes]:
    """All results in row order as csv, jsonl or parquet. Encoding runs in threads; memory is some pages."""
    if format == "parquet":
        from app.jobs.parquet import ParquetEncoder

        encoder: Any = ParquetEncoder(columns)
    else:
        encoder = CsvEncoder(columns, formula_guard) if format == "csv" else JsonLinesEncoder(columns)
    packer = zlib.compressobj(6, wbits=31) if gzip else None
    async for pages in _all_pages(database, job):
        if piece := await asyncio.to_thread(_encode, encoder, pages, packer):
            yield piece
    if piece := await asyncio.to_thread(_encode, encoder, [], packer):
        yield piece


async def columns_of(database: Database, job: RowMapping, format: str) -> Sequence[str]:
    """The columns of a download; raises TooManyColumns. Parquet wants to know them before the first row, also those of the
    cells beyond the header (on_bad_row=keep), for which all rows are read."""
    columns: Sequence[str] = job["columns"]
    if format != "parquet" or job["dialect"].get("on_bad_row") != "keep":
        return columns
    width = len(columns)
    async for pages in _all_pages(database, job):
        width = max(width, await asyncio.to_thread(_width, pages))
    if width > MAX_COLUMNS:
        raise TooManyColumns(f"The longest row has {width} cells; a Parquet file is made of {MAX_COLUMNS} at most.")
    return cell_names(columns, width)


def _width(pages: Sequence[Any]) -> int:
    rows = (row for page in pages for row in msgspec.json.decode(page["data"], type=list[StoredRow]))
    return max((len(row) for row in rows if isinstance(row, list)), default=0)


async def _all_pages(database: Database, job: RowMapping) -> AsyncIterator[list[Any]]:
    after, limit = 0, results.pages_next()
    while True:
        async with database.reading() as connection:
            found = await results.pages_from(connection, job["id"], after + 1, limit)
        # Two at least: the first one may lie wholly behind `after`, when a correction has moved rows.
        limit = max(2, results.pages_next(found))
        pages = _behind(found, after)
        if not pages:
            return
        yield pages
        after = _last_row(pages[-1])


def _last_row(page: RowMapping | dict[str, Any]) -> int:
    return int(page["row_numbers"][-1] if page["row_numbers"] else page["first_row"] + page["row_count"] - 1)


def _behind(pages: Sequence[RowMapping], after: int) -> list[Any]:
    """Only what lies behind a row: between two reads a correction may have put rows into pages, and so have moved others."""
    kept: list[Any] = [page for page in pages if _last_row(page) > after]
    if kept and kept[0]["first_row"] <= after:
        rows = [raw for number, raw in _rows_of(kept[0]) if number > after]
        kept[0] = {**kept[0], "data": msgspec.json.encode(rows).decode()}
    return kept


def _encode(encoder: Any, pages: Sequence[Any], packer: Any) -> bytes:
    data: bytes = encoder.encode(pages) if pages else encoder.finish()
    if packer is None:
        return data
    return bytes(packer.compress(data) + (b"" if pages else packer.flush()))


class CsvEncoder:
    def __init__(self, columns: Sequence[str], formula_guard: bool) -> None:
        self._columns = columns
        self._guard = formula_guard
        self._header_written = False

    def encode(self, pages: Sequence[RowMapping]) -> bytes:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\r\n")
        self._write_header(writer)
        for page in pages:
            for row in msgspec.json.decode(page["data"], type=list[StoredRow]):
                cells = [cell_text(row.get(c)) for c in self._columns] if isinstance(row, dict) else row
                writer.writerow([guarded(c) for c in cells] if self._guard else cells)
        return out.getvalue().encode()

    def finish(self) -> bytes:
        out = io.StringIO()
        self._write_header(csv.writer(out, lineterminator="\r\n"))
        return out.getvalue().encode()

    def _write_header(self, writer: Any) -> None:
        if not self._header_written and self._columns:
            writer.writerow([guarded(c) for c in self._columns] if self._guard else self._columns)
        self._header_written = True


FORMULA = re.compile(r"[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")
NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?%?")


def guarded(cell: str | None) -> str | None:
    """A cell that a spreadsheet would run as a formula gets an apostrophe before it; numbers are left alone."""
    if cell and FORMULA.match(cell) and not NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def cell_text(raw: msgspec.Raw | None) -> str | None:
    """A JSON value as a cell: strings as their text, null as empty, anything else as its JSON."""
    if raw is None:
        return None
    text = bytes(raw).strip()
    if text.startswith(b'"'):
        return msgspec.json.decode(text, type=str)
    return None if text == b"null" else text.decode()


class JsonLinesEncoder:
    """Objects by column; those that came as JSON exactly as they came."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns

    def encode(self, pages: Sequence[RowMapping]) -> bytes:
        lines: list[bytes] = []
        for page in pages:
            for raw in msgspec.json.decode(page["data"], type=list[msgspec.Raw]):
                data = bytes(raw)
                if data.startswith(b"{"):
                    lines.append(data.replace(b"\r", b" ").replace(b"\n", b" "))  # never inside a JSON string
                else:
                    lines.append(msgspec.json.encode(named(self._columns, msgspec.json.decode(data))))
        return b"\n".join(lines) + b"\n"

    def finish(self) -> bytes:
        return b""


# ---------------------------------------------------------------------- rejects


async def get_rejects(
    database: Database, identifier: UUID, owner: str, *, limit: int, offset: int, after: int, code: str | None
) -> dict[str, Any]:
    async with database.reading() as connection:
        job = await find_with_rows(connection, identifier, owner)
        counts = await results.count_rejects(connection, job["id"])
        rows = await results.list_rejects(connection, job["id"], after=after, limit=limit, offset=offset, code=code)
    return {
        "file_id": str(job["file_id"]),
        "items": [reject_body(row) for row in rows],
        "total": sum(counts.values()) if code is None else counts.get(code, 0),
        "codes": counts,
        "limit": limit,
        "offset": offset,
        "next_after": rows[-1]["row_number"] if len(rows) == limit else None,
        "complete": JobStatus(job["status"]).is_final,
    }


def reject_body(row: RowMapping) -> dict[str, Any]:
    """`raw` is text when the bytes are UTF-8, else `raw_base64` has them."""
    body = {
        name: row[name] for name in ("row_number", "line", "kind", "code", "message", "value", "byte_start", "byte_end")
    }
    body["column"] = row["column_name"]
    try:
        body["raw"] = row["raw"].decode()
    except UnicodeDecodeError:
        body["raw"], body["raw_base64"] = None, base64.b64encode(row["raw"]).decode()
    return body
