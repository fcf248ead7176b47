"""OutputFile: the file of a job's results. Chunks write its parts, and it exists whole or not at all.

settle: rows that repeat what must be unique in the whole file become rejects, chunk by chunk
assemble: parts -> a file without a name, flushed -> its name
publish: the row of the file and the final status of the job, in ONE transaction

A process killed anywhere begins again: settled rows stay settled, and a file without a row is
swept.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import chunks, files, jobs, results
from app.db.engine import Database
from app.db.rows import ChunkRow, NewFile
from app.destinations import repeats
from app.destinations.assembly import Assembled, PartDamaged, PartFile, joined
from app.destinations.base import ResultDestination
from app.destinations.parts import part_file, write_part
from app.destinations.rejects import Rejects
from app.destinations.staged import Assembly, Compute, StagedJob, StagedResults
from app.errors import TerminalError, TransientError
from app.failpoints import hit
from app.formats.base import Page, Reject, Span
from app.formats.csv import CsvDialect
from app.formats.json import JsonDialect
from app.formats.registry import to_json
from app.formats.rejecting import located
from app.processors.base import Conclusion, MakesFile, Output, OutputMaker
from app.processors.registry import Processors
from app.sources.base import Sources, is_remote
from app.sources.faults import translated
from app.sources.places import Stored, Writer
from app.sources.upload import touch_periodically
from app.states import ACTIVE_JOBS, ChunkStatus, JobStatus

logger = logging.getLogger(__name__)
CHUNKS_AT_ONCE = 500
SHOWN_REJECTS = 20
OUTPUT_OF_PARTS = 4
"""Limit of an output as a multiple of its parts: 1 if these are pieces of it, more for CSV from
Arrow.
"""
MEDIA_TYPES = {
    "csv": "text/csv",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
TEXT = ("csv", "jsonl")
"""Formats whose files are text, and may be made of the pieces of chunks."""


class OutputPartMissing(TerminalError):
    """A part of the output is missing, or differs from the written one."""

    code = "output_part_missing"


@dataclass(frozen=True, slots=True)
class _Staged:
    """Parts that the chunks of a job have written."""

    parts: list[PartFile]
    rows: int
    """Number of rows that count as ok."""
    preview: list[Any]
    """(row number, row) of some rows."""
    is_keyed: bool
    """Whether values must be unique in the whole file."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Layout of the file."""

    document: bytes
    format: str
    header: bytes
    columns: Sequence[tuple[str, str]]
    """(name, type) of each column."""


@dataclass(frozen=True, slots=True)
class _Written:
    """File with its name on disk."""

    id: UUID
    is_joined: bool
    """Whether the file is the concatenation of the parts. Otherwise its rows were counted again."""
    content: Assembled
    stored: Stored


class OutputFiles:
    """Destination of the results of processors that make a file."""

    def __init__(
        self, database: Database, sources: Sources, processors: Processors, rejects: Rejects
    ) -> None:
        self._database = database
        self._sources = sources
        self._rejects = rejects
        self._processors = processors
        self._by_processor: dict[str, OutputFile] = {}

    def of(self, processor: str, options: Mapping[str, Any]) -> ResultDestination | None:
        file = self._by_processor.get(processor)
        if file is None:
            maker = self._processors.find(processor)
            if not isinstance(maker, MakesFile):
                return None
            file = OutputFile(self._database, self._sources, self._rejects, maker.output)
            self._by_processor[processor] = file
        return file


class OutputFile(StagedResults):
    incomplete: ClassVar[dict[str, str]] = {
        "code": "output_incomplete",
        "message": "Some chunks failed, and a file without their rows would look whole. Retry the"
        " job.",
    }

    def __init__(
        self, database: Database, sources: Sources, rejects: Rejects, output: OutputMaker
    ) -> None:
        self._database = database
        self._rejects = rejects
        self._sources = sources
        self._parts = sources.outputs
        self._output = output
        self._files: dict[UUID, UUID] = {}
        """Files by job that this process has written, for jobs that have not ended."""

    # ------------------------------------------------------------------ no rows in tables

    async def write(
        self, connection: AsyncConnection, job_id: UUID, rows: Sequence[Page]
    ) -> dict[str, int]:
        raise AssertionError("a processor that makes a file stores no results")

    async def remove(self, connection: AsyncConnection, job_id: UUID, at_most: int) -> bool:
        return False

    async def count(self, connection: AsyncConnection, job_id: UUID) -> int:
        return 0

    # ------------------------------------------------------------------ a chunk

    def stage(self, job_id: UUID, stem: str, outputs: Sequence[Output]) -> dict[str, Any]:
        return {"part": write_part(self._parts, job_id, stem, outputs)}

    async def _chunks(self, job: StagedJob) -> AsyncIterator[ChunkRow]:
        after = -1
        while True:
            async with self._database.working() as connection:
                some = await chunks.list_chunks(
                    connection, job.id, after=after, limit=CHUNKS_AT_ONCE
                )
            if not some:
                return
            for chunk in some:
                yield chunk
            after = some[-1].chunk_index

    # ------------------------------------------------------------------ unique in the whole file

    async def settle(self, job: StagedJob, compute: Compute) -> None:
        """Reject the rows that repeat values of an earlier row. Raises OutputPartMissing."""
        keyed = []
        async for chunk in self._chunks(job):
            part = (chunk.summary or {}).get("part", {})
            if chunk.status == ChunkStatus.COMPLETED and "keys" in part:
                keyed.append((part["key_file"], part["keys"]))
        if not keyed:
            return
        try:
            folder = await self._workspace(job, [name for name, _ in keyed])
            repeated = await _computed(compute, self._output.find_repeated, folder, keyed, job.rows)
        except FileNotFoundError as error:
            raise OutputPartMissing from error
        if not repeated:
            return
        async for chunk in self._chunks(job):
            if chunk.status == ChunkStatus.COMPLETED and chunk.summary:
                await self._settle_chunk(job, compute, folder, chunk)
                hit("output.settled")

    async def _workspace(self, job: StagedJob, names: Sequence[str | None]) -> str:
        """Yield a local folder with these parts; raises FileNotFoundError, DiskFull,
        StorageUnavailable.
        """
        return str(
            await asyncio.to_thread(self._parts.workspace, job.id, [name for name in names if name])
        )

    async def _settle_chunk(
        self, job: StagedJob, compute: Compute, folder: str, chunk: ChunkRow
    ) -> None:
        first, count = chunk.first_row, chunk.row_count
        repeated = await asyncio.to_thread(repeats.repeated_rows, folder, first, count)
        if not repeated:
            return
        async with self._database.working() as connection:
            rejected = await results.rejected_numbers(
                connection, job.id, first, count, repeats.NOT_UNIQUE
            )
        new = [row for row in repeated if row not in rejected]
        if not new:
            return
        part = part_file(chunk.summary or {})
        try:
            await self._workspace(job, [part.name])
        except FileNotFoundError as error:
            raise OutputPartMissing from error
        document = self._output.document(job.options)
        repeated = await _computed(
            compute, self._output.repeated_values, document, folder, part, new
        )
        span = Span(chunk.byte_start, chunk.byte_end, first, count, chunk.first_line, chunk.crc32)
        rejects = await asyncio.to_thread(self._repeating, job, span, new, repeated)

        async def write(connection: AsyncConnection) -> None:
            row = await jobs.lock_job(connection, job.id)
            if row is None or JobStatus(row.status) not in ACTIVE_JOBS:
                return  # cancelled or deleted: nothing is published
            index, rows_ok = chunk.chunk_index, chunk.rows_ok
            if await chunks.demote(
                connection, job.id, index, rows_ok=rows_ok, by=len(new), code=repeats.NOT_UNIQUE
            ):
                await self._rejects.write(connection, job.id, rejects)

        await self._database.transact(write)

    def _repeating(
        self,
        job: StagedJob,
        span: Span,
        rows: Sequence[int],
        repeated: Sequence[tuple[str, str, int]],
    ) -> list[Reject]:
        data = self._sources.read(job.uri, span.byte_start, span.byte_end, job.etag)
        return located(job.form, span, data, repeats.repeating(rows, repeated))

    # ------------------------------------------------------------------ the file

    async def assemble(self, job: StagedJob, compute: Compute) -> Assembly | None:
        """Write the file under its name on disk; no table names it yet. Raises OutputPartMissing,
        DiskFull.
        """
        staged = await self._staged(job)
        if staged is None:
            return None
        layout = await self._layout(job, compute)
        folder = await self._workspace(job, [])
        has_repeated = staged.is_keyed and await asyncio.to_thread(repeats.is_known, folder)
        preview = staged.preview
        if has_repeated:
            preview = await asyncio.to_thread(_without_repeated, folder, preview)
        is_dry_run = self._output.is_dry_run(job.options)
        result: dict[str, Any] = {
            "dry_run": is_dry_run,
            "columns": [{"name": name, "type": kind} for name, kind in layout.columns],
            "preview": [
                {"row_number": number, "data": row}
                for number, row in preview[: self._output.preview_rows]
            ],
            "output": None,
        }
        summary: dict[str, Any] = {"rows": staged.rows, "columns": len(layout.columns)}
        file = None
        if not is_dry_run:
            written = await self._write_file(job, compute, layout, staged, has_repeated)
            if not written.is_joined:
                # Counted from the written file: the job fails if the chunks have other counts.
                summary["rows"] = written.content.rows
            file = await self._file(job, layout, written)
            result["output"] = {
                "file_id": str(written.id),
                "format": layout.format,
                "size_bytes": written.content.size,
                "sha256": written.content.sha256,
            }
        counts = await self._counts(job, staged.rows)
        return Assembly(Conclusion(summary, result | counts), file)

    async def _staged(self, job: StagedJob) -> _Staged | None:
        """Return the parts; None if a chunk failed."""
        parts: list[PartFile] = []
        preview: list[Any] = []
        rows = 0
        is_keyed = False
        async for chunk in self._chunks(job):
            if chunk.status != ChunkStatus.COMPLETED:
                return None
            rows += chunk.rows_ok
            if chunk.summary:
                parts.append(part_file(chunk.summary))
                preview += chunk.summary.get("preview", ())
                is_keyed = is_keyed or "keys" in chunk.summary["part"]
        return _Staged(parts, rows, preview, is_keyed)

    async def _layout(self, job: StagedJob, compute: Compute) -> _Layout:
        output = self._output
        document = output.document(job.options)
        header, columns = await _computed(compute, output.described, document)
        return _Layout(document, output.format(job.options), header, columns)

    async def _write_file(
        self,
        job: StagedJob,
        compute: Compute,
        layout: _Layout,
        staged: _Staged,
        has_repeated: bool,
    ) -> _Written:
        is_joined = layout.format in TEXT and not staged.is_keyed
        file_id = uuid4()
        storage = self._sources.storage
        most_bytes = len(layout.header) + OUTPUT_OF_PARTS * sum(part.size for part in staged.parts)
        writer = await asyncio.to_thread(storage.writer, file_id, most_bytes)
        self._files[job.id] = file_id
        async with touch_periodically(storage, [file_id], release=False):
            try:
                if is_joined:
                    blocks = partial(self._parts.blocks, job.id)
                    content = await asyncio.to_thread(
                        joined, blocks, staged.parts, layout.header, writer
                    )
                else:
                    content = await self._encode(job, compute, layout, staged, writer, has_repeated)
                await asyncio.to_thread(writer.finish)
                hit("output.written")
                stored = await asyncio.to_thread(writer.publish)
            except BaseException as error:
                await asyncio.to_thread(writer.discard)
                if isinstance(error, PartDamaged | FileNotFoundError):
                    raise OutputPartMissing from error
                raise
        hit("output.renamed")
        return _Written(file_id, is_joined, content, stored)

    async def _encode(
        self,
        job: StagedJob,
        compute: Compute,
        layout: _Layout,
        staged: _Staged,
        writer: Writer,
        has_repeated: bool,
    ) -> Assembled:
        folder = await self._workspace(job, [part.name for part in staged.parts])
        file = writer.file()
        path = str(await asyncio.to_thread(file.__enter__))
        try:
            content: Assembled = await _computed(
                compute,
                self._output.encoded,
                layout.document,
                folder,
                staged.parts,
                path,
                has_repeated,
            )
        except BaseException as error:
            await asyncio.to_thread(file.__exit__, type(error), error, error.__traceback__)
            raise
        await asyncio.to_thread(file.__exit__, None, None, None)
        return content

    async def _counts(self, job: StagedJob, rows: int) -> dict[str, Any]:
        async with self._database.working() as connection:
            codes = await results.count_rejects(connection, job.id)
            shown, _ = await results.list_rejects(connection, job.id, after=0, limit=SHOWN_REJECTS)
        names = ("row_number", "line", "code", "message", "value")
        return {
            "rows": {"total": job.rows, "ok": rows, "rejected": sum(codes.values())},
            "rejected_by_code": codes,
            "rejects": [
                {**{name: getattr(row, name) for name in names}, "column": row.column_name}
                for row in shown
            ],
        }

    async def _file(self, job: StagedJob, layout: _Layout, written: _Written) -> NewFile:
        async with self._database.working() as connection:
            row = await jobs.load_job(connection, job.id)
        assert row is not None
        form, content = layout.format, written.content
        return NewFile(
            id=written.id,
            owner=row.owner,
            filename=f"{_stem(row.filename)}.transformed.{form}"[-255:],
            media_type=MEDIA_TYPES[form],
            format=form,
            encoding="utf-8" if form in TEXT else "binary",
            dialect=_dialect(layout, content),
            size_bytes=content.size,
            stored_bytes=content.size,
            sha256=content.sha256,
            crc32=content.crc32,
            content_key=hashlib.sha256(f"result of {job.id}".encode()).hexdigest(),
            storage_uri=written.stored.uri,
            etag=written.stored.etag,
        )

    async def publish(
        self, connection: AsyncConnection, job_id: UUID, assembly: Assembly
    ) -> Conclusion:
        """Publish the file, except that a dry run has none."""
        file: NewFile | None = assembly.payload
        if file is not None:
            await files.insert_file(connection, file)
            await jobs.set_result_file(connection, job_id, file.id)
        return assembly.conclusion

    async def discard(self, assembly: Assembly) -> None:
        file: NewFile | None = assembly.payload
        if file is not None and file.storage_uri is not None:
            with _left_for_the_sweep():
                await asyncio.to_thread(self._sources.delete, file.storage_uri)

    async def forget(self, job_id: UUID) -> None:
        with _left_for_the_sweep():
            await asyncio.to_thread(self._parts.remove, job_id)
        if (file_id := self._files.pop(job_id, None)) is not None:
            with _left_for_the_sweep():
                await asyncio.to_thread(self._sources.storage.release, file_id)


async def _computed(compute: Compute, function: Callable[..., Any], *arguments: Any) -> Any:
    """Compute in another process. Raises DiskFull, StorageUnavailable if that process could not use
    files.
    """
    with translated("The folder of the parts"):
        return await compute(function, *arguments)


@contextmanager
def _left_for_the_sweep() -> Iterator[None]:
    """Log a failed deletion. The job has its final status already, and its parts, or a file that no
    row names, may stay until the sweep.
    """
    try:
        yield
    except TransientError as error:
        logger.warning("Could not delete a file; the sweep will: %s", error)


def _without_repeated(folder: str, preview: Sequence[Any]) -> list[Any]:
    repeated = repeats.repeated_among(folder, [number for number, _ in preview])
    return [row for row in preview if row[0] not in repeated]


def _dialect(layout: _Layout, content: Assembled) -> dict[str, Any]:
    """Return the dialect by which the file is read."""
    names, header = [name for name, _ in layout.columns], layout.header
    if layout.format == "csv":
        data_line = 1 + header.count(b"\n")
        return to_json(CsvDialect(columns=names, data_start=len(header), data_line=data_line))
    if layout.format == "jsonl":
        return to_json(JsonDialect(root="lines", data_end=content.size))
    return {"kind": layout.format, "columns": names}


def _stem(filename: str) -> str:
    """Return the stem of a filename, or of the URI of an object that has none."""
    name = filename.rpartition("/")[2] if is_remote(filename) else filename
    stem = name.removesuffix(".gz")
    for ending in (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json"):
        if stem.lower().endswith(ending):
            return stem[: -len(ending)] or "file"
    return stem or "file"
