"""What the doors need, made by main.py and found through the request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from app.api.doorkeeper import Doorkeeper
from app.clients.ml_api import MLApi
from app.config import Settings
from app.db.engine import Database
from app.errors import AdminOnly, Unauthenticated, Unavailable
from app.jobs.batch_jobs import BatchJobs
from app.jobs.control import Control
from app.jobs.corrections import Corrections
from app.jobs.deliveries import Deliveries
from app.jobs.file_jobs import FileJobs
from app.jobs.imports import Search
from app.jobs.limits import OwnerLimits
from app.jobs.list_feed import ListFeed
from app.jobs.objects import ObjectsSubmitter
from app.jobs.progress import StatusFeed
from app.jobs.schedules import Schedules
from app.jobs.submit import Submitter
from app.jobs.templates import Templates
from app.jobs.transform import Transforms
from app.jobs.undo import Undos
from app.jobs.uploads import Uploads
from app.jobs.users import Caller, Users
from app.jobs.webhooks import Webhooks
from app.pipeline.machine import Machine
from app.processors.registry import Processors
from app.sources.base import Sources
from app.sources.s3 import S3Source
from app.sources.storage import LocalStorage


@dataclass(frozen=True, slots=True)
class Services:
    settings: Settings
    database: Database
    storage: LocalStorage
    sources: Sources
    s3: S3Source
    ml_api: MLApi
    processors: Processors
    machine: Machine
    submitter: Submitter
    uploads: Uploads
    objects: ObjectsSubmitter
    file_jobs: FileJobs
    batch_jobs: BatchJobs
    templates: Templates
    transforms: Transforms
    schedules: Schedules
    webhooks: Webhooks
    deliveries: Deliveries
    control: Control
    corrections: Corrections
    feed: StatusFeed
    list_feed: ListFeed
    search: Search
    undos: Undos
    users: Users
    doorkeeper: Doorkeeper
    limits: OwnerLimits

    def drain(self) -> None:
        """The process was told to end: take no new work, end what would never end by itself."""
        self.machine.is_draining = True
        self.feed.close()
        self.list_feed.close()

    async def close(self) -> None:
        """End what is going on, give back what is not done, let go of everything."""
        await self.control.close()
        await self.undos.close()
        await self.machine.stop()
        await self.ml_api.close()
        await self.database.close()


def services(request: Request) -> Services:
    found = getattr(request.app.state, "services", None)
    if found is None:
        raise Unavailable("The service is starting.", headers={"Retry-After": "1"})
    return found  # type: ignore[no-any-return]


def caller(request: Request) -> Caller:
    found = request.scope.get("caller")
    if found is None:  # a door that asks for an owner, under a path that is open to everybody
        raise Unauthenticated
    return found  # type: ignore[no-any-return]


def owner(request: Request) -> str:
    """Whose everything is that this request makes, and whose alone it finds."""
    return caller(request).user_id


def admin(request: Request) -> Caller:
    found = caller(request)
    if not found.is_admin:
        raise AdminOnly
    return found


App = Annotated[Services, Depends(services)]
Owner = Annotated[str, Depends(owner)]
SignedIn = Annotated[Caller, Depends(caller)]
Admin = Annotated[Caller, Depends(admin)]
