"""The proof: do the tables hold, right now, each row of the file once and unchanged? Read anew from the database each time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import jobs, results
from app.db.engine import Database
from app.db.rows import JobRow
from app.formats.base import MASK, stored_hash_sum
from app.jobs.progress import find
from app.states import ChunkStatus, JobStatus, row_counts

MAX_PROBLEMS = 20
WHOLE = (JobStatus.COMPLETED, JobStatus.COMPLETED_WITH_ERRORS)


async def prove(database: Database, identifier: UUID, owner: str) -> dict[str, Any]:
    """Counts that must close, hash sums that must agree, and the verdict; raises NotFound.

    `read` is the sum of the hashes of the results as they were when each chunk was read and processed; `stored` is the
    same sum over what the table holds now. The hash of a row (XXH3-64 of its cells, seeded with its row number) does
    not depend on order, library or machine.
    """
    async with database.snapshot() as connection:
        job = await find(connection, identifier, owner)
        parts = await jobs.children(connection, job.id) if job.child_count is not None else None
        chunk_rows = await results.chunk_hashes(connection, job.id)
        stored_count, rejected = await results.count_stored(connection, job.id)
        problems = _count_problems(job, chunk_rows, stored_count, rejected)
        # The pages at the same moment, too: a correction changes them together with the sums of their chunk.
        stored = await _stored_sums(connection, job.id, chunk_rows, problems) if parts is None else {}
    if parts is not None:
        return _sum(job, [await prove(database, part.id, owner) for part in parts])
    read_sum = sum(int(c["hash_read"], 16) for c in chunk_rows if c["hash_read"]) & MASK
    done = [c for c in chunk_rows if c["hash_read"]]  # what is completed while this reads is not looked at
    is_final = JobStatus(job.status).is_final
    stored_sum = sum(stored.values() if is_final else (stored.get(c["chunk_index"], 0) for c in done)) & MASK
    for chunk in chunk_rows if is_final else done:
        have, want = stored.get(chunk["chunk_index"], 0), int(chunk["hash_read"] or "0", 16)
        if have != want:
            problems.append(f"chunk {chunk['chunk_index']}: the stored rows are not those that were read")
    rows = {name: sum(c[f"rows_{name}"] for c in chunk_rows) for name in ("ok", "invalid", "failed")}
    total = sum(c["row_count"] for c in chunk_rows)
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
            in_failed_chunks=sum(c["rows_failed"] for c in chunk_rows if c["status"] == ChunkStatus.FAILED),
        ),
        "stored": {"results": stored_count, "rejects": sum(rejected.values()), **rejected},
        "chunks": len(chunk_rows),
        "hash": {"algorithm": "xxh3-64-sum", "read": f"{read_sum:016x}", "stored": f"{stored_sum:016x}"},
        "sha256": job.sha256 or None,
        "problems": problems[:MAX_PROBLEMS],
        "problem_count": len(problems),
    }


def _sum(job: JobRow, parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The proof of a job with parts: it closes if each of theirs does."""

    def total(what: str) -> dict[str, int]:
        names = dict.fromkeys(name for part in parts for name in part[what])
        return {name: sum(part[what].get(name, 0) for part in parts) for name in names}

    sums = {side: sum(int(part["hash"][side], 16) for part in parts) & MASK for side in ("read", "stored")}
    problems = [f"job {part['job_id']}: {problem}" for part in parts for problem in part["problems"]]
    if len(parts) != job.child_count:
        problems.append(f"parts: {len(parts)}, expected {job.child_count}")
    return {
        "job_id": str(job.id),
        "file_id": str(job.file_id),
        "status": job.status,
        "verdict": "closes" if not problems else "broken",
        "closes": not problems,
        "is_final": JobStatus(job.status).is_final,
        "rows": total("rows"),
        "counts": total("counts"),
        "stored": total("stored"),
        "chunks": sum(part["chunks"] for part in parts),
        "hash": {"algorithm": "xxh3-64-sum", **{side: f"{value:016x}" for side, value in sums.items()}},
        "sha256": None,
        "parts": len(parts),
        "problems": problems[:MAX_PROBLEMS],
        "problem_count": len(problems),
    }


def _count_problems(job: JobRow, chunk_rows: Sequence[RowMapping], stored: int, rejected: dict[str, int]) -> list[str]:
    problems: list[str] = []
    row, offset = 1, job.dialect["data_start"]
    for chunk in chunk_rows:
        done = chunk["rows_ok"] + chunk["rows_invalid"] + chunk["rows_failed"]
        expected = chunk["row_count"] if chunk["status"] in (ChunkStatus.COMPLETED, ChunkStatus.FAILED) else 0
        if done != expected:
            problems.append(f"chunk {chunk['chunk_index']}: {done} rows accounted for, expected {expected}")
        if chunk["first_row"] != row or chunk["byte_start"] != offset:
            problems.append(f"chunk {chunk['chunk_index']}: does not begin where the one before ends")
        row, offset = chunk["first_row"] + chunk["row_count"], chunk["byte_end"]
    ok = sum(c["rows_ok"] for c in chunk_rows)
    in_failed_chunks = sum(c["rows_failed"] for c in chunk_rows if c["status"] == ChunkStatus.FAILED)
    for what, have, want in (
        ("rows split", row - 1, job.split_rows),
        ("chunks", len(chunk_rows), job.chunk_count),
        ("results stored", stored, ok if job.stores_results else 0),
        ("rows in the summary", ok if job.stores_results else _summarised(job, ok), ok),
        ("invalid rows stored", rejected.get("invalid", 0), sum(c["rows_invalid"] for c in chunk_rows)),
        ("failed rows stored", rejected.get("failed", 0), sum(c["rows_failed"] for c in chunk_rows) - in_failed_chunks),
    ):
        if have != want:
            problems.append(f"{what}: {have}, expected {want}")
    return problems


def _summarised(job: JobRow, ok: int) -> int:
    """Rows that the stored summary covers, where it is all that is kept of them; it is there from the end on."""
    return int(job.summary["rows"]) if job.summary else 0 if job.status in WHOLE else ok


async def _stored_sums(
    connection: AsyncConnection, job_id: UUID, chunk_rows: Sequence[RowMapping], problems: list[str]
) -> dict[int, int]:
    """Hash sum of the stored pages of each chunk. A page that cannot be read as rows is a problem, not an error."""
    sums: dict[int, int] = {}
    first_rows = [c["first_row"] for c in chunk_rows]
    after, position, limit = 0, 0, results.pages_next()
    while True:
        pages = await results.pages_after(connection, job_id, after, limit)
        if not pages:
            return sums
        hashed = await asyncio.to_thread(_hash_pages, pages)
        for page, (count, value) in zip(pages, hashed, strict=True):
            while position + 1 < len(first_rows) and first_rows[position + 1] <= page["first_row"]:
                position += 1
            if count != page["row_count"]:
                problems.append(f"page at row {page['first_row']}: {count} rows, expected {page['row_count']}")
            index = chunk_rows[position]["chunk_index"] if chunk_rows else 0
            sums[index] = (sums.get(index, 0) + value) & MASK
        after, limit = pages[-1]["first_row"], results.pages_next(pages)


def _hash_pages(pages: Sequence[RowMapping]) -> list[tuple[int, int]]:
    return [_hash_page(page) for page in pages]


def _hash_page(page: RowMapping) -> tuple[int, int]:
    first, count = page["first_row"], page["row_count"]
    numbers = page["row_numbers"] or range(first, first + count)
    if numbers[0] != first or len(numbers) != count:
        return -1, 0
    try:
        return stored_hash_sum(page["data"], numbers)
    except (msgspec.DecodeError, UnicodeError):
        return -1, 0
