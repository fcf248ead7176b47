"""Response models of schedules."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from app.api.answers import CREATED_AT, Answer, Shown, sometimes


class RunOutcome(Answer):
    """The outcome of a run."""

    outcome: Literal["begun", "made", "skipped", "failed"] = Field(
        description="`begun`: its job is being created. `made`: the job exists."
    )
    code: str = sometimes("Code of the error, for a failed run.")
    message: str = sometimes("Why it was skipped or failed.")
    missed: int = sometimes("Runs missed before it that are not made up for.")


class Schedule(Answer):
    """A schedule of jobs by a cron expression."""

    id: UUID = Field(description="Id of the schedule.")
    name: str = Field(description="Its name; may be empty.")
    cron: str = Field(description="Five fields, as in Debian's cron.")
    timezone: str = Field(description="Time zone of the fields.")
    job: Shown = Field(description="The job to create, as requested.")
    paused: bool = Field(description="Whether no runs are planned.")
    runs: int = Field(description="Number of created jobs.")
    skipped: int = Field(description="Runs skipped while the previous one was in progress.")
    missed: int = Field(description="Runs missed while no service was running.")
    next_runs: list[datetime] = Field(description="Times of the next runs; empty while paused.")
    last_run_at: datetime | None = Field(description="Time of the last run; null if none.")
    last_job_id: UUID | None = Field(description="The last job that it created; null if none.")
    last_outcome: RunOutcome | None = Field(
        description="Outcome of the last run; null if there was none."
    )
    created_at: datetime = Field(description=CREATED_AT)


class ScheduleList(Answer):
    """Schedules."""

    items: list[Schedule] = Field(description="All schedules.")
