"""Templates: accepted mappings and their versions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from app.feature import Feature, Service

if TYPE_CHECKING:
    from app.wiring import Core


def _services(core: Core) -> Iterable[Service]:
    from app.features.templates.service import Templates

    return [Service(Templates(core.database))]


TEMPLATES = Feature("templates", services=_services)
