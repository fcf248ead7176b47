"""The services that endpoints use, created in main.py and reached through the request."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated

from fastapi import Depends, Request

from app.api.authentication import Authenticator
from app.errors import AdminOnly, Unauthenticated, Unavailable
from app.jobs.users import Caller
from app.wiring import Core


@dataclass(frozen=True, slots=True)
class Services(Core):
    authenticator: Authenticator

    @classmethod
    def around(cls, core: Core, *, authenticator: Authenticator) -> Services:
        parts = {field.name: getattr(core, field.name) for field in fields(core)}
        return cls(**parts, authenticator=authenticator)


def services_of(request: Request) -> Services:
    """Return the services; raises Unavailable while the service starts."""
    services = getattr(request.app.state, "services", None)
    if services is None:
        raise Unavailable("The service is starting.", headers={"Retry-After": "1"})
    return services  # type: ignore[no-any-return]


def check_open(app: Services) -> None:
    """Raises Unavailable during shutdown, when no new work is accepted."""
    if app.machine.is_draining:
        raise Unavailable("The service is shutting down.", headers={"Retry-After": "10"})


# Dependencies are coroutines: FastAPI calls plain functions in threads, and switching to a thread
# takes longer than running them.


async def services(request: Request) -> Services:
    return services_of(request)


async def caller(request: Request) -> Caller:
    caller = request.scope.get("caller")
    if caller is None:  # an endpoint that needs an owner, on a path without authentication
        raise Unauthenticated
    return caller  # type: ignore[no-any-return]


async def owner(request: Request) -> str:
    """Return the owner id that scopes what this request reads and writes."""
    return (await caller(request)).user_id


async def admin(request: Request) -> Caller:
    user = await caller(request)
    if not user.is_admin:
        raise AdminOnly
    return user


App = Annotated[Services, Depends(services)]
Owner = Annotated[str, Depends(owner)]
SignedIn = Annotated[Caller, Depends(caller)]
Admin = Annotated[Caller, Depends(admin)]
