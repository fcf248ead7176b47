"""Suspects: chunks that were running when their process ended. Each runs in a process that does
nothing else meanwhile, so that the cause of a death is known.

The service reads the bytes and writes the rows; the other process does everything between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from app.db.chunks import Claim
from app.formats.base import PagedRows, Rows
from app.pipeline.merger import Live
from app.pipeline.prepared import Prepared
from app.pipeline.preparing import Preparer
from app.pipeline.running import JobSnapshot
from app.processors.base import ChunkOutcome, TableEncoder, compute_here
from app.processors.registry import Processors

MakeProcessors = Callable[[], Processors]
"""Function that can be sent to another process."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """All that another process needs to run the chunk."""

    make_processors: MakeProcessors
    processor: str
    job: JobSnapshot
    """Job without its processor and its destination, which stay in the service."""
    claim: Claim
    encode_table: TableEncoder

    @classmethod
    def of(
        cls,
        make_processors: MakeProcessors,
        job: JobSnapshot,
        claim: Claim,
        encode_table: TableEncoder,
    ) -> Suspect:
        bare: Any = None
        alone = replace(job, processor=bare, can=bare, destination=bare)
        return cls(make_processors, job.processor.name, alone, claim, encode_table)


def prepare(suspect: Suspect, data: bytes, live: Live | None) -> Prepared:
    """Read and process the chunk from its bytes. Called in the other process."""
    job, preparer = _equipped(suspect, data)
    if job.is_waiting_processor:
        return _loop().run_until_complete(preparer.prepare_waiting(job, suspect.claim, live))
    return preparer.prepare(job, suspect.claim, live)


def process(suspect: Suspect, rows: Rows) -> ChunkOutcome:
    """Process some rows of the chunk. Called in the other process."""
    job, preparer = _equipped(suspect, b"")
    outcome = _loop().run_until_complete(preparer.process(job, suspect.claim, rows, job.columns))
    if job.processor.stores_results:
        outcome.results = PagedRows.of(outcome.results)
    return outcome


def get_ready(make_processors: MakeProcessors) -> None:
    """Prepare the other process before there is a chunk for it: loading all that is needed takes
    longer than most chunks.
    """
    _processors(make_processors)


def _equipped(suspect: Suspect, data: bytes) -> tuple[JobSnapshot, Preparer]:
    processors = _processors(suspect.make_processors)
    can = processors.capabilities(suspect.processor)
    job = replace(suspect.job, processor=processors.get(suspect.processor), can=can)
    preparer = Preparer(
        lambda *_: data,
        compute=compute_here,
        in_thread=_in_thread,
        encode_table=suspect.encode_table,
    )
    return job, preparer


_made: list[Processors] = []


def _processors(make: MakeProcessors) -> Processors:
    """Return the processors of this process, which serves one service."""
    if not _made:
        _made.append(make())
    return _made[0]


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """Return the loop of this process. Clients of services belong to the loop that they were first
    used on.
    """
    return asyncio.new_event_loop()


async def _in_thread(job: JobSnapshot, work: Callable[..., Any], *arguments: Any) -> Any:
    return work(*arguments)
