"""Imports: records validated against a schema, embedded, and searched."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from app.feature import Feature, Service, Tools

if TYPE_CHECKING:
    from app.processors.base import Processor
    from app.wiring import Core


def _processors(tools: Tools) -> Iterable[Processor]:
    from app.features.imports.processor import RecordsProcessor
    from app.schemas.registry import schema_paths

    return [RecordsProcessor(path) for path in schema_paths(tools.settings.schemas).values()]


def _services(core: Core) -> Iterable[Service]:
    from app.embeddings.model import Embedder
    from app.features.imports.neighbours import Neighbours
    from app.features.imports.service import Search
    from app.features.imports.vectors import VectorService

    settings, machine = core.settings, core.machine
    vectors = VectorService(
        core.database, machine.sink, core.embedder, core.processors.schemas, is_shared=machine.is_shared
    )
    machine.add(vectors)
    neighbours = Neighbours(
        core.database, settings.vector_cache_mb << 20, Embedder.model_id, settings.embedding_precision
    )
    return [Service(Search(core.database, vectors, neighbours))]


IMPORTS = Feature("imports", processors=_processors, services=_services)
