"""The lines of `python -m app pipeline` and its bar, on a terminal and next to one."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.batch import _conclude as conclude
from tests.cli.terminal import Terminal, mixed, screen
from tests.conftest import Databases
from tests.harness import ROOT, Postgres
from tests.scoring.services import Bucket, ModelService, Pipeline, transactions

LINE = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d - INFO - "
BAR = "━"


@pytest.fixture(scope="module")
def databases(postgres: Postgres, templates: dict[str, str]) -> Iterator[Databases]:
    made = Databases("sqlite", postgres, templates)
    yield made
    made.close()


@pytest.fixture
def command(
    databases: Databases, bucket: Bucket, model: ModelService, tmp_path: Path
) -> tuple[list[str], dict[str, str], Path]:
    """Output of a run over 600 transactions, slow enough for a bar."""
    bucket.put("a.csv", transactions(600, seed=5))
    model.misbehave(latency_ms=150)
    storage = tmp_path / "storage"
    pipeline = Pipeline(
        databases.create(storage), storage, ML_API_URL=model.url, **bucket.environment
    )
    log = ["--log-file", str(tmp_path / "log")]
    environment = pipeline.whole_environment(ROW_BATCH_SIZE=100, TERM="xterm", PYTHONPATH=ROOT)
    return [sys.executable, "-m", "app", "pipeline", *log], environment, tmp_path


def test_lines_go_to_a_pipe_while_the_bar_is_on_the_terminal(
    command: tuple[list[str], dict[str, str], Path],
) -> None:
    done = mixed("err", command[0], command[1], command[2])
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert all(re.match(LINE, line) for line in lines), lines
    assert lines == (command[2] / "log").read_text().splitlines()
    assert lines[-1].endswith("Pipeline complete: 600 processed, 0 failed, 0 invalid")
    assert BAR in done.err
    assert screen(done.err) == []


def test_lines_and_bar_share_a_terminal(command: tuple[list[str], dict[str, str], Path]) -> None:
    terminal = Terminal(command[0][2:], command[1])
    assert terminal.end() == 0
    assert BAR in terminal.raw
    lines = screen(terminal.raw.replace("\r\n", "\n\r"))
    assert lines == (command[2] / "log").read_text().splitlines()


@pytest.mark.parametrize(
    ("rows", "code", "said"),
    [
        ((9, 0, 1, 0), 0, "9 processed, 0 failed, 1 invalid"),
        ((9, 2, 1, 0), 1, "9 processed, 2 failed, 1 invalid"),
        ((9, 0, 0, 5), 1, "9 processed, 0 failed, 0 invalid, 5 not processed"),
    ],
)
def test_the_last_line_tells_failed_rows_from_unprocessed_rows(
    caplog: pytest.LogCaptureFixture, rows: tuple[int, ...], code: int, said: str
) -> None:
    counts = dict(zip(("ok", "failed", "invalid", "unprocessed"), rows, strict=True))
    with caplog.at_level("INFO", "pipeline"):
        assert (
            conclude(
                {"rows": counts, "status": "completed_with_errors", "error": None, "errors": []}
            )
            == code
        )
    assert caplog.messages[-1] == f"Pipeline complete: {said}"
