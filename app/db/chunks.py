"""SQL for chunks: inserting, claiming, and the named moves between states. Every move names the
state that it starts from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Float,
    bindparam,
    case,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import Chunk, Job
from app.db.moves import may_become
from app.db.rows import (
    ChunkCompletion,
    ChunkRow,
    ChunkTally,
    CompletedChunk,
    FailedChunk,
    JobTally,
    JobTotals,
    columns_of,
    fetch_all,
    values_of,
)
from app.db.types import is_due, now, padded
from app.errors import LeaseLost
from app.formats.base import Span
from app.states import ChunkStatus, row_counts

MAX_DEATHS = 3
"""A chunk that has ended this many processes is not run again."""
FRESH_SECONDS = 0.5
LONGEST_WAIT = 30.0
"""Limit in seconds for the wait before a chunk's next attempt; MAX_BACKOFF may raise it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on one chunk, until the lease ends or the chunk is taken back."""

    job_id: UUID
    index: int
    token: UUID
    attempt: int
    span: Span
    is_suspect: bool = False
    """Whether its previous worker vanished: it may run only in a separate process."""


async def insert_chunks(
    connection: AsyncConnection,
    job_id: UUID,
    first_index: int,
    spans: Sequence[Span],
    status: ChunkStatus,
) -> None:
    rows = [
        {
            "job_id": job_id,
            "chunk_index": first_index + i,
            "byte_start": s.byte_start,
            "byte_end": s.byte_end,
            "first_row": s.first_row,
            "row_count": s.row_count,
            "first_line": s.first_line,
            "crc32": s.crc32,
            "status": status,
        }
        for i, s in enumerate(spans)
    ]
    if rows:
        await connection.execute(insert(Chunk).values(available_at=now()), rows)


# Statements that every chunk needs are built once: building them takes longer than running them.
_TABLE: Any = Chunk.__table__
_chunks = _TABLE.c
_RETURNED = (
    _chunks.chunk_index,
    _chunks.attempt,
    _chunks.byte_start,
    _chunks.byte_end,
    _chunks.first_row,
    _chunks.row_count,
    _chunks.first_line,
    _chunks.crc32,
)


def _claiming(are_suspects: ColumnElement[bool]) -> Any:
    following = (
        select(_chunks.chunk_index)
        .where(
            _chunks.job_id == bindparam("of_job"),
            _chunks.status == ChunkStatus.PENDING,
            is_due(_chunks.available_at, bindparam("longest_wait", type_=Float)),
            are_suspects,
        )
        .order_by(_chunks.chunk_index)
        .limit(bindparam("at_most"))
        .with_for_update(skip_locked=True)
        .cte("following")  # evaluated once: a plain subquery could run again and lock more rows
    )
    return (
        update(_TABLE)
        .where(
            _chunks.job_id == bindparam("of_job"),
            _chunks.chunk_index.in_(select(following.c.chunk_index)),
            may_become(_chunks.status, ChunkStatus.PROCESSING),
        )
        .values(
            status=ChunkStatus.PROCESSING,
            attempt=_chunks.attempt + 1,
            claim_token=bindparam("new_token"),
            claimed_by=bindparam("worker"),
            lease_expires_at=now(bindparam("seconds", type_=Float)),
        )
        .returning(*_RETURNED)
    )


_CLAIM, _CLAIM_SUSPECTS = _claiming(_chunks.is_suspect.is_(False)), _claiming(_chunks.is_suspect)
_HELD = (
    select(_chunks.chunk_index)
    .where(
        _chunks.job_id == bindparam("of_job"),
        _chunks.status == ChunkStatus.PROCESSING,
        _chunks.claim_token == bindparam("held_token"),
        _chunks.chunk_index.between(bindparam("first"), bindparam("last")),
    )
    .order_by(_chunks.chunk_index)
    .with_for_update()
)
_COMPLETE = (
    update(_TABLE)
    .where(
        _chunks.job_id == bindparam("of_job"),
        _chunks.chunk_index == bindparam("at_index"),
        may_become(_chunks.status, ChunkStatus.COMPLETED),
    )
    .values(
        status=ChunkStatus.COMPLETED,
        claim_token=None,
        lease_expires_at=None,
        error=None,
        finished_at=now(),
        rows_ok=bindparam("rows_ok"),
        rows_invalid=bindparam("rows_invalid"),
        rows_failed=bindparam("rows_failed"),
        hash_read=bindparam("hash_read"),
        summary=bindparam("summary"),
        reject_codes=bindparam("reject_codes"),
        timings=bindparam("timings"),
    )
)

_SET_TIMINGS = (
    update(_TABLE)
    .where(_chunks.job_id == bindparam("of_job"), _chunks.chunk_index == bindparam("at_index"))
    .values(timings=bindparam("timings"))
)


async def claim(
    connection: AsyncConnection,
    job_id: UUID,
    worker: str,
    lease_seconds: float,
    *,
    token: UUID,
    limit: int = 1,
    suspects: bool = False,
    longest_wait: float = LONGEST_WAIT,
) -> list[Claim]:  # pending -> processing
    """Claim the job's next chunks that may run now, under one new token; one statement.

    Chunks whose worker vanished are `suspects`, and claimed only if asked for. No chunk waits
    longer than `longest_wait` seconds.
    """
    parameters = {
        "of_job": job_id,
        "new_token": token,
        "worker": worker,
        "seconds": lease_seconds,
        "at_most": limit,
        "longest_wait": longest_wait,
    }
    rows = (await connection.execute(_CLAIM_SUSPECTS if suspects else _CLAIM, parameters)).all()
    claimed = sorted(map(tuple, rows))
    return [
        Claim(job_id, index, token, attempt, Span(*span), suspects)
        for index, attempt, *span in claimed
    ]


IN_WORK = (ChunkStatus.PROCESSING,)


def _held(claim: Claim, to: ChunkStatus) -> Any:
    return update(Chunk).where(
        Chunk.job_id == claim.job_id,
        Chunk.chunk_index == claim.index,
        may_become(Chunk.status, to, among=IN_WORK),
        Chunk.claim_token == claim.token,
    )


async def complete(
    connection: AsyncConnection, claims: Sequence[Claim], completions: Sequence[ChunkCompletion]
) -> None:  # processing -> completed
    """Complete chunks that were claimed together, each with its completion.

    Must precede the rows in the transaction that writes them: this is the fence. Raises LeaseLost.
    """
    await hold(connection, claims)
    rows = [
        {"of_job": claim.job_id, "at_index": claim.index, **values_of(completion)}
        for claim, completion in zip(claims, completions, strict=True)
    ]
    await connection.execute(_COMPLETE, rows)


async def set_summary(connection: AsyncConnection, claim: Claim, summary: dict[str, Any]) -> None:
    """Store the summary of a chunk that this transaction has completed."""
    query = update(Chunk).where(Chunk.job_id == claim.job_id, Chunk.chunk_index == claim.index)
    await connection.execute(query.values(summary=summary))


async def set_timings(connection: AsyncConnection, claim: Claim, timings: dict[str, float]) -> None:
    """Store the timings of a chunk that this transaction has completed."""
    values = {"of_job": claim.job_id, "at_index": claim.index, "timings": timings}
    await connection.execute(_SET_TIMINGS, values)


async def hold(connection: AsyncConnection, claims: Sequence[Claim]) -> None:
    """Lock chunks that were claimed together until the end of the transaction, and those between
    them that were claimed with them. Raises LeaseLost if one of them was taken back or is completed.
    """
    indexes = {claim.index for claim in claims}
    # By the first and the last: a list of indexes would be another statement for each length.
    parameters = {
        "of_job": claims[0].job_id,
        "held_token": claims[0].token,
        "first": min(indexes),
        "last": max(indexes),
    }
    held = set((await connection.execute(_HELD, parameters)).scalars())
    if not held.issuperset(indexes):
        raise LeaseLost


async def release(
    connection: AsyncConnection,
    claim: Claim,
    *,
    delay_seconds: float,
    refund: bool,
    error: dict[str, Any] | None = None,
) -> bool:  # processing -> pending
    """Give the chunk back. With `refund` the attempt does not count, for causes outside the
    chunk.
    """
    values: dict[str, Any] = {"attempt": claim.attempt - 1} if refund else {"error": error}
    query = _held(claim, ChunkStatus.PENDING).values(
        status=ChunkStatus.PENDING,
        claim_token=None,
        lease_expires_at=None,
        available_at=now(delay_seconds),
        **values,
    )
    return (await connection.execute(query)).rowcount == 1


async def release_all(connection: AsyncConnection, worker: str) -> None:  # processing -> pending
    """Give back all chunks of this worker without counting an attempt: it is shutting down."""
    await connection.execute(_give_back(worker))


async def release_strays(
    connection: AsyncConnection, worker: str, tokens: Sequence[UUID], lease_seconds: float
) -> list[UUID]:  # processing -> pending
    """Give back the chunks that this worker holds without knowing it, after a lost connection;
    return their jobs. No attempt is counted.

    `tokens` are the claims that the worker knows and has just renewed. A lease as fresh as theirs
    belongs to a claim that is being made right now.
    """
    query = _give_back(worker).where(
        Chunk.claim_token.not_in(tokens),
        Chunk.lease_expires_at < now(lease_seconds - FRESH_SECONDS),
    )
    return list(dict.fromkeys((await connection.execute(query.returning(Chunk.job_id))).scalars()))


def _give_back(worker: str) -> Any:
    return (
        update(Chunk)
        .where(
            may_become(Chunk.status, ChunkStatus.PENDING, among=IN_WORK), Chunk.claimed_by == worker
        )
        .values(
            status=ChunkStatus.PENDING,
            attempt=Chunk.attempt - 1,
            claim_token=None,
            lease_expires_at=None,
            available_at=now(),
        )
    )


# processing -> failed
async def fail(connection: AsyncConnection, claim: Claim, error: dict[str, Any]) -> bool:
    query = _held(claim, ChunkStatus.FAILED).values(
        status=ChunkStatus.FAILED,
        claim_token=None,
        lease_expires_at=None,
        rows_failed=Chunk.row_count,
        error=error,
        finished_at=now(),
    )
    return (await connection.execute(query)).rowcount == 1


async def renew(connection: AsyncConnection, tokens: Sequence[UUID], lease_seconds: float) -> int:
    """Extend the leases of these claims, except for chunks that are being written and need none;
    return the number of extended ones.
    """
    query = _unless_locked(Chunk.status == ChunkStatus.PROCESSING, Chunk.claim_token.in_(tokens))
    return (await connection.execute(query.values(lease_expires_at=now(lease_seconds)))).rowcount


def _unless_locked(*conditions: ColumnElement[bool]) -> Any:
    """Return an UPDATE of these chunks that skips locked ones. A locked chunk is being written, or
    its worker stopped while writing it; it must not delay the others.
    """
    free = (
        select(Chunk.job_id, Chunk.chunk_index)
        .where(*conditions)
        .with_for_update(skip_locked=True)
        .cte("free")
    )
    return update(Chunk).where(
        tuple_(Chunk.job_id, Chunk.chunk_index).in_(select(free.c.job_id, free.c.chunk_index))
    )


async def shorten_leases(connection: AsyncConnection, lease_seconds: float) -> None:
    """Shorten leases that end later than a new lease would, which happens when the clock is set
    back. Live workers renew them in time.
    """
    query = _unless_locked(
        Chunk.status == ChunkStatus.PROCESSING, Chunk.lease_expires_at > now(2 * lease_seconds)
    )
    await connection.execute(query.values(lease_expires_at=now(lease_seconds)))


# processing -> pending
async def rescue(connection: AsyncConnection, *, expired_only: bool) -> list[UUID]:
    """Take back the chunks of vanished workers without counting an attempt; return their jobs. Each
    chunk is a suspect from now on.
    """
    conditions = [may_become(Chunk.status, ChunkStatus.PENDING, among=IN_WORK)]
    if expired_only:
        conditions.append(Chunk.lease_expires_at < now())
    query = (
        _unless_locked(*conditions)
        .values(
            status=ChunkStatus.PENDING,
            attempt=Chunk.attempt - 1,
            is_suspect=True,
            claim_token=None,
            lease_expires_at=None,
            available_at=now(),
        )
        .returning(Chunk.job_id)
    )
    return list(dict.fromkeys((await connection.execute(query)).scalars()))


async def count_death(
    connection: AsyncConnection, claim: Claim
) -> ChunkStatus | None:  # processing -> pending | failed
    """Count the end of the process that ran a suspect alone; return the new status of the chunk,
    None if it belongs to another worker.

    After MAX_DEATHS it fails, alone, so that the rest of its file completes.
    """
    is_poison = Chunk.deaths + 1 >= MAX_DEATHS
    poison = {
        "code": "poison_chunk",
        "message": f"{MAX_DEATHS} processes that ran only this chunk ended abruptly.",
    }
    query = (
        _held(claim, ChunkStatus.FAILED)
        .values(
            status=case(
                (is_poison, literal(str(ChunkStatus.FAILED))),
                else_=literal(str(ChunkStatus.PENDING)),
            ),
            rows_failed=case((is_poison, Chunk.row_count), else_=0),
            error=case((is_poison, literal(poison, Chunk.error.type)), else_=Chunk.error),
            finished_at=case((is_poison, now()), else_=null()),
            deaths=Chunk.deaths + 1,
            attempt=claim.attempt - 1,
            claim_token=None,
            lease_expires_at=None,
            available_at=now(),
        )
        .returning(Chunk.status)
    )
    status = (await connection.execute(query)).scalar()
    return None if status is None else ChunkStatus(status)


# pending | processing -> cancelled
async def cancel_all(connection: AsyncConnection, job_id: UUID) -> None:
    query = (
        update(Chunk)
        .where(Chunk.job_id == job_id, may_become(Chunk.status, ChunkStatus.CANCELLED))
        .values(
            status=ChunkStatus.CANCELLED, claim_token=None, lease_expires_at=None, finished_at=now()
        )
    )
    await connection.execute(query)


async def retry_failed(connection: AsyncConnection, job_id: UUID) -> int:  # failed -> pending
    query = (
        update(Chunk)
        .where(
            Chunk.job_id == job_id,
            may_become(Chunk.status, ChunkStatus.PENDING, among=(ChunkStatus.FAILED,)),
        )
        .values(
            status=ChunkStatus.PENDING,
            attempt=0,
            deaths=0,
            rows_failed=0,
            error=None,
            finished_at=None,
            available_at=now(),
        )
    )
    return (await connection.execute(query)).rowcount


async def next_waiting(
    connection: AsyncConnection, job_id: UUID, longest_wait: float = LONGEST_WAIT
) -> float | None:
    """Return the seconds until the first waiting chunk may run; None if none waits."""
    waits = case((is_due(Chunk.available_at, longest_wait), now()), else_=Chunk.available_at)
    query = select(func.min(waits), now()).where(
        Chunk.job_id == job_id, Chunk.status == ChunkStatus.PENDING
    )
    due, at = (await connection.execute(query)).one()
    return None if due is None else max(0.0, (due - at).total_seconds())


def _of_family(job_id: UUID) -> ColumnElement[bool]:
    """Match chunks of the job, of its parts, and of the parts of those. There is no fourth
    generation.
    """
    parts = select(Job.id).where(Job.parent_id == job_id)
    of_family = or_(Job.id == job_id, Job.parent_id == job_id, Job.parent_id.in_(parts))
    return Chunk.job_id.in_(select(Job.id).where(of_family))


_COUNTED_OK = case((Job.is_withdrawn, 0), else_=Chunk.rows_ok)
"""Rows that count as ok: none of a job that ended without publishing them."""
_SUMS = (
    func.count().label("chunks"),
    func.sum(Chunk.row_count).label("rows"),
    func.sum(_COUNTED_OK).label("ok"),
    func.sum(Chunk.rows_invalid).label("invalid"),
    func.sum(Chunk.rows_failed).label("failed"),
    func.sum(Chunk.byte_end - Chunk.byte_start).label("bytes"),
)


_TALLY = (
    select(Chunk.status, *_SUMS)
    .join(Job, Job.id == Chunk.job_id)
    .where(Chunk.job_id == bindparam("of_job"))
    .group_by(Chunk.status)
)
_TALLY_ALL = (
    select(Chunk.job_id, Chunk.status, *_SUMS)
    .join(Job, Job.id == Chunk.job_id)
    .where(Chunk.job_id.in_(bindparam("of_jobs", expanding=True, type_=Chunk.job_id.type)))
    .group_by(Chunk.job_id, Chunk.status)
)


def _tallied(status: str, *sums: Any) -> ChunkTally:
    """PostgreSQL returns sums as decimals."""
    return ChunkTally(status, *map(int, sums))


async def tally(
    connection: AsyncConnection, job_id: UUID, *, is_parent: bool = False
) -> list[ChunkTally]:
    """Return a tally for each status that occurs. Progress and the finisher are computed from it
    alone.
    """
    if is_parent:
        query = (
            select(Chunk.status, *_SUMS)
            .join(Job, Job.id == Chunk.job_id)
            .where(_of_family(job_id))
            .group_by(Chunk.status)
        )
        return await fetch_all(connection, _tallied, query)
    return await fetch_all(connection, _tallied, _TALLY, {"of_job": job_id})


async def tally_all(
    connection: AsyncConnection, job_ids: Sequence[UUID]
) -> dict[UUID, list[ChunkTally]]:
    """Return the tallies of each of these jobs that has chunks."""
    tallies: dict[UUID, list[ChunkTally]] = {}
    for job_id, status, *sums in (
        await connection.execute(_TALLY_ALL, {"of_jobs": padded(job_ids)})
    ).all():
        tallies.setdefault(job_id, []).append(_tallied(str(status), *sums))
    return tallies


def counts(tally: Collection[ChunkTally]) -> dict[str, int]:
    """Return the rows of a tally by outcome."""
    return row_counts(
        total=sum(t.rows for t in tally),
        ok=sum(t.ok for t in tally),
        invalid=sum(t.invalid for t in tally),
        failed=sum(t.failed for t in tally),
        in_failed_chunks=sum(t.failed for t in tally if t.status == ChunkStatus.FAILED),
    )


async def done_bytes(connection: AsyncConnection, job_ids: Sequence[UUID]) -> dict[UUID, int]:
    """Return the bytes of final chunks by job, for a whole page of a list in one query."""
    final = [s for s in ChunkStatus if s.is_final and s is not ChunkStatus.CANCELLED]
    query = (
        select(Chunk.job_id, func.sum(Chunk.byte_end - Chunk.byte_start))
        .where(Chunk.job_id.in_(job_ids), Chunk.status.in_(final))
        .group_by(Chunk.job_id)
    )
    return {job_id: int(size) for job_id, size in (await connection.execute(query)).all()}


async def tallies(
    connection: AsyncConnection, job_ids: Sequence[UUID], *, of_parts: bool = False
) -> dict[UUID, JobTally]:
    """Return the tally of each job that has chunks, or of the parts of each job. One statement for
    a whole page of a list.
    """
    is_done = Chunk.status.in_(
        [s for s in ChunkStatus if s.is_final and s is not ChunkStatus.CANCELLED]
    )
    key = Job.parent_id if of_parts else Chunk.job_id
    query = select(
        key.label("job_id"),
        func.sum(Chunk.row_count).label("rows"),
        func.sum(_COUNTED_OK).label("ok"),
        func.sum(Chunk.rows_invalid).label("invalid"),
        func.sum(Chunk.rows_failed).label("failed"),
        func.sum(case((Chunk.status == ChunkStatus.FAILED, Chunk.rows_failed), else_=0)).label(
            "in_failed_chunks"
        ),
        func.sum(case((is_done, Chunk.byte_end - Chunk.byte_start), else_=0)).label("done_bytes"),
        func.sum(Chunk.byte_end - Chunk.byte_start).label("bytes"),
    )
    query = query.join(Job, Job.id == Chunk.job_id).where(key.in_(job_ids)).group_by(key)
    return {
        job_id: JobTally(*map(int, sums))
        for job_id, *sums in (await connection.execute(query)).all()
    }


async def last_ended(
    connection: AsyncConnection, job_ids: Sequence[UUID], limit: int, *, of_parts: bool = False
) -> dict[UUID, list[tuple[datetime, int]]]:
    """Return (time, rows) of the chunks that ended last, for each of these jobs or for its
    parts.
    """
    key = Job.parent_id if of_parts else Chunk.job_id
    ended = select(key.label("job_id"), Chunk.finished_at, Chunk.row_count)
    if of_parts:
        ended = ended.join(Job, Job.id == Chunk.job_id)
    joined = (
        func.row_number().over(partition_by=key, order_by=Chunk.finished_at.desc()).label("place")
    )
    is_done = Chunk.status.in_((ChunkStatus.COMPLETED, ChunkStatus.FAILED))
    table = ended.add_columns(joined).where(key.in_(padded(job_ids)), is_done).subquery()
    query = select(table.c.job_id, table.c.finished_at, table.c.row_count).where(
        table.c.place <= limit
    )
    ended_by_job: dict[UUID, list[tuple[datetime, int]]] = {}
    for job_id, at, rows in (await connection.execute(query)).all():
        ended_by_job.setdefault(job_id, []).append((at, rows))
    return ended_by_job


async def totals(
    connection: AsyncConnection, job_ids: Sequence[UUID], counts: Sequence[str] = ()
) -> dict[UUID, JobTotals]:
    """Return the totals of each job that has chunks, with these sums of summaries."""
    completed = Chunk.status == ChunkStatus.COMPLETED
    query = (
        select(
            Chunk.job_id,
            func.sum(Chunk.row_count).label("rows"),
            func.sum(Chunk.rows_ok).label("ok"),
            func.sum(case((completed, Chunk.rows_invalid + Chunk.rows_failed), else_=0)).label(
                "rejected"
            ),
            func.sum(case((completed, 0), else_=Chunk.rows_failed)).label("failed"),
            *(
                func.coalesce(func.sum(Chunk.summary[name].as_integer()), 0).label(name)
                for name in counts
            ),
        )
        .where(Chunk.job_id.in_(job_ids))
        .group_by(Chunk.job_id)
    )
    totals: dict[UUID, JobTotals] = {}
    for job_id, rows, ok, rejected, failed, *sums in (await connection.execute(query)).all():
        named = dict(zip(counts, map(int, sums), strict=True))
        totals[job_id] = JobTotals(int(rows), int(ok), int(rejected), int(failed), named)
    return totals


async def demote(
    connection: AsyncConnection, job_id: UUID, index: int, *, rows_ok: int, by: int, code: str
) -> bool:  # completed -> completed
    """Turn `by` valid rows of a chunk into invalid ones with this code, after a decision about the
    whole file. Returns whether the chunk still had `rows_ok`. The job must be locked.
    """
    kept = select(Chunk.reject_codes, Chunk.rows_invalid + Chunk.rows_failed)
    codes, rejects = (
        await connection.execute(kept.where(Chunk.job_id == job_id, Chunk.chunk_index == index))
    ).one()
    is_known = codes is not None or not rejects
    changed = dict(Counter(codes or {}) + Counter({code: by})) if is_known else None
    query = (
        update(Chunk)
        .where(
            Chunk.job_id == job_id,
            Chunk.chunk_index == index,
            Chunk.status == ChunkStatus.COMPLETED,
            Chunk.rows_ok == rows_ok,
        )
        .values(
            rows_ok=Chunk.rows_ok - by, rows_invalid=Chunk.rows_invalid + by, reject_codes=changed
        )
    )
    return (await connection.execute(query)).rowcount == 1


async def summaries(connection: AsyncConnection, job_id: UUID) -> list[dict[str, Any]]:
    query = (
        select(Chunk.summary)
        .where(Chunk.job_id == job_id, Chunk.summary.is_not(None))
        .order_by(Chunk.chunk_index)
    )
    return list((await connection.execute(query)).scalars())


async def summaries_after(
    connection: AsyncConnection, job_id: UUID, index: int, limit: int
) -> list[tuple[int, dict[str, Any]]]:
    """Return (index, summary) of the next chunks that have one, in the order of the file."""
    query = (
        select(Chunk.chunk_index, Chunk.summary)
        .where(Chunk.job_id == job_id, Chunk.chunk_index > index, Chunk.summary.is_not(None))
        .order_by(Chunk.chunk_index)
        .limit(limit)
    )
    return [
        (int(chunk_index), summary)
        for chunk_index, summary in (await connection.execute(query)).all()
    ]


async def errors(connection: AsyncConnection, job_id: UUID, limit: int = 20) -> list[FailedChunk]:
    """Return the first failed chunks with their errors."""
    query = (
        select(*columns_of(FailedChunk, Chunk))
        .where(Chunk.job_id == job_id, Chunk.status == ChunkStatus.FAILED)
        .order_by(Chunk.chunk_index)
        .limit(limit)
    )
    return await fetch_all(connection, FailedChunk, query)


async def count_completed(connection: AsyncConnection, family_id: UUID) -> dict[UUID, int]:
    """Return the number of completed chunks of this job and of its parts, by job."""
    query = select(Chunk.job_id, func.count()).where(
        _of_family(family_id), Chunk.status == ChunkStatus.COMPLETED
    )
    return {
        job_id: int(count)
        for job_id, count in (await connection.execute(query.group_by(Chunk.job_id))).all()
    }


async def list_completed(
    connection: AsyncConnection, job_id: UUID, from_index: int
) -> list[CompletedChunk]:
    query = (
        select(*columns_of(CompletedChunk, Chunk))
        .where(
            Chunk.job_id == job_id,
            Chunk.chunk_index >= from_index,
            Chunk.status == ChunkStatus.COMPLETED,
        )
        .order_by(Chunk.chunk_index)
    )
    return await fetch_all(connection, CompletedChunk, query)


async def list_chunks(
    connection: AsyncConnection, job_id: UUID, *, after: int, limit: int
) -> list[ChunkRow]:
    """Return the chunk map after the index `after`."""
    query = (
        select(*columns_of(ChunkRow, Chunk))
        .where(Chunk.job_id == job_id, Chunk.chunk_index > after)
        .order_by(Chunk.chunk_index)
        .limit(limit)
    )
    return await fetch_all(connection, ChunkRow, query)


def _locating() -> Any:
    before = (func.sum(Chunk.rows_ok).over(order_by=Chunk.chunk_index) - Chunk.rows_ok).label(
        "before"
    )
    table = (
        select(Chunk.first_row, Chunk.rows_ok, before)
        .where(Chunk.job_id == bindparam("of_job"), Chunk.rows_ok > 0)
        .subquery()
    )
    return (
        select(table.c.first_row, table.c.before)
        .where(table.c.before <= bindparam("offset_of_result"))
        .order_by(table.c.before.desc())
        .limit(1)
    )


def _indexing() -> Any:
    first_row = bindparam("from_row", type_=Chunk.first_row.type)
    start = (
        select(func.max(Chunk.first_row))
        .where(Chunk.job_id == bindparam("of_job"), Chunk.first_row <= first_row)
        .scalar_subquery()
    )
    return (
        select(Chunk.first_row, Chunk.chunk_index)
        .where(
            Chunk.job_id == bindparam("of_job"),
            Chunk.first_row >= start,
            Chunk.first_row <= bindparam("to_row"),
        )
        .order_by(Chunk.first_row)
    )


_LOCATING, _INDEXING = _locating(), _indexing()


async def locate(connection: AsyncConnection, job_id: UUID, offset: int) -> tuple[int, int] | None:
    """Return (first row of the chunk with the result at this offset, results in the chunks before
    it).
    """
    row = (
        await connection.execute(_LOCATING, {"of_job": job_id, "offset_of_result": offset})
    ).first()
    return (int(row[0]), int(row[1])) if row else None


async def indexes_of(
    connection: AsyncConnection, job_id: UUID, first_row: int, last_row: int
) -> list[tuple[int, int]]:
    """Return (first row, index) of the chunks with these rows, in order."""
    values = {"of_job": job_id, "from_row": first_row, "to_row": last_row}
    return [
        (int(first), int(index))
        for first, index in (await connection.execute(_INDEXING, values)).all()
    ]
