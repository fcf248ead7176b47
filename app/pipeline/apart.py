"""Chunks in another process, which reads and processes them; the service only writes their rows.

Suspects (chunks that were running when their process ended) run so one by one, so that the cause of
a death is known. Chunks of a large file run so if a process is idle: then two cores work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from app.db.chunks import Claim
from app.destinations.encoding import EncodeRejects
from app.formats.base import PagedRows, Rows
from app.pipeline.merger import Live
from app.pipeline.prepared import Prepared
from app.pipeline.preparing import Preparer, ReadBytes
from app.pipeline.running import JobSnapshot
from app.processors import pieces
from app.processors.base import ChunkOutcome, TableEncoder, compute_here
from app.processors.registry import Processors
from app.sources.places import Storage

MakeProcessors = Callable[[], Processors]
"""Function that can be sent to another process."""


class TooLarge(Exception):
    """The outputs of chunks have more bytes than are sent to another process."""


@dataclass(frozen=True, slots=True)
class ApartJob:
    """All that another process needs to run chunks of a job."""

    make_processors: MakeProcessors
    processor: str
    job: JobSnapshot
    """Job without its processor and its destination, which stay in the service."""
    encode_table: TableEncoder
    encode_rejects: EncodeRejects

    @classmethod
    def of(
        cls,
        make_processors: MakeProcessors,
        job: JobSnapshot,
        encode_table: TableEncoder,
        encode_rejects: EncodeRejects,
    ) -> ApartJob:
        bare: Any = None
        alone = replace(job, processor=bare, can=bare, destination=bare)
        return cls(make_processors, job.processor.name, alone, encode_table, encode_rejects)


def prepare(apart: ApartJob, claim: Claim, data: bytes, live: Live | None) -> Prepared:
    """Read and process a chunk from its bytes. Called in the other process."""
    job, preparer = _equipped(apart, lambda *_: data)
    if job.is_waiting_processor:
        return _loop().run_until_complete(preparer.prepare_waiting(job, claim, live))
    return preparer.prepare(job, claim, live)


def prepare_all(
    apart: ApartJob, claims: Sequence[Claim], storage: Storage, waited: float = 0.0
) -> list[Prepared]:
    """Read and process chunks of a file in `storage`. Called in the other process. `waited` are the
    seconds until the first chunk could begin. Raises TooLarge, for what fits only into files.
    """
    job, preparer = _equipped(
        apart, lambda job, start, end: storage.read(job.uri, start, end, job.etag)
    )
    prepared = []
    output_bytes = 0
    for claim in claims:
        chunk = preparer.prepare(job, claim, None, waited)
        waited = 0.0
        output_bytes += sum(output.data.size + output.keys.size for output in chunk.outputs)
        if output_bytes > pieces.IN_MEMORY:
            raise TooLarge
        prepared.append(chunk)
    return prepared


def process(apart: ApartJob, claim: Claim, rows: Rows) -> ChunkOutcome:
    """Process some rows of a chunk. Called in the other process."""
    job, preparer = _equipped(apart, lambda *_: b"")
    outcome = _loop().run_until_complete(preparer.process(job, claim, rows, job.columns))
    if job.processor.stores_results:
        outcome.results = PagedRows.of(outcome.results)
    return outcome


def get_ready(make_processors: MakeProcessors) -> None:
    """Prepare the other process before there is a chunk for it: loading all that is needed takes
    longer than most chunks.
    """
    _processors(make_processors)


def _equipped(apart: ApartJob, read_bytes: ReadBytes) -> tuple[JobSnapshot, Preparer]:
    processors = _processors(apart.make_processors)
    can = processors.capabilities(apart.processor)
    job = replace(apart.job, processor=processors.get(apart.processor), can=can)
    preparer = Preparer(
        read_bytes,
        compute=compute_here,
        in_thread=_in_thread,
        encode_table=apart.encode_table,
        encode_rejects=apart.encode_rejects,
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
