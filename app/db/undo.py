"""SQL for the undo: bounded steps that take back what a job wrote into tables, each in a transaction of its own."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import delete, exists, func, insert, or_, select, text, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import (
    Job,
    PredictionRow,
    PredictionVersion,
    Record,
    RecordVector,
    TransactionRow,
    TransactionVersion,
    VectorTask,
)
from app.db.rows import JobBase
from app.db.types import now

STEP = 1_000
SHARED: tuple[tuple[Any, Any], ...] = ((TransactionRow, TransactionVersion), (PredictionRow, PredictionVersion))
"""Tables with rows that any job may write, and where the versions of other jobs are."""
OWN: tuple[tuple[Any, Any], ...] = (
    (VectorTask, VectorTask.first_row), (RecordVector, RecordVector.row_number), (Record, Record.row_number),
)  # fmt: skip
"""Tables with rows of one job each. The tasks first: without them no more vectors are made."""


async def has_rows(connection: AsyncConnection, job_ids: list[UUID]) -> bool:
    """Whether one of the jobs has written anything that could be taken back."""
    tables = [Record, *(table for pair in SHARED for table in pair)]
    query = select(or_(*(exists().where(table.job_id.in_(job_ids)) for table in tables)))
    return bool((await connection.execute(query)).scalar_one())


async def begin(connection: AsyncConnection, job_ids: list[UUID]) -> None:
    query = update(Job).where(Job.id.in_(job_ids), Job.undo_state.is_(None))
    counts = {"removed": 0, "restored": 0}
    await connection.execute(query.values(undo_state="undoing", undo_counts=counts, updated_at=now()))


async def family_counts(connection: AsyncConnection, job_ids: list[UUID]) -> dict[str, int]:
    """Rows removed and restored by the undo of all these jobs."""
    found = (await connection.execute(select(Job.undo_counts).where(Job.id.in_(job_ids)))).scalars().all()
    return {name: sum(counts[name] for counts in found if counts) for name in ("removed", "restored")}


async def find_undoing(connection: AsyncConnection) -> list[UUID]:
    """Jobs whose undo is not finished; parts before what they are parts of."""
    query = select(Job.id).where(Job.undo_state == "undoing").order_by(Job.number.desc())
    return list((await connection.execute(query)).scalars())


async def advance(connection: AsyncConnection, job_id: UUID) -> bool:
    """Take back a bounded number of rows; False when the job is undone. One job at a time: two whose rows replaced each
    other's would each not see what the other is just putting back."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('undo', 0))"))
    query = select(Job).where(Job.id == job_id).with_for_update()
    job = (await connection.execute(query)).mappings().first()
    if job is None or job["undo_state"] != "undoing":
        return False
    found = await _take_back(connection, job_id)
    if found is None:
        done = update(Job).where(Job.id == job_id)
        await connection.execute(done.values(undo_state="undone", undone_at=now(), updated_at=now()))
        return False
    removed, restored = found
    counts = {"removed": job["undo_counts"]["removed"] + removed, "restored": job["undo_counts"]["restored"] + restored}
    await connection.execute(update(Job).where(Job.id == job_id).values(undo_counts=counts))
    return True


async def _take_back(connection: AsyncConnection, job_id: UUID) -> tuple[int, int] | None:
    """(removed, restored) of some rows; None if nothing is left."""
    for table, place in OWN:
        some = select(place).where(table.job_id == job_id).limit(STEP).scalar_subquery()
        count = (await connection.execute(delete(table).where(table.job_id == job_id, place.in_(some)))).rowcount
        if count:
            return (count if table is Record else 0), 0
    for table, versions in SHARED:
        query = select(table.transaction_id).where(table.job_id == job_id).order_by(table.transaction_id).limit(STEP)
        keys = list((await connection.execute(query.with_for_update())).scalars())
        if keys:
            restored = await _restore(connection, table, versions, job_id, keys)
            return len(keys) - restored, restored
    for _, versions in SHARED:  # what later jobs replaced: without it, their undo restores what was there before
        some = select(versions.transaction_id).where(versions.job_id == job_id).limit(STEP).scalar_subquery()
        gone = delete(versions).where(versions.job_id == job_id, versions.transaction_id.in_(some))
        if (await connection.execute(gone)).rowcount:
            return 0, 0
    return None


async def _restore(connection: AsyncConnection, table: Any, versions: Any, job_id: UUID, keys: list[str]) -> int:
    """Put the newest version that was kept of each row in its place, or nothing; how many had one."""
    latest = (
        select(versions.transaction_id, func.max(versions.job_number))
        .where(versions.transaction_id.in_(keys))
        .group_by(versions.transaction_id)
    )
    kept = [tuple(row) for row in (await connection.execute(latest)).all()]
    await connection.execute(delete(table).where(table.job_id == job_id, table.transaction_id.in_(keys)))
    if kept:
        mine = tuple_(versions.transaction_id, versions.job_number).in_(kept)
        names = [column.name for column in table.__table__.c]
        chosen = select(*(versions.__table__.c[name] for name in names)).where(mine)
        await connection.execute(insert(table).from_select(names, chosen))
        await connection.execute(delete(versions).where(mine))
    return len(kept)


async def prune(connection: AsyncConnection, older_than_seconds: float) -> bool:
    """Forget a bounded number of versions that nobody can restore any more; True while there may be more."""
    for _, versions in SHARED:
        mine = (versions.transaction_id, versions.job_number)
        query = select(*mine).where(versions.archived_at < now(-older_than_seconds)).limit(STEP)
        old = [tuple(row) for row in (await connection.execute(query)).all()]
        if old:
            await connection.execute(delete(versions).where(tuple_(*mine).in_(old)))
            return True
    return False


def body(job: JobBase) -> dict[str, Any] | None:
    """What a status says of it."""
    if not job.undo_state:
        return None
    at = job.undone_at
    return {"state": job.undo_state, **(job.undo_counts or {}), "undone_at": at.isoformat() if at else None}
