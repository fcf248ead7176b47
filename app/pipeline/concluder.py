"""Concluder: makes the final result of a job where that takes work, before and outside of the
transaction that ends the job.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import chunks, jobs, results
from app.db.engine import Database
from app.db.rows import JobResultRow, JobRow
from app.destinations.staged import Assembly, StagedResults
from app.pipeline.processes import WorkerDied
from app.pipeline.running import JobSnapshot
from app.pipeline.sampling import ReadBytes, sample_of
from app.processors.base import Conclusion, FileFacts, Part
from app.states import ChunkStatus, JobStatus

SUMMARIES_AT_ONCE = 8
MAX_DEATHS = 2
"""Number of deaths of a concluding process that a job survives; the third fails it."""
WHOLE = (JobStatus.COMPLETED, JobStatus.COMPLETED_WITH_ERRORS)
Basis = tuple[Any, ...]
"""Inputs of a conclusion, for comparison: chunks that ran again have another basis."""


@dataclass(frozen=True, slots=True)
class Concluded:
    basis: Basis
    conclusion: Conclusion | None
    """Conclusion of the job; None if no chunk was completed."""
    assembly: Assembly | None = None
    """Staged results of the job, which belong to the same conclusion."""


def concludes(job: JobSnapshot) -> bool:
    """Return whether the end of a job takes work. Rows of a correction are merged into the
    corrected job, chunk by chunk.
    """
    if job.corrects is not None:
        return False
    if job.is_parent:
        return job.can.reduces_parts is not None and not job.is_over_objects
    return job.destination.staged is not None or job.can.reduces is not None


async def basis_of(connection: AsyncConnection, job: JobSnapshot) -> Basis | None:
    """Return the basis of a conclusion; None while something is left to do."""
    if job.is_parent:
        parts = await jobs.children(connection, job.id)
        if any(not JobStatus(part.status).is_final for part in parts):
            return None
        return tuple((part.id, part.status, part.finished_at) for part in parts)
    row = await jobs.load_job(connection, job.id)
    tally = await chunks.tally(connection, job.id)
    if row is None or not row.split_done or any(not ChunkStatus(t.status).is_final for t in tally):
        return None
    return tuple(sorted((t.status, t.chunks, t.ok, t.invalid, t.failed) for t in tally))


def surviving_deaths(compute: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """Make a coroutine function that calls `compute` again when its process died: memory may have
    run short, or an operator ended the wrong process.
    """

    async def computed(work: Any, *arguments: Any) -> Any:
        for _ in range(MAX_DEATHS):
            try:
                return await asyncio.to_thread(compute, work, *arguments)
            except WorkerDied:
                continue
        return await asyncio.to_thread(compute, work, *arguments)

    return computed


class Concluder:
    def __init__(self, database: Database, compute: Callable[..., Any], read: ReadBytes) -> None:
        """`read` returns bytes of stored files."""
        self._database = database
        self._compute = surviving_deaths(compute)
        self._read = read

    async def conclude(self, job: JobSnapshot) -> Concluded | None:
        """Return the conclusion if the job is due, otherwise None. Raises the errors of the
        processor.
        """
        basis = await self._basis(job)
        if basis is None:
            return None
        staged = job.destination.staged
        if staged is not None and not job.is_parent:
            return await self._of_staged(job, staged)
        conclusion = await (self._of_parts(job) if job.is_parent else self._of_chunks(job))
        return Concluded(basis, conclusion)

    async def _of_staged(self, job: JobSnapshot, staged: StagedResults) -> Concluded | None:
        await staged.settle(job, self._compute)
        basis = await self._basis(job)  # settling changes the counts of chunks
        if basis is None:
            return None
        assembly = await staged.assemble(job, self._compute)
        return Concluded(basis, None if assembly is None else assembly.conclusion, assembly)

    async def _basis(self, job: JobSnapshot) -> Basis | None:
        async with self._database.working() as connection:
            return await basis_of(connection, job)

    async def _of_chunks(self, job: JobSnapshot) -> Conclusion | None:
        """Merge the summaries a few at a time, so that the memory does not grow with the file."""
        reduces = job.can.reduces
        assert reduces is not None, "asked only of processors that reduce"
        combined: dict[str, Any] | None = None
        index = -1
        while True:
            async with self._database.working() as connection:
                summaries = await chunks.summaries_after(
                    connection, job.id, index, SUMMARIES_AT_ONCE
                )
            if not summaries:
                break
            index = summaries[-1][0]
            parts = [*([combined] if combined else []), *(summary for _, summary in summaries)]
            combined = await self._compute(reduces.combine, parts)
        async with self._database.working() as connection:
            row = await jobs.load_job(connection, job.id)
            rejects = await results.count_rejects(connection, job.id)
        if row is None or (combined is None and row.split_rows and not rejects):
            return None
        facts = FileFacts(
            row.filename,
            row.format,
            row.dialect,
            row.size_bytes,
            row.sha256,
            row.split_rows,
            rejects,
        )
        combined = combined or await self._compute(reduces.combine, [])
        conclusion: Conclusion = await self._compute(reduces.conclude, combined, facts)
        return conclusion

    async def _of_parts(self, job: JobSnapshot) -> Conclusion | None:
        async with self._database.working() as connection:
            rows = await jobs.children(connection, job.id)
            stored = {row.id: await jobs.find_result(connection, row.id) for row in rows}
        parts = self._usable(rows, stored)
        if len(parts) < len(rows) or len(rows) != job.child_count:
            return None
        reduces = job.can.reduces_parts
        assert reduces is not None, "asked only of processors that reduce parts"
        return await reduces.conclude_parts(parts, job.options, self._compute, asyncio.to_thread)

    def _usable(
        self, rows: Sequence[JobRow], stored: dict[UUID, JobResultRow | None]
    ) -> list[Part]:
        parts = []
        for row in rows:
            result = stored[row.id]
            if result is not None and row.status in WHOLE:
                sample = partial(sample_of, self._database, self._read, row)
                parts.append(
                    Part(
                        row.file_id,
                        row.filename,
                        row.columns,
                        result.data,
                        result.state,
                        sample,
                    )
                )
        return parts
