"""Schedules: jobs that start at the times of a cron expression."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from app.feature import Feature, Service

if TYPE_CHECKING:
    from app.wiring import Core


def _services(core: Core) -> Iterable[Service]:
    from app.features.job_types.service import JobStarter
    from app.features.schedules.service import Schedules

    schedules = Schedules(core.database, core.of(JobStarter))
    return [Service(schedules, run=schedules.run)]


SCHEDULES = Feature("schedules", has_commands=True, services=_services)
