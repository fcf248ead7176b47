"""The service in a loop that the test owns, over a real database, and its simulated death.

`Engine` runs the whole service in the process of the test: requests go through its routes, and the
machine works while the test runs the loop. At a fail point that kills, the engine dies like a
killed process:

- The loop stops at this very instruction. No task and no callback runs any further.
- Connections are cut: PostgreSQL sees a closed socket, SQLite a closed handle. The client rolls
  nothing back.
- From then on, code of this life changes nothing. Code that unwinds in a thread or in a `finally`,
  and opens, renames or removes a file or needs a connection, gets `Gone`.

`start` begins another life on the same database and folder. What needs a process that ends is
tested in tests/acceptance/crash.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import Connection, event
from sqlalchemy import Engine as SqlEngine
from sqlalchemy.pool import Pool

from app import failpoints, wiring
from app.api.services import Services
from app.config import Settings, load_settings
from app.db.presence import Presence
from app.pipeline import apart, machine
from app.pipeline.processes import NoneIdle
from app.pipeline.queue import JobQueue
from tests.crash.service import ServiceFolder
from tests.harness import Api

Value = TypeVar("Value")
PIECE_BYTES = 64 << 10
BURIAL_SECONDS = 5.0


class Died(SystemExit):
    """Raised by a fail point that kills. An event loop stops immediately for no other kind of
    exception.
    """


class Gone(BaseException):
    """Raised in code of a dead life that tries to change something."""


class _Life:
    """One life, from a start to an end: a loop, its connections, and whether it has died."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.is_dead = False
        self.is_over = False
        self.connections: list[Any] = []
        """Connections of the drivers."""
        self.presences: list[Presence] = []
        self.thread = threading.get_ident()

    def die(self) -> None:
        """Called at the fail point, in the thread of the loop or in another."""
        self.is_dead = True
        # Before all other callbacks: code that unwinds here may await in a `finally`, and so let
        # others run.
        self.loop._ready.appendleft(asyncio.Handle(self._stop, (), self.loop))  # type: ignore[attr-defined]
        if threading.get_ident() == self.thread:
            self.cut_connections()
        else:
            self.loop.call_soon_threadsafe(_nothing)  # it may be asleep
        raise Died

    def _stop(self) -> None:
        if not self.is_over:
            self.cut_connections()
            raise Died

    def cut_connections(self) -> None:
        for connection in self.connections:
            if hasattr(connection, "terminate"):
                connection.terminate()
            else:
                # Shut down the socket too: a connection that is only closed keeps its locks while
                # somebody holds one of its cursors.
                connection._tx.put_nowait((None, partial(_roll_back, connection)))
                connection.stop()
                connection._thread.join(BURIAL_SECONDS)
        self.connections.clear()


def _roll_back(connection: Any) -> None:
    """Run in the thread of the connection."""
    if connection._connection is not None:
        connection._connection.rollback()


def _nothing() -> None: ...


_life: ContextVar[_Life | None] = ContextVar("life", default=None)
_CHANGES = frozenset(
    {
        "os.remove",
        "os.rename",
        "os.mkdir",
        "os.rmdir",
        "os.link",
        "os.truncate",
        "os.utime",
        "shutil.rmtree",
    }
)


def _refuse_the_dead(name: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: see sys.addaudithook."""
    if name != "open" and name not in _CHANGES:
        return
    life = _life.get()
    if life is None or not life.is_dead:
        return
    if name == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        return
    raise Gone


def _refuse_connection(*_: Any) -> None:
    life = _life.get()
    if life is not None and life.is_dead:
        raise Gone


def _remember_connection(connection: Any, record: Any) -> None:
    life = _life.get()
    if life is not None:
        life.connections.append(connection.driver_connection)


class _Compiled(dict[Any, Any]):
    """Statements compiled so far by all lives of this process, by the kind of database. Otherwise
    each life would compile them for each of its engines, a quarter of its work.
    """

    @staticmethod
    def _of_kind(key: tuple[Any, ...]) -> tuple[Any, ...]:
        dialect, *rest = key
        return (dialect.name, *rest)

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(self._of_kind(key), default)

    def __setitem__(self, key: Any, compiled: Any) -> None:
        super().__setitem__(self._of_kind(key), compiled)


_compiled = _Compiled()


def _share_compiled(connection: Connection) -> None:
    if _life.get() is not None:
        connection.engine._compiled_cache = _compiled


_is_watching = False


def _watch() -> None:
    """Install once per process: a hook cannot be removed."""
    global _is_watching
    if _is_watching:
        return
    _is_watching = True
    sys.addaudithook(_refuse_the_dead)
    event.listen(SqlEngine, "do_connect", _refuse_connection)
    event.listen(Pool, "connect", _remember_connection)
    event.listen(SqlEngine, "engine_connect", _share_compiled)


class Here:
    """Replaces compute processes: the thread that waits calls the function itself."""

    def __init__(self, count: int, memory_mb: int = 0) -> None: ...

    def compute(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    def compute_if_idle(self, function: Callable[..., Any], *arguments: Any) -> Any:
        raise NoneIdle

    def prepare(self, *modules: str) -> None: ...

    def get_ready(self, count: int, function: Callable[..., Any], *arguments: Any) -> None: ...

    def close(self) -> None: ...


class _Presence(Presence):
    """Locks that end with their life."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        life = _life.get()
        assert life is not None
        life.presences.append(self)


class _Pieces(httpx.AsyncByteStream):
    """A body as a server receives it."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._data), PIECE_BYTES):
            yield self._data[start : start + PIECE_BYTES]
            await asyncio.sleep(0)


class _Transport(httpx.BaseTransport):
    """Requests of an ordinary client to the engine. One that dies meanwhile sends no response, like
    a lost connection.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        data = request.read()
        with suppress(Died):
            return self._engine.run(self._answer(request, data))
        raise httpx.RemoteProtocolError("the service died before it answered")

    async def _answer(self, request: httpx.Request, data: bytes) -> httpx.Response:
        asked = httpx.Request(
            request.method, request.url, headers=request.headers, stream=_Pieces(data)
        )
        inner = httpx.ASGITransport(self._engine.app, raise_app_exceptions=False)
        answer = await inner.handle_async_request(asked)
        content = await answer.aread()
        return httpx.Response(
            answer.status_code, headers=answer.headers, content=content, request=request
        )


class EngineApi(Api):
    def __init__(self, client: httpx.Client, engine: Engine) -> None:
        super().__init__(client)
        self._engine = engine

    def wait_until(
        self,
        probe: Callable[[], Value | Literal[False] | None],
        seconds: float = 30,
        what: str = "condition",
    ) -> Value:
        return self._engine.wait_until(probe, seconds, what)

    def finished(self, file_id: str, seconds: float = 60) -> dict[str, Any]:
        self._engine.run_until_idle(seconds)
        return super().finished(file_id, seconds)


class Engine(ServiceFolder):
    """The service over one database and one folder, one life after another."""

    def __init__(self, url: str, storage: Path, **environment: object) -> None:
        super().__init__(url, storage)
        self.environment = environment
        self.services: Services
        """The settings of this life."""
        self._current: _Life | None = None
        self._lives = 0
        self._patch = pytest.MonkeyPatch()
        self._living: asyncio.Task[None]
        self._end: asyncio.Event

    @property
    def life(self) -> _Life:
        assert self._current is not None, "the engine is not started"
        return self._current

    @property
    def is_alive(self) -> bool:
        return self._current is not None and not self._current.is_dead

    # ------------------------------------------------------------------ lives

    def start(self, **extra: object) -> Engine:
        """Begin a life; return when the service is ready or has died."""
        assert not self.is_alive
        self._lives += 1
        _watch()
        self._forget()
        gc.freeze()  # so that searching for leftovers of this life takes no time
        self._patch.setenv("CRASH_FLAGS", str(self.flags))
        self._patch.setattr(failpoints, "die", lambda: self.life.die())
        self._patch.setattr(machine, "Processes", Here)
        self._patch.setattr(wiring, "Presence", _Presence)
        apart._made.clear()
        given = {name.lower(): value for name, value in {**self.environment, **extra}.items()}
        settings = load_settings(
            database_url=self.url, storage_dir=self.storage, min_free_disk_mb=0, **given
        )
        self.app = _make_app(settings)
        self._current = life = _Life()
        life.loop.set_exception_handler(lambda *_: None)
        with suppress(Died), _process_settings():
            self._run_in(life, self._begin())
        if life.is_dead:
            self._bury()
        return self

    async def _begin(self) -> None:
        ready = asyncio.Event()
        self._end = asyncio.Event()

        async def live() -> None:
            try:
                async with self.app.router.lifespan_context(self.app):
                    self.services = self.app.state.services
                    ready.set()
                    await self._end.wait()
            finally:
                ready.set()

        self._living = asyncio.create_task(live(), name="life")
        await ready.wait()
        if self._living.done():
            await self._living

    def stop(self) -> None:
        """Stop in order."""

        async def stop() -> None:
            self._end.set()
            await self._living

        self.run(stop())
        self.life.is_dead = True
        self._bury()

    def kill(self) -> None:
        """Die now, at any point."""
        if self._current is None:
            return
        self.life.is_dead = True
        self._bury()

    def end(self) -> None:
        """End in whatever state it is, after a test."""
        self.kill()
        self._patch.undo()
        self._forget()
        gc.unfreeze()
        if self._lives > 1:
            # An earlier life was frozen while its death was still being handled. What is left of it
            # must not disturb whichever test runs when the collector finds it.
            with warnings.catch_warnings(action="ignore"):
                gc.collect()

    def _forget(self) -> None:
        """Collect the garbage of the last life without warnings about files that it never
        closed.
        """
        if "app" not in self.__dict__:
            return  # there was none, and nothing is frozen yet: collecting everything takes long
        for name in ("app", "services", "_living", "_end"):
            self.__dict__.pop(name, None)
        with warnings.catch_warnings(action="ignore"):
            gc.collect()

    def _bury(self) -> None:
        """Release everything that the dead life holds. Code of it that runs once more can change
        nothing.
        """
        life = self.life
        if life.is_over:
            return
        life.is_over = True
        failpoints.arm("")
        with warnings.catch_warnings(action="ignore"):  # nobody closes the files of the dead life
            for task in asyncio.all_tasks(life.loop):
                task.cancel()  # before the first of them takes another step
            self._run_in(life, _bury(life))
            # Threads of drivers that are still busy notify the loop when they are done.
            life.loop.call_soon_threadsafe = lambda *_, **__: None  # type: ignore[method-assign, assignment]
            life.loop.close()
            self._current = None
            gc.collect()

    # ------------------------------------------------------------------ the loop

    def run(self, work: Coroutine[Any, Any, Value]) -> Value:
        """Run the engine until this work is done. Raises Died, after cleaning up, if it dies
        first.
        """
        if self._current is None:
            work.close()
            raise Died
        life = self.life
        with suppress(Died):
            value = self._run_in(life, work)
            if not life.is_dead:  # a thread may have died while the last of this was done
                return value
        life.is_dead = True
        self._bury()
        raise Died

    @staticmethod
    def _run_in(life: _Life, work: Coroutine[Any, Any, Value]) -> Value:
        token = _life.set(life)
        task = life.loop.create_task(work)
        try:
            return life.loop.run_until_complete(task)
        finally:
            _life.reset(token)

    def wait_until(
        self,
        probe: Callable[[], Value | Literal[False] | None],
        seconds: float = 30,
        what: str = "condition",
    ) -> Value:
        """Return the first true value of `probe` while the engine works; raise AssertionError after
        the deadline. Polls less often over time, like `tests.harness.wait_until`.
        """
        began = time.monotonic()
        while not (value := probe()):
            waited = time.monotonic() - began
            assert waited < seconds, f"{what} not reached within {seconds} s (last: {value!r})"
            self.run(asyncio.sleep(min(0.005 + waited / 20, 0.05)))
        return value

    def wait_for_death(self, seconds: float = 30) -> None:
        """Wait until it has died at its fail point."""

        async def live_on() -> None:
            await asyncio.sleep(seconds)

        with suppress(Died):
            self.run(live_on())
        assert not self.is_alive, f"nothing died within {seconds} s"

    def change(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run SQL that writes while the engine works: a stopped engine may hold the lock of
        SQLite.
        """
        return self.run(asyncio.to_thread(self.sql, *statements))

    def run_until_idle(self, seconds: float = 30) -> None:
        """Wait until the machine has nothing to do and waits for nothing of its own."""
        pool, queue = self.services.machine.pool, self.services.machine.queue
        assert isinstance(queue, JobQueue)
        self.wait_until(
            lambda: not (pool.busy or pool._detached or len(queue) or queue._timers),
            seconds,
            "idleness",
        )

    # ------------------------------------------------------------------ its users

    def client(self) -> httpx.Client:
        return httpx.Client(transport=_Transport(self), base_url="http://127.0.0.1")

    @contextmanager
    def api(self) -> Iterator[EngineApi]:
        with self.client() as client:
            yield EngineApi(client, self)


def _make_app(settings: Settings) -> FastAPI:
    """The service writes its usual log, except for what pytest configured."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        from app.main import create_app

        return create_app(settings)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


@contextmanager
def _process_settings() -> Iterator[None]:
    """The service configures its process; this process belongs to pytest."""
    interval = sys.getswitchinterval()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("collect", "freeze", "set_threshold"):
            patch.setattr(gc, name, lambda *_: None)
        yield
    sys.setswitchinterval(interval)


async def _bury(life: _Life) -> None:
    life.cut_connections()
    mine = asyncio.current_task()
    with suppress(TimeoutError):
        async with asyncio.timeout(BURIAL_SECONDS):
            while left := [task for task in asyncio.all_tasks() if task is not mine]:
                for task in left:
                    task.cancel()
                await asyncio.wait(left, timeout=0.05)
    for presence in life.presences:
        with suppress(Exception, Gone):
            await presence.release()
    life.cut_connections()
