"""create_app and its lifespan: the HTTP service."""

from __future__ import annotations

from app import loading  # isort: split

import asyncio
import logging
import signal
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType

from fastapi import FastAPI

from app import __version__, config
from app.api import access_log, assets, connections, docs, errors, guide, heads, health, openapi
from app.api.auth_middleware import AuthMiddleware
from app.api.authentication import Authenticator
from app.api.middleware import Cors, Frame
from app.api.services import Services
from app.api.starting import StartupErrors
from app.config import Settings, load_settings
from app.errors import SettingsInvalid
from app.features import FEATURES
from app.pipeline.machine import Role
from app.telemetry import logs
from app.wiring import start

logger = logging.getLogger(__name__)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the service for these settings, by default those of the environment; raises
    SettingsInvalid.
    """
    settings = settings or load_settings()
    logs.install(settings)
    access_log.install()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        for warning in config.warnings():
            logger.warning(warning)
        core = await start(settings, role=Role.API if settings.is_shared else Role.EMBEDDED)
        services = Services.around(core, authenticator=Authenticator(settings, core.users))
        app.state.services = services
        background = [
            asyncio.create_task(service.run(), name=kind.__name__)
            for kind, service in services.services.items()
            if service.run is not None
        ]
        limited = connections.install(app, settings)
        if limited is not None:
            background.append(asyncio.create_task(limited.run(), name="connections"))
        with drain_on_signal(services):
            yield
        for task in background:
            task.cancel()
        await asyncio.wait(background)
        await services.close()

    app = FastAPI(
        title="Granula",
        version=__version__,
        description=(
            "Load large files, get trustworthy rows: every row is in the results, in the"
            " rejects, or unprocessed."
        ),
        lifespan=lifespan,
        docs_url=None,  # our own page needs no internet
        redoc_url=None,
    )
    errors.install(app)
    openapi.install(app)
    for router in (
        *(feature.router for feature in FEATURES if feature.has_endpoints),
        docs.router,  # /docs
        health.router,  # /, /health, /ready, /metrics, /errors
    ):
        # Not include_router: FastAPI matches nested routers again for every request, which takes a
        # third of the time of a short response.
        app.router.routes.extend(router.routes)
    openapi.name_operations(app.router.routes)
    app.router.routes.extend(heads.twins(app.router.routes))
    app.mount("/assets", assets.assets)  # the files of the dashboard
    app.mount("/guide", guide.guide)
    app.add_middleware(heads.HeadsOnly)
    app.add_middleware(AuthMiddleware)
    app.add_middleware(Frame, settings=settings)
    if settings.cors_origins:  # outermost: a page must be able to read a 500 too
        app.add_middleware(
            Cors,
            allow_origins=list(settings.cors_origins),
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=sorted(
                {header for feature in FEATURES for header in feature.exposed_headers}
            ),
        )
    app.add_middleware(StartupErrors)
    return app


@contextmanager
def drain_on_signal(services: Services) -> Iterator[None]:
    """Start to drain on SIGTERM or SIGINT: the web server runs the end of the lifespan only once
    every connection is closed, and open event streams and uploads would delay it.
    """
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
except (
    SettingsInvalid
) as error:  # with `uvicorn app.main:app`: a message instead of an import's traceback
    sys.stderr.write(f"{error.detail}\n")
    sys.exit(error.exit_code)
loading.end()
