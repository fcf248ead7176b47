"""The examples of docs/processors.md work: processors from a package outside the repository, in a
service started as a user starts it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import commands
from tests.api.checks import assert_problem
from tests.conftest import Databases
from tests.harness import ROOT, Api, Server, query, wait_until

PAGE = (ROOT / "docs" / "processors.md").read_text()
NAMES = {"shout": "ShoutProcessor", "ledger": "LedgerProcessor", "letters": "LettersProcessor"}
ROWS = b"name\nhi\nyou\n"


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the modules of the page, and nothing of this repository."""
    folder = tmp_path_factory.mktemp("outside")
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == len(NAMES)
    for name, block in zip(NAMES, blocks, strict=True):
        assert f'name = "{name}"' in block
        (folder / f"{name}.py").write_text(block)
    return folder


@pytest.fixture(scope="module")
def service(
    databases: Databases, outside: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    storage = tmp_path_factory.mktemp("served") / "storage"
    assert f"PROCESSORS=shout:{NAMES['shout']}" in PAGE
    named = ",".join(f"{module}:{kind}" for module, kind in NAMES.items())
    server = Server(
        databases.create(storage), storage, PROCESSORS=named, PYTHONPATH=outside
    ).start()
    yield server
    server.stop()


@pytest.fixture
def api(service: Server) -> Iterator[Api]:
    with service.client() as client:
        yield Api(client)


def shouted(api: Api, job_or_file: str, end: str) -> None:
    status = api.finished(job_or_file)
    assert (status["status"], status["columns"], status["summary"]) == (
        "completed",
        ["name", "shout"],
        {"shouted": 2},
    )
    assert api.rows(job_or_file) == [(1, ["hi", f"HI{end}"]), (2, ["you", f"YOU{end}"])]
    assert api.proof(status["job_id"])["closes"]


def posted(api: Api, path: str, status: int = 202, **body: Any) -> dict[str, Any]:
    answer = api.client.post(path, json=body)
    assert answer.status_code == status, answer.text
    return dict(answer.json())


def test_an_upload_passes_its_options_on(api: Api) -> None:
    """In the query, as fields of a form after the file, and with a resumable upload."""
    shouted(api, api.upload(ROWS, processor="shout")["file_id"], "!")
    shouted(
        api,
        api.upload(ROWS, processor="shout", **{"option.mark": "?", "option.times": "2"})["file_id"],
        "??",
    )
    form = api.client.post(
        "/api/v1/upload",
        params={"processor": "shout", "option.mark": "."},
        files={"file": ("a.csv", ROWS)},
        data={"option.times": "3", "option.mark": "lost to the query"},
    )
    shouted(api, form.json()["file_id"], "...")
    headers = {
        "Tus-Resumable": "1.0.0",
        "Upload-Length": str(len(ROWS)),
        "Content-Type": "application/offset+octet-stream",
    }
    headers["Upload-Metadata"] = "processor c2hvdXQ=,option.times Mg==,option bWluZQ=="
    resumable = api.client.post("/api/v1/uploads", headers=headers, content=ROWS)
    assert resumable.status_code == 201, resumable.text
    shouted(api, resumable.headers["granula-file-id"], "!!")


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("options", "detail"),
    [
        ({"option.times": "many"}, "times"),
        ({"option.loud": "1"}, "The processor shout has no option 'loud'."),
        ({"model": "vader"}, "The processor shout has no option 'model'."),
    ],
)
def test_a_bad_option_is_refused_before_the_body_is_sent(
    api: Api, options: dict[str, str], detail: str
) -> None:
    answer = api.client.post(
        "/api/v1/upload", params={"processor": "shout", **options}, content=ROWS
    )
    assert_problem(answer, 422, "invalid_parameter")
    assert detail in answer.json()["detail"]


def test_a_job_a_batch_and_a_schedule_pass_their_options_on(api: Api) -> None:
    file_id = api.upload(ROWS)["file_id"]
    job = {"type": "shout", "file_id": file_id, "options": {"mark": "?"}}
    shouted(api, posted(api, "/api/v1/jobs", **job)["job_id"], "?")
    refused = api.client.post("/api/v1/jobs", json=job | {"options": {"mark": 1}})
    assert_problem(refused, 422, "invalid_parameter")
    assert_problem(
        api.client.post("/api/v1/jobs", json=job | {"type": "whisper"}), 422, "unknown_job_type"
    )
    assert_problem(
        api.client.post("/api/v1/jobs", json=job | {"source": "s3://a/b"}), 422, "invalid_parameter"
    )
    batch = posted(
        api, "/api/v1/jobs/batch", job_type="shout", file_ids=[file_id], options={"times": 3}
    )
    shouted(api, batch["children"][0]["job_id"], "!!!")
    schedule = posted(api, "/api/v1/schedules", 201, cron="0 0 1 1 *", job=job)
    run = api.client.post(f"/api/v1/schedules/{schedule['id']}/run")
    assert run.status_code == 201, run.text
    shouted(api, run.json()["job_id"], "?")


def test_the_command_line_passes_options_on(api: Api, service: Server, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(ROWS)

    def run(*arguments: str) -> str:
        url = f"http://127.0.0.1:{service.port}"
        environment = {**os.environ, "NO_COLOR": "1"}
        done = commands.run("app", *arguments, "--url", url, "--quiet", environment=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()[0]

    file_id = run(
        "upload",
        str(tmp_path / "a.csv"),
        "--processor",
        "shout",
        "-O",
        "mark=?",
        "-O",
        "encoding=utf-8",
        "--wait",
    )
    shouted(api, file_id, "?")
    shouted(api, run("start", "shout", file_id, "-O", "times=2", "--wait"), "!!")


@pytest.mark.one_database
def test_job_types_and_their_options_are_described(api: Api) -> None:
    types = {item["name"]: item for item in api.client.get("/api/v1/job-types").json()["items"]}
    assert {
        "shout",
        "ledger",
        "letters",
        "rows",
        "analyze",
        "mapping",
        "transform",
        "sentiment",
    } <= types.keys()
    assert "profile" not in types
    assert types["analyze"]["processor"] == "profile"
    shout = types["shout"]
    assert (shout["title"], shout["is_uploadable"]) == ("Shout: every first cell in capitals", True)
    assert shout["options"]["properties"].keys() == {"mark", "times"}
    document = api.client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    assert schemas["Options_shout"]["properties"]["times"]["type"] == "integer"
    assert {"$ref": "#/components/schemas/Options_shout"} in schemas["NewJob"]["properties"][
        "options"
    ]["anyOf"]
    names = {
        parameter["name"] for parameter in document["paths"]["/api/v1/upload"]["post"]["parameters"]
    }
    assert {"option.mark", "option.times", "option.model", "model", "text_column"} <= names


def entries(service: Server) -> list[tuple[Any, ...]]:
    rows = query(
        service.url, "SELECT entry, account, row_number FROM ledger_entries ORDER BY entry"
    )
    return [tuple(row) for row in rows]


def test_the_sample_table_is_created_written_and_undone(api: Api, service: Server) -> None:
    """Of the same entry the later row wins, and an undo restores the row of the earlier job."""
    first = api.run(b"entry,account\nt1,a\nt2,b\nt1,c\n", processor="ledger")
    assert first["status"] == "completed"
    assert api.proof(first["job_id"])["closes"]
    assert entries(service) == [("t1", "c", 3), ("t2", "b", 2)]
    second = api.run(b"entry,account\nt2,x\nt3,y\n", processor="ledger")
    assert entries(service) == [("t1", "c", 3), ("t2", "x", 1), ("t3", "y", 2)]
    undone = api.client.post(f"/api/v1/undo/{second['job_id']}")
    assert undone.status_code == 200, undone.text
    assert (undone.json()["removed"], undone.json()["restored"]) == (1, 1)
    assert entries(service) == [("t1", "c", 3), ("t2", "b", 2)]


def test_the_next_start_keeps_the_sample_table(api: Api, service: Server) -> None:
    before = entries(service)
    assert before
    service.stop()
    service.start()
    assert entries(service) == before


def test_the_sample_output_file_is_written(api: Api) -> None:
    """From several chunks, in the order of the rows."""
    file_id = api.upload(b"name\n" + b"".join(b"n%d\n" % n for n in range(250)))["file_id"]
    job = {"type": "letters", "file_id": file_id, "options": {"greeting": "Hi"}, "chunk_size": 100}
    job_id = posted(api, "/api/v1/jobs", **job)["job_id"]
    status = f"/api/v1/jobs/{job_id}/status"
    wait_until(lambda: not api.client.get(status).json()["is_active"])
    result = api.client.get(status).json()["result_file_id"]
    response = api.client.get(f"/api/v1/files/{result}/download")
    assert response.content == b"letter\n" + b"".join(b"Hi n%d\n" % n for n in range(250))
