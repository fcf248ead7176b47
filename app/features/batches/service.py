"""Batches: jobs for the sentiment of a CSV file's texts, in the terms of their endpoints."""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import chunks, jobs
from app.db.engine import Database
from app.db.jobs import JobFilter
from app.db.rows import NO_TOTALS, JobRow, JobTotals, ListedJob
from app.destinations.registry import Destinations
from app.errors import (
    BadHeader,
    BatchBadEncoding,
    BatchEmpty,
    BatchMalformed,
    BatchNotFound,
    BatchWithoutText,
    BinaryContent,
    ContentMismatch,
    CorruptCompression,
    CorruptGzip,
    EmptyFile,
    MissingColumn,
    NotFound,
    RequestError,
    RowsGone,
    TooManyColumns,
)
from app.features.batches.counter import RowCounter
from app.features.sentiment.models import SENTIMENTS
from app.features.sentiment.processor import TEXT
from app.formats.detect import Declared, detect
from app.formats.registry import Dialect
from app.jobs.control import Control
from app.jobs.stored_rows import Some, rows_at, rows_behind
from app.jobs.submit import Accepted, Submission
from app.processors.registry import Processors
from app.states import JobStatus

ORIGIN = "batches"
BATCHES = JobFilter(origin=ORIGIN)
PROCESSOR = "sentiment"
CHUNK_ROWS = 1_000
"""Small enough to show progress each tenth of a second, large enough that commits cost next to
nothing.
"""

DECLARED = Declared(
    format="csv",
    encoding="utf-8",
    delimiter=",",
    quote='"',
    escape="",
    skip_rows=0,
    header_rows=1,
    on_bad_row="keep",
)
"""The file is read like Python's csv does, without detection, and no row is rejected for its quotes
or commas. Commas in an unquoted text in the last column are part of it.
"""

# ---------------------------------------------------------------------- creating


def prepare(submission: Submission, processors: Processors) -> Submission:
    """Complete a submission as a batch: its public id, its options, and the inspection of its
    bytes.
    """
    return replace(
        submission,
        origin=ORIGIN,
        public_id=submission.public_id or f"batch-{uuid4().hex[:12]}",
        processor=PROCESSOR,
        declared=DECLARED,
        chunk_size=submission.chunk_size or CHUNK_ROWS,
        inspector=submission.inspector or _Inspector(submission.options, processors),
    )


class _Inspector:
    """Counts the rows, and rejects what is not a batch as soon as possible."""

    def __init__(self, options: dict[str, Any], processors: Processors) -> None:
        """`options` are those known before the first byte."""
        self._options = options
        self._processors = processors
        self._counter = RowCounter(self._detect)
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def feed(self, piece: bytes) -> None:
        self._decode(piece, last=False)
        self._counter.feed(piece)

    def finish(self) -> int:
        self._decode(b"", last=True)
        if not (count := self._counter.finish()):
            raise BatchEmpty("CSV file is empty")
        return count

    def _decode(self, piece: bytes, *, last: bool) -> None:
        try:
            self._decoder.decode(piece, last)
        except UnicodeDecodeError:
            raise BatchBadEncoding("Invalid file encoding. Use UTF-8.") from None

    def _detect(self, sample: bytes, complete: bool) -> Dialect:
        dialect = detect(sample, complete=complete, declared=DECLARED)
        if not complete and "text_column" in self._options:
            # Check first whether a short file has rows; fields of a form that follow the file may
            # name the column of the texts.
            self._processors.columns(PROCESSOR, dialect.columns, self._options)
        return dialect


MALFORMED = (
    BadHeader,
    BinaryContent,
    ContentMismatch,
    CorruptCompression,
    CorruptGzip,
    TooManyColumns,
)


def as_batch_error(error: RequestError) -> RequestError:
    """Return the error in the terms of the batch endpoints, if they have one for it."""
    if isinstance(error, EmptyFile):
        return BatchEmpty("CSV file is empty")
    if isinstance(error, MissingColumn):
        column = error.members.get("column", TEXT)
        return BatchWithoutText(f"CSV must have '{column}' column", reason=error.detail)
    if isinstance(error, MALFORMED):
        return BatchMalformed(f"Invalid CSV format: {error.detail}")
    return error


def created(accepted: Accepted) -> dict[str, Any]:
    """Return the answer to an upload."""
    return {
        "batch_id": accepted.body["public_id"],
        "status": "processing",
        "total_count": accepted.total_rows,
        "processed_count": 0,
        "file_id": accepted.body["file_id"],
        "job_id": accepted.body["job_id"],
    }


# ---------------------------------------------------------------------- reading


async def get_batch(database: Database, batch_id: str, owner: str) -> dict[str, Any]:
    """Return the progress of a batch; raises BatchNotFound."""
    async with database.reading() as connection:
        job = await find(connection, batch_id, owner)
        totals = await chunks.totals(connection, [job.id], SENTIMENTS)
    return batch_body(job, totals.get(job.id))


async def list_batches(
    database: Database, owner: str, *, skip: int, limit: int
) -> list[dict[str, Any]]:
    """Return batches, newest first, with two statements however many there are."""
    async with database.reading() as connection:
        rows = await jobs.list_jobs(connection, owner, BATCHES, limit=limit, offset=skip)
        totals = await chunks.totals(connection, [row.id for row in rows], SENTIMENTS)
    return [batch_body(row, totals.get(row.id)) for row in rows]


async def get_results(
    database: Database,
    destinations: Destinations,
    batch_id: str,
    owner: str,
    *,
    page: int,
    per_page: int,
) -> AsyncIterator[bytes]:
    """Yield one page of results in the order of the rows, as JSON; raises BatchNotFound.

    A page below 1 is the first one, and a page size outside 1 to 100 means 50. The page has all its
    results however long they are, so they are read and sent in steps; raises RowsGone if they are
    deleted meanwhile.
    """
    page = max(1, page)
    per_page = per_page if 1 <= per_page <= 100 else 50
    offset = (page - 1) * per_page
    async with database.snapshot() as connection:
        job = await find(connection, batch_id, owner)
        totals = (await chunks.totals(connection, [job.id])).get(job.id)
        count = int(totals.ok) if totals else 0
        stored = destinations.of(job).results
        some = (
            await rows_at(connection, stored, job.id, offset, per_page)
            if offset < count
            else Some([], False)
        )
    head = {
        "batch_id": job.public_id,
        "page": page,
        "per_page": per_page,
        "total_results": count,
        "total_pages": (count + per_page - 1) // per_page,
    }
    piece = msgspec.json.encode(head).removesuffix(b"}") + b',"results":['
    rows_left = min(per_page, max(0, count - offset))
    while some.rows:
        rows_left -= len(some.rows)
        piece += b",".join(bytes(raw) for _, raw in some.rows)
        if not rows_left:
            break
        yield piece + b","
        piece, after = b"", some.rows[-1][0]
        async with database.snapshot() as connection:
            some = await rows_behind(connection, stored, job.id, after, rows_left)
    if rows_left:
        raise RowsGone("The batch was deleted while its results were being read.")
    yield piece + b"]}"


async def delete(database: Database, control: Control, batch_id: str, owner: str) -> None:
    """Delete a batch with everything that belongs to it; raises BatchNotFound."""
    async with database.reading() as connection:
        job = await find(connection, batch_id, owner)
    try:
        await control.delete(job.file_id, owner)
    except NotFound:  # deleted in the meantime
        raise BatchNotFound("Batch not found") from None


async def find(connection: AsyncConnection, batch_id: str, owner: str) -> JobRow:
    """Return the batch's job; raises BatchNotFound."""
    job = await jobs.find_public(connection, batch_id, owner, ORIGIN) if _is_id(batch_id) else None
    if job is None:
        raise BatchNotFound("Batch not found")
    return job


def _is_id(batch_id: str) -> bool:
    """Return whether this may be an id: PostgreSQL accepts no NUL, not even in a comparison."""
    return len(batch_id) <= 40 and batch_id.isascii() and batch_id.isprintable()


def batch_body(job: ListedJob, totals: JobTotals | None) -> dict[str, Any]:
    """Build the body of the status endpoint. Pure.

    `processed_count` counts the rows of completed chunks, each a final result or reject, so it
    never decreases. Rows of failed chunks are in `failed_count` and can be retried.
    """
    status = JobStatus(job.status)
    totals = totals or NO_TOTALS
    rows, ok, rejected, failed = totals.rows, totals.ok, totals.rejected, totals.failed
    total = job.split_rows if job.split_done else job.total_rows
    processed = ok + rejected
    percent = round(100 * processed / total, 1) if total else 0.0
    is_done = status.public_status == "completed"
    return {
        "batch_id": job.public_id,
        "status": status.public_status,
        "total_count": total,
        "processed_count": processed,
        "progress_percent": percent if processed == total else min(percent, 99.9),
        "summary": totals.sums or None,
        "error_message": job.error["message"] if job.error else None,
        "created_at": job.created_at.isoformat(),
        "completed_at": job.finished_at.isoformat() if is_done and job.finished_at else None,
        "rejected_count": rejected,
        "failed_count": failed,
        "counts": {
            "loaded": ok,
            "rejected": rejected,
            "failed": failed,
            "not_processed": rows - ok - rejected - failed,
        },
        "rejects_url": f"/api/v1/rejects/{job.file_id}",
        "file_id": str(job.file_id),
        "job_id": str(job.id),
    }
