"""Compute the limits of 10, 100 and 1 000 workers: arithmetic from measured constants, and a
simulation that checks it.

    .venv/bin/python scripts/simulate_scale.py                 the tables of docs/scale.md
    .venv/bin/python scripts/simulate_scale.py --chunk 0.05    with other costs: see --help

The simulation is a queueing network in virtual time. Workers with one turn take a token (PostgreSQL
is a station with some cores, and each token costs it time), claim chunks, compute (each on its own
core), and commit rows (the same station, and a disk with a limited rate of write-ahead log). The
arithmetic takes the tightest of these limits; the simulation adds the waiting in queues. Nothing is
measured here: the constants come from scripts/benchmark_workers.py and scripts/benchmark.py on two
cores.
"""

from __future__ import annotations

import argparse
import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Costs:
    rows: int = 10_000
    """Rows per chunk."""
    chunk: float = 1.0
    """CPU seconds of a worker per chunk: 1.0 is a processor of 10 000 rows per second and core."""
    token_worker: float = 0.006
    """CPU seconds of a worker per token."""
    token_database: float = 0.003
    """CPU seconds of PostgreSQL per token."""
    chunk_database: float = 0.004
    """CPU seconds of PostgreSQL per chunk: claim, rows, fence, counts."""
    row_wal: float = 34.0
    """Bytes of write-ahead log per row."""
    turns: float = 0.25
    """Seconds for which a token is kept."""
    database_cores: int = 16
    wal_bytes: float = 500e6
    """Bytes per second of synced write-ahead log."""
    lanes: int = 8
    """Maximum tokens of a job."""
    lane: float = 0.012
    """Seconds from putting a token back to its claim by another worker."""
    connections: int = 8
    """Connections of a worker: pool and queue."""


def walls(costs: Costs, workers: int, jobs: int) -> dict[str, float]:
    """Return the rows per second that each part could handle, with so many concurrent jobs."""
    held = max(costs.turns, costs.chunk)  # a token is given back after the current turn
    per_token = max(1.0, held / costs.chunk) * costs.rows
    compute = workers * costs.rows / (costs.chunk + costs.token_worker * costs.rows / per_token)
    database = costs.database_cores / (
        costs.chunk_database / costs.rows + costs.token_database / per_token
    )
    # A token is put back before its turn: a lane starts a turn every `lane` seconds, however long
    # turns take.
    tokens = jobs * costs.lanes / costs.lane * per_token
    return {
        "workers": compute,
        "PostgreSQL CPU": database,
        "log disk": costs.wal_bytes / costs.row_wal,
        "tokens": tokens,
    }


def simulate(costs: Costs, workers: int, seconds: float, seed: int = 1) -> float:
    """Return the rows per second of so many workers with more than enough jobs, in virtual time."""
    dice = random.Random(seed)
    warm, done = seconds / 3, 0
    cores, disk = [0.0] * costs.database_cores, [0.0]  # when each is free

    def serve(station: list[float], at: float, work: float) -> float:
        """Return the end of the work. First come, first served: calls are made in the order of
        `at`.
        """
        begin = max(at, heapq.heappop(station))
        heapq.heappush(station, begin + work)
        return begin + work

    def steps() -> Iterator[tuple[list[float] | None, float, bool]]:
        """Yield (station, None for a separate core; seconds of work; whether a chunk is done then),
        forever.
        """
        while True:
            yield cores, costs.token_database, False
            yield None, costs.token_worker, False
            held = 0.0
            while held < costs.turns:
                compute = costs.chunk * dice.uniform(0.8, 1.2)
                held += compute
                yield cores, costs.chunk_database / 2, False
                yield None, compute, False
                yield cores, costs.chunk_database / 2, False
                yield disk, costs.rows * costs.row_wal / costs.wal_bytes, True

    events = [(dice.random() * costs.chunk, worker) for worker in range(workers)]
    heapq.heapify(events)
    working = [steps() for _ in range(workers)]
    while events[0][0] < seconds:
        now, worker = heapq.heappop(events)
        station, work, is_done = next(working[worker])
        at = now + work if station is None else serve(station, now, work)
        done += is_done and warm < at <= seconds
        heapq.heappush(events, (at, worker))
    return done * costs.rows / (seconds - warm)


def table(costs: Costs, counts: list[int]) -> None:
    print(
        "| workers | the wall | rows/s there | simulated rows/s | rows a day | connections | log,"
        " MB/s |"
    )
    print("|---|---|---|---|---|---|---|")
    for workers in counts:
        found = walls(costs, workers, jobs=4)
        wall = min(found, key=lambda name: found[name])
        got = simulate(costs, workers, seconds=max(20.0, 30 * costs.chunk))
        print(
            f"| {workers:,} | {wall} | {found[wall]:,.0f} | {got:,.0f} | {got * 86_400 / 1e9:,.1f}"
            f" billion | {workers * costs.connections:,} | {got * costs.row_wal / 1e6:,.0f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    for field in fields(Costs):
        parser.add_argument(
            f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default
        )
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 10, 100, 1_000])
    given = vars(parser.parse_args())
    counts = given.pop("workers")
    costs = Costs(**given)
    print(f"A processor of {costs.rows / costs.chunk:,.0f} rows/s and core:\n")
    table(costs, counts)
    day = 1e9 / 86_400
    cpu = day * (costs.chunk_database + costs.token_database) / costs.rows
    log = day * costs.row_wal
    print(
        f"\n1 billion rows a day are {day:,.0f} rows/s: {day * costs.chunk / costs.rows:.1f} cores"
        f" of workers, {cpu:.2f} cores of PostgreSQL, {log / 1e6:.1f} MB/s of log,"
        f" {log * 86_400 / 1e9:,.0f} GB of it a day."
    )


if __name__ == "__main__":
    main()
