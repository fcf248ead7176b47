"""Verdict: whether the counts of a job close, and with which status it ends. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from app.db.rows import ChunkTally
from app.states import ChunkStatus, JobStatus, conclude

MAX_REJECTS = "max_rejects"
"""Option of a job of any processor: how many rows may be rejected, as `100` or `5%`."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Numbers of rows that the tables hold of a job."""

    results: int
    rejects: Mapping[str, int]
    """Rejected rows by kind: `invalid` and `failed`."""


def verdict(
    tally: Mapping[str, ChunkTally], stored: Stored, *, rows: int, stores_results: bool
) -> tuple[JobStatus, str | None]:
    """Return the final status of a job whose chunks are all final, and what does not add up if it
    fails for that.

    `tally`: its chunks by status. `rows` of its file, as they were counted when it was cut.
    """
    problems = list(_problems(tally, stored, rows, stores_results=stores_results))
    if problems:
        return JobStatus.FAILED, "; ".join(problems)
    completed, failed = tally.get(ChunkStatus.COMPLETED), tally.get(ChunkStatus.FAILED)
    status = conclude(
        completed_chunks=completed.chunks if completed else 0,
        failed_chunks=failed.chunks if failed else 0,
        rejects=sum(chunks.invalid + chunks.failed for chunks in tally.values()),
    )
    return status, None


def _problems(
    tally: Mapping[str, ChunkTally], stored: Stored, rows: int, *, stores_results: bool
) -> Iterator[str]:
    """Yield each equation that does not hold, with both of its sides."""
    all_chunks = tally.values()
    ok = sum(chunks.ok for chunks in all_chunks)
    invalid = sum(chunks.invalid for chunks in all_chunks)
    failed = sum(chunks.failed for chunks in all_chunks)
    rows_in_chunks = sum(chunks.rows for chunks in all_chunks)
    failed_chunks = tally.get(ChunkStatus.FAILED)
    in_failed_chunks = failed_chunks.failed if failed_chunks else 0
    equations = (
        ("rows in chunks", rows_in_chunks, rows),
        ("rows accounted for", ok + invalid + failed, rows_in_chunks),
        ("results stored", stored.results, ok if stores_results else 0),
        ("invalid rows stored", stored.rejects.get("invalid", 0), invalid),
        ("failed rows stored", stored.rejects.get("failed", 0), failed - in_failed_chunks),
    )
    for name, have, want in equations:
        if have != want:
            yield f"{name}: {have}, expected {want}"


def too_many_rejects(
    limit: str, tally: Mapping[str, ChunkTally], *, rows: int
) -> dict[str, str] | None:
    """Return the error of a job with more rejects than `limit` allows; an empty limit allows
    all.
    """
    completed = tally.get(ChunkStatus.COMPLETED)
    if not limit or completed is None:
        return None
    rejects = completed.invalid + completed.failed
    share = limit.removesuffix("%")
    most = int(rows * Decimal(share) / 100) if limit.endswith("%") else int(limit)
    if rejects <= most:
        return None
    message = f"{rejects} of {rows} rows were rejected, and max_rejects allows {limit}."
    return {"code": "too_many_rejects", "message": message}
