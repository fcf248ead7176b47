"""Compute processes: one that dies costs its task, and a shutdown waits for none of them."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from app.errors import OutOfMemory
from app.pipeline.processes import ComputeStopped, NoneIdle, Processes, WorkerDied
from tests.acceptance.pipeline.hungry import keep, take, take_at_once
from tests.conftest import Databases
from tests.forks import Server
from tests.harness import Api, wait_until


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


def test_a_process_that_dies_costs_its_task_and_no_other(
    processes: Processes, tmp_path: Path
) -> None:
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


def test_an_exception_is_returned_and_the_process_stays(processes: Processes) -> None:
    first = processes.compute(os.getpid)
    with pytest.raises(ValueError, match="invalid literal"):
        processes.compute(int, "x")
    assert processes.compute(os.getpid) == first, "one is enough for one caller"


def test_a_prepared_process_has_imported_the_modules_of_its_tasks(processes: Processes) -> None:
    processes.prepare("xmlrpc.client")
    wait_until(lambda: processes.compute(is_imported, "xmlrpc.client"), what="import")


def test_only_a_started_process_without_a_task_is_idle(
    processes: Processes, tmp_path: Path
) -> None:
    begun, released = tmp_path / "begun", tmp_path / "released"
    with pytest.raises(NoneIdle):
        processes.compute_if_idle(os.getpid)
    pid = processes.compute(os.getpid)
    assert processes.compute_if_idle(os.getpid) == pid
    with ThreadPoolExecutor(1) as threads:
        held = threads.submit(processes.compute_if_idle, hold, begun, released)
        wait_until(begun.exists, 30, "beginning")
        with pytest.raises(NoneIdle):
            processes.compute_if_idle(os.getpid)
        released.touch()
        assert held.result(30) == pid


def test_two_processes_read_a_large_file_and_one_that_is_killed_costs_no_row(
    databases: Databases, tmp_path: Path
) -> None:
    storage = tmp_path / "storage"
    # with a limit they are new interpreters, as outside of tests
    server = Server(databases.create(storage), storage, BASE_BACKOFF=0, COMPUTE_MEMORY_MB=1024)
    try:
        with server.start().client() as client:
            api = Api(client)
            assert server.process is not None
            service = psutil.Process(server.process.pid)
            large = "id,name\n" + "".join(f"{i},{'x' * 90}\n" for i in range(50_000))
            first = api.run(large.encode())
            wait_until(lambda: len(readers(service)) == 2, 30, "start of both processes")
            before = {reader.pid: seconds(reader) for reader in readers(service)}
            second = api.upload((large + "50000,y\n").encode())
            wait_until(
                lambda: any(
                    seconds(reader) > before[reader.pid] + 0.02 for reader in readers(service)
                ),
                30,
                "work of a process",
            )
            readers(service)[0].kill()
            ended = api.finished(second["file_id"])
            assert (first["rows"]["ok"], ended["rows"]["ok"]) == (50_000, 50_001)
            assert api.proof(second["file_id"])["closes"]
    finally:
        server.stop()


def readers(service: psutil.Process) -> list[psutil.Process]:
    """Return the compute processes that have imported what they need, and so are idle or busy."""
    return [
        child
        for child in service.children()
        if "spawn_main" in " ".join(child.cmdline()) and child.nice() > service.nice()
    ]


def seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def test_closing_ends_work_that_hangs(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("work", [take, take_at_once])
def test_a_task_over_its_memory_limit_fails_and_no_other_does(
    work: Callable[[int], int],
) -> None:
    processes = Processes(2, memory_mb=200)
    try:
        assert processes.compute(work, 50) > 0
        for _ in range(2):
            with pytest.raises(OutOfMemory, match="200 MiB"):
                processes.compute(work, 8000)
        assert processes.compute(work, 50) > 0
        assert peak_of_children() < 4 << 30, "the machine was never asked for all of it"
    finally:
        processes.close()


def test_memory_that_a_task_leaves_is_not_counted_with_the_next() -> None:
    processes = Processes(1, memory_mb=200)
    try:
        first = processes.compute(keep, 150)
        assert processes.compute(keep, 150) != first
    finally:
        processes.close()


def peak_of_children() -> int:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10


def test_a_chunk_over_the_memory_limit_fails_once_and_other_jobs_complete(
    databases: Databases, tmp_path: Path
) -> None:
    storage = tmp_path / "storage"
    server = Server(
        databases.create(storage),
        storage,
        PROCESSORS="tests.acceptance.pipeline.hungry:Hungry",
        COMPUTE_MEMORY_MB=200,
    )
    try:
        with server.start().client() as client:
            api = Api(client)
            rows = [f"{i},{4000 if i == 250 else 0}" for i in range(400)]
            body = ("id,mib\n" + "\n".join(rows) + "\n").encode()
            hungry = api.upload(body, processor="hungry", chunk_size=100)
            assert api.run(b"id,n\n1,1\n2,2\n")["status"] == "completed"
            ended = api.finished(hungry["file_id"])
            assert (ended["processed_chunks"], ended["failed_chunks"]) == (3, 1)
            chunks = client.get(f"/api/v1/jobs/{hungry['job_id']}/chunks").json()["items"]
            (failed,) = [chunk for chunk in chunks if chunk["status"] == "failed"]
            assert (failed["error"]["code"], failed["attempt"]) == ("out_of_memory", 1)
            assert "COMPUTE_MEMORY_MB" in failed["error"]["message"]
    finally:
        server.stop()
