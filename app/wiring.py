"""Where the parts are wired together, for the doors of HTTP and for those without: nothing of a web server is imported here."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from app import failpoints, plugins
from app.clients.ml_api import MLApi
from app.clients.webhooks import WebhookSender
from app.config import Settings
from app.db import migrations
from app.db.engine import Database
from app.db.presence import Presence
from app.embeddings.model import Embedder
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
from app.jobs.progress import Statuses, StatusFeed
from app.jobs.submit import Submitter
from app.jobs.templates import Templates
from app.jobs.transform import Transforms
from app.jobs.undo import Undos
from app.jobs.uploads import Uploads
from app.jobs.users import Users
from app.jobs.webhooks import Webhooks
from app.pipeline.machine import GRACE_SECONDS, Machine, Role
from app.pipeline.ownership import Ownership
from app.pipeline.processes import Processes
from app.pipeline.sweeper import Sweeper
from app.processors.registry import Processors
from app.sources.base import Sources
from app.sources.places import Storage
from app.sources.s3 import S3Source
from app.sources.stores import Stores, stores
from app.telemetry import logs, tracing

SWITCH_SECONDS = 0.0002


@dataclass(frozen=True, slots=True)
class Core:
    settings: Settings
    database: Database
    presence: Presence
    storage: Storage
    stores: Stores
    sources: Sources
    s3: S3Source
    ml_api: MLApi
    processors: Processors
    machine: Machine
    submitter: Submitter
    uploads: Uploads
    objects: ObjectsSubmitter
    file_jobs: FileJobs
    batch_jobs: BatchJobs
    templates: Templates
    transforms: Transforms
    webhooks: Webhooks
    deliveries: Deliveries
    control: Control
    corrections: Corrections
    statuses: Statuses
    feed: StatusFeed
    list_feed: ListFeed
    search: Search
    undos: Undos
    users: Users
    limits: OwnerLimits
    end_tracing: Callable[[], None]

    def drain(self) -> None:
        """The process was told to end: take no new work, end what would never end by itself."""
        self.machine.is_draining = True
        self.feed.close()
        self.list_feed.close()

    async def close(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """End what is going on, give back what is not done, let go of everything."""
        await self.control.close()
        await self.undos.close()
        await self.machine.stop(grace_seconds)
        await self.ml_api.close()
        await self.database.close()
        await self.presence.release()
        self.stores.close()
        await asyncio.to_thread(self.end_tracing)


async def start(
    settings: Settings,
    *,
    role: Role = Role.EMBEDDED,
    only: set[UUID] | None = None,
    processes: Processes | None = None,
) -> Core:
    """The parts, made and running; `only`: for these jobs and no others; `processes`: those that were started already.

    Raises MigrationsPending, MigrationsRefused, SettingsInvalid, DatabaseTaken, DatabaseUnavailable, StorageForeign,
    StorageUnavailable, DiskFull.
    """
    failpoints.arm(settings.granula_fail)
    s3 = S3Source(
        endpoint_url=settings.endpoint_url,
        key=settings.key,
        secret=settings.secret.get_secret_value(),
        region=settings.region,
    )
    places = stores(settings.storage_url, settings.storage_dir, s3.credentials, most_bytes=settings.max_upload_bytes)
    settings.storage_dir.mkdir(parents=True, exist_ok=True, mode=0o700)  # of the embedded database
    places.prepare()
    database = Database(settings)
    database.start()
    presence = Presence(settings, is_exclusive=role is Role.EMBEDDED)
    try:
        if only is None:
            await presence.claim()
        # The tables of PostgreSQL may be in use by others: the operator decides when they change.
        await migrations.prepare(database, settings.url, update=settings.is_sqlite)
        ownership = Ownership(database, places)
        await ownership.claim()
    except BaseException:
        await presence.release()
        await database.close()
        places.close()
        raise
    made = plugins.make(settings)
    processors = made.processors
    sources = Sources(places.storage, s3, places.outputs, places.spool)
    sweeper = Sweeper(
        database,
        places.storage,
        places.outputs,
        partials=places.partials,
        ownership=ownership,
        lost_seconds=settings.lost_found_days * 86_400,
    )
    machine = Machine(
        settings, database, sources, processors, made.embedder, make_processors=partial(plugins.make_processors, settings),
        role=role, only=only, processes=processes, sweeper=sweeper,
    )  # fmt: skip
    limits = OwnerLimits(settings, database)
    objects = ObjectsSubmitter(settings, database, s3, processors, limits, machine.enqueue)
    templates_ = Templates(database)
    file_jobs = FileJobs(settings, database, processors, limits, machine.enqueue)
    statuses = Statuses(database)
    sender = WebhookSender(
        timeout_seconds=settings.webhook_timeout_seconds, allow_private=settings.webhook_allow_private
    )
    submitter = Submitter(settings, database, places.storage, processors, limits, machine.enqueue)
    transforms = Transforms(file_jobs, templates_, machine, sources)
    logs.of_process(worker=machine.pool.worker_id)
    end_tracing = tracing.start(settings.otel_exporter_otlp_endpoint, role.name.lower(), machine.pool.worker_id)
    await machine.start()
    # Each time the loop waits for the network it must win the interpreter lock back from the threads that parse. At the
    # default of 5 ms it waits that long for each of them, several times a request.
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()  # what is loaded now stays: leave it out of every later collection
    gc.set_threshold(100_000, 20, 20)  # a chunk is 10 000 lists of cells, none of them in a cycle
    return Core(
        settings=settings,
        database=database,
        presence=presence,
        storage=places.storage,
        stores=places,
        sources=sources,
        s3=s3,
        ml_api=made.ml_api,
        processors=processors,
        machine=machine,
        submitter=submitter,
        uploads=Uploads(settings, database, places.partials, submitter, limits),
        objects=objects,
        templates=templates_,
        file_jobs=file_jobs,
        transforms=transforms,
        batch_jobs=BatchJobs(
            settings, database, JobTypes(processors, templates_, transforms), file_jobs, limits, machine.enqueue
        ),
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
        corrections=Corrections(settings, database, sources, processors, limits, machine.enqueue),
        statuses=statuses,
        feed=StatusFeed(statuses),
        list_feed=ListFeed(database),
        search=Search(
            database,
            machine.vectors,
            Neighbours(database, settings.vector_cache_mb << 20, Embedder.model_id, settings.embedding_precision),
        ),
        users=Users(database),
        limits=limits,
        end_tracing=end_tracing,
    )
