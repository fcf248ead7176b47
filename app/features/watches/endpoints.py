"""/api/v1/watches: each new or changed object of a bucket or folder becomes a job."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from app.api.errors import problem_responses
from app.api.json import encoded
from app.api.parameters import Integer, checked_query, identifier
from app.api.services import App, Owner
from app.errors import InvalidParameter
from app.features.job_types.requests import NewJob, Source
from app.features.watches.queries import LONGEST_WAIT_SECONDS, WatchUpdate
from app.features.watches.schemas import ObjectStatus, Watch, WatchedObjects, WatchList
from app.features.watches.service import Watches

router = APIRouter(
    prefix="/api/v1/watches", tags=["watches"], dependencies=[Depends(checked_query)]
)

Title = Annotated[str, Field(max_length=100, pattern=r"^[^\x00]*$")]
Every = Annotated[
    float,
    Field(
        ge=1,
        le=LONGEST_WAIT_SECONDS,
        strict=True,
        allow_inf_nan=False,
        description="Seconds between two checks.",
    ),
]
Settle = Annotated[
    float,
    Field(
        ge=0,
        le=LONGEST_WAIT_SECONDS,
        strict=True,
        allow_inf_nan=False,
        description=(
            "Seconds for which an object must stay the same before its job is created; by default "
            "10 for folders and 0 for buckets."
        ),
    ),
]


class NewWatch(BaseModel):
    model_config = ConfigDict(extra="forbid")

    source: Annotated[Source, Field(min_length=1)]
    job: Annotated[NewJob, Field(description="Body of POST /api/v1/jobs, without a source.")]
    name: Title = ""
    every_seconds: Every = 30.0
    settle_seconds: Settle | None = None

    def check(self) -> None:
        """Raises InvalidParameter."""
        if self.job.source or self.job.file_id is not None or self.job.credentials:
            raise InvalidParameter(
                "The job of a watch has neither source nor file_id nor credentials."
            )


class WatchChange(BaseModel):
    """Changes of a watch."""

    model_config = ConfigDict(extra="forbid")

    paused: StrictBool = False
    name: Title = ""
    every_seconds: Every = 30.0
    settle_seconds: Settle = 0.0


async def _watch_id(watch_id: Annotated[str, Path()]) -> UUID:
    return identifier(watch_id)


WatchId = Annotated[UUID, Depends(_watch_id)]


@router.post(
    "", status_code=201, response_model=Watch, responses=problem_responses(400, 404, 422, 503)
)
async def create_watch(body: NewWatch, app: App, owner: Owner) -> Response:
    """Watch a prefix, a pattern or a folder: each version of each object becomes a job, once.
    Objects that are already there count as new.
    """
    body.check()
    watch = await app.of(Watches).create(
        owner,
        name=body.name,
        source=body.source,
        job=body.job.model_dump(mode="json", exclude_unset=True),
        every_seconds=body.every_seconds,
        settle_seconds=body.settle_seconds,
    )
    return encoded(watch, 201, {"Location": f"/api/v1/watches/{watch['id']}"})


@router.get("", response_model=WatchList)
async def list_watches(app: App, owner: Owner) -> Response:
    """List all watches with the outcomes of their last checks."""
    return encoded(await app.of(Watches).list(owner))


@router.get("/{watch_id}", response_model=Watch, responses=problem_responses(404))
async def get_watch(watch_id: WatchId, app: App, owner: Owner) -> Response:
    """Return a watch with the outcome of its last check."""
    return encoded(await app.of(Watches).get(watch_id, owner))


@router.patch("/{watch_id}", response_model=Watch, responses=problem_responses(400, 404, 422))
async def change_watch(watch_id: WatchId, body: WatchChange, app: App, owner: Owner) -> Response:
    """Pause or resume a watch, or change its name or times. Objects that come while it is paused
    become jobs once it is resumed.
    """
    new = WatchUpdate(**body.model_dump(exclude_unset=True))
    return encoded(await app.of(Watches).change(watch_id, owner, new))


@router.post(
    "/{watch_id}/run", status_code=202, response_model=Watch, responses=problem_responses(404)
)
async def run_watch(watch_id: WatchId, app: App, owner: Owner) -> Response:
    """Check now, also while paused. Objects that failed are tried again."""
    return encoded(await app.of(Watches).request_check(watch_id, owner), 202)


@router.get(
    "/{watch_id}/objects", response_model=WatchedObjects, responses=problem_responses(404, 422)
)
async def list_watched_objects(
    watch_id: WatchId,
    app: App,
    owner: Owner,
    status: Annotated[
        ObjectStatus | None, Query(description="Only objects with this status.")
    ] = None,
    before: Annotated[
        Integer | None,
        Query(ge=1, le=2**62, description="`next_before` of the previous page."),
    ] = None,
    limit: Annotated[Integer, Query(ge=1, le=1000, description="Objects per page.")] = 100,
) -> Response:
    """Return the versions of objects that a watch has seen, the newest first, with their jobs."""
    page = await app.of(Watches).objects(watch_id, owner, status=status, before=before, limit=limit)
    return encoded(page)


@router.delete("/{watch_id}", status_code=204, responses=problem_responses(404))
async def delete_watch(watch_id: WatchId, app: App, owner: Owner) -> Response:
    """Delete a watch with its history. Its jobs stay."""
    await app.of(Watches).delete(watch_id, owner)
    return Response(status_code=204)
