"""The commands as scripts use them, against a real server. The database makes no difference: the
embedded one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.cli.cutter import Cutter
from tests.cli.terminal import DIRTY, Cli
from tests.conftest import Databases
from tests.forks import Server
from tests.harness import Postgres

pytestmark = pytest.mark.one_database


@pytest.fixture(scope="module")
def databases(postgres: Postgres, templates: dict[str, str]) -> Iterator[Databases]:
    made = Databases("sqlite", postgres, templates)
    yield made
    made.close()


def test_several_files_print_one_json_line_each_and_exit_with_the_worst_code(
    cli: Cli, tmp_path: Path
) -> None:
    for name, text in (("good.csv", "id\n1\n2\n"), ("bad.csv", DIRTY), ("empty.csv", "")):
        (tmp_path / name).write_text(text)
    done = cli(
        "upload",
        *(tmp_path / f"{n}.csv" for n in ("good", "bad", "empty")),
        "--wait",
        "--json",
        "--quiet",
    )
    by_name = {line["filename"]: line for line in done.jsons}
    assert done.code == 4  # a refusal is worse than rejected rows
    assert by_name["good.csv"]["rows"]["ok"] == 2
    assert by_name["bad.csv"]["status"] == "completed_with_errors"
    assert by_name["empty.csv"]["error"]["code"] == "empty_file"


def test_standard_input_is_uploaded_under_a_name_and_prints_only_the_id(cli: Cli) -> None:
    done = cli(
        "upload", "-", "--name", "piped.csv", "-O", "delimiter=;", "--quiet", stdin="a;b\n1;2\n"
    )
    assert done.code == 0, done.err
    assert cli("watch", done.out.strip(), "--quiet").code == 0
    found = cli("status", done.out.strip(), "--json").json
    assert (found["filename"], found["columns"]) == ("piped.csv", ["a", "b"])


def test_an_upload_resumes_where_its_connection_broke(
    cli: Cli, server: Server, tmp_path: Path
) -> None:
    (tmp_path / "big.csv").write_text("id\n" + "".join(f"{n}\n" for n in range(400_000)))
    with Cutter(server.port, cuts=(1_000_000, 700_000)) as cutter:
        done = cli(
            "upload",
            tmp_path / "big.csv",
            "--resumable",
            "--json",
            GRANULA_URL=f"http://127.0.0.1:{cutter.port}",
        )
    assert done.code == 0, done.err
    assert done.err.count("Resuming big.csv") == 2
    assert done.json["size_bytes"] == (tmp_path / "big.csv").stat().st_size
    assert cutter.passed < 1.5 * done.json["size_bytes"]  # not from the beginning each time


def test_a_wrong_key_a_missing_key_and_a_wrong_option_print_sentences(cli: Cli) -> None:
    wrong = cli("list", GRANULA_KEY="granula_wrong")
    assert wrong.code == 4
    assert "does not accept the key in GRANULA_KEY" in wrong.err
    none = cli("list", "--json", GRANULA_KEY="")
    assert (none.code, none.out) == (4, "")
    assert "set the environment variable GRANULA_KEY" in none.err
    option = cli("upload", "-", "-O", "delimitr=x", stdin="a\n")
    assert option.code == 4
    assert "delimitr: There is no parameter of this name" in option.err


def test_the_benchmark_of_a_server_leaves_nothing_behind(cli: Cli) -> None:
    before = cli("list", "--all", "--json").jsons
    figures = cli("bench", "--rows", 3_000, "--json", "--quiet")
    assert figures.code == 0, figures.err
    assert figures.json["rows_ok"] == 3_000
    assert figures.json["proof_closes"]
    assert [j["file_id"] for j in cli("list", "--all", "--json").jsons] == [
        j["file_id"] for j in before
    ]


def test_the_doctor_checks_a_remote_server(cli: Cli) -> None:
    well = cli("doctor", "--json")
    assert (well.code, well.json["ok"]) == (0, True)
    without_key = cli("doctor", "--json", GRANULA_KEY="")
    assert without_key.code == 1
    assert [check["name"] for check in without_key.json["checks"] if check["state"] == "bad"] == [
        "key"
    ]
