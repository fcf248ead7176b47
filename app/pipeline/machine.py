"""Machine: the embedded engine. Wires queue, pool and background services, starts them and stops them.

`dispatch` is the seam for other engines: a door tells it that a job has something to do, and nothing more. What is to be
done, and whether, is always read from the database.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

from app.config import Settings
from app.db.engine import Database
from app.embeddings.model import Embedder
from app.errors import TransientError
from app.pipeline.chunk_runner import ChunkRunner
from app.pipeline.finisher import Finisher
from app.pipeline.pool import WorkerPool
from app.pipeline.processes import Processes
from app.pipeline.queue import JobQueue
from app.pipeline.reconciler import Reconciler
from app.pipeline.retry import RetryPolicy
from app.pipeline.splitter import Splitter
from app.pipeline.threads import Threads
from app.pipeline.undoer import Undoer
from app.pipeline.vectors import VectorService
from app.processors.registry import Processors
from app.sinks.base import Sink
from app.sinks.postgres import PostgresSink
from app.sinks.sqlite import SqliteSink
from app.sources.base import Sources
from app.sources.outputs import OutputParts

logger = logging.getLogger(__name__)
GRACE_SECONDS = 20.0


class Machine:
    def __init__(
        self,
        settings: Settings,
        database: Database,
        sources: Sources,
        processors: Processors,
        embedder: Embedder,
        *,
        only: set[UUID] | None = None,
        processes: Processes | None = None,
    ) -> None:
        """`only`: work on these jobs and no others. The set may grow. `processes`: they become its own."""
        self._settings = settings
        self._only = only
        self._database = database
        self._processes = processes or Processes(settings.computing)
        threads = max(os.cpu_count() or 1, settings.computing)  # a thread waits for each process
        self._threads = Threads(threads)
        sink: Sink = (SqliteSink if database.is_sqlite else PostgresSink)(settings.db_row_batch_size)
        retry = RetryPolicy(settings.max_retries, settings.base_backoff, settings.max_backoff)
        self.queue = JobQueue(settings.ageing_seconds)
        parts = OutputParts(settings.outputs_dir)
        self.finisher = Finisher(
            database,
            sources,
            sink,
            parts,
            delete_file=settings.delete_file_on_complete,
            compute=self._processes.compute,
        )
        self.pool = WorkerPool(
            worker_id=f"{socket.gethostname()[:40]}:{os.getpid()}:{uuid4().hex[:8]}",
            slots=settings.slots,
            lease_seconds=settings.lease_seconds,
            database=database,
            queue=self.queue,
            processors=processors,
            splitter=Splitter(database, sources),
            runner=ChunkRunner(database, sources, sink, retry, self._threads, self._processes, parts, self.queue.rank),
            finisher=self.finisher,
        )
        self.undoer = Undoer(database, settings.undo_keep_days)
        self.reconciler = Reconciler(
            database, self.queue, self.finisher, sources.local, parts, self.pool.renew_leases, only, undoer=self.undoer
        )
        self.vectors = VectorService(database, sink, embedder, processors.schemas)
        self._services: list[asyncio.Task[None]] = []
        self.is_draining = False

    async def start(self) -> None:
        await self.reconciler.recover()
        if self._only is None:
            await self.vectors.prepare()
        settings = self._settings
        self._services = [
            asyncio.create_task(_supervise("pool", self.pool.run), name="pool"),
            asyncio.create_task(_supervise("heartbeat", self._heartbeat), name="heartbeat"),
            asyncio.create_task(
                _supervise("reconciler", lambda: self.reconciler.run(settings.reconcile_seconds)), name="reconciler"
            ),
            asyncio.create_task(
                _supervise("vectors", self.vectors.run if self._only is None else _nothing), name="vectors"
            ),
        ]

    async def stop(self) -> None:
        """No new turns; those going on get GRACE_SECONDS."""
        self.is_draining = True
        pool, heartbeat, reconciler, vectors = self._services
        for task in (pool, reconciler, vectors):
            task.cancel()
        await asyncio.wait([pool, reconciler, vectors])
        self.vectors.close()
        await self.pool.drain(GRACE_SECONDS)
        heartbeat.cancel()
        await asyncio.wait([heartbeat])
        await asyncio.to_thread(self._processes.close)
        self._threads.shutdown()

    async def compute(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The result of a function of a module, called in a process beside the service."""
        return await asyncio.to_thread(self._processes.compute, function, *arguments)

    def compute_now(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The same for a thread, which waits for it."""
        return self._processes.compute(function, *arguments)

    @property
    def is_healthy(self) -> bool:
        return bool(self._services) and not any(task.done() for task in self._services)

    def dispatch(self, job_id: UUID, priority: int) -> None:
        """The job may have something to do now."""
        self.pool.refresh(job_id)
        self.queue.put(job_id, priority)

    async def _heartbeat(self) -> None:
        while True:
            await asyncio.sleep(self._settings.heartbeat_seconds)
            await self.pool.renew_leases()


async def _nothing() -> None:
    """For a process that works on its own jobs alone."""
    await asyncio.Event().wait()


async def _supervise(name: str, service: Callable[[], Awaitable[None]]) -> None:
    """Run a service for ever: one that dies is started again, with its reason in the log."""
    while True:
        try:
            await service()
        except asyncio.CancelledError:
            raise
        except TransientError as error:
            logger.warning("Service %s waits: %s", name, error)
        except Exception:
            logger.exception("Service %s died and is started again", name)
        await asyncio.sleep(1.0)
