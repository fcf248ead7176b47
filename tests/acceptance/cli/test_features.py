"""Commands of single features, against a real server on the embedded database."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import Cli
from tests.forks import Server

pytestmark = pytest.mark.one_database


@pytest.fixture(scope="module")
def cli(server: Server) -> Cli:
    """With the key of an administrator."""
    created = Cli(server.port)(
        "users", "create", "eve", "--admin", DATABASE_URL=server.url, STORAGE_DIR=server.storage
    )
    assert created.code == 0, created.err
    return Cli(server.port, created.out.strip())


def uploaded(cli: Cli, path: Path, text: str, *options: str) -> str:
    path.write_text(text)
    done = cli("upload", path, "--wait", "--quiet", *options)
    assert done.code == 0, done.err
    return done.out.split()[0]


def test_a_file_is_analysed_mapped_transformed_and_downloaded(cli: Cli, tmp_path: Path) -> None:
    wanted = uploaded(cli, tmp_path / "wanted.csv", "email,amount\na@b.example,1\n")
    theirs = uploaded(cli, tmp_path / "theirs.csv", "E-Mail,Amount\nx@y.example,2\n")
    profile = cli("analyze", "last")
    assert profile.code == 0, profile.err
    assert "integer" in profile.out
    assert "1 rows, 0 of them rejected" in profile.err

    proposal = cli("map", theirs, wanted, "--json", "--quiet")
    assert proposal.code == 0, proposal.err
    assert {m["reference_column"]: m["input_column"] for m in proposal.json["mappings"]} == {
        "email": "E-Mail",
        "amount": "Amount",
    }
    assert "E-Mail" in cli("map", theirs, wanted).out
    (tmp_path / "mapping.json").write_text(proposal.out)

    output = cli("transform", theirs, tmp_path / "mapping.json", "--quiet")
    assert output.code == 0, output.err
    assert "1 ok" in output.err
    result = cli("download", output.out.strip())
    assert result.out == "email,amount\nx@y.example,2\n"
    assert cli("download", "last").out == result.out
    assert cli("download", theirs).out == "E-Mail,Amount\nx@y.example,2\n"
    (tmp_path / "broken.json").write_text("{")
    assert cli("transform", theirs, tmp_path / "broken.json").code == 2


def test_rows_are_filtered_sorted_and_written(cli: Cli, tmp_path: Path) -> None:
    lines = "".join(f"{number},{number % 7 * 1.5},n {number}\n" for number in range(1, 101))
    uploaded(cli, tmp_path / "rows.csv", f"id,amount,name\n{lines}")
    where = ("rows", "last", "--where", "amount > 7 and id <= 50")
    expected = [number for number in range(1, 51) if number % 7 * 1.5 > 7]
    chosen = cli(*where, "--json")
    assert [json.loads(line)["row_number"] for line in chosen.out.splitlines()] == expected
    target = tmp_path / "some.csv"
    assert cli(*where, "--columns", "name,id", "-o", target).code == 0
    assert target.read_text().splitlines() == ["name,id", *(f"n {n},{n}" for n in expected)]
    most = cli("rows", "last", "--sort", "-amount", "-n", "2", "--columns", "id")
    assert most.out.split()[-4:] == ["6", "6", "13", "13"]
    assert "The first 2 rows" in most.err
    assert cli("rows", "last", "--search", "nowhere").err.strip() == "No row matches."
    both = cli("rows", "last", "--where", "amount > 7", "--where", "id <= 50", "--json")
    assert both.jsons == cli(*where, "--json").jsons != []
    wrong = cli("rows", "last", "--where", "amont > 5")
    assert wrong.code == 4
    assert "Did you mean amount?" in wrong.err
    assert cli("rows", "last", "--sort", "id", "-o", target).code == 2


def test_any_request_can_be_sent(cli: Cli, tmp_path: Path) -> None:
    file_id = uploaded(cli, tmp_path / "a.csv", "a\n1\n")
    assert cli("api", "GET", "jobs", "-P", "limit=1").json["items"][0]["file_id"] == file_id
    assert cli("api", "get", "/health").json["status"]
    body = tmp_path / "body.json"
    body.write_text(json.dumps({"type": "analyze", "file_id": file_id}))
    assert cli("api", "POST", "jobs", "-d", f"@{body}").json["job_id"]
    assert cli("api", "POST", "jobs", "-d", "-", stdin=body.read_text()).code == 0
    refused = cli("api", "POST", "jobs", "-d", "{}")
    assert (refused.code, refused.json["status"]) == (4, 422)
    assert cli("api", "FETCH", "jobs").code == 2
    assert "\n  " in cli.on_terminal("api", "GET", "system").wait_for(r"\{\s+\"version\"")[0]


def test_pages_are_opened_by_their_address(cli: Cli, server: Server, tmp_path: Path) -> None:
    uploaded(cli, tmp_path / "a.csv", "a\n2\n")
    job_id = cli("list", "--quiet", "-n", "1").out.strip()
    assert cli("open", "last", "--print").out == (
        f"http://127.0.0.1:{server.port}/#/jobs/{job_id}\n"
    )
    assert cli("dashboard", "--print").out == f"http://127.0.0.1:{server.port}/\n"


def test_schedules_are_created_changed_and_deleted(cli: Cli, tmp_path: Path) -> None:
    uploaded(cli, tmp_path / "a.csv", "a\n3\n")
    created = cli("schedules", "create", "0 3 * * *", "analyze", "last", "--name", "nightly")
    assert created.code == 0, created.err
    assert "nightly" in cli("schedules", "list").out
    assert cli("schedules", "pause", "nightly").out == "nightly: paused\n"
    assert [item["paused"] for item in cli("schedules", "list", "--json").jsons] == [True]
    assert "next run" in cli("schedules", "resume", created.out.strip()[:8]).out
    assert cli("schedules", "run", "nightly").code == 0
    assert cli("schedules", "delete", "nightly").code == 0
    missing = cli("schedules", "delete", "nightly")
    assert (missing.code, "No schedule has" in missing.err) == (4, True)


def test_webhooks_are_created_and_deleted(cli: Cli) -> None:
    address = "http://127.0.0.1:9/hook"  # nobody is there
    created = cli("webhooks", "create", address, "-e", "job.failed")
    assert created.code == 0, created.err
    assert created.out.startswith("whsec_")
    assert address in cli("webhooks", "list").out
    assert cli("webhooks", "test", address).code == 0
    assert "pending" in cli("webhooks", "deliveries", address).out
    assert cli("webhooks", "delete", address).code == 0
    assert cli("webhooks", "delete", address).code == 4


def test_retention_lists_what_would_go(cli: Cli) -> None:
    assert "everything is kept" in cli("retention").err
    plan = cli("retention", "--jobs", "36500", "--json")
    assert (plan.json["is_in_force"], plan.json["due"]["jobs"]["items"]) == (False, [])


def test_an_undo_says_what_it_removed(cli: Cli, tmp_path: Path) -> None:
    uploaded(cli, tmp_path / "a.csv", "a\n4\n")
    assert "--yes" in cli("undo", "last").err
    nothing = cli("undo", "last", "--yes")
    assert nothing.code == 4


def test_a_shell_completes_job_numbers_from_the_newest_jobs(cli: Cli, tmp_path: Path) -> None:
    identifier = uploaded(cli, tmp_path / "complete.csv", "a,b\n1,2\n")
    number = cli("status", identifier, "--json").json["number"]
    environment: dict[str, Any] = {
        "_PYTHON _M APP_COMPLETE": "complete_zsh",
        "_TYPER_COMPLETE_ARGS": "granula status ",
    }
    proposed = cli(**environment)
    assert proposed.code == 0, proposed.err
    assert '"last":"the newest job, complete.csv"' in proposed.out
    assert f'"{number}":"complete.csv, completed"' in proposed.out
    nowhere = cli(**environment | {"GRANULA_URL": "http://127.0.0.1:1"})
    assert (nowhere.code, nowhere.err) == (0, "")
    assert "last" not in nowhere.out
