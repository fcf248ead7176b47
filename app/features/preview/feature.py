"""Preview: the first bytes of a file, read under any settings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from app.feature import Feature, Service

if TYPE_CHECKING:
    from app.wiring import Core


def _services(core: Core) -> Iterable[Service]:
    from app.features.preview.service import Previews

    return [Service(Previews(core.database, core.file_jobs, core.sources))]


PREVIEW = Feature("preview", has_commands=True, services=_services)
