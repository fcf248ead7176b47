"""Batch jobs: the same job for many files, as one job with parts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from app.feature import Feature, Service, Tools

if TYPE_CHECKING:
    from app.processors.base import Processor
    from app.wiring import Core


def _processors(tools: Tools) -> Iterable[Processor]:
    from app.features.batch_jobs.processor import BatchProcessor

    return [BatchProcessor()]


def _services(core: Core) -> Iterable[Service]:
    from app.features.batch_jobs.service import BatchJobs

    return [Service(BatchJobs(core.database, core.job_types, core.file_jobs, core.factory))]


BATCH_JOBS = Feature("batch_jobs", processors=_processors, services=_services)
