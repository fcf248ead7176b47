"""What the doors need, made by main.py and found through the request."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated

from fastapi import Depends, Request

from app.api.doorkeeper import Doorkeeper
from app.errors import AdminOnly, Unauthenticated, Unavailable
from app.jobs.users import Caller
from app.wiring import Core


@dataclass(frozen=True, slots=True)
class Services(Core):
    doorkeeper: Doorkeeper

    @classmethod
    def around(cls, core: Core, *, doorkeeper: Doorkeeper) -> Services:
        given = {field.name: getattr(core, field.name) for field in fields(core)}
        return cls(**given, doorkeeper=doorkeeper)


def services_of(request: Request) -> Services:
    """Raises Unavailable while the service starts."""
    found = getattr(request.app.state, "services", None)
    if found is None:
        raise Unavailable("The service is starting.", headers={"Retry-After": "1"})
    return found  # type: ignore[no-any-return]


def check_open(app: Services) -> None:
    """Raises Unavailable once the process was told to end: it takes no new work."""
    if app.machine.is_draining:
        raise Unavailable("The service is shutting down.", headers={"Retry-After": "10"})


# Coroutines, as all that a door depends on: FastAPI calls plain functions in threads, and to go
# there and back costs more than they do.


async def services(request: Request) -> Services:
    return services_of(request)


async def caller(request: Request) -> Caller:
    found = request.scope.get("caller")
    if found is None:  # a door that asks for an owner, under a path that is open to everybody
        raise Unauthenticated
    return found  # type: ignore[no-any-return]


async def owner(request: Request) -> str:
    """Whose everything is that this request makes, and whose alone it finds."""
    return (await caller(request)).user_id


async def admin(request: Request) -> Caller:
    found = await caller(request)
    if not found.is_admin:
        raise AdminOnly
    return found


App = Annotated[Services, Depends(services)]
Owner = Annotated[str, Depends(owner)]
SignedIn = Annotated[Caller, Depends(caller)]
Admin = Annotated[Caller, Depends(admin)]
