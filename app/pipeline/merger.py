"""Merger: puts corrected rows in place of their rejects. It changes results, records, counts, hash
and summary of their chunk and of its job, inside the transaction that completes the chunk of the
correction (docs/decisions/0010).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from msgspec.structs import replace as replaced
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import corrections, jobs
from app.db.corrections import CorrectionPart
from app.db.rows import (
    ChunkContents,
    ChunkRow,
    JobCorrection,
    LockedJob,
    RejectPlace,
    RejectRow,
)
from app.destinations.base import ResultDestination
from app.destinations.registry import Destinations
from app.errors import LeaseLost, TransientError
from app.failpoints import hit
from app.formats.base import MASK, Parsed, Reject, Span
from app.pipeline.columns import Columns, ColumnsTaken
from app.pipeline.prepared import Prepared
from app.processors.base import Processor
from app.states import JobStatus

OVERTAKEN, OVERTAKEN_MESSAGE = (
    "row_changed",
    "Another correction changed this row first; nothing of this one was kept.",
)


class CorrectionOvertaken(TransientError):
    """Another correction was faster: the rest of this one must be read again."""

    def __init__(self) -> None:
        super().__init__(retry_after=0.01)


@dataclass(frozen=True, slots=True)
class Live:
    """A part of a correction as it was when the work on it began."""

    part: CorrectionPart
    changed: frozenset[int]
    """Rows that are no rejects any more, or are rejects for another reason."""


async def look(connection: AsyncConnection, target_id: UUID, part: CorrectionPart) -> Live:
    """Read which rows of the part are still the ones that were corrected."""
    numbers = list(part.seen)
    places = await corrections.places_of(connection, target_id, numbers[0], numbers[-1])
    changed = {
        n for n, seen in part.seen.items() if n not in places or places[n].corrections != seen
    }
    return Live(part, frozenset(changed))


async def without_refused(
    results: ResultDestination, connection: AsyncConnection, job_id: UUID, prepared: Prepared
) -> Prepared:
    """Put rejects in place of the rows that the destination of the job refuses."""
    if not prepared.pages:
        return prepared
    refused = await results.refuse(connection, job_id, prepared.pages)
    if not refused:
        return prepared
    assert prepared.origin is not None, "rows that a destination refuses have an origin"
    rejects = [*prepared.rejects, *prepared.origin.located(refused)]
    return replace(
        prepared,
        rejects=sorted(rejects, key=lambda reject: reject.row_number),
        rows_ok=prepared.rows_ok - len(refused),
    )


def renumbered(
    parsed: Parsed, span: Span, live: Live, raw: Callable[[Sequence[int]], list[bytes]]
) -> Parsed:
    """Return the rows of a correction's chunk under their numbers in the corrected job. Rows that
    have changed there are not run: they become rejects of the correction alone.

    `raw` gives the bytes of all rows of the chunk: where a corrected row is rejected again there is
    no other copy.
    """
    numbers = list(live.part.seen)
    wanted = [
        i
        for i, number in enumerate(parsed.rows.numbers)
        if numbers[number - span.first_row] not in live.changed
    ]
    rows: Any = parsed.rows.select(wanted)
    rows = replace(rows, numbers=[numbers[number - span.first_row] for number in rows.numbers])
    rejects = [
        r for r in parsed.rejects if numbers[r.row_number - span.first_row] not in live.changed
    ]
    own = [r.row_number for r in rejects]
    rejects = [
        replace(r, row_number=numbers[r.row_number - span.first_row], raw=data)
        for r, data in zip(rejects, raw(own), strict=True)
    ]
    changed = [span.first_row + i for i, number in enumerate(numbers) if number in live.changed]
    rejects += [
        Reject(
            numbers[own - span.first_row],
            0,
            0,
            0,
            data,
            OVERTAKEN,
            OVERTAKEN_MESSAGE,
            kind="failed",
        )
        for own, data in zip(changed, raw(changed), strict=True)
    ]
    return Parsed(rows, sorted(rejects, key=lambda r: r.row_number))


def only(live: Live, numbers: Sequence[int]) -> Live:
    """Return the part with these rows alone, to try whether the database takes them."""
    return Live(
        CorrectionPart(live.part.target_index, {n: live.part.seen[n] for n in numbers}), frozenset()
    )


class Merger:
    def __init__(self, destinations: Destinations) -> None:
        self._destinations = destinations

    async def lock(self, connection: AsyncConnection, target_id: UUID) -> LockedJob:
        """Lock the corrected job before any chunk, in the order of all other locks; raises
        LeaseLost if it is gone.
        """
        target = await jobs.lock_job(connection, target_id)
        if target is None:
            raise LeaseLost
        return target

    async def without_refused(
        self, connection: AsyncConnection, target: LockedJob, prepared: Prepared
    ) -> Prepared:
        results = self._destinations.of(target).results
        return await without_refused(results, connection, target.id, prepared)

    async def merge(
        self,
        connection: AsyncConnection,
        job_id: UUID,
        target: LockedJob,
        processor: Processor,
        live: Live,
        prepared: Prepared,
    ) -> LockedJob:
        """Write one chunk of the correction `job_id` into the locked job `target`; return the job
        as it is then.

        Raises ColumnsTaken, and CorrectionOvertaken if a row is no longer the reject that was
        corrected.
        """
        target_id, index = target.id, live.part.target_index
        chunk = await corrections.lock_chunk(connection, target_id, index)
        if chunk is None:
            raise LeaseLost
        numbers = [n for n in live.part.seen if n not in live.changed]
        start, end = chunk.first_row, chunk.first_row + chunk.row_count
        places = await corrections.places_of(connection, target_id, start, end - 1)
        if any(n not in places or places[n].corrections != live.part.seen[n] for n in numbers):
            raise CorrectionOvertaken
        old = [places[n] for n in numbers]
        again = [r for r in prepared.rejects if r.row_number not in live.changed]
        await corrections.remove_rejects(connection, target_id, numbers)
        await corrections.insert_rejects(
            connection, [_rejected_again(target_id, r, places[r.row_number]) for r in again]
        )
        destination = self._destinations.of(target)
        removed = await destination.remove_rejected(connection, target_id, prepared.tables, numbers)
        hit("correction.rejects_removed")
        counts, written = await destination.merge(
            connection, target_id, prepared.pages, prepared.tables, start, end
        )
        own_rejects = [_placed(reject, places) for reject in prepared.rejects]
        if own_rejects:
            await destination.rejects.write(connection, job_id, own_rejects)
        hit("correction.results_written")
        summary = prepared.summary | counts
        if written:
            summary = {**summary, "written": written}
        read = (int(chunk.hash_read or "0", 16) + prepared.hash_sum) & MASK
        contents = ChunkContents(
            rows_ok=chunk.rows_ok + prepared.rows_ok,
            rows_invalid=chunk.rows_invalid + _more("invalid", old, again),
            rows_failed=chunk.rows_failed + _more("failed", old, again),
            hash_read=f"{read:016x}",
            summary=_summary(processor, chunk.summary, removed, summary),
            reject_codes=_codes(chunk, old, again),
        )
        await corrections.change_chunk(connection, target_id, index, contents)
        return await self._count(connection, target, processor, removed, summary, prepared)

    async def _count(
        self,
        connection: AsyncConnection,
        target: LockedJob,
        processor: Processor,
        removed: dict[str, list[dict[str, Any]]],
        summary: dict[str, Any],
        prepared: Prepared,
    ) -> LockedJob:
        correction = JobCorrection(corrected_rows=target.corrected_rows + prepared.rows_ok)
        known = Columns(target.columns)
        if new := known.new(prepared.columns):
            if not known.have_room_for(new):
                raise ColumnsTaken(known)
            correction = replaced(correction, columns=[*known, *new])
        if JobStatus(target.status).is_final:  # else the end of the job adds up all its chunks
            total = _summary(processor, target.summary, removed, summary)
            correction = replaced(correction, summary=total)
        await corrections.change_job(connection, target.id, correction)
        await corrections.clear(connection, target.id)
        job = await jobs.lock_job(connection, target.id)
        assert job is not None
        return job


def _summary(
    processor: Processor,
    before: dict[str, Any] | None,
    removed: dict[str, list[dict[str, Any]]],
    added: dict[str, Any],
) -> dict[str, Any] | None:
    """Return the summary of a chunk or a job after rejected rows were run again."""
    if before and any(removed.values()):
        before = processor.without(before, removed)
    if before and added:
        return processor.combine([before, added]) or None
    return before or added or None


def _more(kind: str, gone: Sequence[RejectPlace], come: Sequence[Reject]) -> int:
    """Return how many more rejects of this kind there are than before."""
    return sum(reject.kind == kind for reject in come) - sum(place.kind == kind for place in gone)


def _codes(
    chunk: ChunkRow, gone: Sequence[RejectPlace], come: Sequence[Reject]
) -> dict[str, int] | None:
    """Return the rejects of a chunk by code, with some replaced; None where they are not known."""
    codes: dict[str, int] | None = chunk.reject_codes
    if codes is None:
        return None
    before, after = Counter(place.code for place in gone), Counter(reject.code for reject in come)
    return dict(Counter(codes) - before + after) or None


def _rejected_again(target_id: UUID, reject: Reject, place: RejectPlace) -> RejectRow:
    return RejectRow(
        target_id,
        reject.row_number,
        reject.kind,
        place.line,
        place.byte_start,
        place.byte_end,
        reject.raw,
        reject.column,
        reject.value,
        reject.code,
        reject.message,
        place.corrections + 1,
    )


def _placed(reject: Reject, places: dict[int, RejectPlace]) -> Reject:
    """Add the row number in the corrected file to a reject of the correction."""
    place = places.get(reject.row_number)
    if place is None:
        return reject
    return replace(reject, line=place.line, byte_start=place.byte_start, byte_end=place.byte_end)
