"""Kill the service, and sessions of its database, while files are loaded into a table and taken
back. A reader polls the table all the time and may see it before or after, never between.

    python scripts/kill_loads.py --kills 200
    python scripts/kill_loads.py --kills 20 --seconds 120 --sqlite
    python scripts/kill_loads.py --kills 200 --named         the table is in a database of CONNECTIONS

Prints what was killed and seen. Exits with 1 if a reader saw anything else, if a job did not end,
or if a staging table stayed. It ends by itself after --seconds, with what was done by then.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.benchmark import Engine, PostgreSQL, SQLite, ask, serving
from tests.harness import FINAL, Server, query, wait_until

ROWS = 5_000
STATE = "SELECT count(*), coalesce(sum(id * value), 0) FROM prices"
BEFORE = (ROWS // 2, sum(key for key in range(1, ROWS + 1) if key % 2 == 0))
AFTER = (ROWS, sum(key * (key % 97) for key in range(1, ROWS + 1)))
OPTIONS = {"table": "prices", "mode": "upsert", "chunk_size": 1000}
LONGEST_LIFE = 3.0
MOST_STARTS = 5
"""Number of times that the service may fail to start before that is an error."""


@dataclass
class Run:
    """What was killed and seen."""

    server: Server
    url: str
    """Database of the service."""
    table_url: str
    """Database of the table, which is the same or that of the connection `warehouse`."""
    killed: Counter[str] = field(default_factory=Counter)
    seen: Counter[tuple[Any, ...]] = field(default_factory=Counter)
    loads: int = 0
    failed_starts: int = 0
    job_id: str = ""
    is_undoing: bool = False
    is_over: bool = False

    @property
    def is_sqlite(self) -> bool:
        return self.url.startswith("sqlite")

    @property
    def is_named(self) -> bool:
        return self.table_url != self.url

    def watch(self) -> None:
        """Poll the table until the end. A database that restarts does not answer."""
        while not self.is_over:
            with suppress(Exception):
                (state,) = query(self.table_url, STATE)
                self.seen[tuple(map(int, state))] += 1
            time.sleep(0.01)

    def state(self) -> tuple[int, ...]:
        (state,) = self.ask_database(STATE, self.table_url)
        return tuple(map(int, state))

    def job(self) -> tuple[str, str]:
        """Return the status of the job and of its undo, by the database."""
        key = self.job_id.replace("-", "") if self.is_sqlite else self.job_id
        rows = query(
            self.url,
            f"SELECT status, coalesce(undo_state, '') FROM jobs WHERE id = '{key}'",  # noqa: S608
        )
        return rows[0][0], rows[0][1]

    def is_working(self) -> bool:
        """Return whether a load or an undo was begun and has not ended."""
        if not self.job_id:
            return False
        with suppress(Exception):
            status, undo = self.job()
            return undo == "undoing" if self.is_undoing else status not in FINAL
        return True

    def begin(self, path: Path) -> None:
        """Start the next load, or the undo of the last one."""
        if self.job_id and not self.is_undoing:
            self.is_undoing = True
            ask(self.server, "POST", f"/api/v1/undo/{self.job_id}")
            return
        headers = {"Content-Type": "text/csv", "Content-Length": str(path.stat().st_size)}
        with path.open("rb") as file:
            options = urlencode(OPTIONS | ({"connection": "warehouse"} if self.is_named else {}))
            answer = ask(self.server, "POST", f"/api/v1/upload?{options}", file, headers)
        self.job_id, self.is_undoing = answer["job_id"], False
        self.loads += 1

    def kill(self, source: random.Random) -> None:
        if self.is_sqlite or source.random() < 0.7:
            self.server.kill()
            self.killed["service"] += 1
            return
        with suppress(Exception):
            sessions = query(
                source.choice((self.url, self.table_url)),
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid() AND application_name LIKE '%ranula%'",
            )
            pid = int(source.choice(sessions)[0])
            if "postgres" in psutil.Process(pid).name():
                os.kill(pid, signal.SIGKILL)
                self.killed["session"] += 1

    def ensure_started(self) -> None:
        """Start the service if it does not run. A start may fail as others do that are killed: the
        database may go down meanwhile.
        """
        for _ in range(MOST_STARTS):
            if self.server.process is not None and self.server.process.poll() is None:
                return
            wait_until(self.is_up, 60, "the database")
            try:
                self.server.start()
            except AssertionError:
                self.failed_starts += 1
        raise RuntimeError(f"The service does not start:\n{self.server.tail()}")

    def ask_database(self, sql: str, url: str = "") -> list[tuple[Any, ...]]:
        """Return what a query asks for, of the database of the service by default; a database that
        restarts is waited for.
        """
        deadline = time.monotonic() + 60
        while True:
            try:
                return query(url or self.url, sql)
            except Exception:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def is_up(self) -> bool:
        with suppress(Exception):
            query(self.url, "SELECT 1")
            return True
        return False


def torment(run: Run, path: Path, kills: int, deadline: float, source: random.Random) -> int:
    """Kill so often, or until the deadline; return how often something was at work."""
    at_work = 0
    while sum(run.killed.values()) < kills and time.monotonic() < deadline:
        run.ensure_started()
        if not run.is_working():
            starting = threading.Thread(target=_quietly, args=(run, path), daemon=True)
            starting.start()
            starting.join(source.uniform(0.05, LONGEST_LIFE))
        time.sleep(source.uniform(0.0, LONGEST_LIFE))
        at_work += run.is_working()
        run.kill(source)
    return at_work


def _quietly(run: Run, path: Path) -> None:
    """Start something, though the service may die meanwhile."""
    with suppress(Exception):
        run.begin(path)


def has_ended(run: Run) -> bool:
    """Return whether all jobs have ended, also those whose upload nobody acknowledged."""
    jobs = run.ask_database("SELECT status, coalesce(undo_state, '') FROM jobs")
    return all(status in FINAL and undo != "undoing" for status, undo in jobs)


def end(run: Run) -> list[str]:
    """Let everything end; return what is wrong."""
    run.ensure_started()
    problems: list[str] = []
    with suppress(AssertionError):  # a job that does not end is named below
        wait_until(lambda: has_ended(run), 120, "the end of all jobs")
    jobs = run.ask_database("SELECT status FROM jobs")
    problems += [f"a job is {status}" for (status,) in jobs if status != "completed"]
    catalogue = "sqlite_schema" if run.is_sqlite else "pg_class"
    name = "name" if run.is_sqlite else "relname"
    query_left = f"SELECT count(*) FROM {catalogue} WHERE substr({name}, 1, 13) = 'granula_load_'"  # noqa: S608
    for url in {run.url, run.table_url}:
        if (left := int(run.ask_database(query_left, url)[0][0])) != 0:
            problems.append(f"{left} staging tables or indexes are left")
    if run.state() not in (BEFORE, AFTER):
        problems.append(f"in the end the table is {run.state()}")
    problems += [
        f"a reader saw {state}, {times} times"
        for state, times in run.seen.items()
        if state not in (BEFORE, AFTER)
    ]
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=1800.0)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--sqlite", action="store_true")
    where.add_argument("--named", action="store_true")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    args = parser.parse_args()
    deadline = time.monotonic() + args.seconds
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="granula-kills-")))
        folder.chmod(0o755)
        (folder / "postgres").mkdir(mode=0o700)
        engine: Engine = SQLite() if args.sqlite else PostgreSQL(folder / "postgres", "", stack)
        path = folder / "prices.csv"
        lines = "".join(f"{key},{key % 97}\n" for key in range(1, ROWS + 1))
        path.write_text("id,value\n" + lines)
        url = stack.enter_context(engine.fresh())
        table_url = stack.enter_context(engine.fresh()) if args.named else url
        connections = json.dumps({"warehouse": table_url.replace("+asyncpg", "")})
        settings: dict[str, Any] = {"CONNECTIONS": connections} if args.named else {}
        server = stack.enter_context(serving(url, **settings))
        query(table_url, "CREATE TABLE prices (id INTEGER PRIMARY KEY, value INTEGER)")
        values = ", ".join(f"({key}, 1)" for key in range(2, ROWS + 1, 2))
        query(table_url, f"INSERT INTO prices VALUES {values}")  # noqa: S608
        run = Run(server, url, table_url)
        watching = threading.Thread(target=run.watch)
        watching.start()
        try:
            at_work = torment(run, path, args.kills, deadline, random.Random(args.seed))
            problems = end(run)
        finally:
            run.is_over = True
            watching.join()
    killed = ", ".join(f"{times} x {what}" for what, times in run.killed.items())
    place = f"{engine.name}, by a connection" if args.named else engine.name
    print(f"{place}, seed {args.seed}: killed {killed}; {at_work} of these at work")
    print(f"{run.loads} loads; {run.failed_starts} starts failed; a reader saw {dict(run.seen)}")
    print("\n".join(problems) or "Nothing is wrong.")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
