"""Commands as `python -m` runs them, forked from a process that has imported everything: importing
costs more than most commands do. Tests of a start, or of its imports, need a new process.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import runpy
import subprocess
import sys
import termios
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

from tests.forks import Child, address, fork_computing, forks
from tests.harness import ROOT, Server

forks.set_forkserver_preload(["tests.preload", "tests.cli.preload"])

Streams = tuple[int, int, int]
"""Descriptors of the standard input, the standard output and the standard error."""


class Command(Child):
    """Run `python -m MODULE ARGUMENTS` in a session of its own; the input is its terminal if it is
    one. The streams are not closed here. With `computing_log` its compute processes are forked too
    and write there; otherwise they are new interpreters.
    """

    def __init__(
        self,
        words: Sequence[str],
        environment: dict[str, str],
        streams: Streams,
        cwd: Path = ROOT,
        computing_log: Path | None = None,
    ) -> None:
        passed = [Connection(os.dup(stream)) for stream in streams]
        computing = None
        if computing_log is not None:
            computing = (address(), computing_log)
        super().__init__(_main, tuple(words), environment, passed, cwd, computing)
        for connection in passed:
            connection.close()


class Piped:
    """A command with pipes; it can receive signals while it runs."""

    def __init__(
        self,
        *words: object,
        environment: dict[str, str],
        cwd: Path = ROOT,
        stdin: str = "",
    ) -> None:
        self._words = tuple(map(str, words))
        (in_end, ours_in), (ours_out, out_end), (ours_err, err_end) = (os.pipe() for _ in range(3))
        self._process = Command(self._words, environment, (in_end, out_end, err_end), cwd)
        for end in (in_end, out_end, err_end):
            os.close(end)
        self._threads = ThreadPoolExecutor(3)
        self._threads.submit(_write, ours_in, stdin.encode())
        self._out = self._threads.submit(_read, ours_out)
        self._err = self._threads.submit(_read, ours_err)

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.poll()

    def finish(self, seconds: float = 90) -> subprocess.CompletedProcess[str]:
        """Return its exit code and all its output; kill it if it takes longer."""
        try:
            code = self._process.wait(seconds)
        except BaseException:
            self._process.kill()
            raise
        finally:
            self._threads.shutdown()
        return subprocess.CompletedProcess(
            self._words, code, self._out.result(), self._err.result()
        )


def run(
    *words: object,
    environment: dict[str, str],
    cwd: Path = ROOT,
    stdin: str = "",
    seconds: float = 90,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return Piped(*words, environment=environment, cwd=cwd, stdin=stdin).finish(seconds)


def users(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m app users` on the database of this server."""
    environment = {
        **os.environ,
        "DATABASE_URL": server.url,
        "STORAGE_DIR": str(server.storage),
        "NO_COLOR": "1",
    }
    return run("app", "users", *arguments, environment=environment)


def _write(descriptor: int, data: bytes) -> None:
    try:
        with open(descriptor, "wb") as pipe:
            pipe.write(data)
    except BrokenPipeError:  # it reads no more
        pass


def _read(descriptor: int) -> str:
    with open(descriptor, encoding="utf-8") as pipe:
        return pipe.read()


def _main(
    words: tuple[str, ...],
    environment: dict[str, str],
    passed: list[Connection],
    cwd: Path,
    computing: tuple[str, Path] | None,
) -> None:
    """Run in the child."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    further = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [str(cwd), *filter(None, further)]
    os.setsid()
    if computing is not None:
        fork_computing(*computing)
    for number, connection in enumerate(passed):
        os.dup2(connection.fileno(), number)
        connection.close()
    if os.isatty(0):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    out_buffering = 1 if os.isatty(1) else -1
    sys.stdin = open(0, encoding="utf-8", closefd=False)
    sys.stdout = open(1, "w", out_buffering, encoding="utf-8", closefd=False)
    sys.stderr = open(2, "w", 1, encoding="utf-8", closefd=False)
    module, *arguments = words
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        # The order in which an interpreter ends: pools of processes are shut down with the threads,
        # and only then does multiprocessing wait for the processes.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
