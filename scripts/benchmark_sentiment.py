"""Sentiment by the lexicon on one core and on several, in one run; and beside it the library bare,
in as many processes.

    python scripts/benchmark_sentiment.py --rows 150000 --repeat 5

Nobody can be faster on two cores than the machine is: what the bare library gains says how much
that was. Texts are all different, since equal ones are scored once.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rich.console import Console
from rich.progress import Progress

from scripts.generate_csv import generate
from tests.harness import Server

BARE_TEXTS = 20_000


@contextmanager
def only_on(cores: set[int]) -> Iterator[None]:
    """Run processes started within on these cores only."""
    all_cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, all_cores)


def of_service(file: Path, rows: int, folder: Path, cores: set[int]) -> float:
    """Return rows per second from the answer to the upload to the end."""
    folder.mkdir()
    server = Server(f"sqlite+aiosqlite:///{folder / 'granula.db'}", folder)
    with only_on(cores):
        server.launch(COMPUTE_PROCESSES=len(cores))
    try:
        server.wait_until_ready()
        with server.client() as client:
            for texts in (b"id,text\n1,warm up\n", file.read_bytes()):
                answer = client.post(
                    "/batch/upload", files={"file": ("reviews.csv", texts, "text/csv")}
                )
                began = time.perf_counter()
                job = answer.raise_for_status().json()
                with client.stream(
                    "GET", f"/api/v1/status/{job['file_id']}/events", timeout=600
                ) as events:
                    for _ in events.iter_lines():
                        pass
                seconds = time.perf_counter() - began
            assert client.get(f"/batch/{job['batch_id']}").json()["processed_count"] == rows
    finally:
        server.stop()
    return rows / seconds


def of_library(cores: set[int]) -> float:
    """Return texts per second of the library, one process per core."""
    with only_on(cores):
        context = multiprocessing.get_context("spawn")
        ready, go = context.Semaphore(0), context.Semaphore(0)
        processes = [
            context.Process(target=score, args=(ready, go, number)) for number in range(len(cores))
        ]
        for process in processes:
            process.start()
        for _ in processes:
            ready.acquire()
        began = time.perf_counter()
        for _ in processes:
            go.release()
        for process in processes:
            process.join()
    return BARE_TEXTS * len(cores) / (time.perf_counter() - began)


def score(ready, go, number: int) -> None:  # type: ignore[no-untyped-def]
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyzer = SentimentIntensityAnalyzer()
    ready.release()
    go.acquire()
    for i in range(BARE_TEXTS):
        analyzer.polarity_scores(
            f"The food was good, but the waiter of table {number}-{i} was not friendly at all."
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--rows", type=int, default=150_000)
    parser.add_argument("--repeat", type=int, default=5, help="runs of each kind, in turn")
    arguments = parser.parse_args()
    every = os.sched_getaffinity(0)
    one = {min(every)}
    rates: dict[str, list[float]] = {"one": [], "all": [], "bare one": [], "bare all": []}
    bar = Progress(console=Console(stderr=True), redirect_stdout=False)
    with tempfile.TemporaryDirectory(prefix="granula-") as made, bar as progress:
        folder = Path(made)
        file = generate(folder / "reviews.csv", arguments.rows, kind="reviews").path
        for i in progress.track(range(arguments.repeat), description="runs"):
            for name, cores in (("one", one), ("all", every)):
                rates[name].append(of_service(file, arguments.rows, folder / f"{name}{i}", cores))
                rates[f"bare {name}"].append(of_library(cores))
    print(
        f"| | one core | {len(every)} cores | gain (least to most of a pair of runs)"
        " |\n|---|---|---|---|"
    )
    for label, before in (("Granula, rows/s", ""), ("the library bare, texts/s", "bare ")):
        gains = sorted(
            b / a for a, b in zip(rates[before + "one"], rates[before + "all"], strict=True)
        )
        a, b = (statistics.median(rates[before + name]) for name in ("one", "all"))
        print(
            f"| {label} | {a:,.0f} | {b:,.0f} | {b / a:.2f} ({gains[0]:.2f} to {gains[-1]:.2f}) |"
        )


if __name__ == "__main__":
    main()
