"""What the doors need, made by main.py and found through the request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from app.config import Settings
from app.db.engine import Database
from app.errors import Unavailable
from app.jobs.control import Control
from app.jobs.imports import Search
from app.jobs.progress import StatusFeed
from app.jobs.submit import Submitter
from app.pipeline.machine import Machine
from app.processors.registry import Processors
from app.sources.storage import LocalStorage

LOCAL_OWNER = "local"
"""Every file and job has an owner; there is one as long as nobody has to sign in."""


@dataclass(frozen=True, slots=True)
class Services:
    settings: Settings
    database: Database
    storage: LocalStorage
    processors: Processors
    machine: Machine
    submitter: Submitter
    control: Control
    feed: StatusFeed
    search: Search

    def drain(self) -> None:
        """The process was told to end: take no new work, end what would never end by itself."""
        self.machine.is_draining = True
        self.feed.close()


def services(request: Request) -> Services:
    found = getattr(request.app.state, "services", None)
    if found is None:
        raise Unavailable("The service is starting.", headers={"Retry-After": "1"})
    return found  # type: ignore[no-any-return]


def owner() -> str:
    return LOCAL_OWNER


App = Annotated[Services, Depends(services)]
Owner = Annotated[str, Depends(owner)]
