"""Measure loads into tables beside what an expert would type. Prints ratios as Markdown; asserts
nothing.

    python scripts/benchmark_tables.py                              everything, 1,000,000 rows
    python scripts/benchmark_tables.py --rows 100000 --repeat 1     a quick look
    python scripts/benchmark_tables.py --only append,upsert --json tables.json

How it is measured:

- The file has the columns id, name and value; the table is `id bigint primary key, name text, value
  int`. Loads with violations have a table with each kind of constraint, and one row in a hundred,
  scattered, that breaks one of them.
- The contestants take turns within each repeat, in reverse order in every second one. Each starts
  with an empty database, dirty pages flushed.
- The expert types into psql, and its own \\timing counts; on SQLite `sqlite3 .import`, the whole
  command. `append`, `create` and `replace` are compared with `\\copy` into the empty table with its
  key, `upsert` with `\\copy` into an unlogged table and `INSERT ... ON CONFLICT`, violations with the
  clean load of the same table by the service.
- The service is a real server process with default settings, warmed up with a small load. From just
  before the upload to the job's `finished_at`, by the clock of this host.
- Cases that end in `-unrecorded` keep no record for an undo.
- `--pgloader PROGRAM` and `--dlt PYTHON` (a Python with `dlt[postgres]` and pyarrow) add what a user
  of these would run: the whole command, from its start to its end.
- CPU seconds are of all processes together: server, database, client. On a machine that does other
  things they say more than the seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote, urlencode

import psutil
from sqlalchemy import make_url

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.benchmark import (
    BenchmarkError,
    Engine,
    PostgreSQL,
    Run,
    SQLite,
    ask,
    clocked,
    machine_facts,
    process_of,
    serving,
)
from scripts.benchmark_kinds import BY_NAME
from tests.harness import FINAL, Server, query, wait_until

SMALL_ROWS, EVERY = 1000, 100
VALUES = 1000
"""Rows of the clean file, counted from 1."""
PLAIN = "id bigint PRIMARY KEY, name text, value int"
STRICT = "id INTEGER PRIMARY KEY, name TEXT, value INTEGER"
GUARDED = (
    "id bigint PRIMARY KEY, name text NOT NULL CHECK (name <> 'forbidden'),"
    " value int REFERENCES known_values (value)"
)


@dataclass(frozen=True)
class Case:
    """A load, and its reference."""

    name: str
    target: float
    options: dict[str, str]
    columns: str = PLAIN
    rows_before: float = 0.0
    """Share of the rows of the file that the table must have."""
    broken: str = ""
    """How one row in a hundred breaks a constraint."""
    beside: str = "expert"
    """`expert`, or the name of the case to compare with."""

    @property
    def table_mode(self) -> str:
        """Return the name of the case without what is switched off in it."""
        return self.name.removesuffix(UNRECORDED)


UNRECORDED = "-unrecorded"
"""At the end of the name of a case: the load keeps no record."""
VIOLATIONS = ("type", "null", "repeated", "there", "check", "foreign")
CASES = (
    Case("create", 1.0, {"mode": "create", "key": "id"}),
    Case("replace", 1.0, {"mode": "replace"}, rows_before=1.0),
    Case("append", 1.5, {}),
    Case("upsert", 1.5, {"mode": "upsert"}, rows_before=0.5),
    Case("guarded", 1.5, {}, GUARDED),
    *(Case(broken, 1.5, {}, GUARDED, broken=broken, beside="guarded") for broken in VIOLATIONS),
)
CASES += tuple(
    replace(case, name=case.name + UNRECORDED, options={**case.options, "option.record": "false"})
    for case in CASES
    if case.name in ("replace", "append", "upsert")
)
ON_SQLITE = (Case("sqlite", 1.0, {}, STRICT),)


@dataclass
class Measured:
    """Results of one case, all repeats."""

    service: list[Run] = field(default_factory=list)
    expert: list[Run] = field(default_factory=list)
    others: dict[str, list[Run]] = field(default_factory=dict)
    """Other programs by name."""


# ---------------------------------------------------------------------- files


def write_file(folder: Path, rows: int, broken: str = "") -> Path:
    path = folder / f"{broken or 'clean'}-{rows}.csv"
    if not path.exists():
        BY_NAME["clean"].write(path, rows)
        if broken:
            lines = path.read_text().splitlines()
            for place in range(EVERY // 2, len(lines), EVERY):
                lines[place] = _break(lines[place], lines[place - 1], broken)
            path.write_text("\n".join(lines) + "\n")
    return path


def _break(line: str, before: str, how: str) -> str:
    key, name, value = line.split(",")
    wrong = {
        "type": f"{key},{name},x{value}",
        "null": f"{key},,{value}",
        "repeated": f"{before.partition(',')[0]},{name},{value}",
        "there": line,
        "check": f"{key},forbidden,{value}",
        "foreign": f"{key},{name},{VALUES + 5}",
    }
    return wrong[how]


# ---------------------------------------------------------------------- contestants


def prepare(engine: Engine, url: str, case: Case, rows: int, folder: Path) -> None:
    """Create the table as it is before the load."""
    if case.columns == GUARDED:
        query(url, f"CREATE TABLE known_values AS SELECT generate_series(1, {VALUES}) AS value")
        query(url, "ALTER TABLE known_values ADD PRIMARY KEY (value)")
    if case.table_mode != "create":
        strict = " STRICT" if case.columns == STRICT else ""
        query(url, f"CREATE TABLE bare ({case.columns}){strict}")
    if case.rows_before:
        query(
            url,
            f"INSERT INTO bare SELECT n, 'before', 1 FROM generate_series(1, {rows}) AS n"  # noqa: S608
            f" WHERE n % 100 < {case.rows_before * 100}",
        )
    if case.broken == "there":
        query(
            url,
            f"INSERT INTO bare SELECT n, 'before', 1 FROM generate_series({EVERY // 2}, {rows},"  # noqa: S608
            f" {EVERY}) AS n",
        )
    if isinstance(engine, PostgreSQL) and case.rows_before:
        query(url, "ANALYZE bare")


def load(server: Server, path: Path, options: dict[str, str]) -> tuple[dict[str, Any], float]:
    """Return the final status of the load, and its seconds."""
    started = time.time()
    headers = {"Content-Type": "text/csv", "Content-Length": str(path.stat().st_size)}
    with path.open("rb") as file:
        made = ask(server, "POST", f"/api/v1/upload?{urlencode(options)}", file, headers)
    status = wait_until(lambda: _final(server, made["file_id"]), 3600, "the end of the load")
    if status["status"] not in ("completed", "completed_with_errors"):
        raise BenchmarkError(f"The load failed: {json.dumps(status['error'])}\n{server.tail()}")
    return status, datetime.fromisoformat(status["finished_at"]).timestamp() - started


def _final(server: Server, file_id: str) -> dict[str, Any] | None:
    status: dict[str, Any] = ask(server, "GET", f"/api/v1/status/{file_id}")
    if status["status"] in FINAL:
        return status
    time.sleep(0.1)
    return None


def run_service(engine: Engine, url: str, case: Case, rows: int, folder: Path) -> Run:
    run = Run()
    path = write_file(folder, rows, case.broken)
    with serving(url) as server:
        prepare(engine, url, case, rows, folder)
        query(url, f"CREATE TABLE small ({STRICT if case.columns == STRICT else PLAIN})")
        load(server, write_file(folder, SMALL_ROWS), {"table": "small"})
        engine.settle()
        options = {"table": "bare", **case.options}
        if case.table_mode == "create":
            types = {"id": "bigint", "name": "text", "value": "integer"}
            options["option.types"] = json.dumps(types)
        processes = engine.processes() | {"server": process_of(server), "client": psutil.Process()}
        with clocked(run, **processes):
            status, run.seconds = load(server, path, options)
    rejected = len(range(EVERY // 2, rows + 1, EVERY)) if case.broken else 0
    if status["counts"]["rejected"] != rejected:
        raise BenchmarkError(f"{case.name}: {status['counts']}, and {rejected} rows are wrong.")
    return run


def run_expert(engine: Engine, url: str, case: Case, rows: int, folder: Path) -> Run:
    run = Run()
    path = write_file(folder, rows)
    on_empty = Case("append", 0, {}, case.columns) if case.table_mode != "upsert" else case
    prepare(engine, url, on_empty, rows, folder)
    engine.settle()
    with clocked(run, **engine.processes(), client=psutil.Process()):
        if case.table_mode == "upsert":
            run.seconds = _psql(engine, url, list(_expert_upsert(path)))
        else:
            run.seconds = engine.load(url, path, BY_NAME["clean"])
    return run


def _expert_upsert(path: Path) -> Iterator[str]:
    yield "CREATE UNLOGGED TABLE staged (LIKE bare)"
    yield f"\\copy staged FROM '{path}' CSV HEADER"
    yield (
        "INSERT INTO bare SELECT * FROM staged ON CONFLICT (id)"
        " DO UPDATE SET name = excluded.name, value = excluded.value"
    )
    yield "DROP TABLE staged"


def _psql(engine: Engine, url: str, statements: Sequence[str]) -> float:
    """Return the seconds of the statements, by the clock of psql."""
    assert isinstance(engine, PostgreSQL)
    if engine.psql is None:
        raise BenchmarkError("There is no psql for the expert to type into.")
    command = [engine.psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", url.replace("+asyncpg", "")]
    for statement in ("\\timing on", *statements):
        command += ["-c", statement]
    environment = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return sum(map(float, re.findall(r"Time: ([\d.]+) ms", done.stdout))) / 1000


# ---------------------------------------------------------------------- other programs

PGLOADER = """
LOAD CSV FROM '{path}' (id, name, value)
INTO {url}
TARGET TABLE bare (id, name, value)
WITH skip header = 1, fields terminated by ',', fields optionally enclosed by '"';
"""
DLT = """
import sys
import dlt
from pyarrow import csv

path, url = sys.argv[1:]

@dlt.resource(name="bare", write_disposition=HOW, primary_key="id")
def rows():
    yield csv.read_csv(path)

pipeline = dlt.pipeline("measured", destination=dlt.destinations.postgres(url), dataset_name="public")
pipeline.run(rows())
"""
OF_DLT: dict[str, Any] = {
    "append": "append",
    "replace": "replace",
    "upsert": {"disposition": "merge", "strategy": "upsert"},
}
"""What dlt calls the modes."""


def command_of(program: str, args: Any, url: str, path: Path, case: Case) -> list[str] | None:
    """Return the command that loads the file; None if the program has nothing like the case."""
    address = make_url(url)
    socket = str(address.query.get("host", ""))
    url = url.replace("+asyncpg", "")
    if socket and program == "pgloader":
        url = f"pgsql://{address.username}@unix:{socket}:5432/{address.database}"
    elif socket:
        url = f"postgresql://{address.username}:none@{quote(socket, safe='')}/{address.database}"
    mode = case.table_mode
    if program == "pgloader" and mode == "append":
        script = path.parent / "pgloader.load"
        script.write_text(PGLOADER.format(path=path, url=url))
        return [args.pgloader, "--quiet", "--on-error-stop", str(script)]
    if program == "dlt" and mode in OF_DLT:
        text = DLT.replace("HOW", repr(OF_DLT[mode]))
        return [args.dlt, "-c", text, str(path), url]
    return None


def run_other(
    program: str, args: Any, engine: Engine, url: str, case: Case, folder: Path
) -> Run | None:
    run = Run()
    path = write_file(folder, args.rows)
    command = command_of(program, args, url, path, case)
    if command is None:
        return None
    prepare(engine, url, case, args.rows, folder)
    engine.settle()
    home = folder / "home"
    home.mkdir(exist_ok=True)
    environment = {**os.environ, "HOME": str(home), "LC_ALL": "C.UTF-8", "DLT_DATA_DIR": str(home)}
    with clocked(run, **engine.processes(), client=psutil.Process()):
        started = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        run.seconds = time.monotonic() - started
    rows = query(url, "SELECT count(*) FROM bare")[0][0]
    if done.returncode or rows != args.rows:
        raise BenchmarkError(f"{program}: {rows} rows\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return run


# ---------------------------------------------------------------------- all cases


def measure(engine: Engine, cases: Sequence[Case], args: Any, folder: Path) -> dict[str, Measured]:
    measured = {case.name: Measured() for case in cases}
    for repeat in range(args.repeat):
        for case in cases:
            measured_case = measured[case.name]
            turns: list[tuple[list[Run], Callable[..., Run]]] = [
                (measured_case.service, run_service)
            ]
            if case.beside == "expert":
                turns.append((measured_case.expert, run_expert))
            for runs, contestant in reversed(turns) if repeat % 2 else turns:
                with engine.fresh() as url:
                    runs.append(contestant(engine, url, case, args.rows, folder))
            for program in programs(args) if engine.name == "PostgreSQL" else ():
                with engine.fresh() as url:
                    run = run_other(program, args, engine, url, case, folder)
                if run is not None:
                    measured_case.others.setdefault(program, []).append(run)
            print(f"{case.name}: {runs_text(measured_case)}", file=sys.stderr)
    return measured


def programs(args: Any) -> list[str]:
    return [name for name in ("pgloader", "dlt") if getattr(args, name)]


def runs_text(measured: Measured) -> str:
    service, expert = measured.service[-1], measured.expert[-1:]
    beside = f", expert {expert[0].seconds:.2f} s" if expert else ""
    return f"{service.seconds:.2f} s{beside}"


def _seconds(runs: Sequence[Run]) -> float:
    return median(run.seconds for run in runs)


def _cpu(runs: Sequence[Run]) -> float:
    return median(sum(run.cpu.values()) for run in runs)


def report(cases: Sequence[Case], measured: dict[str, Measured]) -> Iterator[str]:
    yield "| load | s | CPU s | beside | s | CPU s | times | times, CPU | target |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for case in cases:
        if case.beside not in ("expert", *measured):
            continue
        service = measured[case.name].service
        is_expert = case.beside == "expert"
        other = measured[case.name].expert if is_expert else measured[case.beside].service
        times, of_cpu = _seconds(service) / _seconds(other), _cpu(service) / _cpu(other)
        title = f"1 % `{case.name}`" if case.broken else case.name
        yield (
            f"| {title} | {_seconds(service):.2f} | {_cpu(service):.2f} | {case.beside}"
            f" | {_seconds(other):.2f} | {_cpu(other):.2f} | {times:.2f} | {of_cpu:.2f}"
            f" | {case.target:.1f} |"
        )
        for program, runs in measured[case.name].others.items():
            times, of_cpu = _seconds(runs) / _seconds(other), _cpu(runs) / _cpu(other)
            yield (
                f"| {title}, by {program} | {_seconds(runs):.2f} | {_cpu(runs):.2f} | {case.beside}"
                f" | {_seconds(other):.2f} | {_cpu(other):.2f} | {times:.2f} | {of_cpu:.2f} | |"
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", default="", help="names of cases, separated by commas")
    parser.add_argument("--postgres", default="", help="URL of a server to use")
    parser.add_argument("--pgloader", default="", help="its program, to measure it too")
    parser.add_argument("--dlt", default="", help="a Python that has it, to measure it too")
    parser.add_argument("--json", type=Path, help="file for all figures")
    args = parser.parse_args()
    only = set(args.only.split(",")) - {""}
    figures: dict[str, Any] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="granula-bench-")))
        folder.chmod(0o755)
        (folder / "postgres").mkdir(mode=0o700)
        print(", ".join(machine_facts(folder)))
        for name, cases in (("postgresql", CASES), ("sqlite", ON_SQLITE)):
            chosen = [case for case in cases if not only or case.name in only]
            if not chosen:
                continue
            engine: Engine = SQLite()
            if name == "postgresql":
                engine = PostgreSQL(folder / "postgres", args.postgres, stack)
            measured = measure(engine, chosen, args, folder)
            print(f"\n{engine.facts}, {args.rows:,} rows, median of {args.repeat}\n")
            print("\n".join(report(chosen, measured)))
            figures |= {case: asdict(of_case) for case, of_case in measured.items()}
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
