"""Creates and connects the parts of a process, with and without HTTP: this module imports no web
framework.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from uuid import UUID

from app import failpoints, plugins
from app.config import Settings
from app.db import migrations
from app.db.engine import Database
from app.db.presence import Presence
from app.destinations.output_file import OutputFiles
from app.destinations.registry import Destinations
from app.embeddings.model import Embedder
from app.feature import Service
from app.features import FEATURES
from app.jobs.control import Control
from app.jobs.factory import JobFactory
from app.jobs.fetching import Fetcher
from app.jobs.file_jobs import FileJobs
from app.jobs.job_types import JobTypes
from app.jobs.limits import OwnerLimits
from app.jobs.objects import ObjectsSubmitter
from app.jobs.progress import Statuses, StatusFeed
from app.jobs.submit import Submitter
from app.jobs.users import Users
from app.pipeline.machine import GRACE_SECONDS, Machine, Role
from app.pipeline.ownership import Ownership
from app.pipeline.processes import Processes
from app.pipeline.sweeper import Sweeper
from app.processors.registry import Processors
from app.sources.base import Sources
from app.sources.http import Credential, WebClient, WebSource
from app.sources.local_files import LocalFiles
from app.sources.places import Storage
from app.sources.s3 import S3Source, cloud_source
from app.sources.stores import Stores, stores
from app.telemetry import logs, tracing

Kind = TypeVar("Kind")
SWITCH_SECONDS = 0.0002


@dataclass(frozen=True, slots=True)
class Core:
    """The parts of a process, and the services of the features."""

    settings: Settings
    database: Database
    presence: Presence
    storage: Storage
    stores: Stores
    sources: Sources
    destinations: Destinations
    embedder: Embedder
    processors: Processors
    machine: Machine
    limits: OwnerLimits
    factory: JobFactory
    submitter: Submitter
    objects: ObjectsSubmitter
    file_jobs: FileJobs
    job_types: JobTypes
    control: Control
    statuses: Statuses
    feed: StatusFeed
    users: Users
    end_tracing: Callable[[], None]
    services: dict[type, Service]
    """Services of the features, by class."""

    def of(self, kind: type[Kind]) -> Kind:
        """Return the service of this class; raises KeyError if no feature has created one."""
        instance = self.services[kind].instance
        assert isinstance(instance, kind)
        return instance

    def drain(self) -> None:
        """Start the shutdown: accept no new work, end what would never end itself."""
        self.machine.is_draining = True
        self.feed.close()
        for service in self.services.values():
            if service.drain is not None:
                service.drain()

    async def close(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """Stop running work, give back unfinished chunks, release everything."""
        await self.control.close()
        for service in self.services.values():
            if service.close is not None:
                await service.close()
        await self.machine.stop(grace_seconds)
        await self.processors.close()
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
    """Create and start the parts. `only` limits them to these jobs; `processes` are compute
    processes that were started already.

    Raises MigrationsPending, MigrationsRefused, SettingsInvalid, DatabaseTaken,
    DatabaseUnavailable, StorageForeign, StorageUnavailable, DiskFull.
    """
    failpoints.arm(settings.granula_fail)
    s3 = S3Source(
        endpoint_url=settings.endpoint_url,
        key=settings.key,
        secret=settings.secret.get_secret_value(),
        region=settings.region,
    )
    places = stores(
        settings.storage_url,
        settings.storage_dir,
        s3.credentials,
        most_bytes=settings.max_upload_bytes,
    )
    settings.storage_dir.mkdir(parents=True, exist_ok=True, mode=0o700)  # for the embedded database
    places.prepare()
    database = Database(settings)
    database.start()
    presence = Presence(settings, is_exclusive=role is Role.EMBEDDED)
    try:
        if only is None:
            await presence.claim()
        # Other processes may use the tables of PostgreSQL: the operator decides when they change.
        await migrations.prepare(database, settings.url, update=settings.is_sqlite)
        ownership = Ownership(database, places)
        await ownership.claim()
        tools = plugins.tools(settings)
        processors = plugins.make_processors(settings, tools)
        destinations = plugins.make_destinations(
            is_sqlite=database.is_sqlite,
            rows_per_write=settings.db_row_batch_size,
            new_tables=processors.new_tables,
        )
        await destinations.prepare(database)
    except BaseException:
        await presence.release()
        await database.close()
        places.close()
        raise
    web = WebClient(
        private_hosts=settings.source_private_hosts,
        credentials={
            name: Credential(credential.url, credential.values)
            for name, credential in settings.source_credentials.items()
        },
        timeout_seconds=settings.source_timeout_seconds,
        min_bytes_per_second=settings.min_bytes_per_second,
    )
    sources = Sources(
        places.storage,
        places.outputs,
        places.spool,
        remotes=(s3, *map(cloud_source, settings.source_clouds)),
        fetched=(
            WebSource("https", web),
            WebSource("http", web),
            LocalFiles(settings.source_folders),
        ),
    )
    sweeper = Sweeper(
        database,
        places.storage,
        places.outputs,
        partials=places.partials,
        ownership=ownership,
        lost_seconds=settings.lost_found_days * 86_400,
    )
    destinations.add(OutputFiles(database, sources, processors, destinations.rejects))
    machine = Machine(
        settings,
        database,
        sources,
        processors,
        destinations,
        make_processors=partial(plugins.make_processors, settings),
        role=role,
        only=only,
        processes=processes,
        sweeper=sweeper,
    )
    limits = OwnerLimits(settings, database)
    factory = JobFactory(settings, processors, limits, machine.enqueue)
    file_jobs = FileJobs(database, processors, factory)
    job_types = JobTypes(processors)
    submitter = Submitter(settings, database, places.storage, limits, factory, job_types, file_jobs)
    statuses = Statuses(database)
    logs.of_process(worker=machine.leases.worker_id)
    end_tracing = tracing.start(
        settings.otel_exporter_otlp_endpoint, role.name.lower(), machine.leases.worker_id
    )
    core = Core(
        settings=settings,
        database=database,
        presence=presence,
        storage=places.storage,
        stores=places,
        sources=sources,
        destinations=destinations,
        embedder=tools.embedder,
        processors=processors,
        machine=machine,
        limits=limits,
        factory=factory,
        submitter=submitter,
        objects=ObjectsSubmitter(
            database,
            sources,
            file_jobs,
            factory,
            Fetcher(settings, places.storage, limits, submitter.decoding),
        ),
        file_jobs=file_jobs,
        job_types=job_types,
        control=Control(database, machine),
        statuses=statuses,
        feed=StatusFeed(statuses),
        users=Users(database),
        end_tracing=end_tracing,
        services={},
    )
    for feature in FEATURES:
        core.services.update(
            {type(service.instance): service for service in feature.services(core)}
        )
    for feature in FEATURES:
        core.job_types.add(feature.job_types(core))
    await machine.start()
    # After each wait for the network, the loop must get the interpreter lock back from parsing
    # threads. At the default of 5 ms it would wait that long for each of them, several times a
    # request.
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()  # exclude the objects loaded so far from every later collection
    gc.set_threshold(100_000, 20, 20)  # a chunk is 10 000 lists of cells without cycles
    return core
