"""What the routes of schedules answer."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from app.api.answers import CREATED_AT, Answer, Shown, sometimes


class RunOutcome(Answer):
    """What became of a run."""

    outcome: Literal["begun", "made", "skipped", "failed"] = Field(
        description="`begun`: its job is being made. `made`: there is a job."
    )
    code: str = sometimes("Of a run that failed: which error.")
    message: str = sometimes("Why it was skipped or failed.")
    missed: int = sometimes("Runs before it that were missed and are not made up for.")


class Schedule(Answer):
    """Jobs at the moments that a cron expression names."""

    id: UUID = Field(description="Of the schedule.")
    name: str = Field(description="Its name; may be empty.")
    cron: str = Field(description="Five fields, as in Debian's cron.")
    timezone: str = Field(description="The time zone of the fields.")
    job: Shown = Field(description="The job that is made, as it was given.")
    paused: bool = Field(description="Whether no runs are planned.")
    runs: int = Field(description="Jobs that were made.")
    skipped: int = Field(description="Runs that were skipped, since the one before went on.")
    missed: int = Field(description="Runs that were missed, since no service ran.")
    next_runs: list[datetime] = Field(description="The next moments; empty while it is paused.")
    last_run_at: datetime | None = Field(description="When it ran last; null if never.")
    last_job_id: UUID | None = Field(description="The last job that it made; null if none.")
    last_outcome: RunOutcome | None = Field(
        description="What became of the last run; null if there was none."
    )
    created_at: datetime = Field(description=CREATED_AT)


class ScheduleList(Answer):
    """Schedules."""

    items: list[Schedule] = Field(description="All of them.")
