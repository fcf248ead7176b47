"""Retention: deletes bytes, rows, rejects and jobs that are older than the settings allow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from app.feature import Feature, Service

if TYPE_CHECKING:
    from app.wiring import Core


def _services(core: Core) -> Iterable[Service]:
    from app.features.retention.service import Retention

    retention = Retention(
        core.database,
        core.control,
        core.machine.finisher,
        core.destinations,
        core.settings.retention,
    )
    return [Service(retention, run=retention.run if core.settings.retention else None)]


RETENTION = Feature("retention", has_commands=True, services=_services)
