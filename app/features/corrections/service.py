"""Corrections: corrected rejects run again and become results in their original places."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

import msgspec
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.config import Settings
from app.db import chunks, corrections, files, jobs
from app.db.corrections import ORIGIN
from app.db.engine import Database
from app.db.rows import JobRow, NewFile, RejectRow, SplitPosition
from app.decoders.base import Kind
from app.errors import NotCorrectable, NotFound, NothingCorrected, ResultNotReady, TransientError
from app.failpoints import hit
from app.features.corrections.earlier import (
    MOST_REMEMBERED,
    ORIGINALS,
    EarlierCorrections,
    digest_of,
)
from app.features.corrections.files import Problems, Spool, Written, add, read_file, write_file
from app.formats.registry import to_json
from app.formats.reject_layouts import RECORD_COLUMN
from app.jobs.factory import JobFactory, JobSpec
from app.jobs.progress import check_rejects_kept, check_results_kept, find_with_rows
from app.jobs.reject_files import Layout, is_whole, layout_of, unchanged, with_all_bytes
from app.jobs.submit import Accepted, answered_before
from app.processors.registry import Processors
from app.sources.base import Sources
from app.sources.decoding import DecodingLimits, MemoryBudget
from app.sources.places import Stored, Writer
from app.sources.upload import UploadSource, touch_periodically
from app.states import ChunkStatus, JobStatus

REJECTS_AT_ONCE = 200
UNDONE = "The job was undone; upload its file again."
TRIAL = "The job was a dry run, which loaded nothing: load the file, then correct its rejects."


@dataclass(frozen=True, slots=True)
class Patch:
    """The changes of one reject: some cells, or the complete record of a JSON file."""

    row: int
    values: dict[str, msgspec.Raw] = field(default_factory=dict)
    record: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    owner: str
    identifier: UUID
    """Id of the file or job of the rejects."""
    run_unchanged: bool = False
    """Also run rows that were not edited."""
    idempotency_key: str | None = None
    priority: int | None = None
    """Priority; None for that of the corrected job."""
    formula_guard: bool = True
    """For files: remove the apostrophes that the download put before formulas."""


@dataclass(frozen=True, slots=True)
class _Chosen:
    kept: list[int]
    """Spool positions in the order of the rows."""
    seen: list[int]
    unchanged: int
    originals: dict[int, str]
    """Digests of the rejects as they are in the file, by row number."""


class Corrections:
    def __init__(
        self,
        settings: Settings,
        database: Database,
        sources: Sources,
        processors: Processors,
        factory: JobFactory,
        memory: MemoryBudget,
    ) -> None:
        self._settings = settings
        self._database = database
        self._sources = sources
        self._storage = sources.storage
        self._incoming = sources.spool
        self._processors = processors
        self._factory = factory
        self._decoding = DecodingLimits(asyncio.Semaphore(1), memory)
        self._earlier = EarlierCorrections(database, sources)

    async def check(self, request: Request) -> JobRow:
        """Return the job to correct; raises NotFound, JobHasParts, NotCorrectable,
        ResultNotReady.
        """
        async with self._database.reading() as connection:
            job = await find_with_rows(connection, request.identifier, request.owner)
        if job.origin == ORIGIN:
            raise NotCorrectable(
                f"This job is itself a correction; its rows belong to the job {job.parent_id}."
            )
        if not job.stores_results:
            raise NotCorrectable(
                f"The processor {job.processor} keeps no rows that a correction could join."
            )
        if not JobStatus(job.status).is_final:
            raise ResultNotReady(headers={"Retry-After": "1"})
        if job.undo_state:
            raise NotCorrectable(UNDONE)
        if job.summary and job.summary.get("dry_run"):
            raise NotCorrectable(TRIAL)
        check_results_kept(job)
        check_rejects_kept(job)
        self._processors.get(job.processor)
        return job

    async def submit(
        self, request: Request, body: AsyncIterator[bytes], *, declared: Kind | None = None
    ) -> Accepted:
        """Accept a corrected reject file with the `declared` compression.

        Raises CorrectionColumns, CorrectionInvalid, NothingCorrected, the errors of `check` and of
        an upload; nothing is stored then.
        """
        job = await self.check(request)
        layout, problems = layout_of(job), Problems()
        upload = UploadSource(
            self._incoming,
            uuid4(),
            max_bytes=self._settings.max_upload_bytes,
            reserve_bytes=self._settings.min_free_disk_mb << 20,
            limits=self._decoding,
            declared=declared,
        )
        upload.declare(layout.encoding)
        async with upload, touch_periodically(self._incoming, upload.file_ids):
            async for data in body:
                await upload.write(data)
            received = await upload.finish()
            fingerprint = _fingerprint(request, job, received.sha256)
            if (replay := await self._replay(request, fingerprint)) is not None:
                return replay
            with self._spool() as spool:
                path = self._incoming.part_path(upload.file_id)
                await asyncio.to_thread(
                    read_file, path, layout, spool, problems, request.formula_guard
                )
                chosen = await self._choose(request, job, layout, spool, problems)
                return await self._store(
                    request,
                    job,
                    layout,
                    spool,
                    chosen,
                    fingerprint,
                    (received.sha256, received.size_bytes),
                )

    async def patch(self, request: Request, patches: Sequence[Patch]) -> Accepted:
        """Accept changes of single rows."""
        job = await self.check(request)
        layout, problems = layout_of(job), Problems()
        sent = msgspec.json.encode([[p.row, p.values, p.record] for p in patches])
        sha256 = hashlib.sha256(sent).hexdigest()
        fingerprint = _fingerprint(request, job, sha256)
        if (replay := await self._replay(request, fingerprint)) is not None:
            return replay
        async with self._database.reading() as connection:
            rejects = await corrections.rejects_of(
                connection, job.id, sorted({p.row for p in patches})
            )
        with self._spool() as spool:
            await asyncio.to_thread(self._apply, job, layout, patches, rejects, spool, problems)
            chosen = await self._choose(
                Request(request.owner, request.identifier, True), job, layout, spool, problems
            )
            return await self._store(
                request, job, layout, spool, chosen, fingerprint, (sha256, len(sent))
            )

    async def offer_earlier(self, request: Request) -> list[dict[str, Any]]:
        """Return the earlier jobs whose corrections fit rejects of this one."""
        return await self._earlier.offer(await self.check(request))

    async def apply_earlier(self, request: Request, earlier_id: UUID) -> Accepted:
        """Correct the rejects that have the same bytes and reason as some of an earlier job, as they
        were corrected there. Raises NotFound, NothingCorrected, the errors of `check`.
        """
        job = await self.check(request)
        layout, problems = layout_of(job), Problems()
        sha256 = hashlib.sha256(earlier_id.bytes).hexdigest()
        fingerprint = _fingerprint(request, job, sha256)
        if (replay := await self._replay(request, fingerprint)) is not None:
            return replay
        records = await self._earlier.find(job, earlier_id)
        if not records:
            raise NothingCorrected(
                "No reject has the same bytes and reason as one that was corrected in that job."
            )
        with self._spool() as spool:
            for number, record in records.items():
                add(number, layout.corrected(record), layout, spool, problems)
            chosen = await self._choose(
                replace(request, run_unchanged=True), job, layout, spool, problems
            )
            return await self._store(
                request, job, layout, spool, chosen, fingerprint, (sha256, spool.end)
            )

    def _spool(self) -> Any:
        return _Spooling(str(self._incoming.folder))

    def _apply(
        self,
        job: JobRow,
        layout: Layout,
        patches: Sequence[Patch],
        rejects: dict[int, RejectRow],
        spool: Spool,
        problems: Problems,
    ) -> None:
        for patch in patches:
            row = rejects.get(patch.row)
            if row is None:
                problems.add(patch.row, "not_rejected", _not_rejected(patch.row))
                continue
            reject = with_all_bytes(self._sources, job, row)
            is_record = (
                patch.record is not None
                and tuple(layout.columns) == (RECORD_COLUMN,)
                and not patch.values
            )
            if not is_record and not is_whole(reject):
                problems.add(
                    patch.row,
                    "row_too_large",
                    f"Row {patch.row} is too long for a change of single cells.",
                )
                continue
            try:
                if patch.record is not None and not is_record:
                    raise ValueError(
                        "takes a `record` only if the file is JSON, and then no `values`"
                    )
                cells = [patch.record or ""] if is_record else layout.patched(reject, patch.values)
            except ValueError as error:
                problems.add(patch.row, "cannot_patch", f"Row {patch.row} {error}.")
                continue
            add(patch.row, cells, layout, spool, problems)

    # ------------------------------------------------------------------ selecting rows

    async def _choose(
        self, request: Request, job: JobRow, layout: Layout, spool: Spool, problems: Problems
    ) -> _Chosen:
        """Compare the received rows with the rejects."""
        order = await asyncio.to_thread(spool.ordered, problems)
        to_run: list[int] = []
        seen: list[int] = []
        originals: dict[int, str] = {}
        same = 0
        for start in range(0, len(order), REJECTS_AT_ONCE):
            some = order[start : start + REJECTS_AT_ONCE]
            async with self._database.reading() as connection:
                rejects = await corrections.rejects_of(
                    connection, job.id, [spool.numbers[position] for position in some]
                )
            changed = await asyncio.to_thread(
                self._compare, job, layout, spool, some, rejects, request.run_unchanged, problems
            )
            numbers = [spool.numbers[position] for position in changed]
            if not problems.count and len(originals) <= MOST_REMEMBERED:
                originals |= await asyncio.to_thread(_digests, numbers, rejects)
            same += len(some) - len(changed)
            to_run += changed
            if not problems.count:
                seen += [rejects[number].corrections for number in numbers]
        problems.refuse()
        if not to_run:
            raise NothingCorrected(
                f"The {same} rows have not changed since they were rejected; run_unchanged=true "
                "runs them anyway."
                if same
                else None
            )
        return _Chosen(to_run, seen, same, originals)

    def _compare(
        self,
        job: JobRow,
        layout: Layout,
        spool: Spool,
        places: Sequence[int],
        rejects: dict[int, RejectRow],
        run_unchanged: bool,
        problems: Problems,
    ) -> list[int]:
        """Return the rows to run. An unedited row that could not be processed may succeed now; one
        that was invalid would not.
        """
        changed = []
        for position in places:
            number = spool.numbers[position]
            if number not in rejects:
                problems.add(number, "not_rejected", _not_rejected(number))
                continue
            row = rejects[number]
            if run_unchanged or row.kind == "failed":
                changed.append(position)
            elif not unchanged(layout, with_all_bytes(self._sources, job, row))(
                spool.read(position)
            ):
                changed.append(position)
        return changed

    # ------------------------------------------------------------------ storing

    async def _store(
        self,
        request: Request,
        job: JobRow,
        layout: Layout,
        spool: Spool,
        chosen: _Chosen,
        fingerprint: str,
        sent: tuple[str, int],
    ) -> Accepted:
        async with self._database.reading() as connection:
            starts = await corrections.chunk_starts(connection, job.id)
        file_id = uuid4()
        writer = await asyncio.to_thread(self._storage.writer, file_id)
        async with touch_periodically(self._storage, [file_id]):
            try:
                written = await asyncio.to_thread(_write, writer, spool, chosen, starts, layout)
                stored = await asyncio.to_thread(writer.publish)
            except BaseException:
                await asyncio.to_thread(writer.discard)
                raise
            return await self._record(
                request, job, layout, written, chosen, fingerprint, sent, file_id, stored
            )

    async def _record(
        self,
        request: Request,
        job: JobRow,
        layout: Layout,
        written: Written,
        chosen: _Chosen,
        fingerprint: str,
        sent: tuple[str, int],
        file_id: UUID,
        stored: Stored,
    ) -> Accepted:
        """Insert file, job, chunks, queue token and idempotency key in one transaction; return the
        answer.
        """
        sha256, size = sent
        file = NewFile(
            id=file_id,
            owner=request.owner,
            filename=f"{job.filename[:230]}.corrections",
            media_type="text/csv",
            format=job.format,
            encoding=layout.encoding,
            dialect=to_json(layout.dialect),
            size_bytes=size,
            stored_bytes=written.size,
            sha256=sha256,
            crc32=written.crc32,
            content_key=hashlib.sha256(file_id.bytes).hexdigest(),
            storage_uri=stored.uri,
            etag=stored.etag,
        )
        spec = JobSpec(
            request.owner,
            job.processor,
            job.options,
            job.priority if request.priority is None else request.priority,
            ORIGIN,
            chunk_size=job.chunk_size,
            parent_id=job.id,
        )
        position = SplitPosition(
            split_offset=written.size,
            split_rows=len(chosen.kept),
            split_lines=written.lines + 1,
            split_crc32=written.crc32,
            split_done=True,
            chunk_count=len(written.spans),
        )
        correction = self._factory.cut(spec, file, job.columns, position)
        body = {
            "job_id": str(correction.id),
            "file_id": str(file_id),
            "corrects": {"file_id": str(job.file_id), "job_id": str(job.id)},
            "status": str(JobStatus.PROCESSING),
            "rows": len(chosen.kept),
            "unchanged": chosen.unchanged,
            "sha256": sha256,
            "size_bytes": size,
            "status_url": f"/api/v1/status/{file_id}",
        }

        async def record(connection: AsyncConnection) -> None:
            await self._factory.make(connection, [correction], [file])
            target = await jobs.lock_job(connection, job.id)
            if (
                target is None
                or await files.find_file(connection, job.file_id, request.owner) is None
            ):
                raise NotFound  # deleted in the meantime
            if target.undo_state:
                raise NotCorrectable(UNDONE)
            await chunks.insert_chunks(
                connection, correction.id, 0, written.spans, ChunkStatus.PENDING
            )
            await corrections.insert_parts(connection, correction.id, written.parts)
            await corrections.count_accepted(connection, job.id)
            if 0 < len(chosen.originals) <= MOST_REMEMBERED:
                await jobs.put_result(
                    connection, correction.id, {ORIGINALS: chosen.originals}, state=None
                )
            key = request.idempotency_key
            await self._factory.remember(connection, request.owner, key, fingerprint, 202, body)
            hit("correction.before_commit")

        try:
            await self._database.transact(record)
        except TransientError:
            raise  # the commit is uncertain: keep the file, the sweep decides
        except BaseException as error:
            await asyncio.to_thread(self._storage.delete, stored.uri)
            if (
                isinstance(error, IntegrityError)
                and (replay := await self._replay(request, fingerprint)) is not None
            ):
                return replay  # a concurrent request with the same key won
            raise
        hit("correction.after_commit")
        return Accepted(202, body)

    async def _replay(self, request: Request, fingerprint: str) -> Accepted | None:
        return await answered_before(
            self._database, request.owner, request.idempotency_key, fingerprint
        )


def _write(
    writer: Writer, spool: Spool, chosen: _Chosen, starts: Sequence[tuple[int, int]], layout: Layout
) -> Written:
    written = write_file(writer, spool, chosen.kept, chosen.seen, starts, layout)
    writer.finish()
    return written


class _Spooling:
    """A spool in an unnamed file, which disappears even after a crash."""

    def __init__(self, folder: str) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)

    def __enter__(self) -> Spool:
        return Spool(self._file)

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._file.close()


def _digests(numbers: Sequence[int], rejects: dict[int, RejectRow]) -> dict[int, str]:
    """Return the digest of each of these rejects that has one."""
    digests = {number: digest_of(rejects[number]) for number in numbers}
    return {number: digest for number, digest in digests.items() if digest is not None}


def _not_rejected(number: int) -> str:
    return f"Row {number} is not a reject: it was corrected, or does not exist."


def _fingerprint(request: Request, job: JobRow, sha256: str) -> str:
    same = ["correction", str(job.id), sha256, request.run_unchanged, request.priority]
    if not request.formula_guard:
        same.append("as they are")
    return hashlib.sha256(msgspec.json.encode(same)).hexdigest()
