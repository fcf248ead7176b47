"""See Granula work: start it, load a million rows of which some are odd, watch, look at results and
rejects, correct one reject, prove that each row is there, clean up.

    python scripts/demo.py                              in a temporary folder; nothing is left behind
    python scripts/demo.py --keep                       in ./storage (or STORAGE_DIR); the service keeps running
    python scripts/demo.py --rows 50000 --dirty 0       a clean file, without rejects
    python scripts/demo.py --database-url postgresql+asyncpg://user:password@localhost/granula

`./scripts/demo` does the same and sets up `.venv` first. The exit code is 0 only if the job
completed and its proof closes, 1 if not, 2 for wrong arguments, 130 when interrupted; then, too,
the service is stopped and nothing is left.
"""

from __future__ import annotations

import argparse
import fcntl
import io
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.generate_csv import BadArgument, generate

ROOT = Path(__file__).resolve().parents[1]
FINAL = ("completed", "completed_with_errors", "failed", "cancelled")
READY_SECONDS = 60
STOP_SECONDS = 30  # the service gives running chunks 20 s
SILENCE_SECONDS = 15  # a silent event stream is replaced by polling after this time
STALL_SECONDS = 120
SHOWN_ROWS = 5
PIECE_BYTES = 1 << 18

console = Console(highlight=False)


class Failure(Exception):
    """The demo cannot continue; the message says why."""


class Service:
    """The service as a separate process, on a free port of 127.0.0.1, with its log in the storage
    folder.
    """

    def __init__(self, storage: Path, database_url: str, *, max_upload_mb: int) -> None:
        self.log = storage / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        ours = {"DATABASE_URL": database_url, "STORAGE_DIR": str(storage)}
        kept = {k: v for k, v in os.environ.items() if k.upper() not in (*ours, "GRANULA_FAIL")}
        self._environment = {"MAX_UPLOAD_MB": str(max_upload_mb), **kept, **ours}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{probe.getsockname()[1]}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def migrate(self) -> None:
        command = [sys.executable, "-m", "alembic", "upgrade", "head"]
        done = subprocess.run(
            command, cwd=ROOT, env=self._environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Failure(f"`alembic upgrade head` failed:\n{_tail(done.stderr or done.stdout)}")

    def launch(self) -> None:
        command = [sys.executable, "-m", "uvicorn", "app.main:app", "--no-access-log"]
        command += ["--host", "127.0.0.1", "--port", self.url.rpartition(":")[2]]
        with self.log.open("ab") as log:
            try:  # the lock lives as long as the process that inherits the file
                fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Failure(
                    f"A demo that was kept still works in {_shown_path(self.log.parent)}: stop it"
                    " first."
                ) from None
            # In its own session, so that Ctrl-C reaches only the demo, which then stops the service
            # cleanly.
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_ready(self, client: httpx.Client) -> None:
        deadline = time.monotonic() + READY_SECONDS
        said = "it does not answer"
        while time.monotonic() < deadline:
            self.check()
            try:
                answer = client.get("/ready", timeout=5)
                if answer.status_code == 200:
                    return
                said = answer.text
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise Failure(
            f"The service is not ready after {READY_SECONDS} seconds: {said}\n{self.tail()}"
        )

    def check(self) -> None:
        """Raise Failure with the log if the process has ended."""
        if self._process is not None and self._process.poll() is not None:
            raise Failure(
                f"The service ended (exit code {self._process.returncode}). Its log:\n{self.tail()}"
            )

    def tail(self) -> str:
        return _tail(self.log.read_text(errors="replace")) if self.log.exists() else ""

    def stop(self) -> None:
        """Send SIGTERM and wait; SIGKILL if that does not help."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Demo:
    """One run of the demo, step by step."""

    def __init__(self, service: Service, client: httpx.Client, args: argparse.Namespace) -> None:
        self._service = service
        self._client = client
        self._args = args
        self.file_id: str | None = None

    def start(self) -> None:
        started = time.monotonic()
        with console.status("Starting the service"):
            if self._args.database_url:
                self._service.migrate()
            self._service.launch()
            self._service.wait_ready(self._client)
        say(
            "Service",
            f"{self._service.url} (pid {self._service.pid}), ready after {_seconds(started)}",
        )

    def run(self, sample: Path) -> bool:
        """Run all steps; return whether the job completed and its proof holds."""
        self._generate(sample)
        self.file_id = file_id = self._upload(sample)
        status = self._follow(file_id)
        self._show_status(status)
        self._show_results(file_id, status["columns"])
        if status["rows"]["invalid"]:
            self._correct(file_id, self._show_rejects(file_id), status["columns"])
        good = ("completed", "completed_with_errors") if self._args.dirty else ("completed",)
        return self._show_proof(file_id) and status["status"] in good

    def forget(self) -> None:
        """Delete the rows again, if the database outlives the demo."""
        if self.file_id is None:
            return
        try:
            self._client.delete(f"/api/v1/files/{self.file_id}")
            stored = self._service.log.parent / "uploads" / self.file_id  # removed after the rows
            deadline = time.monotonic() + STALL_SECONDS
            while stored.exists() and time.monotonic() < deadline:
                self._service.check()
                time.sleep(0.05)
        except (httpx.TransportError, Failure) as error:
            console.print(f"The rows could not be deleted: {error}", style="red", markup=False)

    def _generate(self, sample: Path) -> None:
        with bar(TextColumn("{task.completed:,.0f} rows"), TimeRemainingColumn()) as progress:
            task = progress.add_task("Generating", total=self._args.rows)
            summary = generate(
                sample,
                self._args.rows,
                dirty=self._args.dirty,
                seed=self._args.seed,
                progress=lambda done: progress.update(task, completed=done),
            )
        say(
            "Generated",
            f"{summary.rows:,} rows, {_megabytes(summary.bytes)}, in {summary.seconds:.1f} s",
        )

    def _upload(self, sample: Path) -> str:
        """Upload as a raw body straight from disk, which is the fastest way."""
        started, size = time.monotonic(), sample.stat().st_size
        with bar(TextColumn("{task.fields[megabytes]}")) as progress:
            task = progress.add_task("Uploading", total=size, megabytes="")

            def pieces() -> Iterator[bytes]:
                sent = 0
                with sample.open("rb") as file:
                    while piece := file.read(PIECE_BYTES):
                        yield piece
                        sent += len(piece)
                        progress.update(task, completed=sent, megabytes=_megabytes(sent))

            answer = self._ask(
                "POST",
                "/api/v1/upload",
                params={"priority": 5, "filename": sample.name},
                content=pieces(),
                headers={"Content-Type": "text/csv", "Content-Length": str(size)},
            )
        say(
            "Uploaded",
            f"{_megabytes(size)} in {_seconds(started)}, priority 5, file {answer['file_id']}",
        )
        return str(answer["file_id"])

    def _follow(self, file_id: str) -> dict[str, Any]:
        """Show a progress bar until the job is final; return its last status."""
        seen: tuple[Any, ...] = ()
        moved = time.monotonic()
        with bar(TextColumn("{task.fields[rows]}"), TextColumn("{task.fields[speed]}")) as progress:
            task = progress.add_task("Processing", total=100.0, rows="", speed="")
            for status in self._statuses(file_id):
                rows, left = status["rows"], status["eta_seconds"]
                done = status["counts"]["loaded"] + status["counts"]["rejected"]
                speed = (
                    f"{status['rows_per_second']:,.0f} rows/s" if status["rows_per_second"] else ""
                )
                speed += f", {left:.0f} s left" if left is not None else ""
                progress.update(
                    task,
                    completed=status["progress_percent"],
                    rows=f"{done:,} of {self._args.rows:,}",
                    speed=speed,
                )
                if status["status"] in FINAL:
                    say(
                        "Processed",
                        f"{done:,} rows in {_took(status):.2f} s, {status['rows_per_second']:,.0f}"
                        " rows/s",
                    )
                    return status
                if (now := (status["status"], rows, status["bytes"])) != seen:
                    seen, moved = now, time.monotonic()
                elif time.monotonic() - moved > STALL_SECONDS:
                    break
        raise Failure(
            f"The job has not moved for {STALL_SECONDS} seconds. Log of the"
            f" service:\n{self._service.tail()}"
        )

    def _statuses(self, file_id: str) -> Iterator[dict[str, Any]]:
        """Yield each change of the status; poll if the event stream breaks."""
        timeout = httpx.Timeout(10, read=SILENCE_SECONDS)
        try:
            with self._client.stream(
                "GET", f"/api/v1/status/{file_id}/events", timeout=timeout
            ) as events:
                events.raise_for_status()
                for line in events.iter_lines():
                    if line.startswith("data:"):
                        yield json.loads(line.removeprefix("data:"))
        except (httpx.HTTPError, ValueError):
            pass
        while True:
            yield self._ask("GET", f"/api/v1/status/{file_id}")
            time.sleep(0.5)

    def _show_status(self, status: dict[str, Any]) -> None:
        rows, chunks = status["rows"], status["chunks"]
        parts = " + ".join(
            f"{rows[name]:,} {name}" for name in ("ok", "invalid", "failed", "unprocessed")
        )
        lines: dict[str, str | Text] = {
            "Status": Text(
                status["status"], "green" if status["status"] == "completed" else "yellow"
            ),
            "Rows": f"{rows['total']:,} = {parts}",
            "Chunks": (
                f"{status['processed_chunks']:,} of {status['total_chunks']:,}"
                f" ({chunks['failed']:,} failed)"
            ),
            "Seconds": f"{_took(status):.2f}",
            "Rows/s": f"{status['rows_per_second']:,.0f}",
        }
        if status["error"]:
            lines["Error"] = Text(shown(status["error"], 200), "red")
        facts("Status", lines)

    def _show_results(self, file_id: str, columns: list[str]) -> None:
        page = self._ask(
            "GET", f"/api/v1/results/{file_id}", params={"limit": SHOWN_ROWS, "format": "object"}
        )
        rows = (
            [item["row_number"], *(item["data"].get(c) for c in columns)] for item in page["items"]
        )
        table(f"First {len(page['items'])} of {page['total']:,} results", ["row", *columns], rows)

    def _show_rejects(self, file_id: str) -> dict[str, Any]:
        """Show the first rejects, and return the first of them."""
        page = self._ask("GET", f"/api/v1/rejects/{file_id}", params={"limit": SHOWN_ROWS})
        names = ["row_number", "line", "column", "code", "raw"]
        rows = ([item[name] for name in names] for item in page["items"])
        table(
            f"First {len(page['items'])} of {page['total']:,} rejects",
            ["row", *names[1:-1], "text"],
            rows,
        )
        return dict(page["items"][0])

    def _correct(self, file_id: str, reject: dict[str, Any], columns: list[str]) -> None:
        """Give a rejected row new cells, wait until it is a result, and show it."""
        row = reject["row_number"]
        cells = dict(zip(columns, (str(row), "Corrected by hand", "0"), strict=True))
        self._ask(
            "POST",
            f"/api/v1/files/{file_id}/corrections",
            json={"rows": [{"_row": row, "values": cells}]},
        )
        with console.status("Running the corrected row"):
            for status in self._statuses(file_id):
                if status["corrections"]["rows"]:
                    break
        page = self._ask(
            "GET", f"/api/v1/results/{file_id}", params={"limit": 1, "offset": 0, "after": row - 1}
        )
        table(
            f"Row {row} is corrected: only this row ran again, and it is a result in its place",
            ["row", *columns],
            [[item["row_number"], *item["data"]["row"]] for item in page["items"]],
        )

    def _show_proof(self, file_id: str) -> bool:
        """Show the proof; return whether it holds for as many rows as were generated."""
        with console.status("Reading all rows again for the proof"):
            proof = self._ask("GET", f"/api/v1/jobs/{file_id}/proof", timeout=600)
        rows, stored, hashes = proof["rows"], proof["stored"], proof["hash"]
        problems = [str(problem) for problem in proof["problems"]]
        if rows["total"] != self._args.rows:
            problems.append(f"{self._args.rows:,} rows were generated")
        closes = bool(proof["closes"]) and not problems
        verdict = "closes: each row is accounted for, once and unchanged" if closes else "BROKEN"
        elsewhere = {
            "in failed chunks": rows["failed"] - stored.get("failed", 0),
            "unprocessed": rows["unprocessed"],
        }
        more = "".join(f" + {count:,} {what}" for what, count in elsewhere.items() if count)
        lines: dict[str, str | Text] = {
            "Counts": (
                f"{rows['total']:,} rows = {stored['results']:,} results + {stored['rejects']:,}"
                f" rejects{more}"
            ),
            "Hash sum read": f"{hashes['read']} ({hashes['algorithm']})",
            "Hash sum stored": hashes["stored"],
            "Verdict": Text(verdict, "bold green" if closes else "bold red"),
        }
        if problems:
            lines["Problems"] = Text("\n".join(shown(problem, 200) for problem in problems), "red")
        facts("Proof", lines)
        return closes

    def _ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        try:
            answer = self._client.request(method, path, **more)
        except httpx.TransportError as error:
            self._service.check()
            raise Failure(
                f"{method} {path}: {error or type(error).__name__}\n{self._service.tail()}"
            ) from None
        if answer.is_error:
            raise Failure(f"{method} {path}: {answer.status_code} {answer.text}")
        return dict(answer.json())


def say(what: str, text: str) -> None:
    console.print(f"[bold]{what:<11}[/]", Text(text), soft_wrap=True)


def bar(*columns: ProgressColumn) -> Progress:
    """Return a progress bar for terminals; elsewhere each step prints one line."""
    first = (TextColumn("[bold]{task.description:<11}"), BarColumn(), TaskProgressColumn())
    quiet = not console.is_terminal
    return Progress(
        *first, *columns, console=console, transient=True, disable=quiet, redirect_stdout=False
    )


def facts(title: str, lines: dict[str, str | Text]) -> None:
    console.print(f"\n[bold]{title}[/]")
    for name, value in lines.items():
        console.print(f"  {name:<16}", value, markup=False, soft_wrap=True)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    console.print(f"\n[bold]{title}[/]")
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=True)
    for name in columns:
        grid.add_column(Text(shown(name)))
    for row in rows:
        grid.add_row(*(Text("" if cell is None else shown(cell)) for cell in row))
    console.print(grid)


def shown(value: object, limit: int = 32) -> str:
    """Return the text on one line, with control characters escaped."""
    text = value if isinstance(value, str) else json.dumps(value)
    cut = text if len(text) <= limit else f"{text[: limit - 3]}..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)


def show_kept(service: Service, sample: Path, file_id: str | None) -> None:
    facts(
        "The service keeps running",
        {
            "Dashboard": f"{service.url}/",
            "Guide": f"{service.url}/guide",
            "Log": _shown_path(service.log),
            "Stop it": f"kill {service.pid}",
        },
    )
    api = f"{service.url}/api/v1"
    form = shlex.quote(f"file=@{_shown_path(sample)}")
    show_commands(
        f"curl -F {form} '{api}/upload?priority=5'",
        f"curl {api}/status/{file_id}",
        f"curl '{api}/results/{file_id}?limit=5'",
    )


def show_commands(*lines: str) -> None:
    console.print("\n[bold]Try next[/]")
    for line in lines:
        console.print(f"  {line}", markup=False, soft_wrap=True)


def _shown_path(path: Path) -> str:
    """Return the path relative to the current folder if it is below it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _tail(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-15:])


def _seconds(started: float) -> str:
    return f"{time.monotonic() - started:.1f} s"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


def _took(status: dict[str, Any]) -> float:
    start, end = status["started_at"], status["finished_at"]
    return (
        (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
        if start and end
        else 0.0
    )


def run(args: argparse.Namespace) -> bool:
    """Run everything and clean up; return whether all went well."""
    with ExitStack() as cleanup:
        if args.keep:
            storage = Path(os.environ.get("STORAGE_DIR") or ROOT / "storage").absolute()
            storage.mkdir(parents=True, exist_ok=True)
        else:
            storage = Path(tempfile.mkdtemp(prefix="granula-demo-"))
            cleanup.callback(shutil.rmtree, storage, ignore_errors=True)
        url = args.database_url or f"sqlite+aiosqlite:///{storage / 'granula.db'}"
        # one kind of odd row is 20 kB long
        needed_mb = args.rows * int(60 + 1500 * args.dirty) >> 20
        service = Service(storage, url, max_upload_mb=max(500, needed_mb))
        client = cleanup.enter_context(
            httpx.Client(base_url=service.url, timeout=60, trust_env=False)
        )
        demo = Demo(service, client, args)
        cleanup.callback(service.stop)
        cleanup.callback(_finish_undisturbed)
        demo.start()
        sample = storage / "demo.csv"
        if args.keep:
            for path in (sample, sample.with_name(f"{sample.name}.verdicts.jsonl")):
                cleanup.callback(path.unlink, missing_ok=True)
        if args.keep or args.database_url:
            cleanup.callback(demo.forget)
        cleanup.callback(_finish_undisturbed)
        is_well = demo.run(sample)
        if args.keep:
            cleanup.pop_all()
            client.close()
            show_kept(service, sample, demo.file_id)
        else:
            show_commands(
                "./scripts/demo --keep                     the same, and the service keeps running",
                ".venv/bin/python -m app serve             your own service, with a dashboard",
                ".venv/bin/python -m app upload FILE       load a file of yours into it",
            )
        return is_well


def _finish_undisturbed() -> None:
    """Ignore further Ctrl-C while cleaning up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise ValueError
    return value


def _rate(text: str) -> float:
    if not 0 <= (value := float(text)) <= 1:
        raise ValueError
    return value


# argparse puts these into its messages
_positive.__name__, _rate.__name__ = "number of rows", "rate"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="See Granula work: load a file, watch, and prove that each row is there."
    )
    add = parser.add_argument
    add(
        "--rows",
        "-n",
        type=_positive,
        default=1_000_000,
        metavar="N",
        help="number of rows (default 1000000)",
    )
    add(
        "--dirty",
        type=_rate,
        default=0.02,
        metavar="RATE",
        help="share of odd rows, 0 to 1 (default 0.02)",
    )
    add("--seed", type=int, default=1, help="same seed, same file (default 1)")
    add(
        "--keep",
        action="store_true",
        help="work in ./storage, or STORAGE_DIR, and leave the service running",
    )
    add(
        "--database-url",
        default="",
        metavar="URL",
        help="a database to use, and to migrate, instead of embedded SQLite",
    )
    args = parser.parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        return 0 if run(args) else 1
    except (Failure, BadArgument, OSError) as error:
        console.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted; the service is stopped and nothing is left.")
        return 130


if __name__ == "__main__":
    sys.exit(main())
