"""A worker process: runs jobs without serving HTTP, except for monitoring."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from fastapi import FastAPI

from app.api import connections, errors, heads, health
from app.config import Settings
from app.pipeline.machine import GRACE_SECONDS, Role
from app.telemetry import logs
from app.wiring import Core, start

logger = logging.getLogger(__name__)
EXITED_AT_ONCE = 1


def run(settings: Settings, metrics_host: str, metrics_port: int) -> int:
    """Run until a signal; return the exit code."""
    logs.install(settings)
    return asyncio.run(_run(settings, metrics_host, metrics_port))


async def _run(settings: Settings, metrics_host: str, metrics_port: int) -> int:
    stopping, exiting = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(
            number, lambda: exiting.set() if stopping.is_set() else stopping.set()
        )
    core = await start(settings, role=Role.WORKER)
    logger.info(
        "Worker %s started with %d concurrent turns",
        core.machine.leases.worker_id,
        core.machine.pool.slots,
    )
    async with _monitoring(core, metrics_host, metrics_port):
        await stopping.wait()
        logger.info("Received a signal to stop; finishing current chunks")
        core.drain()
        ending = asyncio.create_task(core.close(GRACE_SECONDS))
        at_once = asyncio.create_task(exiting.wait())
        await asyncio.wait({ending, at_once}, return_when=asyncio.FIRST_COMPLETED)
        if not ending.done():
            logger.warning(
                "Second signal; exiting now. Other workers take over the chunks when their leases expire"
            )
            logging.shutdown()
            os._exit(EXITED_AT_ONCE)
        at_once.cancel()
        await ending
    return 0


@asynccontextmanager
async def _monitoring(core: Core, host: str, port: int) -> AsyncIterator[None]:
    """Serve /health, /ready and /metrics meanwhile."""
    if not port:
        yield
        return
    app = FastAPI(title="Granula worker", docs_url=None, redoc_url=None, openapi_url=None)
    errors.install(app)
    app.router.routes.extend([*health.router.routes, *heads.twins(health.router.routes)])
    app.add_middleware(heads.HeadsOnly)
    app.state.services = core
    config = uvicorn.Config(
        app, host=host, port=port, log_level="warning", log_config=None, lifespan="off"
    )
    config.load()
    limited = asyncio.create_task(
        connections.limit(config, core.settings).run(), name="connections"
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(), name="metrics")
    try:
        yield
    finally:
        server.should_exit = True
        await asyncio.wait([serving])
        limited.cancel()


class _Server(uvicorn.Server):
    """A server that leaves signals to the worker."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
