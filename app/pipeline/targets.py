"""Commit targets: where the rows of a chunk are written, inside the transaction that completes it.
A job's rows are its own; rows of a correction belong to the job that it corrects.
`Committer.target` alone chooses between the two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import chunks, corrections, jobs
from app.db.chunks import Claim
from app.db.engine import Database
from app.db.rows import ChunkCompletion, LockedJob
from app.formats.base import Rows
from app.pipeline.merger import Live, Merger, look, only, without_refused
from app.pipeline.prepared import Prepared, gathered
from app.pipeline.running import JobSnapshot

NO_HASH = f"{0:016x}"
"""Hash of no rows."""


class CommitTarget(Protocol):
    """Target of one run of some chunks, which it serves from their bytes to their ends."""

    async def load(self, claims: Sequence[Claim]) -> None:
        """Read the needed data about these chunks before their rows are read."""

    def live(self, claim: Claim) -> Live | None:
        """Return the loaded data for a chunk of a correction; None for other jobs."""

    async def lock(self, connection: AsyncConnection) -> None:
        """Take the locks that come before those of the chunks. Raises LeaseLost if the target is
        gone.
        """

    def completion(self, prepared: Prepared) -> ChunkCompletion:
        """Build the values for the row of the chunk."""

    async def write(
        self, connection: AsyncConnection, ready: Sequence[tuple[Claim, Prepared]]
    ) -> None:
        """Write rows and rejects. Raises ColumnsTaken, CorrectionOvertaken, and the errors of the
        database.
        """

    async def rehearse(
        self, connection: AsyncConnection, claim: Claim, rows: Rows, prepared: Prepared
    ) -> None:
        """Write some rows of a chunk, in a transaction that is rolled back."""


class OwnJob:
    """Target of the rows of an ordinary job: the job itself."""

    def __init__(self, job: JobSnapshot) -> None:
        self._job = job

    async def load(self, claims: Sequence[Claim]) -> None:
        """Load nothing."""

    def live(self, claim: Claim) -> Live | None:
        return None

    async def lock(self, connection: AsyncConnection) -> None:
        """Lock nothing: the chunks come first. Rows that are visible at once are written one chunk
        after the other.
        """
        if self._job.writes_at_once:
            await jobs.lock_job(connection, self._job.id)

    def completion(self, prepared: Prepared) -> ChunkCompletion:
        return prepared.completion()

    async def write(
        self, connection: AsyncConnection, ready: Sequence[tuple[Claim, Prepared]]
    ) -> None:
        if self._job.writes_at_once:
            for claim, prepared in ready:
                await self._write_at_once(connection, claim, prepared)
            return
        pages = [page for _, prepared in ready for page in prepared.pages]
        rejects = [reject for _, prepared in ready for reject in prepared.rejects]
        tables = gathered([prepared.tables for _, prepared in ready])
        job = self._job
        written = await job.destination.write(connection, job.id, pages, rejects, tables)
        encoded = [
            prepared.encoded_rejects
            for _, prepared in ready
            if prepared.encoded_rejects is not None
        ]
        await job.destination.rejects.write_encoded(connection, job.id, encoded)
        if written:  # counted for all together; the summary of the job is their sum anyway
            claim, first = ready[0]
            await chunks.set_summary(connection, claim, {**first.summary, "written": written})

    async def _write_at_once(
        self, connection: AsyncConnection, claim: Claim, prepared: Prepared
    ) -> None:
        job, results = self._job, self._job.destination.results
        kept = await without_refused(results, connection, job.id, prepared)
        await _count_refused(connection, claim, prepared, kept)
        counts: dict[str, int] = {}
        if kept.pages:
            counts = await results.write(connection, job.id, kept.pages)
        await job.destination.write(connection, job.id, (), kept.rejects, kept.tables)
        await chunks.set_summary(connection, claim, kept.summary | counts)

    async def rehearse(
        self, connection: AsyncConnection, claim: Claim, rows: Rows, prepared: Prepared
    ) -> None:
        job = self._job
        if job.writes_at_once:
            await self._write_at_once(connection, claim, prepared)
            return
        await job.destination.write(
            connection, job.id, prepared.pages, prepared.rejects, prepared.tables
        )


class CorrectedJob:
    """Target of the rows of a correction: they replace rejects of another job."""

    def __init__(self, job: JobSnapshot, database: Database, merger: Merger) -> None:
        self._job = job
        self._database = database
        self._merger = merger
        self._live: dict[int, Live] = {}
        """Parts that the chunks hold, by index."""
        self._target: LockedJob | None = None
        """Corrected job, as the current transaction has locked it."""

    async def load(self, claims: Sequence[Claim]) -> None:
        """Read which rows these chunks have, and which of them are still to be corrected."""
        job = self._job
        assert job.corrects is not None
        async with self._database.working() as connection:
            parts = await corrections.find_parts(
                connection, job.id, [claim.index for claim in claims]
            )
            for index, part in parts.items():
                self._live[index] = await look(connection, job.corrects, part)

    def live(self, claim: Claim) -> Live | None:
        return self._live[claim.index]

    async def lock(self, connection: AsyncConnection) -> None:
        assert self._job.corrects is not None
        self._target = await self._merger.lock(connection, self._job.corrects)

    def completion(self, prepared: Prepared) -> ChunkCompletion:
        """Build the completion without hash and summary: the results are part of the corrected
        chunk, and so are their hash and summary.
        """
        return replace(prepared.completion(), hash_read=NO_HASH, summary=None)

    async def write(
        self, connection: AsyncConnection, ready: Sequence[tuple[Claim, Prepared]]
    ) -> None:
        job, target = self._job, self._target
        assert target is not None
        for claim, prepared in ready:
            live = self._live[claim.index]
            kept = await self._merger.without_refused(connection, target, prepared)
            await _count_refused(connection, claim, prepared, kept)
            target = await self._merger.merge(connection, job.id, target, job.processor, live, kept)

    async def rehearse(
        self, connection: AsyncConnection, claim: Claim, rows: Rows, prepared: Prepared
    ) -> None:
        job, target = self._job, self._target
        assert target is not None
        live = only(self._live[claim.index], rows.numbers)
        kept = await self._merger.without_refused(connection, target, prepared)
        await self._merger.merge(connection, job.id, target, job.processor, live, kept)


async def _count_refused(
    connection: AsyncConnection, claim: Claim, before: Prepared, kept: Prepared
) -> None:
    """Correct the counts of the chunk by the rows that the destination refuses."""
    codes = Counter(reject.code for reject in kept.rejects)
    codes.subtract(Counter(reject.code for reject in before.rejects))
    rows_ok = before.rows_ok
    for code, count in codes.items():
        if count:
            await chunks.demote(
                connection, claim.job_id, claim.index, rows_ok=rows_ok, by=count, code=code
            )
            rows_ok -= count
