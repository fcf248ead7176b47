"""Resumable uploads, by the tus protocol."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from app.feature import Feature, Service

if TYPE_CHECKING:
    from app.wiring import Core


def _services(core: Core) -> Iterable[Service]:
    from app.features.uploads.service import Uploads

    uploads = Uploads(
        core.settings, core.database, core.stores.partials, core.submitter, core.limits
    )
    return [Service(uploads, run=uploads.run, close=uploads.close)]


EXPOSED = (
    "Location",
    "Upload-Offset",
    "Upload-Length",
    "Upload-Metadata",
    "Upload-Expires",
    "Upload-Defer-Length",
    "Upload-Concat",
    "Tus-Version",
    "Tus-Resumable",
    "Tus-Extension",
    "Tus-Max-Size",
    "Tus-Checksum-Algorithm",
    "Granula-File-Id",
    "Granula-Job-Id",
)
"""Headers that a page of another origin may read."""

UPLOADS = Feature("uploads", exposed_headers=EXPOSED, services=_services)
