"""The features' additions to the engine of this process: tables, and processors besides those of
the settings.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.config import Settings
from app.destinations.registry import Destinations
from app.embeddings.model import Embedder
from app.feature import Tools
from app.features import FEATURES
from app.processors.registry import Processors
from app.processors.tables import NewTable


def tools(settings: Settings) -> Tools:
    return Tools(
        settings, Embedder(settings.embedding_model_dir, precision=settings.embedding_precision)
    )


def make_processors(settings: Settings, shared: Tools | None = None) -> Processors:
    """Create the processors, in the service and in each process that runs a suspect. Raises
    SettingsInvalid.
    """
    shared = shared or tools(settings)
    built_in = [processor for feature in FEATURES for processor in feature.processors(shared)]
    return Processors(settings.processors, instances=built_in)


def make_destinations(
    *, is_sqlite: bool, rows_per_write: int = 1000, new_tables: Sequence[NewTable] = ()
) -> Destinations:
    """Create the destinations. `rows_per_write` limits the rows of a keyed table in one statement;
    `new_tables` are those of custom processors. Raises SettingsInvalid.
    """
    tables = [table for feature in FEATURES for table in feature.tables]
    return Destinations(
        tables, is_sqlite=is_sqlite, rows_per_write=rows_per_write, new_tables=new_tables
    )
