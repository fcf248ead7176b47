"""A job is completed only if every row of its file is in a table: each equation that fails ends it,
with both sides.
"""

from __future__ import annotations

import pytest

from app.db.rows import ChunkTally
from app.pipeline.verdict import Stored, verdict
from app.states import JobStatus


def chunks(
    status: str, *, ok: int = 0, invalid: int = 0, failed: int = 0, count: int = 1
) -> ChunkTally:
    return ChunkTally(status, count, ok + invalid + failed, ok, invalid, failed, 100)


def by_status(*tallies: ChunkTally) -> dict[str, ChunkTally]:
    return {tally.status: tally for tally in tallies}


@pytest.mark.parametrize(
    ("tally", "stored", "status"),
    [
        (by_status(chunks("completed", ok=10)), Stored(10, {}), JobStatus.COMPLETED),
        (by_status(), Stored(0, {}), JobStatus.COMPLETED),
        (
            by_status(chunks("completed", ok=7, invalid=2, failed=1)),
            Stored(7, {"invalid": 2, "failed": 1}),
            JobStatus.COMPLETED_WITH_ERRORS,
        ),
        # Rows of a failed chunk are in no table: the chunk counts them.
        (
            by_status(chunks("completed", ok=5), chunks("failed", failed=5)),
            Stored(5, {}),
            JobStatus.COMPLETED_WITH_ERRORS,
        ),
        (by_status(chunks("failed", failed=10)), Stored(0, {}), JobStatus.FAILED),
    ],
)
def test_counts_that_add_up_give_the_status(
    tally: dict[str, ChunkTally], stored: Stored, status: JobStatus
) -> None:
    rows = sum(each.rows for each in tally.values())
    assert verdict(tally, stored, rows=rows, stores_results=True) == (status, None)


@pytest.mark.parametrize(
    ("stored", "rows", "problem"),
    [
        (Stored(7, {"invalid": 2, "failed": 1}), 11, "rows in chunks: 10, expected 11"),
        (Stored(6, {"invalid": 2, "failed": 1}), 10, "results stored: 6, expected 7"),
        (Stored(8, {"invalid": 2, "failed": 1}), 10, "results stored: 8, expected 7"),
        (Stored(7, {"invalid": 1, "failed": 1}), 10, "invalid rows stored: 1, expected 2"),
        (Stored(7, {"invalid": 2}), 10, "failed rows stored: 0, expected 1"),
    ],
)
def test_a_row_that_is_lost_or_doubled_fails_the_job(
    stored: Stored, rows: int, problem: str
) -> None:
    tally = by_status(chunks("completed", ok=7, invalid=2, failed=1))
    assert verdict(tally, stored, rows=rows, stores_results=True) == (JobStatus.FAILED, problem)


def test_a_row_that_a_chunk_does_not_account_for_fails_the_job() -> None:
    tally = {"completed": ChunkTally("completed", 1, 10, 9, 0, 0, 100)}
    status, problem = verdict(tally, Stored(9, {}), rows=10, stores_results=True)
    assert (status, problem) == (JobStatus.FAILED, "rows accounted for: 9, expected 10")


def test_a_job_without_stored_results_fails_if_it_has_results() -> None:
    tally = by_status(chunks("completed", ok=10))
    assert verdict(tally, Stored(0, {}), rows=10, stores_results=False) == (
        JobStatus.COMPLETED,
        None,
    )
    status, problem = verdict(tally, Stored(10, {}), rows=10, stores_results=False)
    assert (status, problem) == (JobStatus.FAILED, "results stored: 10, expected 0")
