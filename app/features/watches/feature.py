"""Watches: each new or changed object of a bucket or folder becomes a job."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from app.feature import Feature, Service

if TYPE_CHECKING:
    from app.wiring import Core


def _services(core: Core) -> Iterable[Service]:
    from app.features.job_types.service import JobStarter
    from app.features.watches.checks import WatchChecks
    from app.features.watches.service import Watches

    checks = WatchChecks(core.database, core.sources, core.of(JobStarter))
    watches = Watches(core.database, core.sources, core.job_types)
    return [Service(watches), Service(checks, run=checks.run)]


WATCHES = Feature("watches", has_commands=True, services=_services)
