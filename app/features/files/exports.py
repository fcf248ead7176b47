"""Results and rejects as whole files.

A file that ends before its last row must not look complete: a deletion during the download aborts
the transfer, and an unfinished job is refused unless the rows so far are requested.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, cast
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from app import extras
from app.db import chunks, files, jobs, results
from app.db.engine import Database
from app.db.rows import JobRow, PageRow, RejectRow
from app.decoders.places import places_from_json
from app.destinations.base import ResultDestination
from app.destinations.registry import Destinations
from app.errors import (
    CellTooLong,
    DownloadIncomplete,
    NotConfigured,
    NotFound,
    RowsGone,
    TooManyColumns,
    TooManyRows,
)
from app.features.files.columnar import ColumnarFile, FileElsewhere, hints_of, new_file
from app.features.files.encoders import CsvEncoder, Encoder, JsonLinesEncoder, fits_parquet
from app.features.files.xlsx import (
    MAX_CELL_LETTERS,
    MAX_ROWS,
    XlsxEncoder,
    longest_cell,
    sheet_bytes,
)
from app.features.rows.choice import Choice
from app.formats.base import MAX_COLUMNS, cell_names, unique_names
from app.jobs.progress import find_with_rows
from app.jobs.reject_files import layout_of, with_all_bytes
from app.jobs.stored_rows import StoredRow, last_row, rows_of
from app.sources.base import Sources
from app.states import ChunkStatus, JobStatus

FORMATS = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
"""Media type by format."""
COLUMNAR = ("parquet", "arrow")
ANALYSIS = "profile"
"""Processor of analyses."""
WHOLE = (JobStatus.COMPLETED, JobStatus.COMPLETED_WITH_ERRORS)


@dataclass(frozen=True, slots=True)
class Export:
    """The rows of a job to download, as of the start of the download."""

    job: JobRow
    stored: ResultDestination
    """Destination of its results."""
    results: int
    rejects: int
    missing: int | None
    """Rows of the file that are neither: of chunks that failed, were cancelled or have not run yet.
    None if they are not counted yet.
    """
    choice: Choice | None = None
    """Results and columns to write; None for all."""

    @property
    def has_ended(self) -> bool:
        return JobStatus(self.job.status).is_final

    @property
    def is_complete(self) -> bool:
        return JobStatus(self.job.status) in WHOLE and self.missing == 0


async def begin(
    database: Database,
    destinations: Destinations,
    identifier: UUID,
    owner: str,
    *,
    partial: bool,
) -> Export:
    """Start a download; with `partial`, also of an unfinished job. Raises NotFound, JobHasParts,
    DownloadIncomplete.
    """
    async with database.snapshot() as connection:
        job = await find_with_rows(connection, identifier, owner)
        tally = {ChunkStatus(t.status): t for t in await chunks.tally(connection, job.id)}
    completed = tally.get(ChunkStatus.COMPLETED)
    rows = sum(int(t.rows) for t in tally.values())
    finished = int(completed.rows) if completed else 0
    stored = destinations.of(job).results
    has_results = job.stores_results and stored.keeps_rows
    export = Export(
        job,
        stored,
        results=int(completed.ok) if completed and has_results else 0,
        rejects=int(completed.invalid + completed.failed) if completed else 0,
        missing=rows - finished if job.split_done else None,
    )
    if not export.has_ended and not partial:
        raise DownloadIncomplete(headers={"Retry-After": "5"})
    return export


# ---------------------------------------------------------------------- results


async def result_bytes(
    database: Database,
    export: Export,
    columns: Sequence[str],
    *,
    format: str,
    gzip: bool,
    formula_guard: bool,
    typed: bool = True,
) -> AsyncIterator[bytes]:
    """Yield all results in row order in one of FORMATS. If `typed`, the columns of Parquet and Arrow
    have types where these are known.

    Raises RowsGone or NotFound if the rows or the job are deleted meanwhile; the end of the file
    (gzip trailer, Parquet footer, index of a workbook) is not sent then. Raises NotConfigured before the first bytes if
    the Parquet writer is not installed. Encoding runs in threads.
    """
    async with _encoding(export, format, columns, formula_guard, "Results") as encoder:
        if typed and format in COLUMNAR:
            await _find_types(database, export, cast(ColumnarFile, encoder))
        packer = zlib.compressobj(6, wbits=31) if gzip else None
        async for pages in _all_pages(database, export):
            pieces = _encoded(encoder, pages)
            while (piece := await asyncio.to_thread(_next, pieces, packer)) is not None:
                if piece:
                    yield piece
        if piece := await asyncio.to_thread(_last, encoder, packer):
            yield piece


def _encoded(encoder: Encoder, pages: Sequence[PageRow]) -> Iterator[bytes]:
    if isinstance(encoder, FileElsewhere):
        return encoder.encode_all(pages)  # one message for all of them
    return chain.from_iterable(map(encoder.encode, pages))


@asynccontextmanager
async def _encoding(
    export: Export, format: str, columns: Sequence[str], formula_guard: bool, sheet: str
) -> AsyncIterator[Encoder]:
    """Yield the encoder of a file, and release what it holds at the end."""
    if format not in COLUMNAR:
        yield await asyncio.to_thread(_encoder, export, format, columns, formula_guard, sheet)
        return
    _check_installed()
    file = await asyncio.to_thread(new_file, format, columns, export.job.stored_bytes)
    try:
        yield file
    finally:
        file.close()


def _encoder(
    export: Export, format: str, columns: Sequence[str], formula_guard: bool, sheet: str
) -> Encoder:
    if format == "xlsx":
        size = sheet_bytes(export.results, len(columns), export.job.stored_bytes)
        return XlsxEncoder(columns, formula_guard, sheet=sheet, size=size)
    return CsvEncoder(columns, formula_guard) if format == "csv" else JsonLinesEncoder(columns)


def _check_installed() -> None:
    if not extras.is_installed("analysis"):
        raise NotConfigured(
            "Parquet and Arrow need packages that are not installed:"
            f" {extras.how_to_install('analysis')}."
        )


def _next(pieces: Iterator[bytes], packer: Any) -> bytes | None:
    piece = next(pieces, None)
    return piece if piece is None or packer is None else packer.compress(piece)


def _last(encoder: Encoder, packer: Any) -> bytes:
    piece = encoder.finish()
    return piece if packer is None else packer.compress(piece) + packer.flush()


async def _find_types(database: Database, export: Export, file: ColumnarFile) -> None:
    """Give the columns of `file` the types that the newest analysis or the uploaded file has, if
    every value has that type; for that all rows are read.
    """
    job = export.job
    async with database.reading() as connection:
        analysis = await jobs.latest_summary(connection, job.owner, job.file_id, ANALYSIS)
    summary = {} if analysis is None else analysis.summary or {}
    hints = summary.get("types")
    if hints is None:
        steps = [step["types"] for step in job.decoding or () if "types" in step]
        hints = hints_of(steps[-1]) if steps else {}
    if not await asyncio.to_thread(file.look_for_types, hints):
        return
    async for pages in _all_pages(database, export):
        if not await asyncio.to_thread(file.see, pages):
            return


async def columns_of(database: Database, export: Export, format: str) -> Sequence[str]:
    """Return the columns of a download; raises TooManyColumns, TooManyRows, CellTooLong. Parquet
    and Arrow need them before the first row, including those of cells beyond the header
    (on_bad_row=keep), for which all rows are read. They are also read to find cells that are too
    long for a workbook.
    """
    if export.choice is None:
        columns: Sequence[str] = export.job.columns
    else:
        columns = export.choice.shown_columns
    if format == "xlsx":
        await _check_sheet(database, export)
    if format not in COLUMNAR:
        return columns
    width = len(columns)
    if export.job.dialect.get("on_bad_row") == "keep":
        async for pages in _all_pages(database, export):
            width = max(width, await asyncio.to_thread(_width, pages))
    if width > MAX_COLUMNS:
        raise TooManyColumns(
            f"The longest row has {width} cells; a file has {MAX_COLUMNS} columns at most."
        )
    if format == "parquet" and not fits_parquet(export.results, width, export.job.stored_bytes):
        raise TooManyColumns(
            f"The footer of a Parquet file of {export.results} rows in {width} columns is too"
            " large; get csv or jsonl."
        )
    return cell_names(columns, width)


async def _check_sheet(database: Database, export: Export) -> None:
    """Raises TooManyRows, CellTooLong if the results do not fit into a sheet."""
    if export.choice is None:
        _check_row_count(export.results, "results")
    count = 0
    async for pages in _all_pages(database, export):
        count += sum(page.row_count for page in pages)
        _check_row_count(count, "results")
        _check_cells(await asyncio.to_thread(_longest_cell, pages))


def _check_row_count(count: int, what: str) -> None:
    if count > MAX_ROWS:
        raise TooManyRows(
            f"The job has {count} {what}; a worksheet holds {MAX_ROWS} below its header."
        )


def _check_cells(longest: int) -> None:
    if longest:
        raise CellTooLong(f"A cell has {longest} characters; a worksheet holds {MAX_CELL_LETTERS}.")


def _longest_cell(pages: Sequence[PageRow]) -> int:
    return max(map(longest_cell, pages), default=0)


def _width(pages: Sequence[PageRow]) -> int:
    rows = (row for page in pages for row in msgspec.json.decode(page.data, type=list[StoredRow]))
    return max((len(row) for row in rows if isinstance(row, list)), default=0)


async def _all_pages(database: Database, export: Export) -> AsyncIterator[Sequence[PageRow]]:
    """Yield the stored pages in steps, with every result of the job once, or with those of the
    choice; raises NotFound, RowsGone.
    """
    after, limit, count = 0, results.pages_next(), 0
    while True:
        async with database.snapshot() as connection:
            some_pages = await export.stored.pages(
                connection, export.job.id, after, limit, results.BYTES_AT_ONCE
            )
            now = await _still_there(connection, export)
        if not some_pages:
            break
        limit = results.pages_next(some_pages)
        pages = await asyncio.to_thread(_behind, some_pages, after)
        yield pages if export.choice is None else await asyncio.to_thread(export.choice.of, pages)
        count += sum(page.row_count for page in pages)
        after = last_row(some_pages[-1])
    if count < export.results:
        raise RowsGone(f"{count} results were read, expected {export.results}.")
    if export.has_ended and now.columns != export.job.columns:
        raise RowsGone("A correction has added columns in the meantime.")


def _behind(pages: Sequence[PageRow], after: int) -> list[PageRow]:
    """Return only what follows the row `after`: between two reads a correction may have inserted
    rows into pages, and so moved others.
    """
    first = pages[0]
    if first.first_row > after:
        return list(pages)
    rows = [row for row in rows_of(first) if row[0] > after]
    numbers = [number for number, _ in rows]
    data = msgspec.json.encode([raw for _, raw in rows]).decode()
    remaining = PageRow(numbers[0], len(rows), numbers, data)
    return [remaining, *pages[1:]]


async def _still_there(connection: AsyncConnection, export: Export) -> JobRow:
    """Return the current state of the job: a job that is being deleted may have lost rows
    already.
    """
    job = await jobs.load_job(connection, export.job.id)
    if job is None:
        raise NotFound("The job was deleted while its rows were being read.")
    return job


# ---------------------------------------------------------------------- rejects


async def reject_bytes(
    database: Database, sources: Sources, export: Export, *, format: str, formula_guard: bool
) -> AsyncIterator[bytes]:
    """Yield the rejects with their original columns and the reason of each row, in one of FORMATS.

    CSV has the original bytes. It and a workbook can be corrected and sent back: the guard's
    apostrophes are removed then. Raises RowsGone, NotFound, NotConfigured, TooManyRows,
    CellTooLong, and TransientError if the bytes of a long row cannot be read now.
    """
    async with database.reading() as connection:
        stored = await files.find_places(connection, export.job.file_id)
    places = None if stored is None else places_from_json(stored.places)
    layout = layout_of(export.job, formula_guard=formula_guard, places=places)
    if format == "csv":
        yield layout.header()
        async for rows in _all_rejects(database, export):
            lines = (layout.line(with_all_bytes(sources, export.job, row)) for row in rows)
            while (piece := await asyncio.to_thread(_joined, lines)) is not None:
                yield piece
        return

    def page_of(rows: Sequence[RejectRow]) -> PageRow:
        texts = [layout.texts(with_all_bytes(sources, export.job, row)) for row in rows]
        return PageRow(1, len(rows), None, msgspec.json.encode(texts).decode())

    if format == "xlsx":
        _check_row_count(export.rejects, "rejects")
        async for rows in _all_rejects(database, export):
            page = await asyncio.to_thread(page_of, rows)
            _check_cells(await asyncio.to_thread(longest_cell, page))
    columns = unique_names(layout.names())
    async with _encoding(export, format, columns, formula_guard, "Rejects") as encoder:
        async for rows in _all_rejects(database, export):
            page = await asyncio.to_thread(page_of, rows)
            pieces = encoder.encode(page)
            while (piece := await asyncio.to_thread(_next, pieces, None)) is not None:
                if piece:
                    yield piece
        yield await asyncio.to_thread(encoder.finish)


async def _all_rejects(database: Database, export: Export) -> AsyncIterator[Sequence[RejectRow]]:
    """Yield the rejects in steps, with every one once; raises NotFound, RowsGone."""
    after = count = 0
    while True:
        async with database.snapshot() as connection:
            rows, _ = await results.list_rejects(
                connection, export.job.id, after=after, limit=results.REJECTS_AT_ONCE
            )
            now = await _still_there(connection, export)
        if not rows:
            break
        yield rows
        after, count = rows[-1].row_number, count + len(rows)
    corrected = now.corrected_rows - export.job.corrected_rows
    if count + corrected < export.rejects:
        raise RowsGone(f"{count} rejects were read, expected {export.rejects}.")


def _joined(lines: Iterator[bytes]) -> bytes | None:
    """Join some lines."""
    joined = bytearray()
    for line in lines:
        joined += line
        if len(joined) >= results.BYTES_AT_ONCE:
            break
    return bytes(joined) or None
