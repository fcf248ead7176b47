"""The proof: checks that the tables hold each row of the file once and unchanged. Reads the
database again each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from app.db import jobs, results
from app.db.engine import Database
from app.db.rows import ChunkProof, JobRow, data_start
from app.destinations.registry import Destinations
from app.formats.base import MASK
from app.jobs.progress import check_rejects_kept, check_results_kept, find
from app.states import ChunkStatus, JobStatus, row_counts

MAX_PROBLEMS = 20
WHOLE = (JobStatus.COMPLETED, JobStatus.COMPLETED_WITH_ERRORS)


async def prove(
    database: Database, destinations: Destinations, identifier: UUID, owner: str
) -> dict[str, Any]:
    """Return counts that must add up, hash sums that must match, and the verdict; raises NotFound,
    RowsRemoved.

    `read` is the sum of the hashes of the results when each chunk was read and processed; `stored`
    is the same sum over the rows in the table now. The hash of a row (XXH3-64 of its cells, seeded
    with its row number) does not depend on order, library or machine.
    """
    async with database.snapshot() as connection:
        job = await find(connection, identifier, owner)
        check_results_kept(job)
        check_rejects_kept(job)
        parts = await jobs.children(connection, job.id) if job.child_count is not None else None
        chunk_rows = await results.chunk_hashes(connection, job.id)
        if job.is_withdrawn:
            chunk_rows = [replace(chunk, rows_ok=0) for chunk in chunk_rows]
        stored_results = destinations.of(job).results
        stored_count = await stored_results.count(connection, job.id)
        rejected = await results.count_kinds(connection, job.id)
        problems = _count_problems(job, chunk_rows, stored_count, rejected)
        sums: dict[int, int] = {}
        since: dict[str, Any] | None = None
        if parts is None:
            # Read rows and sums in one snapshot: a correction changes both together.
            first_rows = [chunk.first_row for chunk in chunk_rows]
            read_back = await stored_results.read_back(connection, job.id, first_rows)
            sums = read_back.sums
            problems += read_back.problems
            since = read_back.since
    if parts is not None:
        return _sum(job, [await prove(database, destinations, part.id, owner) for part in parts])
    stored = {
        chunk.chunk_index: sums.get(position, 0) for position, chunk in enumerate(chunk_rows)
    } or sums
    read_sum = sum(int(c.hash_read, 16) for c in chunk_rows if c.hash_read) & MASK
    # ignore what completes during this read
    completed = [c for c in chunk_rows if c.hash_read]
    is_final = JobStatus(job.status).is_final
    stored_sum = (
        sum(stored.values() if is_final else (stored.get(c.chunk_index, 0) for c in completed))
        & MASK
    )
    for chunk in chunk_rows if is_final else completed:
        have, want = stored.get(chunk.chunk_index, 0), int(chunk.hash_read or "0", 16)
        if have != want:
            problems.append(
                f"chunk {chunk.chunk_index}: the stored rows are not those that were read"
            )
    rows = {
        "ok": sum(c.rows_ok for c in chunk_rows),
        "invalid": sum(c.rows_invalid for c in chunk_rows),
        "failed": sum(c.rows_failed for c in chunk_rows),
    }
    total = sum(c.row_count for c in chunk_rows)
    return {
        "job_id": str(job.id),
        "file_id": str(job.file_id),
        "status": job.status,
        "verdict": "closes" if not problems else "broken",
        "closes": not problems,
        "is_final": is_final,
        "rows": {"total": total, **rows, "unprocessed": total - sum(rows.values())},
        "counts": row_counts(
            total=total,
            **rows,
            in_failed_chunks=sum(
                c.rows_failed for c in chunk_rows if c.status == ChunkStatus.FAILED
            ),
        ),
        "stored": {"results": stored_count, "rejects": sum(rejected.values()), **rejected},
        "chunks": len(chunk_rows),
        "hash": {
            "algorithm": "xxh3-64-sum",
            "read": f"{read_sum:016x}",
            "stored": f"{stored_sum:016x}",
        },
        "sha256": job.sha256 or None,
        "problems": problems[:MAX_PROBLEMS],
        "problem_count": len(problems),
        **({} if since is None else {"table": since}),
    }


def _sum(job: JobRow, parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the proof of a job with parts: it holds if each of theirs does."""

    def total(attribute: str, always: Iterable[str]) -> dict[str, int]:
        names = dict.fromkeys([*always, *(name for part in parts for name in part[attribute])])
        return {name: sum(part[attribute].get(name, 0) for part in parts) for name in names}

    sums = {
        side: sum(int(part["hash"][side], 16) for part in parts) & MASK
        for side in ("read", "stored")
    }
    problems = [
        f"job {part['job_id']}: {problem}" for part in parts for problem in part["problems"]
    ]
    if len(parts) != job.child_count:
        problems.append(f"parts: {len(parts)}, expected {job.child_count}")
    return {
        "job_id": str(job.id),
        "file_id": str(job.file_id),
        "status": job.status,
        "verdict": "closes" if not problems else "broken",
        "closes": not problems,
        "is_final": JobStatus(job.status).is_final,
        "rows": total("rows", ("total", "ok", "invalid", "failed", "unprocessed")),
        "counts": total(
            "counts", row_counts(total=0, ok=0, invalid=0, failed=0, in_failed_chunks=0)
        ),
        "stored": total("stored", ("results", "rejects")),
        "chunks": sum(part["chunks"] for part in parts),
        "hash": {
            "algorithm": "xxh3-64-sum",
            **{side: f"{value:016x}" for side, value in sums.items()},
        },
        "sha256": None,
        "parts": len(parts),
        "problems": problems[:MAX_PROBLEMS],
        "problem_count": len(problems),
    }


def _count_problems(
    job: JobRow, chunk_rows: Sequence[ChunkProof], stored: int, rejected: dict[str, int]
) -> list[str]:
    problems: list[str] = []
    row, offset = 1, data_start(job)
    for chunk in chunk_rows:
        row_sum = chunk.rows_ok + chunk.rows_invalid + chunk.rows_failed
        expected = (
            chunk.row_count if chunk.status in (ChunkStatus.COMPLETED, ChunkStatus.FAILED) else 0
        )
        if job.is_withdrawn and chunk.status == ChunkStatus.COMPLETED:
            expected = chunk.rows_invalid + chunk.rows_failed
        if row_sum != expected:
            problems.append(
                f"chunk {chunk.chunk_index}: {row_sum} rows accounted for, expected {expected}"
            )
        if chunk.first_row != row or chunk.byte_start != offset:
            problems.append(
                f"chunk {chunk.chunk_index}: does not begin where the previous one ends"
            )
        row, offset = chunk.first_row + chunk.row_count, chunk.byte_end
    ok = sum(c.rows_ok for c in chunk_rows)
    in_failed_chunks = sum(c.rows_failed for c in chunk_rows if c.status == ChunkStatus.FAILED)
    for name, have, want in (
        ("rows split", row - 1, job.split_rows),
        ("chunks", len(chunk_rows), job.chunk_count),
        ("results stored", stored, ok if job.stores_results else 0),
        ("rows in the summary", ok if job.stores_results else _summarised(job, ok), ok),
        (
            "invalid rows stored",
            rejected.get("invalid", 0),
            sum(c.rows_invalid for c in chunk_rows),
        ),
        (
            "failed rows stored",
            rejected.get("failed", 0),
            sum(c.rows_failed for c in chunk_rows) - in_failed_chunks,
        ),
    ):
        if have != want:
            problems.append(f"{name}: {have}, expected {want}")
    return problems


def _summarised(job: JobRow, ok: int) -> int:
    """Return the rows that the stored summary covers, if only the summary is stored; it exists once
    the job has ended.
    """
    if job.summary:
        return int(job.summary["rows"])
    return 0 if job.status in WHOLE else ok
