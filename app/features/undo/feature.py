"""Undo: removes everything that a job wrote."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from app.feature import Feature, Service

if TYPE_CHECKING:
    from app.wiring import Core


def _services(core: Core) -> Iterable[Service]:
    from app.features.undo.service import Undos

    undos = Undos(
        core.database, core.destinations, core.machine.undoer, core.settings.undo_keep_days
    )
    return [Service(undos, close=undos.close)]


UNDO = Feature("undo", has_commands=True, services=_services)
