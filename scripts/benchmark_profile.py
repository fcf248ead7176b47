"""Analysis beside DuckDB's SUMMARIZE on the same file, in one run. The service runs as it does in
production.

.venv/bin/python scripts/benchmark_profile.py --rows 2000000 --repeat 3
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import duckdb
import psutil

from tests.harness import Api, Server, migrate

CITIES = ["Berlin", "Paris", "Lisbon", "Oslo", "Rome", "Vienna", "Madrid", "Prague"]
HEADER = "id,customer,amount,day,at,city,active,email,quantity,note"


def write_file(path: Path, rows: int) -> None:
    """Ten columns of all types; the same for the same number of rows."""
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


def memory(pid: int) -> tuple[float, float]:
    """MiB of the service, and of it with its computing processes."""
    service = psutil.Process(pid)
    own = service.memory_info().rss
    children = sum(child.memory_info().rss for child in service.children(recursive=True))
    return own / 2**20, (own + children) / 2**20


def analyse(api: Api, file_id: str) -> float:
    """Seconds from the request to the final status."""
    begin = time.perf_counter()
    job_id = api.client.post("/api/v1/jobs/analyze?fresh=true", json={"file_id": file_id}).json()[
        "job_id"
    ]
    # to poll would cost cores
    with api.client.stream("GET", f"/api/v1/status/{job_id}/events", timeout=600) as events:
        for _ in events.iter_lines():
            pass
    seconds = time.perf_counter() - begin
    # the stream ends with the job
    assert api.client.get(f"/api/v1/jobs/{job_id}/result").status_code == 200
    return seconds


def summarize(path: Path) -> float:
    begin = time.perf_counter()
    with duckdb.connect() as connection:
        connection.execute(f"SUMMARIZE FROM read_csv('{path}')").fetchall()
    return time.perf_counter() - begin


def peak_of(pid: int, work: Callable[[], float]) -> tuple[float, float, float]:
    """(seconds, MiB of the service, MiB with its processes), the memory at its highest."""
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
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="granula-benchmark-") as name:
        folder = Path(name)
        path = folder / "data.csv"
        write_file(path, arguments.rows)
        size = path.stat().st_size
        print(f"{arguments.rows} rows, 10 columns, {size / 1e6:.0f} MB")
        storage = folder / "storage"
        storage.mkdir()
        url = f"sqlite+aiosqlite:///{storage / 'granula.db'}"
        migrate(url, storage)
        server = Server(url, storage, MAX_UPLOAD_MB=20_000).start()
        assert server.process is not None
        ours, theirs = [], []
        with server.client() as client:
            api = Api(client)
            with path.open("rb") as body:
                answer = client.post(
                    "/api/v1/upload",
                    params={"processor": "profile"},
                    content=body,
                    headers={"Content-Type": "text/csv"},
                )
            file_id = answer.json()["file_id"]
            api.finished(file_id, 600)  # also starts the processes, as a service that runs has them
            for _ in range(arguments.repeat):  # in turns, so that both meet the same machine
                theirs.append(summarize(path))
                seconds, own, total = peak_of(server.process.pid, lambda: analyse(api, file_id))
                ours.append(seconds)
                print(
                    f"SUMMARIZE {theirs[-1]:.2f} s, analysis {seconds:.2f} s; {own:.0f} MiB,"
                    f" {total:.0f} with processes"
                )
        server.stop()
        mine, other = statistics.median(ours), statistics.median(theirs)
        print(
            f"median: SUMMARIZE {other:.2f} s ({size / other / 1e6:.0f} MB/s), analysis"
            f" {mine:.2f} s",
            end=" ",
        )
        print(f"({size / mine / 1e6:.0f} MB/s): {mine / other:.2f} times as long")


if __name__ == "__main__":
    main()
