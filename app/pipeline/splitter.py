"""Splitter: cuts the next stretch of a job's file and commits its chunk rows. It resumes wherever
the last commit left it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import BinaryIO, Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import chunks, jobs
from app.db.engine import Database
from app.db.rows import SplitPosition
from app.errors import StoredFileCorrupt
from app.failpoints import hit
from app.formats.base import MAX_CHUNK_BYTES, Format
from app.pipeline.cutter import Cut, Limits, Position, crc32_before, cut, with_rest
from app.pipeline.processes import NoneIdle, Processes, WorkerDied
from app.pipeline.queue import Queue
from app.pipeline.running import JobSnapshot, RunningJob
from app.sources.base import Sources
from app.states import ChunkStatus, JobStatus
from app.telemetry import tracing
from app.telemetry.tracing import Span

FIRST_STRETCH_BYTES = 1 << 20
"""Size of the first stretch: small, so that the first chunks of a huge file start immediately."""
STRETCH_BYTES = 32 << 20


class Files(Protocol):
    def open(self, uri: str, size: int, etag: str | None = None) -> BinaryIO: ...


@dataclass(frozen=True, slots=True)
class Stretch:
    """The part of a job's file that is cut next. It can be sent to another process."""

    uri: str
    etag: str | None
    stored_bytes: int
    stored_crc32: int | None
    form: Format
    start: Position
    split_crc32: int | None
    """Checksum of the bytes before `start`; None if it is not known yet."""
    limits: Limits
    budget: int
    """Fewest bytes to cut, if there are as many."""

    @classmethod
    def of(cls, job: JobSnapshot) -> Stretch:
        return cls(
            job.uri,
            job.etag,
            job.stored_bytes,
            job.stored_crc32,
            job.form,
            job.position,
            job.split_crc32,
            Limits(job.chunk_size, job.processor.chunk_bytes or MAX_CHUNK_BYTES),
            STRETCH_BYTES if job.chunk_count else FIRST_STRETCH_BYTES,
        )


class Splitter:
    def __init__(
        self,
        database: Database,
        sources: Sources,
        queue: Queue,
        processes: Processes | None = None,
    ) -> None:
        """`processes` cut all stretches but the first of a file, if one of them is idle."""
        self._processes = processes
        self._database = database
        self._sources = sources
        self._queue = queue

    async def advance(self, running: RunningJob) -> bool:
        """Cut one stretch; return False if another process has moved the split meanwhile, or the
        job is gone.

        Reads in a thread. The position in the job row, the chunk rows and the tokens change in one
        transaction. So a crash loses a stretch of work but never a chunk, and two splitters never
        both win.
        """
        job = running.snapshot
        with tracing.span("split", job.trace, {"granula.job.id": str(job.id)}) as span:
            return await self._advance(running, job, span)

    async def _advance(self, running: RunningJob, job: JobSnapshot, span: Span) -> bool:
        hit("split.begin")
        new_cut = await asyncio.to_thread(self._cut, job)
        chunk_count = job.chunk_count + len(new_cut.spans)

        async def commit(connection: AsyncConnection) -> JobStatus | None:
            position = SplitPosition(
                split_offset=new_cut.position.offset,
                split_rows=new_cut.position.rows,
                split_lines=new_cut.position.line,
                split_crc32=new_cut.position.crc32,
                split_done=new_cut.done,
                chunk_count=chunk_count,
            )
            status = await jobs.advance_split(
                connection,
                job.id,
                old_offset=job.position.offset,
                old_count=job.chunk_count,
                new=position,
            )
            if status is not None:
                # A cancelled job is still cut to its end: only then can its other rows be counted
                # as not processed.
                cancelled = status is JobStatus.CANCELLED
                state = ChunkStatus.CANCELLED if cancelled else ChunkStatus.PENDING
                await chunks.insert_chunks(
                    connection, job.id, job.chunk_count, new_cut.spans, state
                )
                await self._queue.enqueue(
                    connection, job.id, turns=len(new_cut.spans) + (not new_cut.done)
                )
            hit("split.before_commit")
            return status

        status = await self._database.transact(commit)
        hit("split.after_commit")
        if status is None:
            return False
        running.was_cut(new_cut.position, chunk_count, status, done=new_cut.done)
        span.set(
            {
                "granula.chunks.first": job.chunk_count,
                "granula.chunks.count": len(new_cut.spans),
                "granula.rows": sum(span.row_count for span in new_cut.spans),
            }
        )
        return True

    def _cut(self, job: JobSnapshot) -> Cut:
        """Cut the next stretch, in another process if one is idle and does not end meanwhile."""
        stretch = Stretch.of(job)
        folder = self._sources.folder_of(job.uri)
        if self._processes is not None and folder is not None and job.chunk_count:
            with suppress(NoneIdle, WorkerDied):
                new_cut: Cut = self._processes.compute_if_idle(cut_stretch, folder, stretch)
                return new_cut
        return cut_stretch(self._sources, stretch)


def cut_stretch(files: Files, stretch: Stretch) -> Cut:
    """Cut a stretch of a file; raises StoredFileCorrupt, and the errors of `Sources.open`."""
    with files.open(stretch.uri, stretch.stored_bytes, stretch.etag) as file:
        start = stretch.start
        if stretch.split_crc32 is None:
            start = replace(start, crc32=crc32_before(file, start.offset))
        new_cut = cut(
            file,
            stretch.form,
            start,
            size=stretch.form.data_end or stretch.stored_bytes,
            limits=stretch.limits,
            budget=stretch.budget,
        )
        if new_cut.done:
            new_cut = with_rest(file, new_cut, stretch.stored_bytes)
    if new_cut.done and stretch.stored_crc32 not in (None, new_cut.position.crc32):
        raise StoredFileCorrupt(
            "The stored upload differs from what was received: its checksum does not match."
        )
    return new_cut
