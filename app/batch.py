"""`python -m app pipeline`: scores the objects of a bucket once, logs the progress, and reports the
outcome by its exit code.

It runs only its own jobs, so it can share a PostgreSQL with the service. The next run with the same
source continues one that was stopped in any way.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from app.config import Settings
from app.db import chunks, jobs
from app.db.engine import Database
from app.db.rows import CompletedChunk
from app.errors import GranulaError, TransientError
from app.jobs.objects import ObjectsSubmission
from app.jobs.progress import Statuses
from app.jobs.time_left import SHORT_SECONDS, Pace, paced, seconds_run
from app.jobs.users import LOCAL_OWNER
from app.pipeline.processes import Processes
from app.states import JobStatus
from app.terminal import Bars
from app.wiring import Core, start

logger = logging.getLogger("pipeline")
ORIGIN = "pipeline"
POLL_SECONDS = 0.2
OK, SOME_FAILED, NOT_STARTED, GAVE_UP, INTERRUPTED = 0, 1, 2, 3, 130


@dataclass(frozen=True, slots=True)
class RunOptions:
    source: str
    give_up_after: float
    """Seconds without progress while the run waits for a service; 0: wait forever."""
    log_file: Path | None


def run(settings: Settings, options: RunOptions, processes: Processes) -> int:
    """Run the pipeline. `processes` compute for it, and are closed at the end.

    Returns the exit code: 0 all scored or invalid, 1 some failed, 2 not started, 3 timed out, 130
    interrupted.
    """
    with _bars() as bars, _logging_to(options.log_file, bars):
        logger.info("Starting batch pipeline")
        try:
            return asyncio.run(_run(settings, options, bars, processes))
        except GranulaError as error:
            logger.error("%s", error.detail)
            return NOT_STARTED
        finally:
            processes.close()


async def _run(
    settings: Settings, options: RunOptions, bars: Bars | None, processes: Processes
) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    job_ids: set[UUID] = set()
    async with _services(settings, job_ids, processes) as services:
        job_id = await _begin(services, options.source, job_ids)
        return await _follow(services, job_id, options, stop, bars)


@asynccontextmanager
async def _services(
    settings: Settings, job_ids: set[UUID], processes: Processes
) -> AsyncIterator[Core]:
    services = await start(settings, only=job_ids, processes=processes)
    try:
        yield services
    finally:
        await services.close()


async def _begin(services: Core, source: str, job_ids: set[UUID]) -> UUID:
    """Return the run to continue, or a new one."""
    async with services.database.reading() as connection:
        unfinished = await jobs.find_active_of_origin(
            connection, LOCAL_OWNER, ORIGIN, {"source": source}
        )
        parts = await jobs.children(connection, unfinished.id) if unfinished is not None else []
    if unfinished is not None:
        job_ids |= {unfinished.id, *(part.id for part in parts)}
        for job in [unfinished, *parts]:
            if not JobStatus(job.status).is_final:
                services.machine.dispatch(job.id, job.priority)
        logger.info("Pipeline Run ID: %s (continued)", unfinished.public_id)
        return unfinished.id
    scoring = services.job_types.get("scoring")
    while True:
        run_id = f"batch_{datetime.now():%Y%m%d_%H%M%S}"
        try:
            submission = ObjectsSubmission(
                LOCAL_OWNER, source, scoring, origin=ORIGIN, public_id=run_id
            )
            submitted = await services.objects.submit(submission, announce=job_ids.update)
        except IntegrityError:  # another process started a run in this very second
            await asyncio.sleep(1)
            continue
        logger.info("Pipeline Run ID: %s", run_id)
        return UUID(submitted["job_id"])


async def _follow(
    services: Core, job_id: UUID, options: RunOptions, stop: asyncio.Event, bars: Bars | None
) -> int:
    watch = Watch(services.database, job_id)
    with _bar(bars) as show:
        moved_at, processed, waiting_on = time.monotonic(), -1, None
        while True:
            status = await _patiently(_look(services.statuses, job_id, watch))
            if status is not None:
                show(status)
                if JobStatus(status["status"]).is_final:
                    return _conclude(status)
                if status["bytes"]["processed"] != processed:
                    moved_at, processed = time.monotonic(), status["bytes"]["processed"]
                if status["waiting_on"] not in (None, waiting_on):
                    logger.warning(
                        "Waiting for %s",
                        {"ml_api": "the ML API", "storage": "the storage"}.get(
                            status["waiting_on"], "the source"
                        ),
                    )
                waiting_on = status["waiting_on"]
            if stop.is_set():
                logger.warning("Interrupted; the next start continues this run")
                return INTERRUPTED
            if options.give_up_after and time.monotonic() - moved_at > options.give_up_after:
                logger.error(
                    "Nothing moved for %g s; the next start continues this run",
                    options.give_up_after,
                )
                return GAVE_UP
            await asyncio.sleep(POLL_SECONDS)


async def _look(statuses: Statuses, job_id: UUID, watch: Watch) -> dict[str, Any]:
    """Return the status once every chunk that it counts is logged; for a final one, all chunks."""
    status = await statuses.get(job_id, LOCAL_OWNER)
    await watch.log_new_chunks()
    return status


async def _patiently(work: Any) -> Any:
    """Return None while the database is unavailable."""
    try:
        return await work
    except TransientError as error:
        logger.warning("%s", error.detail)
        await asyncio.sleep(1)
        return None


class Watch:
    """Logs each completed chunk once, in whatever order transactions commit and whatever the clocks
    say.
    """

    def __init__(self, database: Database, job_id: UUID) -> None:
        self._database = database
        self._job_id = job_id
        self._logged: dict[UUID, set[int]] = {}
        """Logged chunk indexes by job."""
        self._before: dict[UUID, int] = {}
        """By job: all chunks before this index are logged and need not be read again."""
        self._count = 0

    async def log_new_chunks(self) -> None:
        """Log all committed chunks that were not logged before, in the order in which they
        ended.
        """
        new: list[CompletedChunk] = []
        async with self._database.reading() as connection:
            for job_id, count in (await chunks.count_completed(connection, self._job_id)).items():
                logged = self._logged.setdefault(job_id, set())
                if count > len(logged):
                    completed = await chunks.list_completed(
                        connection, job_id, self._before.get(job_id, 0)
                    )
                    new += [chunk for chunk in completed if chunk.chunk_index not in logged]
        for chunk in sorted(new, key=attrgetter("finished_at", "job_id", "chunk_index")):
            logger.info("Batch %d: processed %d transactions", self._count, chunk.rows_ok)
            self._count += 1
            self._logged[chunk.job_id].add(chunk.chunk_index)
        for job_id in {chunk.job_id for chunk in new}:
            before = self._before.get(job_id, 0)
            while before in self._logged[job_id]:
                before += 1
            self._before[job_id] = before


def _conclude(status: dict[str, Any]) -> int:
    rows = status["rows"]
    for part in status["errors"]:
        logger.error("%s", (part["error"] or {}).get("message", "A part failed"))
    if status["error"] and not status["errors"]:
        logger.error("%s", status["error"]["message"])
    if rows["ok"]:
        logger.info("Successfully wrote %d transactions to database", rows["ok"])
    text = (
        f"Pipeline complete: {rows['ok']} processed, {rows['failed']} failed, {rows['invalid']}"
        " invalid"
    )
    if rows["unprocessed"]:
        text += f", {rows['unprocessed']} not processed"
    logger.info("%s", text)
    is_whole = (
        status["status"] in (JobStatus.COMPLETED, JobStatus.COMPLETED_WITH_ERRORS)
        and not status["errors"]
    )
    return OK if is_whole and not rows["failed"] and not rows["unprocessed"] else SOME_FAILED


# ---------------------------------------------------------------------- display


def _bars() -> Any:
    """Return the bars of standard error if it is a terminal, otherwise None."""
    return Bars() if sys.stderr.isatty() else nullcontext()


class _Lines(logging.Handler):
    """Writes lines to standard output, around the bar if it is on the same terminal."""

    def __init__(self, bars: Bars | None) -> None:
        super().__init__()
        self._bars = bars

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self._bars is not None:
                self._bars.put(self.format(record))
            else:
                sys.stdout.write(self.format(record) + "\n")
                sys.stdout.flush()
        except Exception:
            self.handleError(record)


@contextmanager
def _logging_to(path: Path | None, bars: Bars | None) -> Iterator[None]:
    """Log to standard output and to a file."""
    form = logging.Formatter("%(asctime)s - %(levelname)s - %(message)s", "%Y-%m-%d %H:%M:%S")
    handlers: list[logging.Handler] = [_Lines(bars)]
    if path is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handlers.append(logging.FileHandler(path, encoding="utf-8"))
        except OSError as error:
            sys.stderr.write(f"No log file: {error}\n")
    root = logging.getLogger()
    before = root.handlers[:], root.level
    root.handlers = handlers
    for handler in handlers:
        handler.setFormatter(form)
    root.setLevel(logging.WARNING)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.handlers, root.level = before
        for handler in handlers:
            handler.close()


@contextmanager
def _bar(bars: Bars | None) -> Iterator[Any]:
    """Yield a function `show(status)` that moves a bar on a terminal, and does nothing
    elsewhere.
    """
    if bars is None:
        yield lambda status: None
        return

    pace: Pace | None = None

    def show(status: dict[str, Any]) -> None:
        nonlocal pace
        pace = paced(pace, status, time.monotonic())
        notes = []
        if seconds_run(status) >= SHORT_SECONDS:
            notes.append(f"{status['rows_per_second']:.0f} rows/s")
        if pace is not None and pace.left is not None:
            notes.append(f"{pace.left:.0f} s left")
        if status["waiting_on"]:
            notes = [f"waiting for {status['waiting_on']}"]
        bars.show("run", "Scoring", status["progress_percent"], ", ".join(notes))

    try:
        yield show
    finally:
        bars.drop("run")
