"""Load a running service with many prioritised uploads and pollers at once; print latencies, order
and proofs.

    python scripts/load_test.py
    python scripts/load_test.py --url http://127.0.0.1:8000 --uploads 200 --rows 5000 --concurrency 20 --seconds 120

- First one big file goes up at priority 0, so that there is a backlog; then the small ones, of
  random priorities 0-10. Meanwhile pollers ask for /health, for results, and for the status of each
  job until it has ended.
- Latencies are those that this one client sees. On a machine that it shares with the service they
  hold its own load.
- Order: of all pairs of jobs that waited at the same time (from `created_at` to `started_at`) and
  have different priorities, the share in which the higher one started first. AGEING_SECONDS of
  waiting are worth one step of priority, so in a run much longer than that even a right service is
  below 100 %.
- The exit code is 1 if there was any 5xx answer or broken connection, if a job did not complete
  within --seconds, or if a proof does not close. Jobs that are left over then, or at Ctrl-C, are
  cancelled. What was loaded stays.
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import json
import math
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.generate_csv import generate

FINAL = ("completed", "completed_with_errors", "failed", "cancelled")
CLASSES = ((0, 3), (4, 7), (8, 10))
REQUEST_SECONDS = 30
PROOF_SECONDS = 120
SAMPLES = 20  # different small files

console = Console(highlight=False)


class Failure(Exception):
    """The test cannot start; the message says why."""


class Answer(NamedTuple):
    status: int
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Span(NamedTuple):
    """The times of a job."""

    priority: int
    created: float
    started: float


@dataclass
class Job:
    file_id: str
    job_id: str
    priority: int
    is_big: bool
    status: dict[str, Any] = field(default_factory=dict)
    proof: dict[str, Any] = field(default_factory=dict)

    @property
    def is_final(self) -> bool:
        return self.status.get("status") in FINAL

    def at(self, moment: str) -> float | None:
        """Return `created`, `started` or `finished` in seconds by the database's clock."""
        value = self.status.get(f"{moment}_at")
        return datetime.fromisoformat(value).timestamp() if value else None

    @property
    def seconds(self) -> float | None:
        """Return the seconds from acceptance to end."""
        created, finished = self.at("created"), self.at("finished")
        return None if created is None or finished is None else finished - created


class Load:
    """One run; its results are in `jobs`, `latencies`, `codes` and `faults`."""

    def __init__(
        self, client: aiohttp.ClientSession, args: argparse.Namespace, progress: Progress
    ) -> None:
        self._client = client
        self._args = args
        self._random = random.Random(args.seed)
        self._progress = progress
        self._task = progress.add_task("Making files", total=None)
        self._to_send: deque[tuple[int, bytes]] = deque()
        self._to_ask: deque[Job] = deque()
        self._left = 1 + args.uploads
        self._ended = asyncio.Event()
        self.jobs: list[Job] = []
        self.latencies: dict[str, list[float]] = defaultdict(list)
        self.codes: Counter[int] = Counter()
        self.faults: Counter[str] = Counter()
        self.seconds = 0.0

    async def run(self) -> None:
        big, small = await asyncio.to_thread(make_files, self._args)
        self._to_send.extend(
            (self._random.randint(0, 10), self._random.choice(small))
            for _ in range(self._args.uploads)
        )
        self._progress.update(self._task, description="Loading", total=self._left)
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._args.seconds), asyncio.TaskGroup() as group:
                await self._upload(0, big, is_big=True)
                for _ in range(self._args.concurrency):
                    group.create_task(self._send())
                for _ in range(self._args.pollers):
                    group.create_task(self._poll())
        except TimeoutError:
            self.faults[f"not ended within {self._args.seconds:g} seconds"] += self._left
        finally:
            self.seconds = time.monotonic() - started
            await self._cancel_rest()
        self._progress.update(self._task, description="Proving", completed=0, total=len(self.jobs))
        proofs = deque(job for job in self.jobs if job.is_final)
        await asyncio.gather(*(self._prove(proofs) for _ in range(min(4, self._args.concurrency))))

    async def _send(self) -> None:
        while self._to_send:
            priority, data = self._to_send.popleft()
            await self._upload(priority, data)

    async def _upload(self, priority: int, data: bytes, *, is_big: bool = False) -> None:
        params: dict[str, Any] = {"priority": priority, "filename": f"load-{len(data)}.csv"}
        headers = {"Content-Type": "text/csv"}
        answer = await self._ask(
            "upload", "POST", "/api/v1/upload", params=params, data=data, headers=headers
        )
        if answer is None or answer.status != 201:
            self.faults[f"upload refused: {_said(answer)}"] += 1
            self._end_one()
            return
        body = answer.json()
        job = Job(body["file_id"], body["job_id"], priority, is_big)
        self.jobs.append(job)
        self._to_ask.append(job)

    def _end_one(self) -> None:
        self._left -= 1
        self._progress.advance(self._task)
        if not self._left:
            self._ended.set()

    async def _poll(self) -> None:
        # spread the start of the pollers
        await asyncio.sleep(self._args.poll_seconds * self._random.random())
        while not self._ended.is_set():
            draw = self._random.random()
            if draw < 0.2:
                await self._ask("/health", "GET", "/health")
            elif draw < 0.4 and self.jobs:
                params = {"limit": 100, "offset": self._random.randrange(self._args.rows)}
                await self._ask(
                    "results",
                    "GET",
                    f"/api/v1/results/{self._random.choice(self.jobs).file_id}",
                    params=params,
                )
            elif self._to_ask:
                await self._look(self._to_ask.popleft())
            await asyncio.sleep(self._args.poll_seconds * self._random.uniform(0.5, 1.5))

    async def _look(self, job: Job) -> None:
        answer = await self._ask("status", "GET", f"/api/v1/status/{job.file_id}")
        if answer is not None and answer.status == 200:
            job.status = answer.json()
        if job.is_final:
            self._end_one()
        else:
            self._to_ask.append(job)

    async def _prove(self, jobs: deque[Job]) -> None:
        while jobs:
            job = jobs.popleft()
            answer = await self._ask(
                "proof",
                "GET",
                f"/api/v1/jobs/{job.job_id}/proof",
                timeout=aiohttp.ClientTimeout(total=PROOF_SECONDS),
            )
            if answer is not None and answer.status == 200:
                job.proof = answer.json()
            self._progress.advance(self._task)

    async def _cancel_rest(self) -> None:
        for job in self.jobs:
            if not job.is_final:
                try:
                    async with self._client.post(f"/api/v1/jobs/{job.job_id}/cancel"):
                        pass
                except (aiohttp.ClientError, TimeoutError):
                    return

    async def _ask(self, kind: str, method: str, path: str, **more: Any) -> Answer | None:
        started = time.perf_counter()
        try:
            async with self._client.request(method, path, **more) as response:
                answer = Answer(response.status, await response.read())
        except (aiohttp.ClientError, TimeoutError) as error:
            self.faults[f"{kind}: {type(error).__name__}"] += 1
            return None
        self.latencies[kind].append(time.perf_counter() - started)
        self.codes[answer.status] += 1
        return answer


def make_files(args: argparse.Namespace) -> tuple[bytes, list[bytes]]:
    """Return the big file and some small ones."""
    with tempfile.TemporaryDirectory(prefix="granula-load-") as folder:

        def make(rows: int, number: int) -> bytes:
            generated = generate(Path(folder) / "sample.csv", rows, seed=args.seed + number)
            return generated.path.read_bytes()

        return make(args.big_rows, 0), [
            make(args.rows, 1 + n) for n in range(min(SAMPLES, args.uploads))
        ]


def percentile(values: Iterable[float], share: float) -> float:
    """Return the percentile by nearest rank: the smallest value that at least `share` of all do not
    exceed.
    """
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]


def order(spans: Sequence[Span]) -> tuple[int, int]:
    """Return (pairs in which the higher priority started first, all pairs of different priority
    that waited at the same time).
    """
    kept = pairs = 0
    for high in spans:
        for low in spans:
            waited_together = max(high.created, low.created) < min(high.started, low.started)
            if high.priority > low.priority and waited_together and high.started != low.started:
                pairs += 1
                kept += high.started < low.started
    return kept, pairs


def report(load: Load) -> list[str]:
    """Print the results; return what is wrong."""
    console.print(
        f"\n{len(load.jobs)} jobs, {sum(load.codes.values()):,} answers in {load.seconds:.1f} s"
    )
    _show(
        "Latency, ms",
        ("", "count"),
        ((kind, values) for kind, values in sorted(load.latencies.items())),
    )
    console.print(
        "Answers   " + ", ".join(f"{code}: {count:,}" for code, count in sorted(load.codes.items()))
    )
    small = [job for job in load.jobs if not job.is_big]
    by_class = [
        (
            f"priority {low}-{high}",
            [s for j in small if low <= j.priority <= high and (s := j.seconds) is not None],
        )
        for low, high in CLASSES
    ]
    _show("Small files, from acceptance to end, ms", ("", "jobs"), by_class)
    _show_order(load.jobs)
    problems = [f"{count} x {fault}" for fault, count in load.faults.items()]
    problems += [
        f"{count} answers with {code}" for code, count in load.codes.items() if code >= 500
    ]
    states = Counter(
        job.status["status"]
        for job in load.jobs
        if job.is_final and job.status["status"] != "completed"
    )
    problems += [f"{count} jobs are {state}" for state, count in states.items()]
    closed = sum(bool(job.proof.get("closes")) for job in load.jobs)
    console.print(f"Proofs    {closed} of {len(load.jobs)} close")
    if closed < len(load.jobs):
        problems.append(f"{len(load.jobs) - closed} proofs do not close or could not be had")
    return problems


def _show(title: str, first: Sequence[str], lines: Iterable[tuple[str, Sequence[float]]]) -> None:
    console.print(f"\n[bold]{title}[/]")
    grid = Table(box=box.SIMPLE_HEAD)
    for name in (*first, "p50", "p95", "p99", "max"):
        grid.add_column(name, justify="right" if name else "left")
    for name, values in lines:
        shares = (
            [f"{1000 * percentile(values, share):,.1f}" for share in (0.5, 0.95, 0.99, 1)]
            if values
            else ["-"] * 4
        )
        grid.add_row(name, f"{len(values):,}", *shares)
    console.print(grid)


def _show_order(jobs: Sequence[Job]) -> None:
    times = [(job.priority, job.at("created"), job.at("started")) for job in jobs]
    kept, pairs = order(
        [Span(p, created, started) for p, created, started in times if created and started]
    )
    share = f"{100 * kept / pairs:.1f} %" if pairs else "no"
    console.print(f"Order     {share} of {pairs:,} pairs that waited together began by priority")
    big_end = next((job.at("finished") for job in jobs if job.is_big), None)
    if big_end is not None:
        rivals = [
            job
            for job in jobs
            if not job.is_big and job.priority and (job.at("created") or big_end) < big_end
        ]
        overtook = sum((job.at("finished") or big_end) < big_end for job in rivals)
        console.print(
            f"Overtook  {overtook} of {len(rivals)} small files sent with a priority while the big"
            " one ran"
        )


def _said(answer: Answer | None) -> str:
    if answer is None:
        return "no answer"
    return f"{answer.status} {answer.body[:200].decode(errors='replace')}"


@asynccontextmanager
async def connected(args: argparse.Namespace) -> AsyncIterator[aiohttp.ClientSession]:
    """Yield a client of a service that is ready; raises Failure."""
    connector = aiohttp.TCPConnector(limit=args.concurrency + args.pollers + 4)
    timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
    # trust_env stays off: the environment's proxies are not for this machine.
    async with aiohttp.ClientSession(args.url, connector=connector, timeout=timeout) as client:
        try:
            async with client.get("/ready") as answer:
                ready = await answer.json()
            if not isinstance(ready, dict) or "checks" not in ready:
                raise ValueError
        except aiohttp.ContentTypeError:
            raise Failure(f"What answers at {args.url} is not Granula.") from None
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            raise Failure(f"No service answers at {args.url} ({reason}). Start it first.") from None
        except ValueError:
            raise Failure(f"What answers at {args.url} is not Granula.") from None
        if answer.status != 200:
            raise Failure(f"The service at {args.url} is not ready: {ready['checks']}")
        yield client


async def run(args: argparse.Namespace) -> list[str]:
    """Run everything; return what is wrong."""
    columns = (
        TextColumn("[bold]{task.description:<13}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    quiet = not console.is_terminal
    progress = Progress(
        *columns,
        console=console,
        transient=True,
        disable=quiet,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    async with connected(args) as client:
        with progress:
            load = Load(client, args, progress)
            await load.run()
    return report(load)


def is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise ValueError
    return value


_positive.__name__ = "number"  # argparse uses it in its messages


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Load a running service with many prioritised uploads and pollers."
    )
    add = parser.add_argument
    add("--url", default="http://127.0.0.1:8000", help="where the service is (default %(default)s)")
    add(
        "--uploads",
        type=_positive,
        default=50,
        metavar="N",
        help="small files (default %(default)s)",
    )
    add(
        "--rows",
        type=_positive,
        default=2000,
        metavar="N",
        help="rows of each (default %(default)s)",
    )
    add(
        "--big-rows",
        type=_positive,
        default=200_000,
        metavar="N",
        help="rows of the big file (default %(default)s)",
    )
    add(
        "--concurrency",
        type=_positive,
        default=10,
        metavar="N",
        help="uploads at once (default %(default)s)",
    )
    add(
        "--pollers",
        type=_positive,
        default=20,
        metavar="N",
        help="pollers at once (default %(default)s)",
    )
    add(
        "--poll-seconds",
        type=float,
        default=1.0,
        metavar="S",
        help=(
            "pause of a poller between two questions, half to one and a half of it (default"
            " %(default)s)"
        ),
    )
    add(
        "--seconds",
        type=_positive,
        default=60,
        metavar="S",
        help="at most so long (default %(default)s)",
    )
    add(
        "--seed",
        type=int,
        default=1,
        help="same seed, same files and priorities (default %(default)s)",
    )
    add("--allow-remote", action="store_true", help="also load a service on another machine")
    args = parser.parse_args(argv)
    if args.seed < 0:
        parser.error("argument --seed: must be 0 or more")
    try:
        is_local = is_loopback(args.url)
    except ValueError as error:
        parser.error(f"argument --url: {error}")
    if not is_local and not args.allow_remote:
        parser.error(
            f"argument --url: {args.url} is not this machine; --allow-remote loads it nevertheless"
        )
    try:
        problems = asyncio.run(run(args))
    except Failure as failure:
        console.print(str(failure), style="red", markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted; jobs that had not ended are cancelled.")
        return 130
    for problem in problems:
        console.print(problem, style="red", markup=False, soft_wrap=True)
    if not problems:
        console.print("[green]All jobs completed, all proofs close, no answer was a 5xx.[/]")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
