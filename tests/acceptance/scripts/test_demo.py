"""The demo, run as users run it: its output, its exit codes, and that it leaves nothing behind."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from tests.cli.terminal import mixed
from tests.harness import ROOT, Postgres, query, wait_until

SCRIPT = ROOT / "scripts" / "demo.py"
# the demo must ignore the environment
NOWHERE = "postgresql+asyncpg://nobody@127.0.0.1:1/none"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Temporary folders go below `tmp_path / "tmp"`, and a kept storage is `tmp_path / "kept"`."""
    (tmp_path / "tmp").mkdir()
    ours = {
        "TMPDIR": tmp_path / "tmp",
        "STORAGE_DIR": tmp_path / "kept",
        "DATABASE_URL": NOWHERE,
        "MIN_FREE_DISK_MB": 0,
    }
    return {**os.environ, **{name: str(value) for name, value in ours.items()}}


def run(environment: dict[str, str], *arguments: str) -> tuple[int, str]:
    """Return the exit code, and the output."""
    command = [sys.executable, str(SCRIPT), *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=90, check=False
    )
    assert not done.stderr
    return done.returncode, done.stdout


def pid_of_server(output: str) -> int:
    match = re.search(r"\(pid (\d+)\)", output)
    assert match, output
    return int(match[1])


def is_running(pid: int) -> bool:
    try:
        status: str = psutil.Process(pid).status()
    except psutil.NoSuchProcess:
        return False
    return status != str(psutil.STATUS_ZOMBIE)


def assert_nothing_left(environment: dict[str, str], output: str) -> None:
    assert not is_running(pid_of_server(output))
    assert list(Path(environment["TMPDIR"]).iterdir()) == []


def number(pattern: str, output: str) -> int:
    match = re.search(pattern, output)
    assert match, output
    return int(match[1].replace(",", ""))


def test_a_clean_file_completes_with_a_valid_proof(environment: dict[str, str]) -> None:
    """The report goes to standard output, without a bar, next to a terminal."""
    command = [sys.executable, str(SCRIPT), "--rows", "5000", "--dirty", "0"]
    done = mixed("err", command, environment | {"TERM": "xterm"})
    output = done.out
    assert (done.code, done.err) == (0, ""), output
    assert "━" not in output
    assert re.search(r"Generated +5,000 rows", output)
    assert re.search(r"Processed +5,000 rows in [\d.]+ s, [\d,]+ rows/s\n", output)
    assert re.search(r"Status +completed\n", output)
    assert "5,000 = 5,000 ok + 0 invalid + 0 failed + 0 unprocessed" in output
    assert re.search(r"First 5 of 5,000 results\n\s+row +id +name +value\s", output)
    assert re.search(r"\n +5 +5 +\w+ +\d+ ", output)
    assert "rejects\n " not in output.partition("Proof")[0]
    assert "5,000 rows = 5,000 results + 0 rejects\n" in output
    read = re.search(r"Hash sum read +([0-9a-f]{16}) \(xxh3-64-sum\)", output)
    stored = re.search(r"Hash sum stored +([0-9a-f]{16})\n", output)
    assert read
    assert stored
    assert read[1] == stored[1] != "0" * 16
    assert "closes: each row is accounted for" in output
    assert "\x1b" not in output  # no terminal, no escape sequences
    assert_nothing_left(environment, output)
    assert not Path(environment["STORAGE_DIR"]).exists()


def test_a_dirty_file_shows_rejects_and_a_correction_and_leaves_a_named_database(
    environment: dict[str, str], postgres: Postgres
) -> None:
    name = postgres.create()  # empty: the demo migrates it
    url = postgres.url(name)
    try:
        code, output = run(environment, "--rows", "2000", "--dirty", "0.1", "--database-url", url)
        assert code == 0, output
        left = query(
            url, "SELECT (SELECT count(*) FROM result_pages), (SELECT count(*) FROM rejects)"
        )
    finally:
        postgres.drop(name)
    assert re.search(r"Status +completed_with_errors\n", output)
    rejects = number(r"First 5 of (\d+) rejects\n\s+row +line +column +code +text\s", output)
    assert 20 < rejects < 200
    assert f"2,000 = {2000 - rejects:,} ok + {rejects} invalid + 0 failed + 0 unprocessed" in output
    row = number(r"Row (\d+) is corrected: ", output)
    assert re.search(rf"\n +{row} +{row} +Corrected by hand +0 ", output)
    assert f"2,000 rows = {2001 - rejects:,} results + {rejects - 1} rejects\n" in output
    codes = "column_count|invalid_utf8|nul_character|csv_bad_quote|csv_unclosed_quote"
    assert re.search(rf"\n +\d+ +\d+ .*({codes})", output)
    assert "closes: each row is accounted for" in output
    assert left == [(0, 0)]
    assert_nothing_left(environment, output)


def test_keep_leaves_a_running_service(environment: dict[str, str]) -> None:
    code, output = run(environment, "--rows", "2000", "--dirty", "0", "--keep")
    pid = pid_of_server(output)
    try:
        assert code == 0, output
        assert f"kill {pid}" in output
        sample = Path(environment["STORAGE_DIR"]) / "demo.csv"
        form, status, results = re.findall(r"\n  curl (.+)", output)
        assert form.startswith(f"-F file=@{sample} 'http://127.0.0.1:")
        assert httpx.get(status, trust_env=False).json()["status"] == "completed"
        assert len(httpx.get(results.strip("'"), trust_env=False).json()["items"]) == 5
        code, refused = run(environment, "--rows", "2000", "--keep")
        assert code == 1
        assert "stop it first" in refused
        assert sample.exists()
        assert is_running(pid)
    finally:
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not is_running(pid), 30, "end of the service")


def test_ctrl_c_stops_the_service_and_leaves_nothing(environment: dict[str, str]) -> None:
    command = [sys.executable, str(SCRIPT), "--rows", "1000000"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stdout is not None
        output = ""
        for line in demo.stdout:
            output += line
            if line.startswith("Uploaded"):
                demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 130, output
    assert "Verdict" not in output
    assert_nothing_left(environment, output)


def test_a_service_that_dies_is_reported_with_its_log(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "uvicorn.py").write_text("print('settings are wrong')\nraise SystemExit(3)\n")
    code, output = run({**environment, "PYTHONPATH": str(tmp_path)}, "--rows", "2000")
    assert code == 1
    assert "The service ended (exit code 3). Its log:\nsettings are wrong\n" in output
    assert list(Path(environment["TMPDIR"]).iterdir()) == []


def test_cells_cannot_play_tricks_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPT.parent)
    spec = importlib.util.spec_from_file_location("demo", SCRIPT)
    assert spec
    assert spec.loader
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    assert demo.shown("a\x1b[31m\n\u202eb\ud800") == r"a\x1b[31m\n\u202eb\ud800"
    assert demo.shown("\u05e9 [red]") == "\u05e9 [red]"
    assert demo.shown("x" * 40) == "x" * 29 + "..."
    assert demo.shown(12) == "12"
