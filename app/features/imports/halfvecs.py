"""Search index over record vectors by pgvector, where PostgreSQL has that extension.

The table is derived: `record_vectors` has the same vectors in full precision, and this table can be
dropped at any time. So the service creates it at its start, if it is allowed to, and no migration
knows of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
import numpy as np
import numpy.typing as npt
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Float,
    Integer,
    Select,
    String,
    Uuid,
    and_,
    bindparam,
    cast,
    column,
    func,
    literal,
    select,
    table,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import UserDefinedType

from app.db.models import File, Job, Record
from app.db.rows import fetch_all
from app.features.imports import queries as records
from app.features.imports import words
from app.features.imports.queries import Filters


class Scored(msgspec.Struct, frozen=True):
    """Record near to a query."""

    job_id: UUID
    row_number: int
    score: float
    """Cosine of the record and the query."""


DIMENSIONS = 384
INDEXED_FROM = 5_000
"""Number of vectors below which a scan is as fast as the index, and exact."""
BUILD = "m = 24, ef_construction = 400"
"""Parameters of the index: more links than by default, chosen with six times the care. With the
default, a search has to read more than twice as many vectors for the same recall. With half of
ours, the recall depends on the luck of the build (0.96 to 0.99 of the nearest).
"""
BUILD_MEMORY = "256MB"
"""Memory for the build. A graph that does not fit is built many times as slowly: 50 000 vectors
make 58 MB.
"""
BUILD_LOCK = 4_706_941
"""Advisory lock of the process that builds the index."""
BUILD_SECONDS = 24 * 3600.0
FEW = 2_000
"""Records that hold a text are compared one by one, up to this number."""

TABLE = f"""
CREATE TABLE IF NOT EXISTS record_halfvecs (
    job_id uuid NOT NULL, row_number bigint NOT NULL, embedding halfvec({DIMENSIONS}) NOT NULL,
    PRIMARY KEY (job_id, row_number),
    FOREIGN KEY (job_id, row_number)
        REFERENCES record_vectors (job_id, row_number) ON DELETE CASCADE
)
"""


class HalfVec(UserDefinedType[str]):
    """Type of a vector in half precision, written as text: `[0.1,0.2,...]`."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return f"halfvec({DIMENSIONS})"


HALFVECS = table(
    "record_halfvecs",
    column("job_id", Uuid),
    column("row_number", BigInteger),
    column("embedding", HalfVec),
)


async def is_prepared(connection: AsyncConnection) -> bool:
    return bool(
        (
            await connection.execute(text("SELECT to_regclass('record_halfvecs') IS NOT NULL"))
        ).scalar_one()
    )


async def prepare(connection: AsyncConnection) -> None:
    """Create the extension and the table; raises the error of PostgreSQL if the extension is
    missing or not allowed.
    """
    await connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
    await connection.execute(text(TABLE))


async def insert(
    connection: AsyncConnection, job_id: UUID, rows: Sequence[int], vectors: Sequence[bytes]
) -> None:
    query = text(
        "INSERT INTO record_halfvecs (job_id, row_number, embedding) "
        f"SELECT :job_id, r, CAST(v AS halfvec({DIMENSIONS})) "
        "FROM unnest(CAST(:rows AS bigint[]), CAST(:vectors AS text[])) AS t (r, v) "
        "ON CONFLICT DO NOTHING"
    )
    written = [as_text(np.frombuffer(vector, "<f4")) for vector in vectors]
    await connection.execute(query, {"job_id": job_id, "rows": list(rows), "vectors": written})


async def missing(connection: AsyncConnection, limit: int) -> list[tuple[UUID, int, bytes]]:
    """Return vectors that were written while there was no extension."""
    query = text(
        "SELECT v.job_id, v.row_number, v.vector FROM record_vectors v "
        "LEFT JOIN record_halfvecs h USING (job_id, row_number) WHERE h.job_id IS NULL LIMIT :limit"
    )
    rows = (await connection.execute(query, {"limit": limit})).all()
    return [(job_id, int(row), bytes(vector)) for job_id, row, vector in rows]


async def wants_index(connection: AsyncConnection) -> bool:
    query = text(
        "SELECT (SELECT count(*) FROM (SELECT 1 FROM record_halfvecs LIMIT :least) AS few) >="
        " :least AND NOT EXISTS (SELECT 1 FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid"
        " WHERE c.relname = 'ix_record_halfvecs_hnsw' AND i.indisvalid)"
    )
    return bool((await connection.execute(query, {"least": INDEXED_FROM})).scalar_one())


async def build_index(connection: AsyncConnection) -> None:
    """Build the index after the bulk of the vectors is inserted, which is fastest. It runs outside
    a transaction and blocks nobody. If cancelled, it leaves an invalid index, which the next call
    drops. Does nothing if another process builds it.
    """
    # A lock of the session: the index waits for the end of every transaction, and would wait for
    # one that holds a lock here.
    if not (
        await connection.execute(text(f"SELECT pg_try_advisory_lock({BUILD_LOCK})"))
    ).scalar_one():
        return
    driver = (await connection.get_raw_connection()).driver_connection
    assert driver is not None
    try:
        await connection.execute(text("DROP INDEX CONCURRENTLY IF EXISTS ix_record_halfvecs_hnsw"))
        # Without statistics PostgreSQL plans an import as a few rows, and searches it without the
        # index. It collects statistics automatically later, and never for a table of a few jobs.
        await driver.execute("ANALYZE record_halfvecs, records, jobs, files", timeout=BUILD_SECONDS)
        await driver.execute(f"SET maintenance_work_mem = '{BUILD_MEMORY}'")
        await driver.execute(
            "CREATE INDEX CONCURRENTLY ix_record_halfvecs_hnsw ON record_halfvecs "
            f"USING hnsw (embedding halfvec_cosine_ops) WITH ({BUILD})",
            timeout=BUILD_SECONDS,
        )
    finally:
        await driver.execute(f"RESET maintenance_work_mem; SELECT pg_advisory_unlock({BUILD_LOCK})")


async def nearest(
    connection: AsyncConnection,
    query_vector: npt.NDArray[np.float32],
    filters: Filters,
    *,
    limit: int,
    offset: int,
) -> list[Scored]:
    """Return (job, row number, `score`) of the nearest records of one owner, the best first; the
    score is the cosine. The search uses the index where that is likely to give enough records, else
    it compares all records that match.
    """
    page = {"limit": limit, "offset": offset}
    has_text = words.can_tell(filters)
    if has_text and offset + limit <= FEW:
        rows, are_all = await _among_few(connection, query_vector, filters, **page)
        if are_all:
            return rows
    if has_text or not filters.need_records:
        rows = await _by_index(connection, query_vector, filters, **page)
        if len(rows) == limit:
            return rows
    return await _exactly(connection, query_vector, filters, **page)


async def _among_few(
    connection: AsyncConnection,
    query_vector: npt.NDArray[np.float32],
    filters: Filters,
    *,
    limit: int,
    offset: int,
) -> tuple[list[Scored], bool]:
    """Return (the nearest of the records that hold the text, whether all of these were compared).
    Up to `FEW` records, all are compared.
    """
    few = words.matching(filters, is_sqlite=False).limit(FEW + 1).cte("few")
    few = few.prefix_with("MATERIALIZED")
    is_of_record = and_(
        few.c.job_id == HALFVECS.c.job_id, few.c.row_number == HALFVECS.c.row_number
    )
    score = (1 - _distance(literal(as_text(query_vector)))).label("score")
    count = select(func.count()).select_from(few).scalar_subquery()
    query = (
        select(few.c.job_id, few.c.row_number, score, count)
        .join(HALFVECS, is_of_record)
        .join(Job, Job.id == few.c.job_id)
        .order_by(score.desc(), Job.number, few.c.row_number)
        .limit(limit)
        .offset(offset)
    )
    rows = (await connection.execute(query)).all()
    scored = [Scored(job_id, row, score) for job_id, row, score, _ in rows]
    return scored, not rows or rows[0][3] <= FEW


async def _by_index(
    connection: AsyncConnection,
    query_vector: npt.NDArray[np.float32],
    filters: Filters,
    *,
    limit: int,
    offset: int,
) -> list[Scored]:
    """Return the nearest records by the index. They may be fewer than there are: the index stops
    its search at some point.
    """
    parameters = {
        "vector": as_text(query_vector),
        "owner": filters.owner,
        "number": filters.import_number,
        "limit": limit,
        "offset": offset,
        "part": words.pattern(filters.text or ""),
    }
    query = _BY_INDEX[filters.import_number is not None, filters.text is not None]
    return await fetch_all(connection, Scored, query, parameters)


def _by_index_query(*, of_one_import: bool, with_text: bool) -> Select[Any]:
    distance = _distance(bindparam("vector", type_=String))
    near = (
        select(
            HALFVECS.c.job_id,
            HALFVECS.c.row_number,
            distance.label("distance"),
        )
        .join(Job, Job.id == HALFVECS.c.job_id)
        .join(File, File.id == Job.file_id)
        .where(*records.visible(bindparam("owner", type_=String)))
        .order_by(distance)
        # Written out as a literal: PostgreSQL may plan a prepared statement without its values,
        # assume an unknown limit of a tenth of the table, and sort all of it.
        .limit(bindparam("limit", type_=Integer, literal_execute=True))
        .offset(bindparam("offset", type_=Integer, literal_execute=True))
    )
    if of_one_import:
        near = near.where(Job.number == bindparam("number"))
    if with_text:
        near = near.where(words.holds_in(HALFVECS.c, bindparam("part", type_=String)))
    nearest_of_all = near.subquery("near")
    is_of_record = and_(
        Record.job_id == nearest_of_all.c.job_id, Record.row_number == nearest_of_all.c.row_number
    )
    score = (1 - nearest_of_all.c.distance).label("score")
    return (
        select(Record.job_id, Record.row_number, score)
        .join(nearest_of_all, is_of_record)
        .order_by(nearest_of_all.c.distance)
    )


async def _exactly(
    connection: AsyncConnection,
    query_vector: npt.NDArray[np.float32],
    filters: Filters,
    *,
    limit: int,
    offset: int,
) -> list[Scored]:
    # No index has this order, so every match is compared.
    score = (1 - _distance(literal(as_text(query_vector)))).label("score")
    matching = words.matching(filters, is_sqlite=False).subquery("matching")
    is_of_record = and_(
        matching.c.job_id == HALFVECS.c.job_id, matching.c.row_number == HALFVECS.c.row_number
    )
    query = (
        select(matching.c.job_id, matching.c.row_number, score)
        .join(HALFVECS, is_of_record)
        .join(Job, Job.id == matching.c.job_id)
        .order_by(score.desc(), Job.number, matching.c.row_number)
        .limit(limit)
        .offset(offset)
    )
    return await fetch_all(connection, Scored, query)


def _distance(vector: ColumnElement[Any]) -> ColumnElement[float]:
    # A subquery runs once. Where PostgreSQL plans without its values, it casts a parameter again
    # for each row: that parses 384 numbers, and a scan took forty times as long.
    query_vector = select(cast(vector, HalfVec)).scalar_subquery()
    distance_to = HALFVECS.c.embedding.op("<=>", return_type=Float())
    distance: ColumnElement[float] = distance_to(query_vector)
    return distance


# Written once, since that takes longer than sending the text.
_BY_INDEX = {
    (of_one_import, with_text): _by_index_query(of_one_import=of_one_import, with_text=with_text)
    for of_one_import in (False, True)
    for with_text in (False, True)
}


def as_text(vector: npt.NDArray[np.float32]) -> str:
    """Return six decimals of each number, where half precision keeps three or four digits."""
    return msgspec.json.encode(vector.astype(np.float64).round(6).tolist()).decode()
