"""/api/v1/system: components and load of this service, for operators."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response

from app import __version__
from app.api.errors import problem_responses
from app.api.json import encoded
from app.api.parameters import checked_query
from app.api.services import App, Owner, SignedIn
from app.db import jobs
from app.db.migrations import current_is_head
from app.errors import AdminOnly, TransientError
from app.features.system.history import INTERVAL, History, interval_start
from app.features.system.in_force import settings_in_force
from app.features.system.queries import StorageState, find_storage_state
from app.features.system.schemas import SettingsInForce, System, SystemHistory
from app.states import JobStatus

router = APIRouter(prefix="/api/v1/system", tags=["health"], dependencies=[Depends(checked_query)])
MOST_HOURS = 192


@router.get("", response_model=System)
async def get_system(app: App, owner: Owner) -> Response:
    """Return database, disk (null if files are in a bucket), queue by priority, slots, jobs by
    status, and the processors, with those that an upload may name. Always 200: the answer says if
    the database is unavailable.
    """
    settings = app.settings
    database: dict[str, Any] = {
        "kind": "sqlite" if settings.is_sqlite else "postgresql",
        "status": "ok",
    }
    counts: dict[str, int] = {}
    queued: dict[int, int] = {}
    in_work = workers = 0
    state: StorageState | None = None
    try:
        async with app.database.reading() as connection:
            counts = await jobs.count_jobs(connection, owner)
            queued = await jobs.count_active(connection)
            in_work = await jobs.count_in_work(connection)
            state = await find_storage_state(connection)
        workers = await app.machine.count_workers()
        if not await current_is_head(app.database):
            database["status"] = "run `alembic upgrade head`"
    except TransientError as error:
        database["status"] = error.detail
    space = await asyncio.to_thread(app.storage.space)
    disk = None
    if space is not None:
        reserved = settings.min_free_disk_mb << 20
        disk = {"free_bytes": space[0], "total_bytes": space[1], "must_stay_free_bytes": reserved}
    machine = app.machine
    body = {
        "version": __version__,
        "database": database,
        "disk": disk,
        "storage": state,
        "queue": {
            "status": machine.status,
            "jobs": sum(queued.values()),
            "by_priority": {str(priority): count for priority, count in sorted(queued.items())},
        },
        "slots": {
            "busy": machine.pool.busy,
            "total": 0 if settings.is_shared else machine.pool.slots,
        },
        "workers": {"processes": workers, "chunks_in_work": in_work},
        "jobs": {str(status): counts.get(status, 0) for status in JobStatus},
        "processors": app.processors.names,
        "uploadable_processors": app.processors.uploadable,
        "schemas": sorted(app.processors.schemas),
        "sentiment_models": ["vader", "minilm", "auto", *settings.sentiment_models],
        "scoring": bool(settings.ml_api_url),
        "language_model": bool(settings.openai_base_url),
        "limits": {
            "max_upload_bytes": settings.max_upload_bytes,
            "chunk_size": settings.chunk_size,
            "max_retries": settings.max_retries,
        },
    }
    return encoded(body)


@router.get("/history", response_model=SystemHistory, responses=problem_responses(422, 503))
async def get_system_history(
    app: App, owner: Owner, hours: Annotated[int, Query(ge=1, le=MOST_HOURS)] = 24
) -> Response:
    """Return the load of all users in the last hours, a sample for every five minutes. Samples are
    kept for eight days. An interval in which no process ran is missing.
    """
    since = interval_start(datetime.now(UTC)) - timedelta(hours=hours)
    body = {
        "interval_seconds": INTERVAL.seconds,
        "since": since,
        "items": await app.of(History).read(since),
    }
    return encoded(body)


@router.get("/settings", response_model=SettingsInForce, responses=problem_responses(403))
async def get_settings(app: App, caller: SignedIn) -> Response:
    """Return the settings of this process, the changed ones first. Values that may hold a secret
    are hidden. If users sign in, it is for administrators.
    """
    if app.settings.auth_required and not caller.is_admin:
        raise AdminOnly
    return encoded({"items": settings_in_force(app.settings)})
