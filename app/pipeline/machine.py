"""Machine: the engine. It wires queue, pool and background services, starts them and stops them.

`enqueue` is the seam between the endpoints and the engine. The transaction that creates or changes
a job calls it, and it only says that the job has work. The engine reads what to do from the
database, so it may run in the process of the endpoints or in others (see Role).
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from app.config import Settings
from app.db.engine import Database, after_commit
from app.destinations.registry import Destinations
from app.errors import TransientError
from app.pipeline import apart
from app.pipeline.apart import MakeProcessors
from app.pipeline.chunk_runner import ChunkRunner
from app.pipeline.finisher import Finisher
from app.pipeline.leases import Leases
from app.pipeline.pool import WorkerPool
from app.pipeline.processes import Processes
from app.pipeline.queue import JobQueue
from app.pipeline.reconciler import Reconciler
from app.pipeline.retry import RetryPolicy
from app.pipeline.splitter import Splitter
from app.pipeline.sweeper import Sweeper
from app.pipeline.threads import Threads
from app.pipeline.undoer import Undoer
from app.processors.registry import Processors
from app.sources.base import Sources

if TYPE_CHECKING:
    from app.pipeline.shared_queue import SharedQueue

logger = logging.getLogger(__name__)
GRACE_SECONDS = 20.0


class Role(Enum):
    """Share of the work that a process does."""

    EMBEDDED = "everything"
    """Everything: the only service on its database."""
    API = "takes jobs"
    WORKER = "runs them"


class BackgroundService(Protocol):
    """Work that runs besides the jobs. All of its state is in the database."""

    async def prepare(self) -> None:
        """Prepare at the start of the engine."""

    async def run(self) -> None:
        """Run until cancelled. The engine starts it again if it raises."""

    def close(self) -> None:
        """Close when the engine stops."""


class Machine:
    def __init__(
        self,
        settings: Settings,
        database: Database,
        sources: Sources,
        processors: Processors,
        destinations: Destinations,
        *,
        make_processors: MakeProcessors,
        role: Role = Role.EMBEDDED,
        only: set[UUID] | None = None,
        processes: Processes | None = None,
        sweeper: Sweeper | None = None,
    ) -> None:
        """`make_processors` is called in another process. `only`: work on these jobs and no others;
        the set may grow. `processes`: the machine owns them from now on. `sweeper` of the storage;
        the default leaves partial uploads alone.
        """
        self._settings = settings
        self.role = role
        self._only = only
        self._database = database
        self._processes = processes or Processes(settings.computing, settings.compute_memory_mb)
        threads = max(os.cpu_count() or 1, settings.computing)  # a thread waits for each process
        self._threads = Threads(threads)
        retry = RetryPolicy(settings.max_retries, settings.base_backoff, settings.max_backoff)
        self.is_shared = is_shared = role is not Role.EMBEDDED
        ageing = settings.ageing_seconds
        self.queue: JobQueue | SharedQueue = (
            _shared_queue(database, ageing) if is_shared else JobQueue(ageing)
        )
        parts = sources.outputs
        self.finisher = Finisher(
            database,
            sources,
            destinations,
            delete_file=settings.delete_file_on_complete,
            compute=self._processes.compute,
        )
        worker_id = f"{socket.gethostname()[:40]}:{os.getpid()}:{uuid4().hex[:8]}"
        self.leases = Leases(database, worker_id, settings.lease_seconds, retry.longest_wait)
        self.pool = WorkerPool(
            slots=settings.slots,
            leases=self.leases,
            database=database,
            queue=self.queue,
            processors=processors,
            destinations=destinations,
            splitter=Splitter(database, sources, self.queue, self._processes),
            runner=ChunkRunner(
                database,
                sources,
                destinations,
                retry,
                self._threads,
                self._processes,
                self.queue.rank,
                make_processors,
            ),
            finisher=self.finisher,
            is_shared=is_shared,
        )
        self.undoer = Undoer(database, destinations, settings.undo_keep_days)
        self.reconciler = Reconciler(
            database,
            self.queue,
            self.finisher,
            sources.storage,
            parts,
            self.pool.renew_leases,
            only,
            lease_seconds=settings.lease_seconds,
            undoer=self.undoer,
            is_shared=is_shared,
            rescue_tokens=self._rescue_tokens if is_shared else None,
            sweeper=sweeper,
        )
        self._added: list[BackgroundService] = []
        self._services: list[asyncio.Task[None]] = []
        self._make_processors = make_processors
        self._getting_ready: asyncio.Task[None] | None = None
        self.is_draining = False

    def add(self, service: BackgroundService) -> None:
        """Run a service in the background, in every process that runs jobs. Called before
        `start`.
        """
        self._added.append(service)

    async def start(self) -> None:
        if self.role is Role.API:
            return
        if await self.reconciler.recover():
            self._getting_ready = asyncio.create_task(
                self._get_ready_for_suspects(), name="get ready for suspects"
            )
        added = self._added if self._only is None else []
        for service in added:
            await service.prepare()
        settings = self._settings
        services: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "heartbeat": self._heartbeat,
            "pool": self._run_pool,
            "reconciler": lambda: self.reconciler.run(settings.reconcile_seconds),
        }
        for service in added:
            services[type(service).__name__] = service.run
        self._services = [
            asyncio.create_task(_supervise(name, run), name=name) for name, run in services.items()
        ]

    async def _get_ready_for_suspects(self) -> None:
        try:
            await self.compute(apart.get_ready, self._make_processors)
        except Exception as error:  # the first suspect will show the error
            logger.info("Could not prepare a process for suspect chunks: %r", error)

    async def _run_pool(self) -> None:
        if isinstance(self.queue, JobQueue):
            await self.pool.run(self.queue)
        else:
            await self.queue.run(
                self.pool.take,
                url=self._settings.url,
                concurrency=self.pool.slots,
                heartbeat=self._settings.heartbeat_seconds,
                lease=self._settings.lease_seconds,
            )

    async def stop(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """Begin no new turns; running turns get the grace."""
        self.is_draining = True
        if self._services:
            heartbeat, *others = self._services
            for task in others:
                task.cancel()
            await asyncio.wait(others)
            await self.pool.drain(grace_seconds)
            heartbeat.cancel()
            await asyncio.wait([heartbeat])
        for service in self._added:
            service.close()
        await asyncio.to_thread(self._processes.close)
        self._threads.shutdown()

    async def compute(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return the result of a function of a module, called in a compute process."""
        return await asyncio.to_thread(self._processes.compute, function, *arguments)

    def compute_now(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Compute from a thread, which waits for the result."""
        return self._processes.compute(function, *arguments)

    @property
    def is_healthy(self) -> bool:
        return not any(task.done() for task in self._services) and bool(self._services) == (
            self.role is not Role.API
        )

    @property
    def status(self) -> str:
        """Return `ok`, `draining` or `not running`."""
        if self.is_draining:
            return "draining"
        return "ok" if self.is_healthy else "not running"

    async def count_workers(self) -> int:
        """Count the processes that run jobs of this database now."""
        return (
            1
            if isinstance(self.queue, JobQueue)
            else await self.queue.count_workers(self._settings.lease_seconds)
        )

    async def enqueue(self, connection: AsyncConnection, job_id: UUID, priority: int) -> None:
        """Enqueue a job that may have something to do once this transaction has committed."""
        after_commit(lambda: self.pool.refresh(job_id))
        await self.queue.enqueue(connection, job_id, priority)

    def dispatch(self, job_id: UUID, priority: int) -> None:
        """Enqueue a job that was committed before this process started."""
        self.queue.put(job_id, priority)

    async def _rescue_tokens(self) -> None:
        if not isinstance(self.queue, JobQueue):
            await self.queue.rescue(self._settings.lease_seconds)

    async def _heartbeat(self) -> None:
        while True:
            await asyncio.sleep(self._settings.heartbeat_seconds)
            await self.pool.renew_leases()


def _shared_queue(database: Database, ageing_seconds: float) -> SharedQueue:
    # Imported here: the import takes a tenth of the time to start, and only processes that need it
    # should pay for it.
    from app.pipeline.shared_queue import SharedQueue

    return SharedQueue(database, ageing_seconds)


async def _supervise(name: str, service: Callable[[], Awaitable[None]]) -> None:
    """Run a service until cancelled. Log why it died and start it again."""
    task = asyncio.current_task()
    assert task is not None
    while True:
        try:
            await service()
        except asyncio.CancelledError:
            raise
        except TransientError as error:
            logger.warning("Service %s is waiting: %s", name, error)
        except Exception:
            logger.exception("Service %s crashed; restarting it", name)
        # it failed with another error while it was cancelled, and is not cancelled twice
        if task.cancelling():
            return
        await asyncio.sleep(1.0)
