"""Tables: rows of files in tables of the user."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from app.feature import Feature, Service

if TYPE_CHECKING:
    from app.wiring import Core


def _services(core: Core) -> Iterable[Service]:
    from app.features.tables.connections import Connections
    from app.features.tables.service import Tables

    connections = Connections(core.settings, core.database)
    own = [table.table.name for table in core.processors.new_tables]
    tables = Tables(core.settings, core.database, connections, core.file_jobs, own)
    return [Service(connections, close=connections.close), Service(tables)]


TABLES = Feature("tables", services=_services)
