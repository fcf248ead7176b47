"""Preparer: reads and processes a chunk, from its bytes to the rows to be written. It runs in the
service, or in a separate process for a suspect.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

from app.db.chunks import Claim
from app.destinations.encoding import EncodeRejects
from app.errors import StoredFileCorrupt, TerminalError
from app.failpoints import hit
from app.formats.base import MAX_REJECT_BYTES, Parsed, Rows, Span
from app.formats.rejecting import located
from app.pipeline.columns import Columns, Fitting
from app.pipeline.merger import Live, renumbered
from app.pipeline.prepared import Origin, Prepared
from app.pipeline.running import JobSnapshot
from app.processors.base import ChunkContext, ChunkOutcome, TableEncoder

ReadBytes = Callable[[JobSnapshot, int, int], bytes]
"""Reader of bytes of a job's file, called with (job, start, end)."""


class CountsDisagree(TerminalError):
    """The reader counted other rows than the splitter. Please report the file: this is a bug in
    Granula.
    """

    code = "counts_disagree"


@dataclass(frozen=True, slots=True)
class Read:
    """The bytes of a chunk, and the rows in them."""

    data: bytes
    parsed: Parsed
    seconds: float = 0.0
    waited: float = 0.0
    """Seconds that the turn waited before it could parse, not counted in `seconds`."""
    own_numbers: dict[int, int] | None = None
    """Numbers of the rows in the file of the correction; None for other jobs."""

    @property
    def rows(self) -> Rows:
        return self.parsed.rows

    def origin(self, job: JobSnapshot, span: Span) -> Origin | None:
        """Return the origin of the rows; None if the destination refuses none of a chunk."""
        refuses = self.own_numbers is not None or job.writes_at_once
        if not refuses:
            return None
        return Origin(job.form, span, self.data, self.own_numbers)


class Preparer:
    def __init__(
        self,
        read_bytes: ReadBytes,
        *,
        compute: Callable[..., Any],
        in_thread: Callable[..., Awaitable[Any]],
        encode_table: TableEncoder,
        encode_rejects: EncodeRejects,
    ) -> None:
        """`in_thread` is called as `await in_thread(job, work, *arguments)`; `compute` and
        `encode_table` as in a ChunkContext.
        """
        self._read_bytes = read_bytes
        self._compute = compute
        self._in_thread = in_thread
        self._encode_table = encode_table
        self._encode_rejects = encode_rejects
        # Reading and encoding are Python: two threads are no faster than one, and the event loop
        # then waits for both before it gets the interpreter back.
        self._python = threading.Lock()

    def bytes_of(self, job: JobSnapshot, span: Span) -> bytes:
        end = (
            min(span.byte_end, span.byte_start + MAX_REJECT_BYTES)
            if span.is_oversize
            else span.byte_end
        )
        return self._read_bytes(job, span.byte_start, end)

    def read(self, job: JobSnapshot, claim: Claim, live: Live | None) -> Read:
        """Read a chunk. `live` is for a chunk of a correction, whose rows have their numbers in the
        corrected job.
        """
        begun, span = perf_counter(), claim.span
        data = self.bytes_of(job, span)
        if not span.is_oversize and zlib.crc32(data) != span.crc32:
            raise StoredFileCorrupt(
                f"Bytes {span.byte_start} to {span.byte_end} changed since they were split."
            )
        queued = perf_counter()
        with self._python:
            waited = perf_counter() - queued
            parsed = job.form.read(data, span)
        if parsed.row_count != span.row_count:
            raise CountsDisagree(
                f"The splitter counted {span.row_count} rows, the reader {parsed.row_count}."
            )
        hit("chunk.read")
        own = None
        if live is not None:
            own = {number: span.first_row + i for i, number in enumerate(live.part.seen)}
            parsed = renumbered(
                parsed, span, live, lambda rows: _bytes_of_rows(job, data, span, rows)
            )
        return Read(data, parsed, perf_counter() - begun - waited, waited, own)

    def prepare(
        self, job: JobSnapshot, claim: Claim, live: Live | None, waited: float = 0.0
    ) -> Prepared:
        read = self.read(job, claim, live)
        begun = perf_counter()
        outcome = self._process_here(job, claim, read.rows, job.columns) if len(read.rows) else None
        prepared = self._prepared(job, claim, read, outcome)
        prepared.timings = _timings(read, waited, perf_counter() - begun)
        return prepared

    async def prepare_waiting(self, job: JobSnapshot, claim: Claim, live: Live | None) -> Prepared:
        """Read and process a chunk with a processor that waits for services."""
        queued = perf_counter()
        read: Read = await self._in_thread(job, self.read, job, claim, live)
        waited, begun = perf_counter() - queued - read.seconds - read.waited, perf_counter()
        outcome = await self.process(job, claim, read.rows, job.columns) if len(read.rows) else None
        seconds = perf_counter() - begun
        prepared: Prepared = await self._in_thread(job, self._prepared, job, claim, read, outcome)
        prepared.timings = _timings(read, waited, seconds)
        return prepared

    def _prepared(
        self, job: JobSnapshot, claim: Claim, read: Read, outcome: ChunkOutcome | None
    ) -> Prepared:
        prepared = Prepared(rejects=list(read.parsed.rejects), origin=read.origin(job, claim.span))
        if outcome is not None:
            with self._python:
                outcome.rejects = located(
                    job.form, claim.span, read.data, outcome.rejects, read.own_numbers
                )
                prepared.add(outcome, job.processor)
        if prepared.origin is None:  # else the destination may reject further rows
            with self._python:
                prepared.encode_rejects(self._encode_rejects, job.id)
        return prepared

    async def process(
        self, job: JobSnapshot, claim: Claim, rows: Rows, known: Columns
    ) -> ChunkOutcome:
        """Process rows: a coroutine on the loop, anything else in a thread. `known` are the columns
        of the job so far.
        """
        if not job.is_waiting_processor:
            return await self._in_thread(job, self._process_here, job, claim, rows, known)  # type: ignore[no-any-return]
        fitting = Fitting(known, rows)
        while True:
            outcome: Any = job.processor.process(fitting.rows, self._context(job, claim))
            accounted = _accounted(job, await outcome, fitting.rows)
            fitted: ChunkOutcome | None = await self._in_thread(job, fitting.take, accounted)
            if fitted is not None:
                return fitted

    def _process_here(
        self, job: JobSnapshot, claim: Claim, rows: Rows, known: Columns
    ) -> ChunkOutcome:
        fitting = Fitting(known, rows)
        while True:
            outcome: Any = job.processor.process(fitting.rows, self._context(job, claim))
            if (fitted := fitting.take(_accounted(job, outcome, fitting.rows))) is not None:
                return fitted

    def _context(self, job: JobSnapshot, claim: Claim) -> ChunkContext:
        return ChunkContext(
            job.id,
            claim.index,
            claim.attempt,
            job.options,
            job.delimiter,
            compute=self._compute,
            in_thread=partial(self._in_thread, job),
            encode_table=self._encode_table,
        )


def _accounted(job: JobSnapshot, outcome: ChunkOutcome, rows: Rows) -> ChunkOutcome:
    if len(outcome.results) + len(outcome.rejects) != len(rows):
        raise CountsDisagree(
            f"The processor received {len(rows)} rows and did not account for all of them."
        )
    if undeclared := outcome.tables.keys() - job.can.tables:
        raise TypeError(
            f"{job.processor.name} writes to {min(undeclared)}, which is not one of its `tables`"
        )
    return outcome


def _bytes_of_rows(job: JobSnapshot, data: bytes, span: Span, rows: Sequence[int]) -> list[bytes]:
    places = job.form.locate(data, span, rows) if rows else []
    return [data[start - span.byte_start : end - span.byte_start] for start, end, _ in places]


def _timings(read: Read, waited: float, processed: float) -> dict[str, float]:
    return {"wait": max(0.0, waited) + read.waited, "read": read.seconds, "process": processed}
