"""Corrections of an earlier file, for the same rows of a file that came again.

A correction remembers a digest of each reject that it changed: its bytes, its reason and column. A
reject of a later job with the same digest can get the record that was accepted then.
"""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.db import chunks, corrections, results
from app.db.engine import Database
from app.db.rows import ChunkRow, JobRow, RejectRow
from app.errors import NotFound, TerminalError
from app.features.corrections import queries
from app.features.corrections.queries import CorrectedJob, StoredCorrection
from app.formats.base import Format, Span
from app.formats.registry import from_json, open_format
from app.jobs.reject_files import is_whole, layout_of
from app.sources.base import Sources

ORIGINALS = "originals"
"""Member of the result of a correction: the digest of each reject, by row number."""
MOST_REMEMBERED = 50_000
"""Rows of a correction beyond which it remembers none, and rejects of a job that are compared."""
MOST_BYTES = 16 << 20
"""Records of one earlier job that are held in memory."""
MOST_OFFERED = 5
EXAMPLES = 5
AT_ONCE = 1_000
CHUNKS_AT_ONCE = 100
READ_ALIKE = (
    "kind",
    "encoding",
    "decoded_from",
    "delimiter",
    "quote",
    "escape",
    "skip_initial_space",
    "on_bad_row",
    "columns",
    "starts",
    "ends",
    "root",
    "record_key",
    "features",
    "flatten",
)
"""Settings of a dialect that give the bytes of a row their meaning."""


def digest_of(row: RejectRow) -> str | None:
    """Return the digest of a reject as it is in the file; None if it was corrected before, or if
    not all of its bytes are there.
    """
    if row.corrections or not row.raw or not is_whole(row):
        return None
    digest = hashlib.blake2b(digest_size=16)
    for part in (row.code.encode(), (row.column_name or "").encode(), row.raw):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


@dataclass(slots=True)
class Match:
    """An earlier job, and the record for each reject of the present one that it has."""

    earlier: CorrectedJob
    records: dict[int, bytes]


class EarlierCorrections:
    def __init__(self, database: Database, sources: Sources) -> None:
        self._database = database
        self._sources = sources

    async def offer(self, job: JobRow) -> list[dict[str, Any]]:
        """Return the earlier jobs whose corrections fit rejects of this one, the most rows first."""
        rejects = await self._rejects(job)
        if not rejects:
            return []
        offered = []
        for earlier in await self._candidates(job):
            records = await self._records(earlier, rejects)
            if records:
                offered.append(Match(earlier, records))
            if len(offered) == MOST_OFFERED:
                break
        offered.sort(key=lambda match: -len(match.records))
        return [await self._described(job, match) for match in offered]

    async def find(self, job: JobRow, earlier_id: UUID) -> dict[int, bytes]:
        """Return the records of one earlier job by row number of this one; raises NotFound if that
        is no earlier job with corrections, which is read as this one.
        """
        for earlier in await self._candidates(job):
            if earlier_id in (earlier.job_id, earlier.file_id):
                return await self._records(earlier, await self._rejects(job))
        raise NotFound("There is no earlier job of this id with corrections of such a file.")

    async def _candidates(self, job: JobRow) -> list[CorrectedJob]:
        async with self._database.reading() as connection:
            jobs = await queries.list_corrected(connection, job.owner, job.processor, job.number)
        return [earlier for earlier in jobs if _is_read_alike(earlier.dialect, job.dialect)]

    async def _rejects(self, job: JobRow) -> dict[str, list[int]]:
        """Return the row numbers of the rejects by digest."""
        numbers: dict[str, list[int]] = {}
        after = count = 0
        while count < MOST_REMEMBERED:
            async with self._database.reading() as connection:
                rows, is_cut = await results.list_rejects(
                    connection, job.id, after=after, limit=AT_ONCE
                )
            await asyncio.to_thread(_add_digests, numbers, rows)
            count += len(rows)
            if not is_cut:
                break
            after = rows[-1].row_number
        return numbers

    async def _records(
        self, earlier: CorrectedJob, rejects: Mapping[str, Sequence[int]]
    ) -> dict[int, bytes]:
        """Return the records that were accepted for such rejects, by row number in the present job.
        A reject that was corrected in two ways gets none.
        """
        async with self._database.reading() as connection:
            stored = await queries.list_corrections(connection, earlier.job_id)
            digests = _digests_by_row(stored, rejects)
            numbers = sorted(digests)
            left = await queries.rejected_among(connection, earlier.job_id, numbers)
        accepted: dict[int, bytes] = {}
        for correction in reversed(stored):  # the last one that has a row was accepted
            wanted = set(digests) - left - set(accepted)
            accepted |= await self._accepted(correction, wanted)
            if sum(map(len, accepted.values())) > MOST_BYTES:
                break
        by_digest: dict[str, set[bytes]] = {}
        for number, record in accepted.items():
            by_digest.setdefault(digests[number], set()).add(record)
        return {
            number: next(iter(records))
            for digest, records in by_digest.items()
            if len(records) == 1
            for number in rejects[digest]
        }

    async def _accepted(self, correction: StoredCorrection, wanted: set[int]) -> dict[int, bytes]:
        """Return the records of these rows of the corrected job that this correction has, without
        those that were rejected again.
        """
        form = open_format(from_json(correction.dialect))
        accepted: dict[int, bytes] = {}
        after = -1
        while wanted:
            async with self._database.reading() as connection:
                some = await chunks.list_chunks(
                    connection, correction.job_id, after=after, limit=CHUNKS_AT_ONCE
                )
                if not some:
                    break
                indexes = [chunk.chunk_index for chunk in some]
                parts = await corrections.find_parts(connection, correction.job_id, indexes)
                again = await queries.rejected_among(connection, correction.job_id, sorted(wanted))
            after = indexes[-1]
            for chunk in some:
                numbers = list(parts[chunk.chunk_index].seen)
                places = {
                    chunk.first_row + place: number
                    for place, number in enumerate(numbers)
                    if number in wanted and number not in again
                }
                accepted |= await asyncio.to_thread(self._read, correction, form, chunk, places)
        return accepted

    def _read(
        self, correction: StoredCorrection, form: Format, chunk: ChunkRow, places: dict[int, int]
    ) -> dict[int, bytes]:
        """Return the records at these rows of a chunk, by row of the corrected job; none if the
        stored bytes are gone or damaged. Blocking.
        """
        if not places:
            return {}
        start = chunk.byte_start
        try:
            data = self._sources.read(
                correction.storage_uri, start, chunk.byte_end, correction.etag
            )
        except TerminalError:
            return {}
        if zlib.crc32(data) != chunk.crc32:
            return {}
        span = Span(
            start,
            chunk.byte_end,
            chunk.first_row,
            chunk.row_count,
            chunk.first_line,
            chunk.crc32,
        )
        bounds = form.locate(data, span, list(places))
        return {
            number: data[first - start : end - start]
            for number, (first, end, _) in zip(places.values(), bounds, strict=True)
        }

    async def _described(self, job: JobRow, match: Match) -> dict[str, Any]:
        some = sorted(match.records)[:EXAMPLES]
        async with self._database.reading() as connection:
            rejects = await corrections.rejects_of(connection, job.id, some)
        layout = layout_of(job)
        encoding = job.dialect.get("encoding", "utf-8")
        return {
            "job_id": str(match.earlier.job_id),
            "number": match.earlier.number,
            "filename": match.earlier.filename,
            "created_at": match.earlier.created_at.isoformat(),
            "rows": len(match.records),
            "examples": [
                {
                    "row_number": number,
                    "code": rejects[number].code,
                    "before": rejects[number].raw.decode(encoding, "replace"),
                    "cells": layout.corrected(match.records[number], "replace"),
                }
                for number in some
                if number in rejects
            ],
        }


def _add_digests(numbers: dict[str, list[int]], rows: Sequence[RejectRow]) -> None:
    for row in rows:
        digest = digest_of(row)
        if digest is not None:
            numbers.setdefault(digest, []).append(row.row_number)


def _digests_by_row(
    stored: Sequence[StoredCorrection], rejects: Mapping[str, Sequence[int]]
) -> dict[int, str]:
    """Return the digest of each corrected row of the earlier job that is like one of the rejects."""
    digests: dict[int, str] = {}
    for correction in stored:
        remembered = (correction.data or {}).get(ORIGINALS, {})
        for number, digest in remembered.items():
            if digest in rejects:
                digests.setdefault(int(number), digest)
    return digests


def _is_read_alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one.get(name) == other.get(name) for name in READ_ALIKE)
