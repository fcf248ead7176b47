"""The server of nearly all tests, and its compute processes: forked from a process that has
imported everything, so that a start takes a fraction of a second. The code is the same;
`tests.harness.Server` starts it by its command, with new interpreters as compute processes.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

from app.cli.serve import KEEP_ALIVE_SECONDS
from tests import harness
from tests.harness import ROOT

forks = multiprocessing.get_context("forkserver")
forks.set_forkserver_preload(["tests.preload"])


class Server(harness.Server):
    @staticmethod
    def _main(port: int) -> None:
        """Run `python -m uvicorn app.main:app` in the child."""
        import uvicorn

        uvicorn.run(
            "app.main:app", port=port, access_log=False, timeout_keep_alive=KEEP_ALIVE_SECONDS
        )

    @property
    def forks_computing(self) -> bool:
        """Do not fork processes with limited memory: shared pages would count."""
        return "COMPUTE_MEMORY_MB" not in self.environment

    def _spawn(self, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        forks_at = address() if self.forks_computing else None
        return Child(_run, self._main, self.port, environment, self.log, forks_at)  # type: ignore[return-value]


def work(port: int) -> None:
    """Run `python -m app worker --metrics-port PORT` in the child."""
    sys.argv = ["app", "worker", "--metrics-port", str(port)]
    from app.cli.main import run

    run()


def _run(
    main: Callable[[int], None],
    port: int,
    environment: dict[str, str],
    log: Path,
    forks_at: str | None,
) -> None:
    """Run in the child; `forks_at` is the address of the process that forked it."""
    sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    _take_over(environment, log)
    if forks_at:
        fork_computing(forks_at, log)
    main(port)


def _take_over(environment: dict[str, str], log: Path) -> None:
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def address() -> str:
    """Address of the process from which others are forked."""
    forkserver.ensure_running()
    return str(forkserver._forkserver._forkserver_address)  # type: ignore[attr-defined]


def fork_computing(forks_at: str, log: Path) -> None:
    """Fork the compute processes of a forked child from the same process, and write to this log."""
    forkserver._forkserver._forkserver_address = forks_at  # type: ignore[attr-defined]
    forkserver._forkserver.ensure_running = resource_tracker.ensure_running  # type: ignore[method-assign]
    context = _ComputingContext(log)
    multiprocessing.get_context = lambda method=None: context  # type: ignore[assignment]


class _Computing(ForkServerProcess):
    """A compute process with what a new interpreter inherits: environment and output."""

    def __init__(self, log: Path, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._inherited = (dict(os.environ), log)

    def run(self) -> None:
        _take_over(*self._inherited)
        super().run()


class _ComputingContext(ForkServerContext):
    def __init__(self, log: Path) -> None:
        super().__init__()
        self._log = log

    def Process(self, **arguments: Any) -> ForkServerProcess:  # type: ignore[override]
        return _Computing(self._log, **arguments)


class Child:
    """A process that calls a function; has the part of subprocess.Popen that tests use."""

    def __init__(self, target: Callable[..., None], *arguments: object) -> None:
        self._process = forks.Process(target=target, args=arguments)
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:  # until then the pid stays reserved
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        assert code is not None, f"process {self.pid} did not end within {timeout} s"
        return code
