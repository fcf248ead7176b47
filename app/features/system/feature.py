"""System: components of the service, its load and its settings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from app.feature import Feature, Service

if TYPE_CHECKING:
    from app.wiring import Core


def _services(core: Core) -> Iterable[Service]:
    from app.features.system.history import History

    history = History(
        core.database, core.machine, core.machine.leases.longest_wait, core.storage.space
    )
    return [Service(history, run=history.run)]


SYSTEM = Feature("system", services=_services)
