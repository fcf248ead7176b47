"""SQL for corrections: their contents, and how rejects become results of the corrected job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import delete, exists, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import jobs, outbox
from app.db.models import Chunk, CorrectionChunk, Job, RejectedRow
from app.db.moves import may_become
from app.db.rows import (
    ChunkContents,
    ChunkRow,
    JobBase,
    JobCorrection,
    RejectPlace,
    RejectRow,
    changes_of,
    columns_of,
    fetch_all,
    fetch_first,
    values_of,
)
from app.db.types import now
from app.states import ChunkStatus, JobStatus

ORIGIN = outbox.CORRECTIONS
ROWS_AT_ONCE = 1_000
_JOB = columns_of(JobBase, Job)
_REJECT = columns_of(RejectRow, RejectedRow)


@dataclass(frozen=True, slots=True)
class CorrectionPart:
    """The rows of one chunk of a correction, all from one chunk of the corrected job."""

    target_index: int
    seen: Mapping[int, int]
    """By row number, in the order of the chunk: how often each row had been corrected when this
    correction was accepted.
    """


async def insert_parts(
    connection: AsyncConnection, job_id: UUID, parts: Sequence[CorrectionPart]
) -> None:
    rows = [
        {
            "job_id": job_id,
            "chunk_index": index,
            "target_index": part.target_index,
            "row_numbers": list(part.seen),
            "seen": list(part.seen.values()),
        }
        for index, part in enumerate(parts)
    ]
    await connection.execute(insert(CorrectionChunk), rows)


async def find_parts(
    connection: AsyncConnection, job_id: UUID, indexes: Iterable[int]
) -> dict[int, CorrectionPart]:
    """Return the parts of the correction by chunk index."""
    query = select(
        CorrectionChunk.chunk_index,
        CorrectionChunk.target_index,
        CorrectionChunk.row_numbers,
        CorrectionChunk.seen,
    ).where(CorrectionChunk.job_id == job_id, CorrectionChunk.chunk_index.in_(list(indexes)))
    return {
        index: CorrectionPart(target_index, dict(zip(numbers, seen, strict=True)))
        for index, target_index, numbers, seen in (await connection.execute(query)).all()
    }


async def find_of_row(
    connection: AsyncConnection, target_id: UUID, target_index: int, row_number: int
) -> UUID | None:
    """Return the correction that a row of a chunk was accepted from; None if it was none."""
    query = (
        select(CorrectionChunk.job_id, CorrectionChunk.row_numbers)
        .join(Job, Job.id == CorrectionChunk.job_id)
        .where(Job.parent_id == target_id, CorrectionChunk.target_index == target_index)
        .order_by(Job.number.desc())
    )
    for job_id, numbers in (await connection.execute(query)).all():
        is_rejected = exists().where(
            RejectedRow.job_id == job_id, RejectedRow.row_number == row_number
        )
        if row_number in numbers and not (await connection.execute(select(is_rejected))).scalar():
            return UUID(str(job_id))
    return None


async def chunk_starts(connection: AsyncConnection, job_id: UUID) -> list[tuple[int, int]]:
    """Return (first row, index) of every chunk, in order."""
    query = (
        select(Chunk.first_row, Chunk.chunk_index)
        .where(Chunk.job_id == job_id)
        .order_by(Chunk.first_row)
    )
    return [(int(first), int(index)) for first, index in (await connection.execute(query)).all()]


async def count_accepted(connection: AsyncConnection, target_id: UUID) -> None:
    query = (
        update(Job)
        .where(Job.id == target_id)
        .values(corrections=Job.corrections + 1, updated_at=now())
    )
    await connection.execute(query)


async def rejects_of(
    connection: AsyncConnection, job_id: UUID, numbers: Sequence[int]
) -> dict[int, RejectRow]:
    """Return those of these rows that are rejected, with their bytes, by row number."""
    rejects: dict[int, RejectRow] = {}
    for some in _steps(numbers):
        query = select(*_REJECT).where(
            RejectedRow.job_id == job_id, RejectedRow.row_number.in_(some)
        )
        rejects |= {
            reject.row_number: reject for reject in await fetch_all(connection, RejectRow, query)
        }
    return rejects


async def places_of(
    connection: AsyncConnection, job_id: UUID, first: int, last: int
) -> dict[int, RejectPlace]:
    """Return the rejects from `first` to `last`, both included, by row number: kind, code, place in
    the file, corrections so far.
    """
    query = select(*columns_of(RejectPlace, RejectedRow))
    query = query.where(RejectedRow.job_id == job_id, RejectedRow.row_number.between(first, last))
    return {reject.row_number: reject for reject in await fetch_all(connection, RejectPlace, query)}


# ---------------------------------------------------------------------- merging, in one transaction


async def lock_chunk(connection: AsyncConnection, job_id: UUID, index: int) -> ChunkRow | None:
    """Lock a completed chunk until the end of the transaction."""
    query = (
        select(*columns_of(ChunkRow, Chunk))
        .where(
            Chunk.job_id == job_id,
            Chunk.chunk_index == index,
            Chunk.status == ChunkStatus.COMPLETED,
        )
        .with_for_update()
    )
    return await fetch_first(connection, ChunkRow, query)


async def remove_rejects(connection: AsyncConnection, job_id: UUID, numbers: Sequence[int]) -> None:
    for some in _steps(numbers):
        await connection.execute(
            delete(RejectedRow).where(
                RejectedRow.job_id == job_id, RejectedRow.row_number.in_(some)
            )
        )


async def insert_rejects(connection: AsyncConnection, rejects: Sequence[RejectRow]) -> None:
    if rejects:
        await connection.execute(insert(RejectedRow), [values_of(reject) for reject in rejects])


async def change_chunk(
    connection: AsyncConnection, job_id: UUID, index: int, contents: ChunkContents
) -> None:
    """Update a chunk that this transaction has locked."""
    query = update(Chunk).where(Chunk.job_id == job_id, Chunk.chunk_index == index)
    await connection.execute(query.values(**values_of(contents)))


async def change_job(connection: AsyncConnection, job_id: UUID, correction: JobCorrection) -> None:
    """Update a job that this transaction has locked."""
    query = update(Job).where(Job.id == job_id)
    await connection.execute(query.values(**changes_of(correction), updated_at=now()))


_MAY_BE_CLEARED = may_become(
    Job.status, JobStatus.COMPLETED, among=(JobStatus.COMPLETED_WITH_ERRORS,)
)


# completed_with_errors -> completed
async def clear(connection: AsyncConnection, job_id: UUID) -> None:
    """Mark the job as completed if it has no rejected or failed rows left, and then its parent
    likewise. Subscribers are notified as at the end of a job.
    """
    wrong = select(Chunk.job_id).where(Chunk.job_id == job_id, Chunk.rows_ok < Chunk.row_count)
    query = (
        update(Job)
        .where(Job.id == job_id, _MAY_BE_CLEARED, ~wrong.exists())
        .values(status=JobStatus.COMPLETED, error=None, updated_at=now())
        .returning(*_JOB)
    )
    cleared = await fetch_first(connection, JobBase, query)
    if cleared is None:
        return
    await outbox.tell(connection, cleared, cleared.updated_at)
    parent_id = cleared.parent_id
    if parent_id is None:
        return
    # of two last parts, the second must see the changes of the first
    await jobs.lock_job(connection, parent_id)
    part = select(Job.id).where(Job.parent_id == parent_id, Job.status != JobStatus.COMPLETED)
    parent = update(Job).where(
        Job.id == parent_id,
        Job.child_count.is_not(None),
        _MAY_BE_CLEARED,
        ~part.correlate(None).exists(),
    )
    changed = parent.values(status=JobStatus.COMPLETED, error=None, updated_at=now()).returning(
        *_JOB
    )
    whole = await fetch_first(connection, JobBase, changed)
    if whole is not None:
        await outbox.tell(connection, whole, whole.updated_at)


def _steps(numbers: Sequence[int]) -> Iterable[Sequence[int]]:
    return (numbers[i : i + ROWS_AT_ONCE] for i in range(0, len(numbers), ROWS_AT_ONCE))
