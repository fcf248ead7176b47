"""Tables: accepted rows in the user's own typed tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from app.feature import Feature, Service, Tools

if TYPE_CHECKING:
    from app.jobs.job_types import JobType
    from app.processors.base import Processor
    from app.wiring import Core


def _processors(tools: Tools) -> Iterable[Processor]:
    from app.features.tables.loading.processor import LoadProcessor

    return [LoadProcessor()]


def _services(core: Core) -> Iterable[Service]:
    from app.features.tables.connections import Connections
    from app.features.tables.loading.destination import LoadedTables
    from app.features.tables.loading.loader import Loader
    from app.features.tables.loading.places import Places
    from app.features.tables.loading.postgresql import PostgresLoader
    from app.features.tables.loading.sqlite import SqliteLoader
    from app.features.tables.service import Tables
    from app.features.transform.service import Transforms

    loader: Loader = SqliteLoader() if core.database.is_sqlite else PostgresLoader()
    connections = Connections(core.settings, core.database)
    places = Places(core.database, connections, loader)
    loaded = LoadedTables(
        core.database,
        core.sources,
        core.destinations.rejects,
        places,
        core.settings.undo_keep_days,
    )
    core.destinations.add(loaded)
    own = [table.table.name for table in core.processors.new_tables]
    tables = Tables(
        core.settings,
        core.database,
        connections,
        core.file_jobs,
        core.sources,
        places,
        core.of(Transforms),
        own,
    )
    return [
        Service(loaded, run=loaded.run),
        Service(connections, close=connections.close),
        Service(tables),
    ]


def _job_types(core: Core) -> Iterable[JobType]:
    from app.features.tables.loading.job_type import load
    from app.features.tables.service import Tables

    return [load(core.of(Tables))]


TABLES = Feature(
    "tables", has_commands=True, processors=_processors, services=_services, job_types=_job_types
)
