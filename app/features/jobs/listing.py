"""Lists of jobs and of the chunks of a job, by page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import chunks, jobs
from app.db.engine import Database
from app.db.helper_jobs import help_of, helped
from app.db.job_order import Order, Place, Sort
from app.db.jobs import JobFilter
from app.db.labels import count_labels, labels_of
from app.db.rows import JobTally, ListedJob, data_bytes
from app.errors import InvalidParameter
from app.jobs.pace import Mark, rows_left, rows_per_second, seconds_left
from app.jobs.progress import find, marks_of, percent, waiting
from app.states import JobStatus, row_counts

__all__ = ["Order", "Sort", "describe", "list_chunks", "list_jobs", "list_labels"]

NEWEST_FIRST = Order()
BIGGEST = 2**62
MOST_LISTED_LABELS = 1000
NO_CHUNKS = JobTally(0, 0, 0, 0, 0, 0, 0)


async def list_jobs(
    database: Database,
    owner: str,
    job_filter: JobFilter,
    order: Order = NEWEST_FIRST,
    *,
    limit: int,
    cursor: str | None = None,
) -> dict[str, Any]:
    """Return a page of jobs. `next_cursor` is the cursor of the next page; `next_before` its
    `before`, if the newest jobs come first. Raises InvalidParameter for a cursor of another order.
    """
    place = None if cursor is None else place_of(cursor, order)
    async with database.reading() as connection:
        rows, last = await jobs.list_page(
            connection, owner, job_filter, order, limit=limit, place=place
        )
        items = await describe(connection, rows)
    return {
        "items": items,
        "limit": limit,
        "next_before": last.number if last is not None and order == NEWEST_FIRST else None,
        "next_cursor": None if last is None else cursor_of(last, order),
    }


async def list_labels(database: Database, owner: str) -> dict[str, Any]:
    """Return the owner's labels, the most frequent ones first."""
    async with database.reading() as connection:
        counts = await count_labels(connection, owner, MOST_LISTED_LABELS)
    return {"items": [{"label": label, "jobs": count} for label, count in counts.items()]}


def cursor_of(place: Place, order: Order) -> str:
    """Return the place as an opaque text for a URL."""
    values = [str(order.by), order.is_ascending, place.value, place.number]
    return base64.urlsafe_b64encode(msgspec.json.encode(values)).rstrip(b"=").decode()


def place_of(cursor: str, order: Order) -> Place:
    """Return the place of a cursor; raises InvalidParameter if it is not of this order."""
    try:
        packed = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        by, is_ascending, value, number = msgspec.json.decode(
            packed, type=tuple[str, bool, int | str, int]
        )
    except ValueError:  # also msgspec.DecodeError and binascii.Error
        raise _no_cursor() from None
    if (by, is_ascending) != (order.by, order.is_ascending) or not 0 <= number < BIGGEST:
        raise _no_cursor()
    if isinstance(value, str) != (order.by is Sort.NAME):
        raise _no_cursor()
    if isinstance(value, int) and not -BIGGEST < value < BIGGEST:
        raise _no_cursor()
    return Place(value, number)


def _no_cursor() -> InvalidParameter:
    return InvalidParameter("`cursor` is not the `next_cursor` of a page in this order.")


async def describe(connection: AsyncConnection, rows: Sequence[ListedJob]) -> list[dict[str, Any]]:
    """Return jobs as shown in lists, with a few statements however many there are."""
    tallies = await chunks.tallies(connection, [row.id for row in rows])
    if parents := [row.id for row in rows if row.child_count is not None]:
        tallies |= await chunks.tallies(connection, parents, of_parts=True)
    marks = await marks_of(connection, rows)
    labels = await labels_of(connection, [row.id for row in rows])
    helped_numbers = await helped(connection, rows)
    return [
        _item(row, tallies.get(row.id), marks.get(row.id, []), labels.get(row.id, []))
        | _help(row, helped_numbers.get(row.id))
        for row in rows
    ]


def _help(job: ListedJob, number: int | None) -> dict[str, Any]:
    """Return which job this one helps, and as what; null for a job in its own right."""
    if number is None:
        return {"helps": None, "helps_as": None}
    return {"helps": number, "helps_as": f"{help_of(job)} of #{number}"}


def _item(
    job: ListedJob, tally: JobTally | None, marks: Sequence[Mark], labels: list[str]
) -> dict[str, Any]:
    """Return a job as shown in lists. Pure, except for the clock."""
    now = datetime.now(UTC)
    status = JobStatus(job.status)
    tally = tally or NO_CHUNKS
    ok, invalid, failed = tally.ok, tally.invalid, tally.failed
    counts = row_counts(
        total=tally.rows,
        ok=ok,
        invalid=invalid,
        failed=failed,
        in_failed_chunks=tally.in_failed_chunks,
    )
    size = data_bytes(job)
    seconds = ((job.finished_at or now) - job.started_at).total_seconds() if job.started_at else 0.0
    done_rows = ok + invalid + failed
    remaining = rows_left(
        known_rows=tally.rows, known_bytes=tally.bytes, done_rows=done_rows, all_bytes=size
    )
    return {
        "file_id": str(job.file_id),
        "job_id": str(job.id),
        "number": job.number,
        "user_id": job.owner,
        "filename": job.filename,
        "processor": job.processor,
        "status": status,
        **waiting(job),
        "parent_id": str(job.parent_id) if job.parent_id else None,
        "parts": job.child_count,
        "priority": job.priority,
        "labels": labels,
        "is_trial": bool((job.summary or {}).get("dry_run")),
        "is_undone": job.undo_state is not None,
        "undo_state": job.undo_state or "none",
        "progress_percent": percent(status, tally.done_bytes, size),
        "rows": {"ok": ok, "invalid": invalid, "failed": failed},
        "counts": counts,
        "split_complete": job.split_done,
        "rows_per_second": rows_per_second(counts["loaded"] + counts["rejected"], seconds),
        "eta_seconds": seconds_left(marks, remaining, now.timestamp()),
        "total_chunks": job.chunk_count,
        "size_bytes": job.size_bytes,
        "error": job.error,
        "created_at": job.created_at.isoformat(),
        "finished_at": job.finished_at.isoformat() if job.finished_at else None,
        "duration_seconds": round(seconds, 3) if job.started_at and job.finished_at else None,
    }


async def list_chunks(
    database: Database, job_id: UUID, owner: str, *, after: int, limit: int
) -> dict[str, Any]:
    """Return the chunk map of a job; raises NotFound. `after` is the last index read, -1 for the
    beginning.
    """
    async with database.reading() as connection:
        job = await find(connection, job_id, owner)
        rows = await chunks.list_chunks(connection, job.id, after=after, limit=limit)
    shown = (
        "chunk_index",
        "status",
        "byte_start",
        "byte_end",
        "first_row",
        "row_count",
        "first_line",
        "attempt",
        "deaths",
        "rows_ok",
        "rows_invalid",
        "rows_failed",
        "claimed_by",
        "error",
        "timings",
    )
    return {
        "job_id": str(job.id),
        "items": [
            {name: getattr(chunk, name) for name in shown}
            | {
                "available_at": chunk.available_at.isoformat(),
                "finished_at": chunk.finished_at.isoformat() if chunk.finished_at else None,
            }
            for chunk in rows
        ],
        "next_after": rows[-1].chunk_index if len(rows) == limit else None,
    }
