"""Processes beside the service: one that dies costs its task, and none of them is waited for at the end."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.pipeline.processes import ComputeStopped, Processes, WorkerDied
from tests.harness import wait_until


def die(begun: Path) -> None:
    begun.touch()
    os.kill(os.getpid(), signal.SIGKILL)


def hold(begun: Path, released: Path) -> int:
    begun.touch()
    deadline = time.monotonic() + 60
    while not released.exists() and time.monotonic() < deadline:
        pass
    return os.getpid()


def is_imported(module: str) -> bool:
    return module in sys.modules


@pytest.fixture
def processes() -> Iterator[Processes]:
    made = Processes(2)
    yield made
    made.close()


def test_a_process_that_dies_costs_its_task_and_no_other(processes: Processes, tmp_path: Path) -> None:
    begun, released = tmp_path / "begun", tmp_path / "released"
    with ThreadPoolExecutor(2) as threads:
        held = threads.submit(processes.compute, hold, begun, released)
        wait_until(begun.exists, 30, "beginning")
        for i in range(2):
            with pytest.raises(WorkerDied):
                processes.compute(die, tmp_path / f"dying-{i}")
        other = processes.compute(os.getpid)
        released.touch()
        assert held.result(30) not in (other, os.getpid())


def test_an_exception_comes_back_and_the_process_stays(processes: Processes) -> None:
    first = processes.compute(os.getpid)
    with pytest.raises(ValueError, match="invalid literal"):
        processes.compute(int, "x")
    assert processes.compute(os.getpid) == first, "one is enough for one caller"


def test_a_prepared_process_has_imported_what_its_tasks_need(processes: Processes) -> None:
    processes.prepare("xmlrpc.client")
    wait_until(lambda: processes.compute(is_imported, "xmlrpc.client"), what="import")


def test_closing_ends_work_that_would_never_end(tmp_path: Path) -> None:
    processes = Processes(1)
    with ThreadPoolExecutor(2) as threads:
        pid = processes.compute(os.getpid)
        working = threads.submit(processes.compute, hold, tmp_path / "begun", tmp_path / "never")
        waiting = threads.submit(processes.compute, os.getpid)
        wait_until((tmp_path / "begun").exists, 30, "beginning")
        processes.close()
        for stopped in (working, waiting):
            with pytest.raises(ComputeStopped):
                stopped.result(30)
    assert not Path(f"/proc/{pid}").exists()
