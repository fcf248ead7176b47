"""ChunkRunner: one chunk, from its bytes to committed rows. Read this first: all the promises about rows are kept here.

read -> process -> [fence + rows + rejects + counts + status: ONE transaction]
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import chunks, jobs
from app.db.chunks import Claim
from app.db.engine import Database
from app.errors import GranulaError, LeaseLost, StoredFileCorrupt, TerminalError, TransientError
from app.failpoints import hit
from app.formats.base import MASK, MAX_REJECT_BYTES, ObjectRows, Page, Parsed, Reject, Rows
from app.pipeline.processes import Processes
from app.pipeline.retry import RetryPolicy
from app.pipeline.running import RunningJob
from app.processors.base import ChunkContext, ChunkOutcome, Processor
from app.sinks.base import Sink
from app.sources.storage import LocalStorage

logger = logging.getLogger(__name__)
TRANSIENT_DELAY_SECONDS = 1.0


class CountsDisagree(TerminalError):
    """The reader found another number of rows than the splitter. Please report the file: this is a bug in Granula."""

    code = "counts_disagree"


class EveryRowFailed(TerminalError):
    """The processor failed for every row of the chunk."""


@dataclass(slots=True)
class Prepared:
    """A chunk ready to be written."""

    pages: list[Page] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    rows_ok: int = 0
    hash_sum: int = 0
    summary: dict[str, Any] = field(default_factory=dict)
    columns: Sequence[str] = ()
    tables: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)

    def add(self, outcome: ChunkOutcome, processor: Processor) -> None:
        """What the processor made of some more rows."""
        results = outcome.results
        self.pages += results.pages()
        self.rejects += outcome.rejects
        self.rows_ok += len(results)
        self.hash_sum = (self.hash_sum + results.hash_sum()) & MASK
        if isinstance(results, ObjectRows):
            self.columns = list(dict.fromkeys([*self.columns, *results.columns]))
        if outcome.summary:
            self.summary = processor.combine([self.summary, outcome.summary]) if self.summary else outcome.summary
        for name, rows in outcome.tables.items():
            self.tables.setdefault(name, []).extend(rows)

    def values(self) -> dict[str, Any]:
        failed = sum(r.kind == "failed" for r in self.rejects)
        return {
            "rows_ok": self.rows_ok,
            "rows_invalid": len(self.rejects) - failed,
            "rows_failed": failed,
            "hash_read": f"{self.hash_sum:016x}",
            "summary": self.summary or None,
        }


class ChunkRunner:
    def __init__(
        self,
        database: Database,
        storage: LocalStorage,
        sink: Sink,
        retry: RetryPolicy,
        threads: Executor,
        processes: Processes,
    ) -> None:
        self._database = database
        self._storage = storage
        self._sink = sink
        self._retry = retry
        self._threads = threads
        self._processes = processes

    async def run(self, job: RunningJob, claims: Sequence[Claim]) -> float | None:
        """Run chunks claimed together to their ends. Seconds until one of them may be tried again, or None.

        They are written in one transaction, since a transaction costs more than the rows of a small chunk. If that
        fails for whatever reason, each is written, retried or failed by itself.
        """
        hit("chunk.claimed")
        outcomes = await self._in_thread(self._prepare_all, job, [c for c in claims if not self._is_last_try(c)])
        ready = [(claim, outcome) for claim, outcome in outcomes if isinstance(outcome, Prepared)]
        if len(ready) > 1 and await self._commit_together(job, ready):
            ready = []
        left: list[tuple[Claim, Prepared | Exception | None]] = [
            (c, e) for c, e in outcomes if isinstance(e, Exception)
        ]
        left += [*ready, *((claim, None) for claim in claims if self._is_last_try(claim))]
        delays = [await self._settle(job, claim, outcome) for claim, outcome in left]
        return min((d for d in delays if d is not None), default=None)

    def _is_last_try(self, claim: Claim) -> bool:
        return self._retry.is_last(claim.attempt) and claim.attempt > 1

    async def _commit_together(self, job: RunningJob, ready: Sequence[tuple[Claim, Prepared]]) -> bool:
        try:
            await self._commit(job, ready)
        except Exception as error:
            logger.info("Job %s: %d chunks are written one by one: %r", job.id, len(ready), error)
            return False
        return True

    async def _settle(self, job: RunningJob, claim: Claim, outcome: Prepared | Exception | None) -> float | None:
        """Bring one chunk to its end, whatever happened to it so far. Seconds until it may be tried again, or None."""
        try:
            if isinstance(outcome, Exception):
                raise outcome
            prepared = await self._isolate(job, claim) if outcome is None else outcome
            await self._commit(job, [(claim, prepared)])
        except LeaseLost:
            logger.warning("Chunk %s/%s belongs to somebody else now; nothing was written", job.id, claim.index)
        except TransientError as error:
            logger.warning("Chunk %s/%s waits: %s", job.id, claim.index, error)
            return await self._give_back(claim, TRANSIENT_DELAY_SECONDS, refund=True)
        except TerminalError as error:
            await self._fail(claim, error)
        except Exception as error:
            logger.exception("Chunk %s/%s, attempt %s", job.id, claim.index, claim.attempt)
            if not self._retry.is_last(claim.attempt):
                delay = self._retry.delay_seconds(claim.attempt)
                return await self._give_back(claim, delay, refund=False, error=_as_json(error))
            if outcome is not None:  # MAX_RETRIES=0: the first attempt is the last, so look for the bad rows at once
                return await self._settle(job, claim, None)
            await self._fail(claim, error)
        return None

    # ------------------------------------------------------------------ read and process, in a thread

    async def _in_thread(self, work: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    def _read(self, job: RunningJob, claim: Claim) -> Parsed:
        span = claim.span
        end = min(span.byte_end, span.byte_start + MAX_REJECT_BYTES) if span.is_oversize else span.byte_end
        data = self._storage.read(job.uri, span.byte_start, end)
        if not span.is_oversize and zlib.crc32(data) != span.crc32:
            raise StoredFileCorrupt(f"Bytes {span.byte_start} to {span.byte_end} changed since they were split.")
        parsed = job.form.read(data, span)
        if parsed.row_count != span.row_count:
            raise CountsDisagree(f"The splitter counted {span.row_count} rows, the reader {parsed.row_count}.")
        hit("chunk.read")
        return parsed

    def _prepare_all(self, job: RunningJob, claims: Sequence[Claim]) -> list[tuple[Claim, Prepared | Exception]]:
        outcomes: list[tuple[Claim, Prepared | Exception]] = []
        for claim in claims:
            try:
                outcomes.append((claim, self._prepare(job, claim)))
            except Exception as error:
                outcomes.append((claim, error))
        return outcomes

    def _prepare(self, job: RunningJob, claim: Claim) -> Prepared:
        parsed = self._read(job, claim)
        prepared = Prepared(rejects=list(parsed.rejects))
        if len(parsed.rows):
            prepared.add(self._process(job, claim, parsed.rows), job.processor)
        return prepared

    def _process(self, job: RunningJob, claim: Claim, rows: Rows) -> ChunkOutcome:
        context = ChunkContext(
            job.id, claim.index, claim.attempt, job.options, job.delimiter, compute=self._processes.compute
        )
        outcome = job.processor.process(rows, context)
        if len(outcome.results) + len(outcome.rejects) != len(rows):
            raise CountsDisagree(f"The processor was given {len(rows)} rows and did not account for all of them.")
        self._place(job, claim, outcome.rejects)
        return outcome

    def _place(self, job: RunningJob, claim: Claim, rejects: list[Reject]) -> None:
        """A processor knows its rejects by their numbers; where they stand is found by reading the chunk once more."""
        known = [(i, reject) for i, reject in enumerate(rejects) if not reject.line]
        if not known:
            return
        data = self._storage.read(job.uri, claim.span.byte_start, claim.span.byte_end)
        places = job.form.locate(data, claim.span, [reject.row_number for _, reject in known])
        for (i, reject), (start, end, line) in zip(known, places, strict=True):
            raw = data[start - claim.span.byte_start : end - claim.span.byte_start][:MAX_REJECT_BYTES]
            rejects[i] = replace(reject, line=line, byte_start=start, byte_end=end, raw=raw)

    # ------------------------------------------------------------------ write, in one transaction

    async def _commit(self, job: RunningJob, ready: Sequence[tuple[Claim, Prepared]]) -> None:
        """Rows, rejects, counts and status of these chunks together or not at all; raises LeaseLost if one of the claims
        is not ours any more."""
        new_columns = [c for _, p in ready for c in p.columns if c not in job.columns]
        pages = [page for _, p in ready for page in p.pages]
        rejects = [reject for _, p in ready for reject in p.rejects]
        tables = _gathered([p.tables for _, p in ready])

        async def write(connection: AsyncConnection) -> list[str] | None:
            # The job's row before those of its chunks, as a cancel takes them: else the two could lock each other out.
            columns = await jobs.add_columns(connection, job.id, new_columns) if new_columns else None
            await chunks.complete(connection, [claim for claim, _ in ready], [p.values() for _, p in ready])
            hit("chunk.before_write")
            await self._sink.write(connection, job.id, pages, rejects, tables)
            hit("chunk.after_write")
            return columns

        columns = await self._database.transact(write)
        hit("chunk.after_commit")
        if columns is not None:
            job.columns = columns

    async def _give_back(
        self, claim: Claim, delay: float, *, refund: bool, error: dict[str, Any] | None = None
    ) -> float | None:
        try:
            held = await self._database.transact(
                lambda c: chunks.release(c, claim, delay_seconds=delay, refund=refund, error=error)
            )
        except TransientError:  # the heartbeat will give it back
            return delay
        return delay if held else None

    async def _fail(self, claim: Claim, error: Exception) -> None:
        logger.error("Chunk %s/%s failed: %s", claim.job_id, claim.index, error)
        try:
            await self._database.transact(lambda c: chunks.fail(c, claim, _as_json(error)))
        except TransientError:
            logger.warning(
                "Chunk %s/%s: the failure could not be stored, it will be tried again", claim.job_id, claim.index
            )

    # ------------------------------------------------------------------ one bad row costs one row

    async def _isolate(self, job: RunningJob, claim: Claim) -> Prepared:
        """The last attempt: halve the rows until those that cannot be processed or stored are alone.

        They become rejects of kind `failed`; the others are stored. Raises the last error if no row gets through.
        """
        parsed = await self._in_thread(self._read, job, claim)
        prepared = Prepared(rejects=list(parsed.rejects))
        failed: list[Exception] = []
        pending: list[Rows] = [parsed.rows] if len(parsed.rows) else []
        while pending:
            rows = pending.pop()
            try:
                outcome: ChunkOutcome = await self._in_thread(self._process, job, claim, rows)
                await self._rehearse(job, claim, outcome)
            except (TransientError, TerminalError):
                raise
            except Exception as error:
                if len(rows) == 1:
                    failed.append(error)
                    prepared.rejects.append(self._failed_row(job, claim, rows, error))
                else:
                    middle = len(rows) // 2
                    pending += [rows.select(range(middle, len(rows))), rows.select(range(middle))]
                continue
            prepared.add(outcome, job.processor)
        if failed and len(failed) == len(parsed.rows):
            raise EveryRowFailed(f"{type(failed[-1]).__name__}: {failed[-1]}") from failed[-1]
        prepared.rejects.sort(key=lambda r: r.row_number)
        return prepared

    async def _rehearse(self, job: RunningJob, claim: Claim, outcome: ChunkOutcome) -> None:
        """Find out whether the database takes these rows, and leave no trace; raises LeaseLost."""

        class Undo(Exception):
            pass

        async def write(connection: AsyncConnection) -> None:
            # First, as in the real write: COPY goes past SQLAlchemy, which begins a transaction with its first statement.
            await chunks.hold(connection, [claim])
            pages = list(outcome.results.pages())
            await self._sink.write(connection, job.id, pages, outcome.rejects, outcome.tables)
            raise Undo

        try:
            await self._database.transact(write)
        except Undo:
            return

    def _failed_row(self, job: RunningJob, claim: Claim, rows: Rows, error: Exception) -> Reject:
        message = f"{type(error).__name__}: {error}"[:500].replace("\0", "\\x00")
        rejects = [Reject(rows.numbers[0], 0, 0, 0, b"", "processing_failed", message, kind="failed")]
        self._place(job, claim, rejects)
        return rejects[0]


def _gathered(parts: Sequence[dict[str, list[tuple[Any, ...]]]]) -> dict[str, list[tuple[Any, ...]]]:
    return {name: [row for part in parts for row in part.get(name, ())] for name in dict.fromkeys(chain(*parts))}


def _as_json(error: Exception) -> dict[str, Any]:
    code = error.code if isinstance(error, TerminalError) else "processing_failed"
    detail = error.detail if isinstance(error, GranulaError) else f"{type(error).__name__}: {error}"
    return {"code": code, "message": detail[:500].replace("\0", "\\x00")}
