"""/, /health, /ready, /metrics and /errors/{code}: endpoints for monitoring and for clients that
look up an error.
"""

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
    """Addresses of the main endpoints."""

    message: str = Field(description="Confirmation that the service runs.")
    name: str = Field(description="Granula.")
    version: str = Field(description="Of Granula.")
    docs: str = Field(description="Path of the API reference.")
    upload: str = Field(description="Path for uploads.")
    health: str = Field(description="Path of the liveness check.")


class Health(Answer):
    """The process is alive."""

    status: Literal["healthy"] = Field(description="Always the same value.")


class Readiness(Answer):
    """Whether uploads can be accepted."""

    status: Literal["ready", "not ready"] = Field(description="`ready` if each check is `ok`.")
    checks: dict[str, str] = Field(description="Result of each check: `ok`, or the problem.")
    queued_jobs: int = Field(description="Jobs that wait or run.")
    busy_slots: int = Field(description="Chunks that this process is running.")
    slots: int = Field(description="Chunks that this process can run at once.")


class ErrorMeaning(Answer):
    """Meaning of an error code."""

    code: str = Field(description="The code.")
    status: int = Field(description="HTTP status of the error.")
    title: str = Field(description="What happened.")
    remedy: str = Field(description="What to do.")


@router.get("/", response_model=Addresses, responses={200: {"content": {"text/html": {}}}})
async def get_addresses(request: Request) -> Response:
    """Return the addresses of the main endpoints; in a browser, the dashboard."""
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
    """Confirm that the process is alive. Nothing else is checked, so that a database outage does
    not cause a restart.
    """
    return encoded({"status": "healthy"})


@router.get(
    "/ready",
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "A check failed."}},
)
async def get_readiness(app: App) -> Response:
    """Check whether uploads can be accepted: the database, its migrations, the storage (by writing
    and removing a byte), its free space, and the queue. The status is 503 if a check fails, and the
    answer names it.
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
            free, reserved = space[0] >> 20, app.settings.min_free_disk_mb
            checks["disk"] = (
                "ok" if free >= reserved else f"{free} MiB free, {reserved} MiB must stay free"
            )
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
    """Return the metrics for Prometheus."""
    return Response(await render(app), media_type=CONTENT_TYPE_LATEST)


@router.get(
    "/errors/{code}", response_model=ErrorMeaning, responses={200: {"content": {"text/html": {}}}}
)
async def explain_error(code: str, request: Request) -> Response:
    """Return what an error code means and what to do. The `type` of every problem links here. In a
    browser, a page with causes, remedies and an example.
    """
    error = request_errors().get(code)
    if error is None:
        raise NotFound
    if (
        wants_page(request.headers.get("accept", ""))
        and (page := await asyncio.to_thread(error_page, code)) is not None
    ):
        return page
    body = {"code": code, "status": error.status, "title": error.title(), "remedy": error.remedy}
    return encoded(body, headers={"Vary": "Accept"})
