"""The commands for files and jobs, as processes against a server with authentication, on both
databases.
"""

from __future__ import annotations

import csv
import json
import signal
from pathlib import Path

import pytest

from tests.cli.terminal import DIRTY, Cli
from tests.forks import Server
from tests.harness import wait_until

pytestmark = pytest.mark.one_database


def test_the_commands_handle_a_dirty_file_from_upload_to_deletion(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "dirty [red]\x1b[31m.csv"  # a name with control characters
    path.write_text(DIRTY)
    terminal = cli.on_terminal("upload", path, "--wait")
    assert terminal.end() == 1, terminal.text  # some rows were rejected
    assert "\x1b[31m" not in terminal.raw.replace("\x1b[31m━", "")
    assert r"dirty [red]\x1b[31m.csv: completed_with_errors, 3 rows, 2 rejected" in terminal.text
    assert "━" in terminal.text  # the bar
    identifier = terminal.wait_for(r"python -m app rejects (\S+)")[1]

    rejects = cli("rejects", identifier, "-o", tmp_path / "rejects.csv")
    assert rejects.code == 0, rejects.err
    assert rejects.out == ""
    with (tmp_path / "rejects.csv").open(newline="") as file:
        assert [(row["_row"], row["_code"]) for row in csv.DictReader(file)] == [
            ("2", "column_count"),
            ("3", "csv_unclosed_quote"),
        ]
    assert [item["row_number"] for item in cli("rejects", identifier, "--json").jsons] == [2, 3]

    lines = cli("results", identifier, "--format", "jsonl")
    assert (lines.code, json.loads(lines.out)) == (0, {"id": "1", "name": "Ada", "value": "10"})
    looked_at = cli.on_terminal("results", identifier)
    assert looked_at.end() == 0
    assert "Ada" in looked_at.text

    proof = cli("proof", identifier, "--json")
    assert (proof.code, proof.json["closes"]) == (0, True)
    assert [str(job["number"]) for job in cli("list", "--json").jsons] == [identifier]

    assert "--yes" in cli("delete", identifier).err
    assert cli("delete", identifier, "--yes").code == 0
    gone = cli("status", identifier)
    assert (gone.code, gone.out) == (4, "")
    assert f"no job number {identifier}" in gone.err


def test_ctrl_c_keeps_the_job_running_and_prints_how_to_watch_it(
    cli: Cli, server: Server, tmp_path: Path
) -> None:
    path = tmp_path / "slow.csv"
    path.write_text("id\n1\n")
    terminal = cli.on_terminal("upload", path, "--wait", "--processor", "gated", "--priority", 7)
    wait_until((server.storage.parent / "began").exists, what="the processor at work")
    terminal.wait_for(r"slow\.csv +━* +\d+% +\d+ rows")
    terminal.type("\x03")
    assert terminal.end() == 130
    identifier = terminal.wait_for(r"The job continues\. Watch: python -m app watch (\S+)")[1]
    found = cli("status", identifier, "--json").json
    assert (found["status"], found["priority"]) == ("processing", 7)
    for command in ("results", "rejects"):
        refused = cli(command, identifier, "-o", tmp_path / "early.csv")
        assert (refused.code, refused.out) == (4, "")
        assert f"python -m app watch {identifier}" in refused.err
        assert not (tmp_path / "early.csv").exists()
        early = cli(command, identifier, "-o", tmp_path / "early.csv", "--partial")
        assert early.code == 0, early.err
        assert "Not complete" in early.err
        assert len((tmp_path / "early.csv").read_text().splitlines()) == 1
        (tmp_path / "early.csv").unlink()

    watching = cli.begin("watch", identifier, "--json")
    assert cli("cancel", identifier).code == 0
    watched = watching.end()
    assert watched.code == 3  # cancelled
    assert watched.json["status"] == "cancelled"
    ended = cli("results", identifier)
    assert (ended.code, ended.out.strip()) == (1, "id")
    assert "Not complete. Rows that are neither results nor rejects: 1." in ended.err


def test_sigterm_while_waiting_exits_with_the_code_of_the_signal(
    cli: Cli, server: Server, tmp_path: Path
) -> None:
    (server.storage.parent / "began").unlink(missing_ok=True)
    (tmp_path / "slow.csv").write_text("id\n1\n")
    upload = cli.begin("upload", tmp_path / "slow.csv", "--wait", "--processor", "gated", "--quiet")
    wait_until((server.storage.parent / "began").exists, what="the processor at work")
    upload.send_signal(signal.SIGTERM)
    ended = upload.end()
    assert ended.code == 143
    assert "The job continues" in ended.err
    (server.storage.parent / "open").touch()
    assert cli("watch", ended.out.strip(), "--quiet").code == 0


def test_jobs_are_labelled_listed_in_order_and_deleted_by_a_filter(
    cli: Cli, tmp_path: Path
) -> None:
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text("id,n\n1,2\n")
    bad.write_text("id,n\n1\n")
    for path in (bad, good):
        cli("upload", path, "--wait", "--label", "many", "--label", path.stem)
    names = [job["filename"] for job in cli("list", "--label", "many", "--json").jsons]
    assert names == ["good.csv", "bad.csv"]
    by_rejects = cli("list", "--label", "many", "--sort", "rejected", "--json").jsons
    assert [job["filename"] for job in by_rejects] == ["bad.csv", "good.csv"]
    assert cli("list", "--label", "many", "--rejected", "50%", "--quiet").out.count("\n") == 1
    assert cli("list", "--label", "many", "--to", "2020-01-01", "--json").jsons == []

    number = by_rejects[0]["number"]
    changed = cli("label", number, "last", "--add", "x y", "--remove", "bad", "--json")
    assert {item["outcome"] for item in changed.jsons} == {"done"}
    assert cli("status", number, "--json").json["labels"] == ["many", "x y"]

    refused = cli("cancel", "--where", "label=x y")
    assert refused.code == 4
    assert refused.out == "0 done, 0 unchanged, 2 refused\n"
    assert f"#{number} bad.csv: " in refused.err
    assert cli("cancel", "--where", "owner=me").code == 2
    assert cli("cancel", number, "--where", "label=x y").code == 2
    dry = cli("delete", "--where", "label=x y", "--dry-run")
    assert dry.out == "2 jobs match, 2 would change\n"
    assert "--yes" in cli("delete", "--where", "label=x y").err
    gone = cli("delete", "--where", "label=x y", "--where", "search=bad", "--yes")
    assert (gone.code, gone.out) == (0, "1 done, 0 unchanged, 0 refused\n")
    assert cli("delete", "--where", "label=x y", "--yes").code == 0
    assert cli("list", "--label", "many", "--json").jsons == []
