"""SQL for the undo of a job: its start, progress and end. Destinations remove the rows."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import Job
from app.db.rows import JobBase, UndoCounts, UndoneJob, columns_of, fetch_first
from app.db.types import now

LEFT_ROWS = 20
"""Number of rows that an undo names."""


async def begin(connection: AsyncConnection, job_ids: list[UUID]) -> None:
    query = update(Job).where(Job.id.in_(job_ids), Job.undo_state.is_(None))
    counts = {"removed": 0, "restored": 0}
    await connection.execute(
        query.values(undo_state="undoing", undo_counts=counts, updated_at=now())
    )


async def family_counts(connection: AsyncConnection, job_ids: list[UUID]) -> UndoCounts:
    """Return the rows removed, restored and left by the undo of all these jobs."""
    query = select(Job.undo_counts).where(Job.id.in_(job_ids), Job.undo_counts.is_not(None))
    of_jobs = (await connection.execute(query)).scalars().all()
    removed, restored, left = (
        sum(counts.get(name, 0) for counts in of_jobs if counts)
        for name in ("removed", "restored", "left")
    )
    left_rows = [row for counts in of_jobs if counts for row in counts.get("left_rows", ())]
    return UndoCounts(removed, restored, left, left_rows[:LEFT_ROWS])


async def find_undoing(connection: AsyncConnection) -> list[UUID]:
    """Return jobs whose undo is not finished, parts before their parents."""
    query = select(Job.id).where(Job.undo_state == "undoing").order_by(Job.number.desc())
    return list((await connection.execute(query)).scalars())


async def lock(connection: AsyncConnection, job_id: UUID) -> UndoneJob | None:
    """Lock the job and return it with the rows removed and restored so far; None if its undo is
    finished.

    Undos run one at a time: two whose rows replaced each other would not see the rows that the
    other restores.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('undo', 0))"))
    query = select(*columns_of(UndoneJob, Job)).where(Job.id == job_id).with_for_update()
    job = await fetch_first(connection, UndoneJob, query)
    if job is None or job.undo_state != "undoing":
        return None
    return job


async def set_counts(
    connection: AsyncConnection, job_id: UUID, undo_counts: dict[str, Any]
) -> None:
    await connection.execute(update(Job).where(Job.id == job_id).values(undo_counts=undo_counts))


async def end(connection: AsyncConnection, job_id: UUID) -> None:  # undoing -> undone
    query = update(Job).where(Job.id == job_id)
    await connection.execute(query.values(undo_state="undone", undone_at=now(), updated_at=now()))


def body(job: JobBase) -> dict[str, Any] | None:
    """Return the undo as shown in a status."""
    if not job.undo_state:
        return None
    at = job.undone_at
    return {
        "state": job.undo_state,
        **(job.undo_counts or {}),
        "undone_at": at.isoformat() if at else None,
    }
