"""Command `bench`: measures the speed of this installation."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Annotated

import typer

from app.cli.common import (
    CLIENT,
    DEFAULT_URL,
    CliError,
    Exit,
    Json,
    Quiet,
    Url,
    connect,
    examples,
    exit_with,
    print_json,
    print_result,
)
from app.cli.render import board
from app.cli.text import size

app = typer.Typer()
NAMES = ("Ada", "Alan", "Barbara", "Edsger", "Grace", "Margaret")
START_SECONDS = 60.0


@app.command(
    rich_help_panel=CLIENT,
    epilog=examples("bench", "bench --rows 1000000 --embedded", "bench --json"),
)
def bench(
    rows: Annotated[
        int,
        typer.Option(min=1, max=10_000_000, help="Rows of the file with columns id, name, value."),
    ] = 200_000,
    embedded: Annotated[
        bool,
        typer.Option(
            "--embedded", help="Start a server for the measurement, in a temporary folder."
        ),
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Load a generated file, prove its rows, delete it, and print the rows per second from the
    first byte to the last row.

    Exit code: 0 all rows were loaded; 1 rows are missing, or their proof fails.
    """
    with tempfile.TemporaryDirectory(prefix="granula-bench-") as folder:
        path = Path(folder) / "bench.csv"
        _generate(path, rows)
        if embedded:
            with _server(Path(folder)) as server_url:
                figures = _measure(server_url, path, quiet)
        else:
            figures = _measure(url, path, quiet)
    if as_json:
        print_json(figures)
    else:
        print_result(
            f"{figures['rows']:,} rows, {size(path_size := figures['bytes'])}:"
            f" {figures['rows_per_second']:,.0f} rows/s"
        )
        print_result(
            f"  upload {figures['upload_seconds']:.2f} s"
            f" ({size(path_size / figures['upload_seconds'])}/s)"
        )
        print_result(f"  until the last row {figures['total_seconds']:.2f} s")
        print_result(
            f"  proof {'closes' if figures['proof_closes'] else 'is broken'},"
            f" {figures['proof_seconds']:.2f} s"
        )
    is_whole = figures["proof_closes"] and figures["rows_ok"] == rows
    exit_with(Exit.OK if is_whole else Exit.INCOMPLETE)


def _generate(path: Path, rows: int) -> None:
    with path.open("w", encoding="ascii") as file:
        file.write("id,name,value\n")
        file.writelines(
            f"{n},{NAMES[n % len(NAMES)]},{n * 7919 % 1000}\n" for n in range(1, rows + 1)
        )


def _measure(url: str, path: Path, quiet: bool) -> dict[str, float]:
    from app.cli.transfer import Source, send, speedometer
    from app.cli.waiting import Follower

    client = connect(url)
    began = time.monotonic()
    with board(quiet) as shown_on:
        speed, length = speedometer(), path.stat().st_size

        def sent(count: int) -> None:
            shown_on.uploading("bench", path.name, count, length, speed(count))

        params = {"filename": path.name, "priority": 10}
        body = send(client, "/upload", Source(path.name, path, length), params, sent, Event())
        uploaded = time.monotonic()
        try:
            ended: list[dict[str, float]] = []
            follower = Follower(client, shown_on, lambda status: ended.append(status["rows"]))
            follower.add(body["file_id"], "bench", path.name)
            follower.run()
            done = time.monotonic()
            proof = client.get(f"/jobs/{body['file_id']}/proof")
            proved = time.monotonic()
        finally:
            client.send("DELETE", f"/files/{body['file_id']}")
    if not ended:
        raise CliError("The file was deleted during the measurement.", Exit.FAILED)
    return {
        "rows": ended[0]["total"],
        "rows_ok": ended[0]["ok"],
        "bytes": length,
        "upload_seconds": round(uploaded - began, 3),
        "total_seconds": round(done - began, 3),
        "rows_per_second": round(ended[0]["ok"] / (done - began)),
        "proof_seconds": round(proved - done, 3),
        "proof_closes": bool(proof["closes"]),
    }


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    """Run a server of its own until the end; yield its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "DATABASE_URL": "",
        "STORAGE_DIR": str(folder / "storage"),
        "AUTH_REQUIRED": "false",
    }
    log = folder / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "app", "serve", "--port", str(port), "--no-access-log"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url, process, log)
        yield url
    finally:
        process.terminate()
        process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    client = connect(url)
    while time.monotonic() < deadline and process.poll() is None:
        try:
            client.ready()
            return
        except CliError:
            time.sleep(0.05)
    raise CliError(
        f"The server did not start:\n{log.read_text(errors='replace')[-2000:]}", Exit.UNAVAILABLE
    )
