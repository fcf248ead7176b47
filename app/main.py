"""create_app and its lifespan: the parts behind the doors of HTTP."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType

from fastapi import FastAPI

from app import __version__
from app.api import (
    analysis,
    assets,
    batches,
    connections,
    corrections,
    docs,
    downloads,
    errors,
    files,
    heads,
    health,
    imports,
    jobs,
    log_filter,
    openapi,
    schedules,
    scoring,
    system,
    templates,
    transform,
    undo,
    uploads,
    users,
    webhooks,
)
from app.api.doorkeeper import Doorkeeper
from app.api.gate import Gate
from app.api.middleware import Cors, Frame
from app.api.services import Services
from app.api.starting import StartupErrors
from app.config import Settings, load_settings
from app.errors import SettingsInvalid
from app.jobs.schedules import Schedules
from app.pipeline.machine import Role
from app.telemetry import logs
from app.wiring import start

logger = logging.getLogger(__name__)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The service for these settings, by default those of the environment; raises SettingsInvalid."""
    settings = settings or load_settings()
    logs.install(settings)
    log_filter.install()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        core = await start(settings, role=Role.API if settings.is_shared else Role.EMBEDDED)
        services = Services.around(
            core,
            schedules=Schedules(core.database, scoring.submitting(core.objects)),
            doorkeeper=Doorkeeper(settings, core.users),
        )
        app.state.services = services
        beside = [
            asyncio.create_task(services.schedules.run(), name="schedules"),
            asyncio.create_task(services.deliveries.run(), name="webhooks"),
            asyncio.create_task(services.uploads.run(), name="uploads"),
        ]
        limited = connections.install(app, settings)
        if limited is not None:
            beside.append(asyncio.create_task(limited.run(), name="connections"))
        with _told_of_signals(services):
            yield
        for task in beside:
            task.cancel()
        await asyncio.wait(beside)
        await services.uploads.close()
        await services.close()

    app = FastAPI(
        title="Granula",
        version=__version__,
        description="Big files in, rows that can be trusted out: every row is in the results, in the rejects, or unprocessed.",
        lifespan=lifespan,
        docs_url=None,  # ours needs no internet
        redoc_url=None,
    )
    errors.install(app)
    openapi.install(app)
    for router in (
        files.router,  # /api/v1/upload, status, results, rejects, files
        uploads.router,  # /api/v1/uploads
        corrections.router,  # /api/v1/files/{file_id}/corrections
        jobs.router,  # /api/v1/jobs
        analysis.router,  # /api/v1/jobs/analyze, status, result
        transform.router,  # /api/v1/jobs/transform
        downloads.router,  # /api/v1/files/{file_id}/download
        scoring.router,  # /api/v1/jobs/score
        templates.router,  # /api/v1/templates
        schedules.router,  # /api/v1/schedules
        webhooks.router,  # /api/v1/webhooks
        undo.router,  # /api/v1/undo
        batches.router,  # /batch, /batches
        imports.router,  # /api/upload, /api/imports, /api/records, /api/stats
        users.router,  # /api/v1/me, session, users
        system.router,  # /api/v1/system
        docs.router,  # /docs
        health.router,  # /, /health, /ready, /metrics, /errors
    ):
        # Not include_router: of routers in routers, FastAPI matches each again for every request, a third of what a short
        # answer costs.
        app.router.routes.extend(router.routes)
    app.router.routes.extend(heads.twins(app.router.routes))
    app.mount("/assets", assets.assets)  # the files of the dashboard
    app.add_middleware(heads.HeadsOnly)
    app.add_middleware(Gate)
    app.add_middleware(Frame, settings=settings)
    if settings.cors_origins:  # around everything: a page must be able to read a 500, too
        app.add_middleware(
            Cors,
            allow_origins=list(settings.cors_origins),
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=uploads.EXPOSED,
        )
    app.add_middleware(StartupErrors)
    return app


@contextmanager
def _told_of_signals(services: Services) -> Iterator[None]:
    """Begin to drain at SIGTERM or SIGINT itself: the web server runs the end of the lifespan only when every connection
    is closed, and open event streams and uploads would keep it waiting."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(services.drain)
        previous = before[signal.Signals(number)]
        if callable(previous):
            previous(number, frame)

    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


try:
    app = create_app()
except SettingsInvalid as error:  # `uvicorn app.main:app`: a sentence, not the traceback of an import
    sys.stderr.write(f"{error.detail}\n")
    sys.exit(error.exit_code)
