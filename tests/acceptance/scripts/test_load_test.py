"""The load test: a tiny one against the real service, and its report about a service that fails."""

from __future__ import annotations

import importlib.util
import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest

from tests.forks import Server
from tests.harness import ROOT

SCRIPT = ROOT / "scripts" / "load_test.py"
TINY = (
    "--uploads",
    "6",
    "--rows",
    "200",
    "--big-rows",
    "2000",
    "--pollers",
    "2",
    "--seconds",
    "30",
)


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPT.parent)
        spec = importlib.util.spec_from_file_location("load_test", SCRIPT)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, "load_test", module)  # dataclasses look up their module
        spec.loader.exec_module(module)
        yield module


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)


def test_all_jobs_of_a_tiny_load_complete_and_close(server: Server) -> None:
    done = run("--url", f"http://127.0.0.1:{server.port}", *TINY)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "7 jobs, " in done.stdout
    for kind, count in {"upload": "7", "proof": "7", "status": r"\d+"}.items():
        assert re.search(rf"\n +{kind} +{count}( +[\d,.]+){{4}} *\n", done.stdout), done.stdout
    assert re.search(r"Answers +200: \d+, 201: 7\n", done.stdout)
    by_class = re.findall(r"\n +priority (\d+-\d+) +(\d+) ", done.stdout)
    assert [name for name, _ in by_class] == ["0-3", "4-7", "8-10"]
    assert sum(int(count) for _, count in by_class) == 6
    assert re.search(r"Order +([\d.]+ %|no) of \d+ pairs", done.stdout)
    assert re.search(r"Overtook +\d of \d small files", done.stdout)
    assert "7 of 7 close" in done.stdout
    assert "\x1b" not in done.stdout


def test_without_a_service_it_says_so(
    script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, but not listening
        assert script.main(["--url", f"http://127.0.0.1:{closed.getsockname()[1]}"]) == 1
    assert "No service answers at http://127.0.0.1:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--url", "http://192.0.2.1:8000"], "--allow-remote"),
        (["--url", "http://127.0.0.1.example.org"], "--allow-remote"),
        (["--url", "http://[::1"], "--url"),
        (["--uploads", "0"], "--uploads"),
        (["--seed", "-1"], "--seed"),
    ],
)
def test_bad_arguments_exit_with_2(
    script: ModuleType, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        script.main(arguments)
    assert stop.value.code == 2
    assert says in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("url", ["http://localhost:8000", "http://127.0.0.2", "http://[::1]:8000"])
def test_loopback_addresses_are_recognised(script: ModuleType, url: str) -> None:
    assert script.is_loopback(url)


def test_percentiles_use_the_nearest_rank(script: ModuleType) -> None:
    values = [float(n) for n in range(100, 0, -1)]
    assert [script.percentile(values, share) for share in (0.5, 0.95, 0.99, 1)] == [50, 95, 99, 100]
    assert script.percentile([7.0], 0.5) == 7


def test_the_order_score_counts_pairs_that_waited_together(script: ModuleType) -> None:
    Span = script.Span  # priority, created, started
    assert script.order([Span(9, 2, 3), Span(1, 1, 4)]) == (1, 1)
    assert script.order([Span(9, 2, 5), Span(1, 1, 4)]) == (0, 1)
    # one had ended before the other started
    assert script.order([Span(9, 5, 6), Span(1, 1, 4)]) == (0, 0)
    assert script.order([Span(5, 1, 6), Span(5, 1, 4)]) == (0, 0)
    assert script.order([Span(9, 0, 1), Span(5, 0, 3), Span(1, 0, 2)]) == (2, 3)


Spoil = Callable[[str, int], tuple[int, dict[str, Any]] | None]


@contextmanager
def fake_service(spoil: Spoil) -> Iterator[tuple[str, list[str]]]:
    """Return (address, calls) of a service that completes everything immediately, unless
    `spoil(kind, number of the call)` says otherwise.
    """
    calls: list[str] = []
    moment = "2026-01-01T00:00:00+00:00"
    status = {
        "status": "completed",
        "created_at": moment,
        "started_at": moment,
        "finished_at": moment,
    }
    kinds = ("ready", "upload", "status", "proof", "cancel", "results", "health")

    def answer(path: str) -> tuple[int, dict[str, Any]]:
        kind = next(kind for kind in kinds if kind in path)
        calls.append(kind)
        if (spoiled := spoil(kind, calls.count(kind))) is not None:
            return spoiled
        identifiers = {"file_id": str(uuid4()), "job_id": str(uuid4())}
        good: dict[str, tuple[int, dict[str, Any]]] = {
            "ready": (200, {"checks": {}}),
            "upload": (201, identifiers),
            "status": (200, status),
            "proof": (200, {"closes": True}),
        }
        return good.get(kind, (200, {}))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code, body = answer(self.path)
            content = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", calls
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda kind, count: None, []),
        (
            lambda kind, count: (
                (503, {"code": "unavailable"}) if (kind, count) == ("upload", 2) else None
            ),
            ["upload refused: 503", "1 answers with 503"],
        ),
        (
            lambda kind, count: (500, {}) if (kind, count) == ("status", 1) else None,
            ["1 answers with 500"],
        ),
        (
            lambda kind, count: (200, {"closes": False}) if (kind, count) == ("proof", 1) else None,
            ["1 proofs do not close"],
        ),
        (
            lambda kind, count: (
                (200, {"status": "failed"}) if (kind, count) == ("status", 1) else None
            ),
            ["1 jobs are failed"],
        ),
        (lambda kind, count: (404, {}) if kind == "ready" else None, ["is not Granula"]),
        (
            lambda kind, count: (200, {"status": "processing"}) if kind == "status" else None,
            ["4 x not ended within 1 seconds", "4 proofs do not close or could not be had"],
        ),
    ],
    ids=[
        "all well",
        "upload 503",
        "status 500",
        "proof broken",
        "job failed",
        "something else",
        "no end",
    ],
)
def test_a_failed_check_sets_the_exit_code(
    script: ModuleType, capsys: pytest.CaptureFixture[str], spoil: Spoil, says: list[str]
) -> None:
    never_ends = any("not ended" in text for text in says)
    tiny = ["--uploads", "3", "--rows", "5", "--big-rows", "5", "--poll-seconds", "0.001"]
    tiny += ["--seconds", "1" if never_ends else "60"]
    with fake_service(spoil) as (url, calls):
        assert script.main(["--url", url, *tiny]) == (1 if says else 0)
    output = capsys.readouterr().out
    for text in says:
        assert text in output
    if never_ends:
        assert calls.count("cancel") == 4
    else:
        assert "cancel" not in calls
