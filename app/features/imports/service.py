"""Service of imports: files of records checked against a schema, as jobs in the terms of their
endpoints, and the search over the records.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import chunks, jobs, results, undo
from app.db.engine import Database
from app.db.jobs import JobFilter
from app.db.rows import NO_TOTALS, JobRow, JobTotals, ListedJob
from app.errors import ImportNotFound, NotFound
from app.features.imports import halfvecs, words
from app.features.imports import queries as records
from app.features.imports.fusion import FUSED_FROM, fused
from app.features.imports.neighbours import Neighbours
from app.features.imports.queries import Filters, FoundRecord, Key, RecordRow
from app.features.imports.vectors import VectorService
from app.features.imports.words import RowsOfJobs
from app.jobs.control import Control
from app.jobs.stored_rows import ANSWER_BYTES
from app.jobs.submit import Accepted, Submission
from app.states import JobStatus

ORIGIN = "imports"
IMPORTS, UNDONE = JobFilter(origin=ORIGIN), JobFilter(origin=ORIGIN, is_undone=True)
CHUNK_ROWS = 1_000
IMPORTS_AT_ONCE = 20
STATUSES = {status: str(status) for status in JobStatus} | {JobStatus.QUEUED: "pending"}


# ---------------------------------------------------------------------- taking one


def prepare(submission: Submission) -> Submission:
    """Complete a submission as an import. `submission.processor` is the schema."""
    return replace(submission, origin=ORIGIN, chunk_size=submission.chunk_size or CHUNK_ROWS)


def created(accepted: Accepted) -> dict[str, Any]:
    """Build the answer to an upload."""
    body = accepted.body
    is_duplicate = bool(body["duplicate"])
    return {
        "id": body["number"],
        "import_id": body["number"],
        "filename": body["filename"],
        "file_hash": body["sha256"],
        "status": STATUSES[JobStatus(body["status"])],
        "schema": body["processor"],
        "duplicate": is_duplicate,
        "message": "This file was imported before." if is_duplicate else "Import started.",
        "status_url": f"/api/imports/{body['number']}",
        "file_id": body["file_id"],
        "job_id": body["job_id"],
    }


# ---------------------------------------------------------------------- looking at them


async def list_imports(
    database: Database, owner: str, *, limit: int, offset: int
) -> dict[str, Any]:
    """Return imports, newest first, in a fixed number of statements."""
    async with database.reading() as connection:
        rows = await jobs.list_jobs(connection, owner, IMPORTS, limit=limit, offset=offset)
        bodies = await _bodies(connection, rows)
        total = await jobs.count_jobs(connection, owner, IMPORTS)
    return {"imports": bodies, "total": sum(total.values()), "limit": limit, "offset": offset}


async def get_import(
    database: Database, number: int, owner: str, *, limit: int, offset: int, after: int
) -> bytes:
    """Return an import as JSON with one page of its records, valid and invalid, in file order: at
    most `limit`, and no more than fit into a response. Raises ImportNotFound.
    """
    async with database.snapshot() as connection:
        job = await _find(connection, number, owner)
        (body,) = await _bodies(connection, [job])
        rows, is_cut = await records.list_of_job(
            connection, job.id, after=after, limit=limit, offset=offset, most_bytes=ANSWER_BYTES
        )
    page = {
        "limit": limit,
        "offset": offset,
        "next_after": rows[-1].row_number if is_cut else None,
        "next_offset": offset + len(rows) if is_cut else None,
    }
    return await asyncio.to_thread(_with_records, body, rows, number, job.columns, page)


def _with_records(
    body: dict[str, Any],
    rows: Sequence[RecordRow],
    number: int,
    columns: Sequence[str],
    page: dict[str, Any],
) -> bytes:
    return msgspec.json.encode(
        {**body, "records": [record_body(row, number, columns) for row in rows], **page}
    )


async def delete(database: Database, control: Control, number: int, owner: str) -> None:
    """Delete an import with its records, their vectors and the file; raises ImportNotFound."""
    async with database.reading() as connection:
        job = await _find(connection, number, owner)
    try:
        await control.delete(job.file_id, owner)
    except NotFound:  # another request has just deleted it
        raise ImportNotFound from None


async def stats(database: Database, owner: str) -> dict[str, Any]:
    """Return the sums over all imports of the owner, from their chunks: no record is read. Undone
    imports do not count.
    """
    async with database.reading() as connection:
        statuses = await jobs.count_jobs(connection, owner, IMPORTS)
        undone = await jobs.count_jobs(connection, owner, UNDONE)
        sums = await records.sums_of_origin(connection, owner, ORIGIN)
        size = await results.database_bytes(connection, is_sqlite=database.is_sqlite)
    return {
        "total_imports": sum(statuses.values()),
        "imports_by_status": {
            STATUSES[JobStatus(status)]: count for status, count in statuses.items()
        },
        "undone_imports": sum(undone.values()),
        "total_records": sums.ok + sums.invalid + sums.failed,
        "valid_records": sums.ok,
        "invalid_records": sums.invalid,
        "failed_records": sums.failed,
        "vectors": {"total": sums.vectors, "ready": sums.vectors_ready},
        "database_size_bytes": size,
    }


async def _find(connection: AsyncConnection, number: int, owner: str) -> JobRow:
    job = await jobs.find_number(connection, number, owner, ORIGIN)
    if job is None:
        raise ImportNotFound
    return job


async def _bodies(connection: AsyncConnection, rows: Sequence[ListedJob]) -> list[dict[str, Any]]:
    ids = [row.id for row in rows]
    totals = await chunks.totals(connection, ids, ("valid", "invalid"))
    vectors = await records.vector_counts(connection, ids)
    return [_body(row, totals.get(row.id), vectors.get(row.id, (0, 0))) for row in rows]


def _body(job: ListedJob, totals: JobTotals | None, vectors: tuple[int, int]) -> dict[str, Any]:
    """Build the body of an import. `failed_records` are those that are not valid, whatever the
    reason; `counts` has them by reason.
    """
    status = JobStatus(job.status)
    totals = totals or NO_TOTALS
    rows, ok, rejected, lost = totals.rows, totals.ok, totals.rejected, totals.failed
    total, ready = vectors
    error = job.vectors_error
    return {
        "id": job.number,
        "filename": job.filename,
        "file_hash": job.sha256,
        "status": STATUSES[status],
        "schema": job.processor,
        "total_records": job.split_rows,
        "processed_records": ok + rejected,
        "valid_records": ok,
        "failed_records": rejected + lost,
        "counts": {
            "loaded": ok,
            "rejected": rejected,
            "failed": lost,
            "not_processed": rows - ok - rejected - lost,
        },
        "error_message": job.error["message"] if job.error else None,
        "summary": job.summary,
        "vectors": {
            "status": _vectors_status(job, ready == total),
            "total": total,
            "ready": ready,
            "error": error,
        },
        "undo": undo.body(job),
        "created_at": job.created_at.isoformat(),
        "completed_at": job.finished_at.isoformat() if job.finished_at else None,
        "rejects_url": f"/api/v1/rejects/{job.file_id}",
        "file_id": str(job.file_id),
        "job_id": str(job.id),
    }


def record_body(row: RecordRow, import_number: int, columns: Sequence[str]) -> dict[str, Any]:
    """Build the body of a record. Its data stay the JSON that they are, so that no number is
    rounded.
    """
    errors, data = row.errors, msgspec.json.decode(row.data, type=dict[str, msgspec.Raw])
    # PostgreSQL does not keep the order of the keys.
    names = [name for name in columns if name in data]
    return {
        "id": row.id,
        "import_id": import_number,
        "row_number": row.row_number,
        "status": row.status,
        "data": {name: data[name] for name in dict.fromkeys([*names, *data])},
        "error_message": "; ".join(f"{e['field']}: {e['message']}" for e in errors)
        if errors
        else None,
        "errors": errors or [],
    }


# ---------------------------------------------------------------------- searching


class Search:
    """Search of records by filters, by text, by meaning, or by all of them."""

    def __init__(self, database: Database, vectors: VectorService, neighbours: Neighbours) -> None:
        self._database = database
        self._vectors = vectors
        self._neighbours = neighbours

    async def find(
        self,
        filters: Filters,
        *,
        query: str | None,
        limit: int,
        offset: int,
        after: int,
        fuse: bool = False,
    ) -> bytes:
        """Return records as JSON: at most `limit`, and no more than fit into a response. With
        `query` the nearest in meaning come first, each with its score (the cosine, at most 1);
        otherwise they are in the order of their ids. With `fuse` the text of the filters is no
        condition: records near in meaning and records that contain the text are fused into one
        ranking. Raises ModelUnavailable for a search by meaning without a model.
        """
        scores: list[float] | None = None
        if query is None:
            async with self._database.snapshot() as connection:
                rows, is_cut = await records.list_records(
                    connection,
                    filters,
                    is_sqlite=self._database.is_sqlite,
                    after=after,
                    limit=limit,
                    offset=offset,
                    most_bytes=ANSWER_BYTES,
                )
            looked_at = len(rows)
        else:
            look = self._fused if fuse and filters.text else self._nearest
            nearest = await look(query, filters, limit, offset)
            async with self._database.reading_singly() as connection:
                nearest_rows, is_cut = await records.by_keys(
                    connection, filters.owner, [key for key, _ in nearest], ANSWER_BYTES
                )
            is_cut = is_cut or len(nearest) == limit
            looked_at = len(nearest_rows)
            existing = [
                (row, round(score, 6))
                for row, (_, score) in zip(nearest_rows, nearest, strict=False)
                if row is not None
            ]
            rows, scores = [row for row, _ in existing], [score for _, score in existing]
        body: dict[str, Any] = {
            "records": await self._bodies(rows, scores),
            "count": len(rows),
            "limit": limit,
            "offset": offset,
            "next_offset": offset + looked_at if is_cut else None,
            "next_after": rows[-1].id if is_cut and query is None else None,
        }
        return await asyncio.to_thread(msgspec.json.encode, body)

    async def _bodies(
        self, rows: Sequence[FoundRecord], scores: Sequence[float] | None
    ) -> list[dict[str, Any]]:
        """Build the bodies in some steps: the columns of an import, which give the order of the
        fields, may be many.
        """
        bodies: dict[int, dict[str, Any]] = {}
        imports = list(dict.fromkeys(row.job_id for row in rows))
        for start in range(0, len(imports), IMPORTS_AT_ONCE):
            async with self._database.reading_singly() as connection:
                columns = await records.columns_of_jobs(
                    connection, imports[start : start + IMPORTS_AT_ONCE]
                )
            some = [row for row in rows if row.job_id in columns]
            bodies |= await asyncio.to_thread(_by_id, some, columns)
        shown = [bodies[row.id] for row in rows if row.id in bodies]
        if scores is None:
            return shown
        return [{**body, "score": score} for body, score in zip(shown, scores, strict=True)]

    async def _fused(
        self, query: str, filters: Filters, limit: int, offset: int
    ) -> list[tuple[Key, float]]:
        of_meaning = await self._nearest(query, replace(filters, text=None), FUSED_FROM, 0)
        of_text = await self._nearest(query, filters, FUSED_FROM, 0)
        return fused((of_meaning, of_text))[offset : offset + limit]

    async def _nearest(
        self, query: str, filters: Filters, limit: int, offset: int
    ) -> list[tuple[Key, float]]:
        if filters.status == "invalid":
            return []  # only valid records have vectors
        vector = await self._vectors.encode_query(query)
        if await self._vectors.has_halfvecs():
            async with self._database.reading_singly() as connection:
                rows = await halfvecs.nearest(
                    connection, vector, filters, limit=limit, offset=offset
                )
            return [((row.job_id, row.row_number), float(row.score)) for row in rows]
        among: RowsOfJobs | None = None
        if filters.need_records:
            async with self._database.reading() as connection:
                among = await words.rows_of_jobs(connection, filters)
        return await self._neighbours.nearest(vector, filters, among, limit=limit, offset=offset)


def _by_id(
    rows: Sequence[FoundRecord], columns: dict[UUID, list[str]]
) -> dict[int, dict[str, Any]]:
    return {row.id: record_body(row, row.import_number, columns[row.job_id]) for row in rows}


def _vectors_status(job: ListedJob, are_all_ready: bool) -> str:
    """Return whether meaning finds the records of an import: failed, ready or pending."""
    if job.vectors_error:
        return "failed"
    if are_all_ready and JobStatus(job.status).is_final:
        return "ready"
    return "pending"
