"""Corrections: rejected rows, fixed and run again in their job."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from app.feature import Feature, Service

if TYPE_CHECKING:
    from app.wiring import Core


def _services(core: Core) -> Iterable[Service]:
    from app.features.corrections.service import Corrections

    corrections = Corrections(
        core.settings,
        core.database,
        core.sources,
        core.processors,
        core.factory,
        core.submitter.decoding.memory,
    )
    return [Service(corrections)]


CORRECTIONS = Feature("corrections", services=_services)
