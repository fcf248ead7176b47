"""The states of jobs and chunks, who changes them, and the legal moves. Pure: no database, no
I/O.
"""

from __future__ import annotations

from enum import StrEnum


class JobStatus(StrEnum):
    """Status of a job. The stored value equals the name that the API shows."""

    QUEUED = "queued"
    """Accepted and durable, without chunks. The first split moves it to processing."""
    PROCESSING = "processing"
    """Chunks are being cut and run. The finisher moves it to a final status once every chunk is
    final.
    """
    COMPLETED = "completed"
    """Final: every row is in the results, and the counts add up."""
    COMPLETED_WITH_ERRORS = "completed_with_errors"
    """Final: some rows are in the rejects or in failed chunks, and the counts add up. Correcting
    all of them moves it to completed.
    """
    FAILED = "failed"
    """Final: no chunk could be completed, or the file is no longer readable. A retry moves it back
    to processing.
    """
    CANCELLED = "cancelled"
    """Final: stopped by a user. Finished rows stay readable, the others count as unprocessed."""

    @property
    def is_final(self) -> bool:
        return self not in (JobStatus.QUEUED, JobStatus.PROCESSING)

    @property
    def public_status(self) -> str:
        """Return the status in five words: pending, processing, completed, failed, cancelled."""
        return {JobStatus.QUEUED: "pending", JobStatus.COMPLETED_WITH_ERRORS: "completed"}.get(
            self, self.value
        )


class ChunkStatus(StrEnum):
    PENDING = "pending"
    """Waits to be claimed, from `available_at` on. With attempt > 0 it is a retry."""
    PROCESSING = "processing"
    """Claimed under a lease. Ends by complete, release, fail, cancel or rescue."""
    COMPLETED = "completed"
    """Final: its rows, rejects and counts were committed together."""
    FAILED = "failed"
    """Final: its rows count as failed. A retry of the job moves it back to pending."""
    CANCELLED = "cancelled"
    """Final: its rows count as unprocessed."""

    @property
    def is_final(self) -> bool:
        return self not in (ChunkStatus.PENDING, ChunkStatus.PROCESSING)


JOB_MOVES: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset({JobStatus.PROCESSING, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.PROCESSING: frozenset(
        {
            JobStatus.COMPLETED,
            JobStatus.COMPLETED_WITH_ERRORS,
            JobStatus.FAILED,
            JobStatus.CANCELLED,
        }
    ),
    JobStatus.COMPLETED: frozenset(),
    JobStatus.COMPLETED_WITH_ERRORS: frozenset({JobStatus.PROCESSING, JobStatus.COMPLETED}),
    JobStatus.FAILED: frozenset({JobStatus.PROCESSING}),
    JobStatus.CANCELLED: frozenset(),
}

CHUNK_MOVES: dict[ChunkStatus, frozenset[ChunkStatus]] = {
    ChunkStatus.PENDING: frozenset({ChunkStatus.PROCESSING, ChunkStatus.CANCELLED}),
    ChunkStatus.PROCESSING: frozenset(
        {ChunkStatus.PENDING, ChunkStatus.COMPLETED, ChunkStatus.FAILED, ChunkStatus.CANCELLED}
    ),
    ChunkStatus.COMPLETED: frozenset(),
    ChunkStatus.FAILED: frozenset({ChunkStatus.PENDING}),
    ChunkStatus.CANCELLED: frozenset(),
}

ACTIVE_JOBS = tuple(s for s in JobStatus if not s.is_final)
ACTIVE_CHUNKS = tuple(s for s in ChunkStatus if not s.is_final)


def conclude(*, completed_chunks: int, failed_chunks: int, rejects: int) -> JobStatus:
    """Return the final status of a job whose chunks are all final and whose counts add up."""
    if failed_chunks and not completed_chunks:
        return JobStatus.FAILED
    return JobStatus.COMPLETED_WITH_ERRORS if failed_chunks or rejects else JobStatus.COMPLETED


def row_counts(
    *, total: int, ok: int, invalid: int, failed: int, in_failed_chunks: int
) -> dict[str, int]:
    """Return the rows of a job by outcome, in the four words of all interfaces. They add up to
    `total`.

    loaded: in the results. rejected: in the rejects, each with its reason. failed: in chunks that
    failed (`in_failed_chunks` of the `failed` rows), which a retry runs again. not_processed: in
    chunks that are not done, or were cancelled.
    """
    return {
        "loaded": ok,
        "rejected": invalid + failed - in_failed_chunks,
        "failed": in_failed_chunks,
        "not_processed": total - ok - invalid - failed,
    }
