"""The server of nearly all tests: forked from a process that has imported everything, so that a
start costs a fraction of a second. What runs is the same; `tests.harness.Server` starts it by its
command.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from app.cli.serve import KEEP_ALIVE_SECONDS
from tests import harness
from tests.harness import ROOT

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["tests.preload"])


class Server(harness.Server):
    @staticmethod
    def _main(port: int) -> None:
        """In the child: `python -m uvicorn app.main:app`."""
        import uvicorn

        uvicorn.run(
            "app.main:app", port=port, access_log=False, timeout_keep_alive=KEEP_ALIVE_SECONDS
        )

    def _spawn(self, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        return _Child(self._main, self.port, environment, self.log)  # type: ignore[return-value]


def work(port: int) -> None:
    """In the child: `python -m app worker --metrics-port PORT`."""
    sys.argv = ["app", "worker", "--metrics-port", str(port)]
    from app.cli.main import run

    run()


def _run(main: Callable[[int], None], port: int, environment: dict[str, str], log: Path) -> None:
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    main(port)


class _Child:
    """The part of subprocess.Popen that tests use."""

    def __init__(self, *arguments: object) -> None:
        self._process = _forks.Process(target=_run, args=arguments)
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:  # until then the number is its own
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
