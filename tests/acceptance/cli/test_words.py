"""Output of the command line: the list fits the terminal, ids may be shortened, and errors use the
words of the command line. The database makes no difference.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from app.api.parameters import UploadOptions
from app.cli.serve import banner
from app.cli.text import ago, rows_text, state_text
from app.cli.words import REMEDIES, ROUTE, explained
from app.config import load_settings
from app.errors import request_errors
from tests.acceptance.cli.test_without_server import free_port, is_ready
from tests.cli.terminal import DIRTY, Cli, screen
from tests.conftest import Databases
from tests.harness import Api, Postgres, wait_until

pytestmark = pytest.mark.one_database


@pytest.fixture(scope="module")
def databases(postgres: Postgres, templates: dict[str, str]) -> Iterator[Databases]:
    made = Databases("sqlite", postgres, templates)
    yield made
    made.close()


@pytest.fixture(scope="module")
def jobs(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """File ids by name."""
    folder = tmp_path_factory.mktemp("files")
    long = f"{'a long name of a file ' * 6}.csv"
    files = {"good.csv": "id\n1\n2\n", "dirty.csv": DIRTY, long: "id\n1\n"}
    for name, text in files.items():
        (folder / name).write_text(text)
    done = cli("upload", *(folder / name for name in files), "--wait", "--json", "--quiet")
    return {record["filename"]: record["file_id"] for record in done.jsons}


# ---------------------------------------------------------------------- the list


@pytest.mark.parametrize("columns", [80, 120])
def test_the_list_fits_the_terminal_without_cutting_words(
    cli: Cli, jobs: dict[str, str], columns: int
) -> None:
    terminal = cli.on_terminal("list", columns=columns)
    assert terminal.end() == 0
    lines = [
        re.sub(r" {2,}", "  ", line.strip())
        for line in screen(terminal.raw.replace("\r\n", "\n\r"))
    ]
    assert max(len(line) for line in screen(terminal.raw.replace("\r\n", "\n\r"))) <= columns
    assert len(lines) == 3, lines
    assert re.fullmatch(r"#\d+  a long name of a.*\.\.\.  completed: 1 loaded  just now", lines[0])
    assert re.fullmatch(r"#\d+  dirty\.csv  2 rejected, 1 loaded  just now", lines[1])
    assert re.fullmatch(r"#\d+  good\.csv  completed: 2 loaded  just now", lines[2])


def test_the_list_in_a_pipe_is_complete(cli: Cli, jobs: dict[str, str]) -> None:
    lines = cli("list").out.splitlines()
    assert len(lines) == 4
    ids = [line.split()[0] for line in lines[1:]]
    assert ids == [record["job_id"] for record in cli("list", "--json").jsons]
    assert cli("list", "--quiet").out.split() == ids
    assert "a long name of a file" in lines[1]


def test_states_and_counts_are_printed_in_words() -> None:
    counts = {"loaded": 23_000, "rejected": 0, "failed": 37_000, "not_processed": 0}
    job = {
        "status": "completed_with_errors",
        "counts": counts,
        "error": None,
        "split_complete": True,
    }
    assert state_text(job) == "incomplete"
    assert rows_text(job) == "60,000 rows, 37,000 failed, 23,000 loaded"
    assert (
        state_text(job | {"counts": counts | {"failed": 0, "rejected": 1}})
        == "completed_with_errors"
    )
    assert (
        state_text(job | {"counts": counts | {"failed": 0, "rejected": 1, "not_processed": 1}})
        == "incomplete"
    )
    assert (
        state_text(
            job | {"counts": counts | {"failed": 0, "rejected": 1}, "error": {"code": "a part"}}
        )
        == "incomplete"
    )
    torn = job | {"status": "failed", "split_complete": False, "counts": dict.fromkeys(counts, 0)}
    assert rows_text(torn) == "0 rows, 0 loaded, the rest of the file was not read"


def test_times_are_printed_in_plain_words() -> None:
    now = datetime(2026, 5, 1, 12, tzinfo=UTC)
    steps = (
        (5, "just now"),
        (61, "1 min ago"),
        (7_300, "2 h ago"),
        (3 * 86_400, "3 d ago"),
        (90 * 86_400, "2026-01-31"),
    )
    for seconds, told in steps:
        assert ago((now - timedelta(seconds=seconds)).isoformat(), now) == told


# ---------------------------------------------------------------------- ids


def test_a_number_and_a_prefix_of_an_id_are_accepted_as_ids(cli: Cli, jobs: dict[str, str]) -> None:
    listed = {record["filename"]: record for record in cli("list", "--json").jsons}
    dirty = listed["dirty.csv"]
    names = (
        dirty["number"],
        f"#{dirty['number']}",
        dirty["file_id"][:13],
        dirty["job_id"][:13],
        dirty["job_id"],
    )
    for name in names:
        assert cli("status", name, "--json").json["job_id"] == dirty["job_id"], name
    assert cli("rejects", dirty["number"], "--json").jsons[0]["row_number"] == 2
    assert cli("results", dirty["file_id"][:9], "--json").jsons[0]["row_number"] == 1
    assert cli("watch", dirty["number"], listed["good.csv"]["number"], "--quiet").code == 1
    assert cli("proof", dirty["number"]).code == 0
    fixed = cli("fix", dirty["number"], "-", "--wait", stdin="id,name,value,_row\n2,Alan,20,2\n")
    assert "1 loaded" in fixed.err


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("999999", 4, "has no job number 999999"),
        ("#0", 4, "has no job number 0"),
        ("ffff-", 4, "No id of the newest 500 jobs begins with ffff-"),
        ("abc", 2, "is not an id"),
        ("hello", 2, "is not an id"),
        ("9" * 30, 4, "begins with 999"),
        ("-", 2, "is not an id"),
    ],
)
def test_an_invalid_id_is_reported(
    cli: Cli, jobs: dict[str, str], name: str, code: int, said: str
) -> None:
    done = cli("status", name)
    assert (done.code, done.out) == (code, ""), done.err
    assert said in done.err


# ---------------------------------------------------------------------- refusals


def test_a_duplicate_file_is_reported_with_its_id(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "twice.csv").write_text(f"id\n{uuid4()}\n")
    first = cli("upload", tmp_path / "twice.csv", "--on-duplicate", "reject").out.strip()
    again = cli("upload", tmp_path / "twice.csv", "--on-duplicate", "reject")
    assert again.code == 4
    assert f"Already uploaded as {first}: python -m app status {first}" in again.err
    assert "--on-duplicate new" in again.err
    assert "existing_id" not in again.err


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("delimeter", "delimiter"),
        ("seperator", ""),
        ("skip-rows", "skip_rows"),
        ("Encoding", "encoding"),
        ("collumns", "columns"),
    ],
)
def test_a_misspelled_option_suggests_the_nearest_name(cli: Cli, wrong: str, right: str) -> None:
    done = cli("upload", "-", "-O", f"{wrong}=1", stdin="a\n")
    assert done.code == 4
    assert wrong in done.err
    assert (f"Did you mean {right}?" in done.err) == bool(right)
    assert "`errors`" not in done.err
    assert not right or right in UploadOptions.model_fields


def test_forms_and_bodies_suggest_the_nearest_name_too(api: Api, server: object, cli: Cli) -> None:
    api.client.headers["Authorization"] = f"Bearer {cli.environment['GRANULA_KEY']}"
    form = api.client.post(
        "/api/v1/upload", files={"file": ("a.csv", b"a\n1\n")}, data={"delimeter": ";"}
    )
    assert "Did you mean delimiter?" in form.json()["errors"][0]["detail"]
    body = api.client.post(
        "/api/v1/webhooks", json={"url": "https://example.com", "event": ["job.failed"]}
    )
    assert "Did you mean events?" in str(body.json()["errors"])


def test_a_wrong_server_path_is_not_reported_as_an_unknown_id(cli: Cli) -> None:
    done = cli("list", GRANULA_URL=f"{cli.environment['GRANULA_URL']}/foo/")
    assert done.code == 4
    assert "/foo: not found. Check the path of --url" in done.err
    assert "under this id" not in done.err
    assert "does not know this id" in cli("status", uuid4()).err


def test_a_retry_without_failed_rows_names_the_command_for_rejected_rows(
    cli: Cli, jobs: dict[str, str]
) -> None:
    done = cli("retry", jobs["good.csv"])
    assert done.code == 4
    assert "python -m app fix ID FILE" in done.err


def test_no_error_on_the_command_line_names_a_route() -> None:
    assert REMEDIES.keys() <= request_errors().keys()
    for code, error in request_errors().items():
        told = "\n".join(explained({"code": code, "detail": error.title(), "remedy": error.remedy}))
        assert not ROUTE.search(told), code
        assert "existing_id" not in told
        assert "`errors`" not in told or code == "invalid_transform"
    detail = "The job has 2 parts, which have the rows: GET /api/v1/jobs?parent=1"
    assert explained({"code": "job_has_parts", "detail": detail})[0].startswith(
        "The job has 2 parts, which have the rows. Read"
    )
    assert explained(
        {"code": "x", "detail": "A batch is made of many files, by POST /api/v1/jobs/batch."}
    ) == ["A batch is made of many files."]


# ---------------------------------------------------------------------- serve


def test_the_banner_shows_the_settings_and_no_secret() -> None:
    settings = load_settings(
        _env_file=None,
        database_url="postgresql+asyncpg://ada:hunter2@db.example:5433/rows",
        storage_url="s3://bucket/files",
    )
    text = banner(settings, "0.0.0.0", 8080)
    assert "PostgreSQL, db.example:5433/rows" in text
    assert "s3://bucket/files" in text
    assert "http://127.0.0.1:8080/" in text
    assert "hunter2" not in text
    assert "not required" in text
    assert len(text.splitlines()) == 5
    assert "http://[::1]:8000/" in banner(settings, "::1", 8000)


def test_serve_prints_its_banner_first(tmp_path: Path) -> None:
    port = free_port()
    cli = Cli(port, STORAGE_DIR=tmp_path, DATABASE_URL="")
    serve = cli.begin("serve", "--port", port)
    try:
        wait_until(lambda: serve.has_ended or is_ready(port), 60, "server ready")
    finally:
        serve.send_signal(signal.SIGTERM)
        done = serve.end()
    first, *rest = done.err.splitlines()
    assert re.fullmatch(r"Granula \S+", first)
    assert rest[0] == f"  database  SQLite, {tmp_path}/granula.db"
    assert rest[1] == f"  storage   {tmp_path}"
    assert rest[2] == f"  page      http://127.0.0.1:{port}/"
    assert rest[3] == "  sign-in   not required (AUTH_REQUIRED=false)"
    assert done.out == "" or "INFO" in done.out
