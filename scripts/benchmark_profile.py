"""Analysis beside DuckDB's SUMMARIZE on the same file, in one run. The service runs as it does in
production.

.venv/bin/python scripts/benchmark_profile.py --rows 2000000 --repeat 3 --kind json

On a busy machine compare the seconds of CPU: those of DuckDB, and those of the service with its
computing processes.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import duckdb
import psutil

from tests.harness import Api, Server, migrate

CITIES = ["Berlin", "Paris", "Lisbon", "Oslo", "Rome", "Vienna", "Madrid", "Prague"]
HEADER = "id,customer,amount,day,at,city,active,email,quantity,note"


def write_file(path: Path, rows: int) -> None:
    """Write ten columns of all types; the same for the same number of rows."""
    rng = random.Random(1)
    with path.open("w", encoding="utf-8", newline="") as out:
        out.write(HEADER + "\n")
        for i in range(rows):
            who = rng.randrange(rows // 5 + 1)
            out.write(
                f"{i},customer"
                f" {who},{rng.random() * 1000:.2f},2026-{1 + i % 12:02}-{1 + i % 28:02},"
                f"2026-03-04T{i % 24:02}:{i % 60:02}:{i % 59:02}Z,{rng.choice(CITIES)},{'true' if i % 3 else 'false'},"
                f"user{who}@example.com,{rng.randrange(100)},{'' if i % 4 else f'note {i}'}\n"
            )


def as_quoted(source: Path, target: Path) -> None:
    """Write the same rows with each cell in quotes."""
    with source.open(newline="") as rows, target.open("w", newline="") as out:
        csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(csv.reader(rows))


def as_json_lines(source: Path, target: Path) -> None:
    """Write the same rows as objects, with numbers and booleans."""
    with source.open(newline="") as rows, target.open("w", encoding="utf-8") as out:
        for row in csv.DictReader(rows):
            record: dict[str, Any] = dict(row)
            record["id"], record["quantity"] = int(row["id"]), int(row["quantity"])
            record["amount"], record["active"] = float(row["amount"]), row["active"] == "true"
            out.write(json.dumps(record) + "\n")


@dataclass(frozen=True, slots=True)
class Kind:
    ending: str
    media_type: str
    reader: str
    """Reader function of DuckDB."""
    write: Callable[[Path, Path], None] | None = None
    """Writes (source as plain CSV, target); None for the source itself."""


KINDS = {
    "csv": Kind("csv", "text/csv", "read_csv"),
    "quoted": Kind("csv", "text/csv", "read_csv", as_quoted),
    "json": Kind("jsonl", "application/x-ndjson", "read_json", as_json_lines),
}


def cpu_seconds(pid: int) -> tuple[float, float]:
    """Return the seconds of (the service, its compute processes)."""
    service = psutil.Process(pid)
    children = sum(sum(child.cpu_times()[:2]) for child in service.children(recursive=True))
    return float(sum(service.cpu_times()[:2])), float(children)


def own_cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def memory(pid: int) -> tuple[float, float]:
    """Return the memory in MiB of (the service, the service with its compute processes)."""
    service = psutil.Process(pid)
    own = service.memory_info().rss
    children = sum(child.memory_info().rss for child in service.children(recursive=True))
    return own / 2**20, (own + children) / 2**20


def analyse(api: Api, file_id: str) -> float:
    """Return the seconds from the request to the final status."""
    begin = time.perf_counter()
    job_id = api.client.post("/api/v1/jobs/analyze?fresh=true", json={"file_id": file_id}).json()[
        "job_id"
    ]
    # polling would cost CPU time
    with api.client.stream("GET", f"/api/v1/status/{job_id}/events", timeout=600) as events:
        for _ in events.iter_lines():
            pass
    seconds = time.perf_counter() - begin
    # the stream ends with the job
    assert api.client.get(f"/api/v1/jobs/{job_id}/result").status_code == 200
    return seconds


def summarize(path: Path, reader: str) -> tuple[float, float]:
    """Return (seconds, CPU seconds)."""
    begin, used = time.perf_counter(), own_cpu_seconds()
    with duckdb.connect() as connection:
        connection.execute(f"SUMMARIZE FROM {reader}('{path}')").fetchall()
    return time.perf_counter() - begin, own_cpu_seconds() - used


def peak_of(pid: int, work: Callable[[], float]) -> tuple[float, float, float]:
    """Return (seconds, MiB of the service, MiB with its processes), with the memory at its peak."""
    done = threading.Event()
    seen = [(0.0, 0.0)]

    def watch() -> None:
        while not done.wait(0.1):
            try:
                seen.append(memory(pid))
            except psutil.Error:
                continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    seconds = work()
    done.set()
    watcher.join()
    return seconds, max(own for own, _ in seen), max(total for _, total in seen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--kind", choices=KINDS, default="csv")
    arguments = parser.parse_args()
    kind = KINDS[arguments.kind]
    with tempfile.TemporaryDirectory(prefix="granula-benchmark-") as name:
        folder = Path(name)
        plain = path = folder / "data.csv"
        write_file(plain, arguments.rows)
        if kind.write is not None:
            path = folder / f"{arguments.kind}.{kind.ending}"
            kind.write(plain, path)
        size = path.stat().st_size
        print(f"{arguments.rows} rows, 10 columns, {size / 1e6:.0f} MB, {arguments.kind}")
        storage = folder / "storage"
        storage.mkdir()
        url = f"sqlite+aiosqlite:///{storage / 'granula.db'}"
        migrate(url)
        server = Server(url, storage, MAX_UPLOAD_MB=20_000).start()
        assert server.process is not None
        pid = server.process.pid
        ours, theirs = [], []
        our_cpu, their_cpu = [], []
        with server.client() as client:
            api = Api(client)
            with path.open("rb") as body:
                answer = client.post(
                    "/api/v1/upload",
                    params={"processor": "profile"},
                    content=body,
                    headers={"Content-Type": kind.media_type},
                )
            file_id = answer.json()["file_id"]
            api.finished(file_id, 600)  # also starts the processes, which a running service has
            for _ in range(arguments.repeat):  # in turns, so that both run under the same load
                seconds, used = summarize(path, kind.reader)
                theirs.append(seconds)
                their_cpu.append(used)
                service_before, computing_before = cpu_seconds(pid)
                seconds, own, total = peak_of(pid, lambda: analyse(api, file_id))
                service, computing = cpu_seconds(pid)
                service, computing = service - service_before, computing - computing_before
                ours.append(seconds)
                our_cpu.append(service + computing)
                print(
                    f"SUMMARIZE {theirs[-1]:.2f} s (CPU {used:.2f}), analysis {seconds:.2f} s"
                    f" (CPU {service:.2f} + {computing:.2f}); {own:.0f} MiB,"
                    f" {total:.0f} with processes"
                )
        server.stop()
        mine, other = statistics.median(ours), statistics.median(theirs)
        by_cpu = statistics.median(our_cpu) / statistics.median(their_cpu)
        print(
            f"median: SUMMARIZE {other:.2f} s ({size / other / 1e6:.0f} MB/s), analysis"
            f" {mine:.2f} s ({size / mine / 1e6:.0f} MB/s): {mine / other:.2f} times as long,"
            f" {by_cpu:.2f} times the CPU"
        )


if __name__ == "__main__":
    main()
