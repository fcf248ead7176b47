"""Measure a transform against Polars streaming the same operations from file to file, in one run on
one machine.

    python scripts/benchmark_transform.py --rows 1_000_000 --runs 3
    python scripts/benchmark_transform.py --distinct       # no name twice: what is made of a name is made for each row

The service runs as a process of its own on the database given (SQLite by default). Its time is from
the accepted request to the job's end: splitting, checking each value, counts and rejects in the
database, and the file flushed to disk with its SHA-256. Polars' is from scan_csv to sink_csv. Both
outputs are compared, row by row.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
MAPPING: dict[str, Any] = {
    "columns": [
        {"name": "id", "from": "id", "steps": [{"operation": "cast", "to": "integer"}]},
        {
            "name": "name",
            "from": "name",
            "steps": [{"operation": "trim"}, {"operation": "case", "to": "upper"}],
        },
        {
            "name": "value",
            "from": "value",
            "steps": [{"operation": "cast", "to": "decimal", "scale": 2, "rounding": "half_up"}],
        },
        {
            "name": "code",
            "from": "name",
            "steps": [{"operation": "replace", "find": "[aeiou]", "by": "_", "regex": True}],
        },
        {
            "name": "kind",
            "expression": "if(starts_with(name, 'A') or ends_with(name, 'e'), 'first', 'other')",
        },
    ]
}
POLARS = """
import sys, time
import polars as pl
source, target = sys.argv[1:]
for _ in range({runs}):
    begin = time.perf_counter()
    (
        pl.scan_csv(source, infer_schema=False)
        .select(
            pl.col("id").cast(pl.Int64, strict=True),
            pl.col("name").str.strip_chars().str.to_uppercase(),
            pl.col("value").cast(pl.Decimal(38, 9), strict=True).round(2).cast(pl.Decimal(38, 2)),
            pl.col("name").str.replace_all("[aeiou]", "_").alias("code"),
            pl.when(pl.col("name").str.starts_with("A") | pl.col("name").str.ends_with("e"))
            .then(pl.lit("first")).otherwise(pl.lit("other")).alias("kind"),
        )
        .sink_csv(target)
    )
    print(time.perf_counter() - begin, flush=True)
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=lambda text: int(text.replace("_", "")), default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--database-url", default="")
    parser.add_argument("--distinct", action="store_true", help="give each row a name of its own")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(
            Path(folder),
            arguments.rows,
            arguments.runs,
            arguments.database_url,
            distinct=arguments.distinct,
        )


def measure(folder: Path, rows: int, runs: int, url: str, *, distinct: bool) -> None:
    source, theirs = folder / "source.csv", folder / "polars.csv"
    subprocess.run(
        [
            sys.executable,
            ROOT / "scripts" / "generate_csv.py",
            "--rows",
            str(rows),
            "--out",
            source,
        ],
        check=True,
    )
    if distinct:
        make_distinct(source)
    polars = [
        float(line)
        for line in subprocess.run(
            [sys.executable, "-c", POLARS.format(runs=runs), source, theirs],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
    ]
    server, base = start(folder, url)
    try:
        ours, peak, output = transform(base, source, runs, server.pid)
    finally:
        server.terminate()
        server.wait(30)
    table = Table("", "seconds", "rows/s")
    for name, seconds in (
        ("Polars, scan_csv to sink_csv", min(polars)),
        ("Granula, from request to file", min(ours)),
    ):
        table.add_row(name, f"{seconds:.2f}", f"{rows / seconds:,.0f}")
    console = Console()
    console.print(table)
    console.print(
        f"All runs: Polars {[round(s, 2) for s in polars]}, Granula {[round(s, 2) for s in ours]}"
    )
    console.print(
        f"Speed relative to Polars: {min(polars) / min(ours):.2f}; peak memory of the service:"
        f" {peak} MiB"
    )
    console.print(
        f"Outputs are {'equal' if output == theirs.read_bytes() else 'DIFFERENT'}; load"
        f" {os.getloadavg()[0]:.1f}"
    )


def make_distinct(source: Path) -> None:
    lines = source.read_text(encoding="utf-8").splitlines()
    with source.open("w", encoding="utf-8", newline="") as out:
        out.write(lines[0] + "\n")
        for i, (number, name, value) in enumerate(line.split(",") for line in lines[1:]):
            out.write(f"{number},{name} {i},{value}\n")


def start(folder: Path, url: str) -> tuple[subprocess.Popen[bytes], str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"STORAGE_DIR": str(folder / "storage"), "LOG_LEVEL": "WARNING"}
    environment["DATABASE_URL"] = url or f"sqlite+aiosqlite:///{folder / 'granula.db'}"
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "app.main:app",
        "--port",
        str(port),
        "--no-access-log",
    ]
    return subprocess.Popen(command, cwd=ROOT, env=environment), f"http://127.0.0.1:{port}"


def transform(base: str, source: Path, runs: int, pid: int) -> tuple[list[float], int, bytes]:
    """Return (seconds of each run, peak memory in MiB of the largest process, the file)."""
    with httpx.Client(base_url=base, timeout=600, trust_env=False) as client:
        while True:
            try:
                if client.get("/ready").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        upload = client.put("/api/v1/upload/source.csv", content=source.read_bytes()).json()
        ended(client, upload["job_id"])
        seconds, made = [], ""
        for _ in range(runs):
            body = {"input_file_id": upload["file_id"], "mapping": MAPPING}
            job = ended(
                client, client.post("/api/v1/jobs/transform?fresh=true", json=body).json()["job_id"]
            )
            begin, end = (
                datetime.fromisoformat(job[name]) for name in ("created_at", "finished_at")
            )
            seconds.append((end - begin).total_seconds())
            made = client.get(f"/api/v1/jobs/{job['job_id']}/status").json()["result_file_id"]
        output = client.get(f"/api/v1/files/{made}/download").content
        return seconds, max(map(peak_mib, [pid, *children(pid)])), output


def ended(client: httpx.Client, job_id: str) -> dict[str, Any]:
    """Wait for the end with few polls, since polling costs CPU time."""
    while True:
        status: dict[str, Any] = client.get(f"/api/v1/jobs/{job_id}").json()
        if status["finished_at"]:
            break
        time.sleep(0.5)
    if status["status"] != "completed":
        raise SystemExit(f"The job is {status['status']}: {status['error']}")
    return status


def children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


def peak_mib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) >> 10


if __name__ == "__main__":
    main()
