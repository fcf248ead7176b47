"""Job types: what can run over a file, and starting a job of any type."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from app.feature import Feature, Service

if TYPE_CHECKING:
    from app.wiring import Core


def _services(core: Core) -> Iterable[Service]:
    from app.features.job_types.service import JobStarter

    starter = JobStarter(core.database, core.job_types, core.file_jobs, core.objects, core.factory)
    return [Service(starter)]


JOB_TYPES = Feature("job_types", services=_services)
