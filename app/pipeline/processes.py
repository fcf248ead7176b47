"""Compute processes, for processors whose work would keep the interpreter from serving requests.

Every process runs one task at a time, and its death costs only that task: each has its own
executor, because one executor with several processes fails all their tasks when one of them dies. A
process that takes more memory than allowed is ended, and its task fails for that reason.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from multiprocessing.connection import wait
from queue import Empty, LifoQueue
from typing import Any

from app.errors import OutOfMemory, TransientError
from app.pipeline import memory

logger = logging.getLogger(__name__)
NICER_BY = 5
LOOK_SECONDS = 0.05
"""Interval between checks of the memory of a busy process."""


class WorkerDied(Exception):
    """The process that computed ended abruptly."""


class NoneIdle(Exception):
    """Every process is busy, or not started."""


class ComputeStopped(TransientError):
    """The service is shutting down; the chunk is run again after the next start."""


class Processes:
    """At most `count` processes, each started when it is first needed."""

    def __init__(self, count: int, memory_mb: int = 0) -> None:
        """`memory_mb` is the limit of each process in MiB; 0 for none."""
        self._workers = [_Worker(memory_mb << 20) for _ in range(count)]
        # Take the process used last first: little work then starts fewer processes, and their
        # caches stay warm.
        self._idle: LifoQueue[_Worker] = LifoQueue()
        for worker in self._workers:
            self._idle.put(worker)
        self._closed = False
        self._done: set[Callable[..., Any]] = set()
        self._lock = threading.Lock()

    def compute(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return the result of `function(*arguments)`, called in one of the processes; block the
        calling thread until then.

        Raises the exceptions of the function, WorkerDied if the process ended, OutOfMemory if it
        took more memory than allowed, ComputeStopped after `close`.
        """
        return self._compute(self._idle.get(), function, arguments)

    def _compute(
        self, worker: _Worker, function: Callable[..., Any], arguments: tuple[Any, ...]
    ) -> Any:
        try:
            if self._closed:
                raise ComputeStopped
            return worker.run(function, arguments)
        except BrokenProcessPool as error:
            if self._closed:
                raise ComputeStopped from error
            logger.warning("A compute process exited unexpectedly; starting another")
            raise WorkerDied("The process that computed this ended abruptly.") from error
        finally:
            self._idle.put(worker)

    def compute_if_idle(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Compute in a process that has been started and does nothing now; raises NoneIdle if there
        is none, and the errors of `compute`.
        """
        try:
            worker = self._idle.get_nowait()
        except Empty:
            raise NoneIdle from None
        if not worker.is_started:
            self._idle.put(worker)
            raise NoneIdle
        return self._compute(worker, function, arguments)

    def prepare(self, *modules: str) -> None:
        """Start the processes now and let them import these modules; see `get_ready`."""
        self.get_ready(len(self._workers), _import, modules)

    def get_ready(self, count: int, function: Callable[..., Any], *arguments: Any) -> None:
        """Start `count` processes at most and let each call this function, so that the first task
        need not wait for that. Returns immediately; only the first call with the function does
        anything.
        """
        with self._lock:
            if function in self._done or self._closed:
                return
            self._done.add(function)
        for _ in self._workers[:count]:
            threading.Thread(
                target=self._get_ready,
                args=(function, arguments),
                name="prepare process",
                daemon=True,
            ).start()

    def _get_ready(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        try:
            self.compute(function, *arguments)
        except ComputeStopped:
            pass
        except Exception as error:  # the task that needs them gets the error
            logger.info("Could not prepare a compute process: %r", error)

    def close(self) -> None:
        """End all processes, including busy ones; block until they have ended."""
        self._closed = True
        for worker in self._workers:
            worker.close()


class _Worker:
    def __init__(self, memory_bytes: int) -> None:
        self._executor: ProcessPoolExecutor | None = None
        self._pid = 0
        self._memory_bytes = memory_bytes

    @property
    def is_started(self) -> bool:
        return self._executor is not None

    def run(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        if self._memory_bytes and memory.private_bytes(self._pid) > self._memory_bytes // 2:
            self._kill()  # an earlier task left processes there: none counts for the next one
            self._discard()
        future = None
        if self._executor is not None:
            try:
                future = self._executor.submit(function, *arguments)
            except BrokenProcessPool:  # it died while idle, which is no fault of this task
                self._discard()
        if self._executor is None:
            # A fork would copy the locks that other threads hold.
            context = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(
                1, mp_context=context, initializer=begin, initargs=(self._memory_bytes,)
            )
        try:
            if future is None:
                self._pid = self._executor.submit(os.getpid).result()
                future = self._executor.submit(function, *arguments)
            return self._result(future)
        except BrokenProcessPool:
            self._discard()
            raise

    def _result(self, future: Future[Any]) -> Any:
        is_over = False
        while not future.done():
            wait_for([future], LOOK_SECONDS)
            if (
                self._memory_bytes
                and not is_over
                and memory.private_bytes(self._pid) > self._memory_bytes
            ):
                is_over = not future.done()
                if is_over:
                    self._kill()
        try:
            return future.result()
        except (BrokenProcessPool, MemoryError) as error:
            if not is_over and isinstance(error, BrokenProcessPool):
                raise
            self._kill()
            self._discard()
            raise OutOfMemory(_needs_more(self._memory_bytes)) from error

    def _kill(self) -> None:
        # Signal by the object, which knows whether the pid is still its own.
        for child in multiprocessing.active_children():
            if child.pid == self._pid:
                child.kill()

    def _discard(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=False)
        self._executor, self._pid = None, 0

    def close(self) -> None:
        executor = self._executor
        if executor is None:
            return
        self._kill()
        executor.shutdown(wait=True)


def _needs_more(most_bytes: int) -> str:
    if not most_bytes:
        return "This needs more memory than is available."
    return (
        f"This needs more than the {most_bytes >> 20} MiB that a compute process may use "
        "(COMPUTE_MEMORY_MB)."
    )


def _import(modules: Sequence[str]) -> None:
    for module in modules:
        import_module(module)


def begin(memory_bytes: int) -> None:
    """Prepare the new process. It must not outlive the service, in whatever way that ends: an idle
    one would wait forever.
    """
    if memory_bytes:
        memory.limit(memory_bytes)
    os.nice(NICER_BY)  # the service and its clients have priority
    # Ctrl-C reaches the whole group, and systemd signals all of it; the service ends its processes
    # when it is ready.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(
        target=_end_with, args=(parent.sentinel,), name="parent watch", daemon=True
    ).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
