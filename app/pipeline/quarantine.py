"""Quarantine: a chunk that was in work when its process ended is a suspect, and runs in a separate
process. Only the end of that process counts against it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from app.db import chunks
from app.db.chunks import Claim
from app.db.engine import Database
from app.destinations.encoding import EncodeRejects
from app.errors import TransientError
from app.formats.base import Rows
from app.pipeline import apart, observing
from app.pipeline.apart import ApartJob, MakeProcessors
from app.pipeline.columns import Columns
from app.pipeline.merger import Live
from app.pipeline.prepared import Prepared
from app.pipeline.preparing import Preparer
from app.pipeline.processes import Processes, WorkerDied
from app.pipeline.retry import TRANSIENT_DELAY_SECONDS
from app.pipeline.running import JobSnapshot
from app.processors.base import ChunkOutcome, TableEncoder
from app.states import ChunkStatus

logger = logging.getLogger(__name__)
SETTLE_SECONDS = 1.0


class Quarantine:
    def __init__(
        self,
        database: Database,
        processes: Processes,
        preparer: Preparer,
        in_thread: Callable[..., Awaitable[Any]],
        make_processors: MakeProcessors,
        encode_table: TableEncoder,
        encode_rejects: EncodeRejects,
    ) -> None:
        """`make_processors` is called in the other process. `in_thread` is called as `await
        in_thread(job, work, *arguments)`.
        """
        self._database = database
        self._processes = processes
        self._preparer = preparer
        self._in_thread = in_thread
        self._make_processors = make_processors
        self._encode_table = encode_table
        self._encode_rejects = encode_rejects
        # One suspect at a time, and so one process: starting another would take longer than the few
        # suspects take.
        self._one_suspect = asyncio.Lock()

    async def prepare(self, job: JobSnapshot, claim: Claim, live: Live | None) -> Prepared:
        """Read and process the chunk; raises WorkerDied if its process ends. `live` as for the
        Preparer.
        """
        data = await self._in_thread(job, self._preparer.bytes_of, job, claim.span)
        return await self._run(job, apart.prepare, claim, data, live)  # type: ignore[no-any-return]

    async def process(
        self, job: JobSnapshot, claim: Claim, rows: Rows, known: Columns
    ) -> ChunkOutcome:
        """Process some rows of the chunk; raises WorkerDied if its process ends."""
        job = replace(job, columns=known)
        return await self._run(job, apart.process, claim, rows)  # type: ignore[no-any-return]

    async def _run(self, job: JobSnapshot, work: Callable[..., Any], *arguments: Any) -> Any:
        alone = ApartJob.of(self._make_processors, job, self._encode_table, self._encode_rejects)
        async with self._one_suspect:
            return await self._in_thread(job, self._processes.compute, work, alone, *arguments)

    async def count_death(self, claim: Claim, error: WorkerDied) -> float | None:
        """Count a death of the chunk's process while this process lives on. Return the seconds
        until the chunk may be retried, None if it failed.

        An operator who ends processes may be about to end this one, and then the chunk is not to
        blame: so wait shortly before the death is counted.
        """
        await asyncio.sleep(SETTLE_SECONDS)
        try:
            status = await self._database.transact(
                lambda connection: chunks.count_death(connection, claim)
            )
        except TransientError:  # the heartbeat will give it back
            return TRANSIENT_DELAY_SECONDS
        if status is ChunkStatus.FAILED:
            logger.error(
                "Chunk %s/%s crashed its process %d times; failing it",
                claim.job_id,
                claim.index,
                chunks.MAX_DEATHS,
            )
            observing.failed(claim, error)
            return None
        if status is ChunkStatus.PENDING:
            logger.warning("Chunk %s/%s crashed its process", claim.job_id, claim.index)
            observing.retried(claim, error)
        return 0.0
