"""What the features add to the engine of this process: processors, besides those that the settings
name, and tables.
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


def make_processors(settings: Settings, given: Tools | None = None) -> Processors:
    """In the service, and in each process that runs a suspect. Raises SettingsInvalid."""
    given = given or tools(settings)
    built_in = [processor for feature in FEATURES for processor in feature.processors(given)]
    return Processors(settings.processors, given=built_in)


def make_destinations(
    *, is_sqlite: bool, rows_per_write: int = 1000, new_tables: Sequence[NewTable] = ()
) -> Destinations:
    """`rows_per_write`: of a table with a key in one statement. `new_tables`: of processors from
    outside. Raises SettingsInvalid.
    """
    tables = [table for feature in FEATURES for table in feature.tables]
    return Destinations(
        tables, is_sqlite=is_sqlite, rows_per_write=rows_per_write, new_tables=new_tables
    )
