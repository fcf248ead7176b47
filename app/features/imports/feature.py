"""Feature of imports: records validated against a schema, embedded, and searched."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from app.feature import Feature, Service, Tools
from app.processors.tables import OwnTable

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from app.processors.base import Processor
    from app.wiring import Core


async def _merge_vector_tasks(
    connection: AsyncConnection, job_id: UUID, start: int, end: int
) -> None:
    from app.features.imports import queries

    await queries.merge_vector_tasks(connection, job_id, start, end)


VECTOR_TASKS = OwnTable(
    "vector_tasks",
    columns=("first_row", "last_row", "record_count", "done"),
    key="first_row",
    merge=_merge_vector_tasks,
)
RECORD_VECTORS = OwnTable(
    "record_vectors", columns=("row_number", "model", "precision", "text_hash", "vector")
)
RECORD_WORDS = OwnTable("record_words", columns=("row_number", "words"))
RECORDS = OwnTable(
    "records",
    columns=("row_number", "status", "data", "errors"),
    is_counted=True,
    corrected=("row_number", "status", "errors"),
)
TABLES = (VECTOR_TASKS, RECORD_VECTORS, RECORD_WORDS, RECORDS)
"""Tables of the feature. The tasks come first: once an undo has taken them back, no more vectors
are computed.
"""


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
        core.database,
        core.destinations,
        core.embedder,
        core.processors.schemas,
        is_shared=machine.is_shared,
    )
    machine.add(vectors)
    neighbours = Neighbours(
        core.database,
        settings.vector_cache_mb << 20,
        Embedder.model_id,
        settings.embedding_precision,
    )
    return [Service(Search(core.database, vectors, neighbours))]


IMPORTS = Feature(
    "imports", has_commands=True, tables=TABLES, processors=_processors, services=_services
)
