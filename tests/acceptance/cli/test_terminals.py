"""Drawing on standard error never changes standard output, whichever of them is a terminal: with
`id=$(... upload ...)` the bar is on the screen and the id in a pipe. The database makes no
difference.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from tests.cli.terminal import COLUMNS, DIRTY, Cli, Done, mixed, screen
from tests.conftest import Databases
from tests.harness import ROOT, Postgres

pytestmark = pytest.mark.one_database

BAR = "━"


@pytest.fixture(scope="module")
def databases(postgres: Postgres, templates: dict[str, str]) -> Iterator[Databases]:
    made = Databases("sqlite", postgres, templates)
    yield made
    made.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "orders.csv"
    path.write_text(DIRTY)
    return path


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """A job whose status as JSON is several times as wide as a terminal."""
    path = tmp_path / "wide.csv"
    names = ",".join(f"a_column_with_a_long_name_{n}" for n in range(60))
    path.write_text(f"{names}\n{','.join('x' * 60)}\n")
    return path


def drew_a_bar(done: Done) -> None:
    assert BAR in done.err
    assert not [line for line in screen(done.err) if BAR in line], "the bar is still there"
    assert "" not in screen(done.err), f"an empty line is left: {screen(done.err)}"


def test_the_id_of_an_upload_can_be_captured_at_a_terminal(cli: Cli, file: Path) -> None:
    done = cli.mixed("err", "upload", file)
    assert (done.code, str(UUID(done.out.strip()))) == (0, done.out.strip())
    drew_a_bar(done)


@pytest.mark.parametrize("command", ["upload", "watch", "retry", "fix"])
def test_json_in_a_pipe_is_complete_while_a_bar_is_on_the_terminal(
    cli: Cli, file: Path, wide: Path, tmp_path: Path, command: str
) -> None:
    if command == "upload":
        done = cli.mixed("err", "upload", wide, "--wait", "--json")
    else:
        identifier = cli("upload", file, "--wait", "--quiet").out.strip()
        if command == "watch":
            done = cli.mixed("err", "watch", identifier, identifier, "--json")
        elif command == "retry":
            done = cli.mixed("err", "retry", identifier, "--wait", "--json")
            assert (done.code, done.out) == (4, ""), done.err  # nothing has failed
            return
        else:
            cli("rejects", identifier, "-o", tmp_path / "rejects.csv")
            fixed = (tmp_path / "rejects.csv").read_text().replace('"20,30"', "20")
            (tmp_path / "rejects.csv").write_text(fixed)
            done = cli.mixed("err", "fix", identifier, tmp_path / "rejects.csv", "--wait", "--json")
    assert done.code in (0, 1), done.err
    assert len(done.jsons) == 1
    assert done.json["status"].startswith("completed")
    if command != "watch":  # which finds that the job has ended
        drew_a_bar(done)


def test_json_on_the_terminal_is_not_wrapped_or_overwritten_by_the_bar(
    cli: Cli, wide: Path, file: Path
) -> None:
    terminal = cli.on_terminal("upload", wide, file, "--wait", "--json")
    assert terminal.end() == 1
    assert BAR in terminal.raw
    lines = screen(terminal.raw.replace("\r\n", "\n\r"))
    found = [json.loads(line) for line in lines if line.startswith("{")]
    assert sorted(each["filename"] for each in found) == ["orders.csv", "wide.csv"]
    assert max(map(len, lines)) > 2 * COLUMNS
    assert "" not in lines
    assert not [line for line in lines if BAR in line]


def test_a_table_fits_a_terminal_of_80_columns(cli: Cli, tmp_path: Path) -> None:
    names = [f"column_number_{place}" for place in range(12)]
    file = tmp_path / "many.csv"
    file.write_text(",".join(names) + "\n" + ",".join(["a value of some length"] * 12) + "\n")
    identifier = cli("upload", file, "--wait", "--quiet").out.strip()
    terminal = cli.on_terminal("results", identifier, columns=80)
    assert terminal.end() == 0
    lines = screen(terminal.raw.replace("\r\n", "\n\r"))
    assert max(map(len, lines)) <= 80
    assert any(line.endswith("more columns not shown here; --json has all.") for line in lines)
    assert names[-1] in cli("results", identifier).out  # a pipe gets all of them


def test_several_uploads_leave_one_line_each_and_no_bars(cli: Cli, file: Path, wide: Path) -> None:
    terminal = cli.on_terminal("upload", file, wide, file)
    assert terminal.end() == 0
    lines = screen(terminal.raw.replace("\r\n", "\n\r"))
    assert [line.partition(":")[0] for line in lines] == ["orders.csv", "wide.csv", "orders.csv"]


@pytest.mark.parametrize("command", ["upload", "results", "list"])
def test_a_terminal_on_standard_output_alone_gets_no_bar(
    cli: Cli, file: Path, command: str
) -> None:
    identifier = cli("upload", file, "--wait", "--quiet").out.strip()
    arguments = {"upload": (file, "--wait", "--json"), "results": (identifier,), "list": ()}[
        command
    ]
    done = cli.mixed("out", command, *arguments)
    assert done.code in (0, 1), done.err
    assert BAR not in done.out + done.err
    if command == "upload":
        assert json.loads(done.out)["filename"] == "orders.csv"
        assert "orders.csv: completed_with_errors" in done.err or "rejected" in done.err


@pytest.mark.parametrize(
    "arguments",
    [("results",), ("results", "--format", "jsonl"), ("results", "--json"), ("rejects",)],
)
def test_rows_go_to_the_pipe_unchanged(cli: Cli, file: Path, arguments: tuple[str, ...]) -> None:
    identifier = cli("upload", file, "--wait", "--quiet").out.strip()
    command, *rest = arguments
    done = cli.mixed("err", command, identifier, *rest)
    assert done.code == 0, done.err
    assert done.out.replace("\r\n", "\n") == cli(command, identifier, *rest).out
    assert "Ada" in done.out or "Alan" in done.out


def test_the_figures_of_a_benchmark_go_to_the_pipe(cli: Cli) -> None:
    done = cli.mixed("err", "bench", "--rows", 3_000, "--json")
    assert (done.code, done.json["rows_ok"]) == (0, 3_000)
    drew_a_bar(done)


def test_every_bar_on_standard_error_leaves_standard_output_alone() -> None:
    """The `redirect_stdout` of rich moves everything printed meanwhile to the console of the
    bar.
    """
    drawing = re.compile(r"\bProgress\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)")
    sources = {
        path: path.read_text()
        for folder in ("app", "scripts")
        for path in (ROOT / folder).rglob("*.py")
    }
    calls = [(path.name, call) for path, text in sources.items() for call in drawing.findall(text)]
    assert len(calls) > 3
    wrong = [call for call in calls if "redirect_stdout=False" not in call[1]]
    assert not wrong


def test_the_report_of_a_script_stays_apart_from_the_bar(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(ROOT / "scripts" / "generate_csv.py"),
        "-n",
        "20000",
        "--out",
        str(tmp_path / "a.csv"),
    ]
    done = mixed("err", command, {"PATH": "", "TERM": "xterm"})
    assert (done.code, done.out.startswith("20,000 rows")) == (0, True)
