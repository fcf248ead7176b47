"""/api/v1/schedules: jobs that start at the times of a cron expression."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from app.api.answers import ObjectsAccepted
from app.api.errors import problem_responses
from app.api.json import encoded
from app.api.parameters import Name
from app.api.services import App, Owner
from app.errors import NotFound
from app.features.job_types.requests import NewJob
from app.features.schedules.queries import ScheduleUpdate
from app.features.schedules.schemas import Schedule, ScheduleList
from app.features.schedules.service import USUAL_TYPE, Schedules

router = APIRouter(prefix="/api/v1/schedules", tags=["schedules"])

Cron = Annotated[
    str,
    Field(
        min_length=1,
        max_length=100,
        pattern=r"^[^\x00]*$",
        description="Five fields, as in Debian's cron.",
    ),
]
Zone = Annotated[
    str,
    Field(max_length=60, pattern=r"^[^\x00]*$", description="Time zone, such as Europe/Berlin."),
]
Title = Annotated[str, Field(max_length=100, pattern=r"^[^\x00]*$")]


class ScheduledJob(NewJob):
    type: Name = Field(default=USUAL_TYPE, description="A type from GET /api/v1/job-types.")


class NewSchedule(BaseModel):
    model_config = ConfigDict(extra="forbid")

    cron: Cron
    job: Annotated[ScheduledJob, Field(description="Body of POST /api/v1/jobs.")]
    timezone: Zone = "UTC"
    name: Title = ""


class ScheduleChange(BaseModel):
    """Changes of a schedule."""

    model_config = ConfigDict(extra="forbid")

    paused: StrictBool = False
    cron: Cron = ""
    timezone: Zone = ""
    name: Title = ""


async def _schedule_id(schedule_id: Annotated[str, Path()]) -> UUID:
    try:
        return UUID(schedule_id)
    except ValueError:
        raise NotFound from None


ScheduleId = Annotated[UUID, Depends(_schedule_id)]


@router.post("", status_code=201, response_model=Schedule, responses=problem_responses(400, 422))
async def create_schedule(body: NewSchedule, app: App, owner: Owner) -> Response:
    """Create a schedule. A run is skipped while the previous one is in progress; of several missed
    runs, one is made up for.
    """
    body.job.check()
    schedule = await app.of(Schedules).create(
        owner,
        name=body.name,
        cron=body.cron,
        timezone=body.timezone,
        job=body.job.model_dump(mode="json", exclude_unset=True),
    )
    return encoded(schedule, 201, {"Location": f"/api/v1/schedules/{schedule['id']}"})


@router.get("", response_model=ScheduleList)
async def list_schedules(app: App, owner: Owner) -> Response:
    return encoded(await app.of(Schedules).list(owner))


@router.get("/{schedule_id}", response_model=Schedule, responses=problem_responses(404))
async def get_schedule(schedule_id: ScheduleId, app: App, owner: Owner) -> Response:
    """Return a schedule with its next runs and the outcome of the last one."""
    return encoded(await app.of(Schedules).get(schedule_id, owner))


@router.patch("/{schedule_id}", response_model=Schedule, responses=problem_responses(400, 404, 422))
async def change_schedule(
    schedule_id: ScheduleId, body: ScheduleChange, app: App, owner: Owner
) -> Response:
    """Pause or resume a schedule, or change its cron expression, time zone or name."""
    new = ScheduleUpdate(**body.model_dump(exclude_unset=True))
    return encoded(await app.of(Schedules).change(schedule_id, owner, new))


@router.post(
    "/{schedule_id}/run",
    status_code=201,
    response_model=ObjectsAccepted,
    responses=problem_responses(404, 409, 422, 503),
)
async def run_schedule(schedule_id: ScheduleId, app: App, owner: Owner) -> Response:
    """Start a run now, in addition to the planned ones."""
    return encoded(await app.of(Schedules).run_now(schedule_id, owner), 201)


@router.delete("/{schedule_id}", status_code=204, responses=problem_responses(404))
async def delete_schedule(schedule_id: ScheduleId, app: App, owner: Owner) -> Response:
    """Delete a schedule. Its jobs stay."""
    await app.of(Schedules).delete(schedule_id, owner)
    return Response(status_code=204)
