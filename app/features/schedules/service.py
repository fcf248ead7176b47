"""Schedules: jobs that start periodically, at the times of a cron expression. All state is in the
database.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from msgspec import UNSET
from msgspec.structs import replace

from app.db import jobs
from app.db.engine import Database
from app.errors import BadCron, GranulaError, InvalidParameter, NotFound, RunGoesOn, TransientError
from app.features.job_types.requests import NewJob
from app.features.job_types.service import JobStarter
from app.features.schedules import queries as schedules
from app.features.schedules.cron import check_cron
from app.features.schedules.queries import NewSchedule, ScheduleRow, ScheduleUpdate
from app.states import JobStatus

logger = logging.getLogger(__name__)
POLL_SECONDS = 1.0
SHOWN_RUNS = 5
AT_ONCE = 16
"""Runs whose jobs are being created in this process."""
MAX_MISSED = 10_000
CHECK_SECONDS = 60.0
TOLERANCE = timedelta(minutes=1)
"""How far a clock may be set back without a run being started twice."""

USUAL_TYPE = "scoring"
"""Job type of a schedule that names none."""


def next_runs(cron: str, timezone: str, after: datetime) -> Iterator[datetime]:
    """Yield the times after `after` in UTC; raises BadCron, InvalidParameter."""
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidParameter(
            f"There is no time zone {timezone[:60]!r}; use a name such as Europe/Berlin."
        ) from None
    try:
        moments = CronSim(cron, after.astimezone(zone))
    except CronSimError:  # a day that none of its months has; `check_cron` reports all other errors
        raise BadCron(f"{cron[:100]!r} never matches a date.") from None
    return (moment.astimezone(UTC) for moment in moments)


class Schedules:
    def __init__(self, database: Database, starter: JobStarter) -> None:
        self._database = database
        self._starter = starter
        self._checked_at = float("-inf")
        self._starting: dict[UUID, asyncio.Task[None]] = {}
        """Runs whose jobs are being created, which takes long if a source has to be copied."""

    async def create(
        self, owner: str, *, name: str, cron: str, timezone: str, job: dict[str, Any]
    ) -> dict[str, Any]:
        """Create a schedule; raises BadCron, InvalidParameter."""
        check_cron(cron)
        next_run_at = first_run(cron, timezone, datetime.now(UTC))
        new = NewSchedule(
            owner=owner, name=name, cron=cron, timezone=timezone, job=job, next_run_at=next_run_at
        )
        await self._database.transact(lambda c: schedules.insert_schedule(c, new))
        return await self.get(new.id, owner)

    async def get(self, schedule_id: UUID, owner: str) -> dict[str, Any]:
        """Return a schedule; raises NotFound."""
        return _body(await self._find(schedule_id, owner))

    async def list(self, owner: str) -> dict[str, Any]:
        async with self._database.reading() as connection:
            return {
                "items": [_body(row) for row in await schedules.list_schedules(connection, owner)]
            }

    async def change(self, schedule_id: UUID, owner: str, new: ScheduleUpdate) -> dict[str, Any]:
        """Pause or resume a schedule, or change its cron expression, time zone or name. Runs that
        were due while it was paused are not made up for. Raises NotFound, BadCron,
        InvalidParameter.
        """
        row = await self._find(schedule_id, owner)
        cron, timezone = row.cron, row.timezone
        if new.cron is not UNSET:
            check_cron(new.cron)
            cron = new.cron
        if new.timezone is not UNSET:
            timezone = new.timezone
        new = replace(new, next_run_at=first_run(cron, timezone, datetime.now(UTC)))
        if not await self._database.transact(
            lambda c: schedules.change(c, schedule_id, owner, new)
        ):
            raise NotFound
        return await self.get(schedule_id, owner)

    async def delete(self, schedule_id: UUID, owner: str) -> None:
        """Delete a schedule; its jobs stay. Raises NotFound."""
        if not await self._database.transact(lambda c: schedules.remove(c, schedule_id, owner)):
            raise NotFound

    async def run_now(self, schedule_id: UUID, owner: str) -> dict[str, Any]:
        """Start a run in addition to the planned ones; raises NotFound, RunGoesOn, and the errors
        of the new job.
        """
        row = await self._find(schedule_id, owner)
        if await self._goes_on(row):
            raise RunGoesOn(job_id=str(row.last_job_id))
        new_job_id = await self._start(owner, row.job)
        job_id = UUID(new_job_id["job_id"])
        await self._database.transact(
            lambda c: schedules.note_made(c, row.id, job_id, {"outcome": "made"}, was_planned=False)
        )
        return new_job_id

    async def _start(self, owner: str, job: dict[str, Any]) -> dict[str, Any]:
        """Start a new job, even if the same job ran on the same bytes before."""
        started = await self._starter.start(
            owner, NewJob.model_validate({"type": USUAL_TYPE, **job}), fresh=True
        )
        return started.details

    # ------------------------------------------------------------------ planned runs

    async def run(self) -> None:
        """Start the jobs that are due, until cancelled."""
        try:
            while True:
                try:
                    await self.begin_due()
                except TransientError as error:
                    logger.warning("Schedules are waiting: %s", error)
                except Exception:
                    logger.exception("Unhandled error in schedules")
                await asyncio.sleep(POLL_SECONDS)
        finally:
            starting = list(self._starting.values())
            for task in starting:
                task.cancel()
            if starting:
                await asyncio.wait(starting)

    async def begin_due(self) -> None:
        """Begin the runs that are due, except those of schedules whose last run has no job yet."""
        if time.monotonic() - self._checked_at >= CHECK_SECONDS:
            await self._trust_no_future()
            self._checked_at = time.monotonic()
        async with self._database.reading() as connection:
            due = await schedules.list_due(connection)
        for row in due:
            if row.id not in self._starting and len(self._starting) < AT_ONCE:
                task = asyncio.create_task(self._run_due(row), name=f"schedule {row.id}")
                self._starting[row.id] = task
                task.add_done_callback(lambda task, row=row: self._ended(row, task))  # type: ignore[misc]

    def _ended(self, row: ScheduleRow, task: asyncio.Task[None]) -> None:
        del self._starting[row.id]
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("Schedule %s failed", row.id, exc_info=error)

    async def _trust_no_future(self) -> None:
        """Recompute runs that were planned before the clock was set back and now lie too far
        ahead.
        """
        async with self._database.reading() as connection:
            later = await schedules.list_later(connection)
        for row in later:
            await self._bring_forward(row)

    async def _bring_forward(self, row: ScheduleRow) -> None:
        following = first_run(row.cron, row.timezone, datetime.now(UTC) + TOLERANCE)
        if following < row.next_run_at:
            await self._database.transact(lambda c: schedules.run_earlier(c, row, following))

    async def _run_due(self, row: ScheduleRow) -> None:
        """Start one run, however many times have passed since; the others are reported as
        missed.
        """
        now = datetime.now(UTC)
        moments = next_runs(row.cron, row.timezone, row.next_run_at)
        missed = sum(
            1 for _ in takewhile(lambda moment: moment <= now, islice(moments, MAX_MISSED))
        )
        following = first_run(row.cron, row.timezone, max(now, row.next_run_at))
        if not await self._database.transact(
            lambda c: schedules.take_run(c, row, following, missed)
        ):
            return
        if missed:
            logger.warning("Schedule %s: missed %d runs; starting one now", row.id, missed)
        if await self._goes_on(row):
            why = {
                "outcome": "skipped",
                "message": "The previous run was still in progress.",
                "missed": missed,
            }
            await self._database.transact(lambda c: schedules.note_skipped(c, row.id, why))
            return
        try:
            new_job_id = await self._start(row.owner, row.job)
        except GranulaError as error:
            code = getattr(error, "code", "unavailable")
            why = {
                "outcome": "failed",
                "code": code,
                "message": error.detail[:500],
                "missed": missed,
            }
            await self._database.transact(lambda c: schedules.note_failed(c, row.id, why))
            logger.error("Schedule %s: could not start a job: %s", row.id, error.detail)
            return
        job_id, outcome = UUID(new_job_id["job_id"]), {"outcome": "made", "missed": missed}
        await self._database.transact(
            lambda c: schedules.note_made(c, row.id, job_id, outcome, was_planned=True)
        )

    async def _goes_on(self, row: ScheduleRow) -> bool:
        if row.last_job_id is None:
            return False
        async with self._database.reading() as connection:
            job = await jobs.load_job(connection, row.last_job_id)
        return job is not None and not JobStatus(job.status).is_final

    async def _find(self, schedule_id: UUID, owner: str) -> ScheduleRow:
        async with self._database.reading() as connection:
            row = await schedules.find_schedule(connection, schedule_id, owner)
        if row is None:
            raise NotFound
        return row


def first_run(cron: str, timezone: str, after: datetime) -> datetime:
    """Return the next time; raises BadCron, InvalidParameter."""
    try:
        return next(next_runs(cron, timezone, after))
    except StopIteration:
        raise BadCron(f"{cron[:100]!r} never matches a date.") from None


def _body(row: ScheduleRow) -> dict[str, Any]:
    coming = [] if row.paused else [row.next_run_at]
    if coming:
        coming += islice(next_runs(row.cron, row.timezone, row.next_run_at), SHOWN_RUNS - 1)
    return {
        "id": str(row.id),
        "name": row.name,
        "cron": row.cron,
        "timezone": row.timezone,
        "job": row.job,
        "paused": row.paused,
        "runs": row.runs,
        "skipped": row.skipped,
        "missed": row.missed,
        "next_runs": [moment.isoformat() for moment in coming],
        "last_run_at": row.last_run_at.isoformat() if row.last_run_at else None,
        "last_job_id": str(row.last_job_id) if row.last_job_id else None,
        "last_outcome": row.last_outcome,
        "created_at": row.created_at.isoformat(),
    }
