"""create_app and its lifespan: the one place where the parts are wired together."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from uuid import UUID

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from app import __version__, failpoints
from app.api import (
    analysis,
    assets,
    batches,
    corrections,
    docs,
    downloads,
    errors,
    files,
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
from app.api.middleware import Frame
from app.api.services import Services
from app.clients.chat import Chat
from app.clients.ml_api import MLApi
from app.clients.webhooks import WebhookSender
from app.config import Settings, load_settings
from app.db import migrations
from app.db.engine import Database
from app.embeddings.model import Embedder
from app.errors import MigrationsPending
from app.jobs.batch_jobs import BatchJobs
from app.jobs.control import Control
from app.jobs.corrections import Corrections
from app.jobs.deliveries import Deliveries
from app.jobs.file_jobs import FileJobs
from app.jobs.imports import Search
from app.jobs.job_types import JobTypes
from app.jobs.limits import OwnerLimits
from app.jobs.list_feed import ListFeed
from app.jobs.neighbours import Neighbours
from app.jobs.objects import ObjectsSubmitter
from app.jobs.progress import StatusFeed
from app.jobs.schedules import Schedules
from app.jobs.submit import Submitter
from app.jobs.templates import Templates
from app.jobs.transform import Transforms
from app.jobs.undo import Undos
from app.jobs.uploads import Uploads
from app.jobs.users import Users
from app.jobs.webhooks import Webhooks
from app.pipeline.machine import Machine
from app.processors.mapping import MappingProcessor
from app.processors.registry import Processors
from app.processors.scoring import ScoringProcessor
from app.sources.base import Sources
from app.sources.partials import PartialFiles
from app.sources.s3 import S3Source
from app.sources.storage import LocalStorage

logger = logging.getLogger(__name__)
SWITCH_SECONDS = 0.0002


def create_app(settings: Settings | None = None) -> FastAPI:
    """The service for these settings, by default those of the environment; raises SettingsInvalid."""
    settings = settings or load_settings()
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    log_filter.install()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        services = await start(settings)
        app.state.services = services
        beside = [
            asyncio.create_task(services.schedules.run(), name="schedules"),
            asyncio.create_task(services.deliveries.run(), name="webhooks"),
            asyncio.create_task(services.uploads.run(), name="uploads"),
        ]
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
    app.include_router(files.router)  # /api/v1/upload, status, results, rejects, files
    app.include_router(uploads.router)  # /api/v1/uploads
    app.include_router(corrections.router)  # /api/v1/files/{file_id}/corrections
    app.include_router(jobs.router)  # /api/v1/jobs
    app.include_router(analysis.router)  # /api/v1/jobs/analyze, status, result
    app.include_router(transform.router)  # /api/v1/jobs/transform
    app.include_router(downloads.router)  # /api/v1/files/{file_id}/download
    app.include_router(scoring.router)  # /api/v1/jobs/score
    app.include_router(templates.router)  # /api/v1/templates
    app.include_router(schedules.router)  # /api/v1/schedules
    app.include_router(webhooks.router)  # /api/v1/webhooks
    app.include_router(undo.router)  # /api/v1/undo
    app.include_router(batches.router)  # /batch, /batches
    app.include_router(imports.router)  # /api/upload, /api/imports, /api/records, /api/stats
    app.include_router(users.router)  # /api/v1/me, session, users
    app.include_router(system.router)  # /api/v1/system
    app.mount("/assets", assets.assets)  # the files of the dashboard
    app.include_router(docs.router)  # /docs
    app.include_router(health.router)  # /, /health, /ready, /metrics, /errors
    app.add_middleware(Gate)
    app.add_middleware(Frame)
    if settings.cors_origins:  # around everything: a page must be able to read a 500, too
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=uploads.EXPOSED,
        )
    return app


async def start(settings: Settings, *, only: set[UUID] | None = None) -> Services:
    """The parts, made and running; `only`: for these jobs and no others. Raises MigrationsPending, SettingsInvalid."""
    failpoints.arm(settings.granula_fail)
    storage = LocalStorage(settings.uploads_dir)
    storage.prepare()
    partials = PartialFiles(settings.partials_dir)
    partials.prepare()
    if settings.is_sqlite:
        await migrations.upgrade(settings.url)
    database = Database(settings)
    if not await migrations.current_is_head(database):
        await database.close()
        raise MigrationsPending
    s3 = S3Source(
        endpoint_url=settings.endpoint_url,
        key=settings.key,
        secret=settings.secret.get_secret_value(),
        region=settings.region,
    )
    ml_api = MLApi(
        settings.ml_api_url,
        batch_size=settings.api_batch_size,
        max_workers=settings.api_max_workers,
        timeout_seconds=settings.api_timeout_seconds,
    )
    scorer = ScoringProcessor(ml_api, settings.transaction_model, settings.row_batch_size)
    embedder = Embedder(settings.embedding_model_dir, precision=settings.embedding_precision)
    processors = Processors(
        settings.processors,
        sentiment_models=settings.sentiment_models,
        schemas=settings.schemas,
        embedder=embedder,
        given=[scorer, MappingProcessor(embedder, _chat(settings))],
    )
    sources = Sources(storage, s3)
    machine = Machine(settings, database, sources, processors, embedder, only=only)
    limits = OwnerLimits(settings, database)
    objects = ObjectsSubmitter(settings, database, s3, processors, limits, machine.dispatch)
    users_, templates_ = Users(database), Templates(database)
    file_jobs = FileJobs(settings, database, processors, limits, machine.dispatch)
    sender = WebhookSender(
        timeout_seconds=settings.webhook_timeout_seconds, allow_private=settings.webhook_allow_private
    )
    submitter = Submitter(settings, database, storage, processors, limits, machine.dispatch)
    transforms = Transforms(file_jobs, templates_, machine, sources)
    await machine.start()
    # Each time the loop waits for the network it must win the interpreter lock back from the threads that parse. At the
    # default of 5 ms it waits that long for each of them, several times a request.
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()  # what is loaded now stays: leave it out of every later collection
    gc.set_threshold(100_000, 20, 20)  # a chunk is 10 000 lists of cells, none of them in a cycle
    return Services(
        settings=settings,
        database=database,
        storage=storage,
        sources=sources,
        s3=s3,
        ml_api=ml_api,
        processors=processors,
        machine=machine,
        submitter=submitter,
        uploads=Uploads(settings, database, partials, submitter),
        objects=objects,
        templates=templates_,
        file_jobs=file_jobs,
        transforms=transforms,
        batch_jobs=BatchJobs(
            settings, database, JobTypes(processors, templates_, transforms), file_jobs, limits, machine.dispatch
        ),
        schedules=Schedules(database, scoring.submitting(objects)),
        webhooks=Webhooks(database, sender, settings.webhook_old_secret_hours),
        deliveries=Deliveries(
            database,
            sender,
            retry_seconds=settings.webhook_retry_seconds,
            timeout_seconds=settings.webhook_timeout_seconds,
            keep_days=settings.webhook_keep_days,
        ),
        undos=Undos(database, machine.undoer, settings.undo_keep_days),
        control=Control(database, machine),
        corrections=Corrections(settings, database, sources, processors, limits, machine.dispatch),
        feed=StatusFeed(database),
        list_feed=ListFeed(database),
        search=Search(
            database,
            machine.vectors,
            Neighbours(database, settings.vector_cache_mb << 20, Embedder.model_id, settings.embedding_precision),
        ),
        users=users_,
        doorkeeper=Doorkeeper(settings, users_),
        limits=limits,
    )


def _chat(settings: Settings) -> Chat | None:
    if not settings.openai_base_url:
        return None
    return Chat(
        settings.openai_base_url,
        settings.openai_api_key.get_secret_value(),
        settings.openai_model,
        send_values=settings.openai_send_values,
        timeout_seconds=settings.openai_timeout_seconds,
    )


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


app = create_app()
