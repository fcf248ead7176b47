"""/metrics: values read from the database and the machine on each request, so that they cannot
drift, and counters of this process since its start.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from app.api.services import Services
from app.db import installation, jobs
from app.errors import TransientError
from app.features import FEATURES
from app.states import JobStatus
from app.telemetry.counters import PROCESS

PRIORITIES = range(11)


async def render(app: Services) -> bytes:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    queued = Gauge("granula_queued_jobs", "Jobs that wait or run", ["priority"], registry=registry)
    depth = Gauge(
        "granula_queue_depth", "Chunks that wait for a worker", ["priority"], registry=registry
    )
    oldest = Gauge(
        "granula_oldest_waiting_seconds",
        "Time since when the oldest waiting chunk could run",
        registry=registry,
    )
    workers = Gauge(
        "granula_workers", "Processes that run jobs of this database", registry=registry
    )
    Gauge("granula_busy_slots", "Turns that are running", registry=registry).set(
        app.machine.pool.busy
    )
    Gauge("granula_slots", "Turns that may run at once", registry=registry).set(
        app.machine.pool.slots
    )
    free = _free_bytes(app)
    if free is not None:
        Gauge(
            "granula_disk_free_bytes", "Free space where uploads are stored", registry=registry
        ).set(free)
    connections = Gauge(
        "granula_database_connections",
        "Connections in the pool of this process",
        ["state"],
        registry=registry,
    )
    pool = app.database.connections
    for state in ("in_use", "idle"):
        connections.labels(state).set(pool[state])
    Gauge(
        "granula_database_connections_max",
        "Limit of open connections in the pool",
        registry=registry,
    ).set(pool["max"])
    up = Gauge("granula_database_up", "1 if the database responds", registry=registry)
    by_status = Gauge("granula_jobs", "Jobs by status", ["status"], registry=registry)
    unknown = Gauge(
        "granula_unknown_files",
        "Files in the storage without a row in the database at the last sweep: in lost+found, "
        "or left in place because they are too many",
        ["state"],
        registry=registry,
    )
    try:
        async with app.database.reading() as connection:
            counts = await jobs.count_by_status(connection)
            active = await jobs.count_active(connection)
            waiting, seconds = await jobs.count_waiting(connection, app.machine.leases.longest_wait)
            swept = await installation.find(connection)
            for feature in FEATURES:
                if feature.metrics is not None:
                    await feature.metrics(connection, registry)
        # Emit zeros too: an autoscaler takes a series that ends for an error and keeps its last
        # value.
        for priority in PRIORITIES:
            queued.labels(str(priority)).set(active.get(priority, 0))
            depth.labels(str(priority)).set(waiting.get(priority, 0))
        oldest.set(seconds)
        workers.set(await app.machine.count_workers())
        up.set(1)
        for status in JobStatus:
            by_status.labels(status).set(counts.get(status, 0))
        unknown.labels("lost_found").set(0 if swept is None else swept.lost_files)
        unknown.labels("held").set(0 if swept is None else swept.held_files)
    except TransientError:
        up.set(0)
    return generate_latest(registry) + generate_latest(PROCESS)


def _free_bytes(app: Services) -> int | None:
    """Return None if the storage cannot report it."""
    try:
        space = app.storage.space()
    except TransientError:
        return None
    return None if space is None else space[0]
