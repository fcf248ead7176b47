"""The search index over record vectors that pgvector gives, where PostgreSQL has that extension.

It is derived: `record_vectors` has the same vectors in full precision, and this table can be dropped at any time. So the
service makes it at its start, where it is allowed to, and no migration knows of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import numpy as np
import numpy.typing as npt
from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.records import Filters, Key

DIMENSIONS = 384
INDEXED_FROM = 5_000
"""Below so many vectors a scan is as fast, and exact."""
EF_SEARCH = 200
"""How many neighbours the index looks at; with fewer the recall falls."""

BUILD_SECONDS = 24 * 3600.0

TABLE = f"""
CREATE TABLE IF NOT EXISTS record_halfvecs (
    job_id uuid NOT NULL, row_number bigint NOT NULL, embedding halfvec({DIMENSIONS}) NOT NULL,
    PRIMARY KEY (job_id, row_number),
    FOREIGN KEY (job_id, row_number) REFERENCES record_vectors (job_id, row_number) ON DELETE CASCADE
)
"""


async def prepare(connection: AsyncConnection) -> None:
    """Make the extension and the table; raises what PostgreSQL says where there is none or it is not allowed."""
    await connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
    await connection.execute(text(TABLE))


async def insert(connection: AsyncConnection, job_id: UUID, rows: Sequence[int], vectors: Sequence[bytes]) -> None:
    query = text(
        "INSERT INTO record_halfvecs (job_id, row_number, embedding) "
        f"SELECT :job_id, r, CAST(v AS halfvec({DIMENSIONS})) "
        "FROM unnest(CAST(:rows AS bigint[]), CAST(:vectors AS text[])) AS t (r, v) "
        "ON CONFLICT DO NOTHING"
    )
    written = [as_text(np.frombuffer(vector, "<f4")) for vector in vectors]
    await connection.execute(query, {"job_id": job_id, "rows": list(rows), "vectors": written})


async def missing(connection: AsyncConnection, limit: int) -> list[tuple[UUID, int, bytes]]:
    """Vectors that were made while there was no extension."""
    query = text(
        "SELECT v.job_id, v.row_number, v.vector FROM record_vectors v "
        "LEFT JOIN record_halfvecs h USING (job_id, row_number) WHERE h.job_id IS NULL LIMIT :limit"
    )
    return [(j, int(r), bytes(v)) for j, r, v in (await connection.execute(query, {"limit": limit})).all()]


async def wants_index(connection: AsyncConnection) -> bool:
    query = text(
        "SELECT (SELECT count(*) FROM (SELECT 1 FROM record_halfvecs LIMIT :least) AS few) >= :least "
        "AND NOT EXISTS (SELECT 1 FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid "
        "WHERE c.relname = 'ix_record_halfvecs_hnsw' AND i.indisvalid)"
    )
    return bool((await connection.execute(query, {"least": INDEXED_FROM})).scalar_one())


async def build_index(connection: AsyncConnection) -> None:
    """After the bulk of the vectors is there, when it is quickest. Outside a transaction: nobody waits for it."""
    await connection.execute(text("DROP INDEX CONCURRENTLY IF EXISTS ix_record_halfvecs_hnsw"))
    driver = (await connection.get_raw_connection()).driver_connection
    assert driver is not None
    await driver.execute(
        "CREATE INDEX CONCURRENTLY ix_record_halfvecs_hnsw ON record_halfvecs "
        "USING hnsw (embedding halfvec_cosine_ops)",
        timeout=BUILD_SECONDS,
    )


async def nearest(
    connection: AsyncConnection, query_vector: npt.NDArray[np.float32], filters: Filters, *, limit: int, offset: int
) -> list[tuple[Key, float]]:
    """(record, cosine) of the nearest records of one owner, the best first."""
    await connection.execute(text(f"SET LOCAL hnsw.ef_search = {EF_SEARCH}"))
    await connection.execute(text("SET LOCAL hnsw.iterative_scan = strict_order"))  # filters do not cut the list short
    conditions = ["j.owner = :owner", "f.deleted_at IS NULL"]
    given: dict[str, object] = {
        "owner": filters.owner,
        "query": as_text(query_vector),
        "limit": limit,
        "offset": offset,
    }
    if filters.import_number is not None:
        conditions.append("j.number = :number")
        given["number"] = filters.import_number
    query = text(
        f"SELECT h.job_id, h.row_number, 1 - (h.embedding <=> CAST(:query AS halfvec({DIMENSIONS}))) "
        "FROM record_halfvecs h JOIN jobs j ON j.id = h.job_id JOIN files f ON f.id = j.file_id "
        f"WHERE {' AND '.join(conditions)} "
        f"ORDER BY h.embedding <=> CAST(:query AS halfvec({DIMENSIONS})) LIMIT :limit OFFSET :offset"
    ).bindparams(bindparam("limit"), bindparam("offset"))
    rows = (await connection.execute(query, given)).all()
    return [((job_id, int(row)), float(score)) for job_id, row, score in rows]


def as_text(vector: npt.NDArray[np.float32]) -> str:
    return "[" + ",".join(f"{value:.6g}" for value in vector) + "]"
