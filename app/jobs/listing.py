"""Lists of jobs and of the chunks of a job, page by page."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from app.db import chunks, jobs
from app.db.engine import Database
from app.jobs.progress import find, percent
from app.states import JobStatus


async def list_jobs(
    database: Database,
    owner: str,
    *,
    limit: int,
    before: int | None,
    status: str | None,
    processor: str | None,
    parent: UUID | None = None,
    since: datetime | None = None,
) -> dict[str, Any]:
    """Newest first. `before` is the `next_before` of the page before."""
    async with database.reading() as connection:
        rows = await jobs.list_jobs(
            connection,
            owner,
            limit=limit,
            before=before,
            status=status,
            processor=processor,
            parent=parent,
            since=since,
        )
        done = await chunks.done_bytes(connection, [row["id"] for row in rows])
    items = [
        {
            "file_id": str(row["file_id"]),
            "job_id": str(row["id"]),
            "number": row["number"],
            "user_id": row["owner"],
            "filename": row["filename"],
            "processor": row["processor"],
            "status": row["status"],
            "parent_id": str(row["parent_id"]) if row["parent_id"] else None,
            "priority": row["priority"],
            "progress_percent": percent(
                JobStatus(row["status"]), done.get(row["id"], 0), row["stored_bytes"] - row["dialect"]["data_start"]
            ),
            "total_chunks": row["chunk_count"],
            "size_bytes": row["size_bytes"],
            "error": row["error"],
            "created_at": row["created_at"].isoformat(),
            "finished_at": row["finished_at"].isoformat() if row["finished_at"] else None,
        }
        for row in rows
    ]
    return {"items": items, "limit": limit, "next_before": rows[-1]["number"] if len(rows) == limit else None}


async def list_chunks(database: Database, job_id: UUID, owner: str, *, after: int, limit: int) -> dict[str, Any]:
    """The chunk map of a job; raises NotFound. `after` is the last index seen, -1 for the beginning."""
    async with database.reading() as connection:
        job = await find(connection, job_id, owner)
        rows = await chunks.list_chunks(connection, job["id"], after=after, limit=limit)
    shown = (
        "chunk_index", "status", "byte_start", "byte_end", "first_row", "row_count", "first_line", "attempt", "deaths",
        "rows_ok", "rows_invalid", "rows_failed", "claimed_by", "error",
    )  # fmt: skip
    return {
        "job_id": str(job["id"]),
        "items": [{name: row[name] for name in shown} for row in rows],
        "next_after": rows[-1]["chunk_index"] if len(rows) == limit else None,
    }
