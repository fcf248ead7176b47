"""Status and result of a batch, from the states of its files."""

from __future__ import annotations

from uuid import UUID

from app.features.batch_jobs.processor import BatchProcessor
from app.processors.base import Capabilities
from app.processors.registry import Processors

FIRST, SECOND, THIRD, EARLIER = (UUID(int=number) for number in range(1, 5))
STORED = {
    "job_type": "analyze",
    "options": {"some": "option"},
    "file_ids": [str(THIRD), str(FIRST), str(SECOND)],
    "cached": {str(FIRST): str(EARLIER)},
    "of a later version": True,
}
"""The options of a job, as stored."""


def test_files_keep_their_order_and_the_jobs_that_replace_them() -> None:
    processors = Processors(instances=[BatchProcessor()])
    can = processors.capabilities("batch")
    assert can.collects is not None
    assert can == Capabilities(collects=can.collects)
    collected = can.collects.collected(processors.restored("batch", STORED))
    assert list(collected.items()) == [(THIRD, None), (FIRST, EARLIER), (SECOND, None)]


def test_the_result_counts_the_files_by_outcome() -> None:
    processors = Processors(instances=[BatchProcessor()])
    options = processors.restored("batch", STORED)
    children = [{"status": "completed"}, {"status": "failed"}, {"status": "completed"}]
    assert BatchProcessor().report(options, children) == {  # type: ignore[arg-type]
        "job_type": "analyze",
        "counts": {"completed": 2, "failed": 1},
        "children": children,
    }
