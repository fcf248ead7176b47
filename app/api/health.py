"""/, /health, /ready, /metrics, /errors/{code}: for machines that look after this one."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import Field

from app import __version__
from app.api.answers import Answer
from app.api.assets import page, wants_page
from app.api.docs import error_page
from app.api.errors import RETRY_AFTER
from app.api.json import encoded
from app.api.metrics import render
from app.api.services import App
from app.db import jobs
from app.db.migrations import current_is_head
from app.errors import NotFound, TransientError, request_errors

router = APIRouter(tags=["health"])


class Addresses(Answer):
    """Where things are."""

    message: str = Field(description="That the service runs.")
    name: str = Field(description="Granula.")
    version: str = Field(description="Of Granula.")
    docs: str = Field(description="Where the routes are described.")
    upload: str = Field(description="Where files are uploaded.")
    health: str = Field(description="Where the process says that it lives.")


class Health(Answer):
    """The process lives."""

    status: Literal["healthy"] = Field(description="Always the same.")


class Readiness(Answer):
    """Whether uploads can be taken."""

    status: Literal["ready", "not ready"] = Field(description="`ready` if each check is `ok`.")
    checks: dict[str, str] = Field(description="By part: `ok`, or what is wrong.")
    queued_jobs: int = Field(description="Jobs that wait or run.")
    busy_slots: int = Field(description="Chunks that this process runs now.")
    slots: int = Field(description="Chunks that it can run at once.")


class ErrorMeaning(Answer):
    """What an error code means."""

    code: str = Field(description="The code.")
    status: int = Field(description="The HTTP status that it comes with.")
    title: str = Field(description="What happened.")
    remedy: str = Field(description="What to do.")


@router.get("/", response_model=Addresses, responses={200: {"content": {"text/html": {}}}})
async def get_addresses(request: Request) -> Response:
    """Where things are; in a browser, the dashboard."""
    if wants_page(request.headers.get("accept", "")):
        return page()
    body = {
        "message": "Batch Processing API is running",
        "name": "Granula",
        "version": __version__,
        "docs": "/docs",
        "upload": "/api/v1/upload",
        "health": "/health",
    }
    return encoded(body, headers={"Vary": "Accept"})


@router.get("/health", response_model=Health)
async def get_health() -> Response:
    """The process lives. Nothing else is asked, so that a database outage does not get it
    restarted.
    """
    return encoded({"status": "healthy"})


@router.get(
    "/ready",
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "Something is missing."}},
)
async def get_readiness(app: App) -> Response:
    """Whether uploads can be taken now: database, migrations, the storage, where a byte is written
    and removed, the room on its disk, queue. 503 if not, with the part that is missing.
    """
    checks: dict[str, Any] = {}
    queued: dict[int, int] = {}
    try:
        async with app.database.reading() as connection:
            queued = await jobs.count_active(connection)
        checks["database"] = "ok"
        checks["migrations"] = (
            "ok" if await current_is_head(app.database) else "run `alembic upgrade head`"
        )
    except TransientError as error:
        checks["database"] = error.detail
    try:
        await asyncio.to_thread(app.storage.check)
        checks["storage"] = "ok"
        if (space := await asyncio.to_thread(app.storage.space)) is not None:
            free, kept = space[0] >> 20, app.settings.min_free_disk_mb
            checks["disk"] = "ok" if free >= kept else f"{free} MiB free, {kept} MiB must stay free"
    except TransientError as error:
        checks["storage"] = error.detail
    checks["queue"] = app.machine.status
    is_ready = all(value == "ok" for value in checks.values())
    body = {
        "status": "ready" if is_ready else "not ready",
        "checks": checks,
        "queued_jobs": sum(queued.values()),
        "busy_slots": app.machine.pool.busy,
        "slots": app.machine.pool.slots,
    }
    return encoded(body) if is_ready else encoded(body, 503, {"Retry-After": RETRY_AFTER[503]})


@router.get("/metrics", response_class=PlainTextResponse)
async def get_metrics(app: App) -> Response:
    """For Prometheus."""
    return Response(await render(app), media_type=CONTENT_TYPE_LATEST)


@router.get(
    "/errors/{code}", response_model=ErrorMeaning, responses={200: {"content": {"text/html": {}}}}
)
async def explain_error(code: str, request: Request) -> Response:
    """What an error code means and what to do: the `type` of every problem leads here. In a
    browser, a page with causes, cures and an example.
    """
    error = request_errors().get(code)
    if error is None:
        raise NotFound
    if (
        wants_page(request.headers.get("accept", ""))
        and (found := await asyncio.to_thread(error_page, code)) is not None
    ):
        return found
    body = {"code": code, "status": error.status, "title": error.title(), "remedy": error.remedy}
    return encoded(body, headers={"Vary": "Accept"})
