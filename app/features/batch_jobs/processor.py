"""The processor of a job over many files: its parts do the work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from app.processors.base import CollectsFiles
from app.processors.options import Options
from app.processors.stages import IN_PARTS


class BatchOptions(Options):
    """The files and options of the batch."""

    job_type: str
    options: dict[str, Any]
    file_ids: list[str]
    cached: dict[str, str]


class BatchProcessor(CollectsFiles):
    name = "batch"
    made_by = "A batch needs several files; use POST /api/v1/jobs/batch."
    options = BatchOptions
    stages = IN_PARTS

    def collected(self, options: BatchOptions) -> Mapping[UUID, UUID | None]:
        earlier = {file_id: UUID(job_id) for file_id, job_id in options.cached.items()}
        return {UUID(file_id): earlier.get(file_id) for file_id in options.file_ids}

    def report(self, options: BatchOptions, children: Sequence[dict[str, Any]]) -> dict[str, Any]:
        counts = Counter(child["status"] for child in children)
        return {"job_type": options.job_type, "counts": dict(counts), "children": list(children)}
