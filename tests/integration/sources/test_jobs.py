"""Jobs over sources: web servers, folders, and objects of a bucket that have to be decoded."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import xlsxwriter

from app.jobs import fetching
from tests.api.checks import assert_problem
from tests.engine import Engine, EngineApi
from tests.scoring.services import Bucket
from tests.sources.web import File, WebServer, answering

pytestmark = pytest.mark.one_database
ROWS = b"id,name\n1,Ann\n2,Eve\n"
EXPECTED = [["1", "Ann"], ["2", "Eve"]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


@pytest.fixture
def api(engine: Engine, bucket: Bucket, web: WebServer, folder: Path) -> Iterator[EngineApi]:
    engine.start(
        **bucket.environment,
        SOURCE_PRIVATE_HOSTS="127.0.0.1",
        SOURCE_FOLDERS=str(folder),
        SOURCE_CREDENTIALS=json.dumps({"partner": {"url": web.url("/mine/"), "bearer": "secret"}}),
        MAX_UPLOAD_MB=1,
    )
    with engine.api() as api:
        yield api


def workbook(*sheets: str) -> bytes:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        for sheet in sheets or ("Sheet1",):
            page = book.add_worksheet(sheet)
            page.write_row(0, 0, ["id", "name"])
            page.write_row(1, 0, [1, "Ann"])
            page.write_row(2, 0, [2, "Eve"])
    return out.getvalue()


def started(api: EngineApi, **job: object) -> str:
    answer = api.client.post("/api/v1/jobs", json={"type": "rows", **job})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


def completed(api: EngineApi, job_id: str) -> dict[str, Any]:
    status = api.finished(job_id)
    assert status["status"] == "completed", status
    return status


def rows(api: EngineApi, job_id: str) -> list[Any]:
    items = api.client.get(f"/api/v1/results/{job_id}").json()["items"]
    return [item["data"]["row"] for item in items]


def test_a_file_of_a_web_server_becomes_a_job(api: EngineApi, web: WebServer) -> None:
    file = web.paths["/mine/people.csv"] = File(gzip.compress(ROWS), cuts=[20])
    job_id = started(api, source=web.url("/mine/people.csv?key=1"), credentials="partner")
    status = completed(api, job_id)
    assert rows(api, job_id) == EXPECTED
    assert status["filename"] == "people.csv"
    assert [each["decoder"] for each in status["decoding"]] == ["gzip"]
    assert status["fetched"] == {
        "uri": web.url("/mine/people.csv"),
        "etag": '"v1"',
        "size_bytes": len(gzip.compress(ROWS)),
        "modified_at": None,
    }
    assert api.client.get(f"/api/v1/jobs/{job_id}/proof").json()["closes"]
    assert isinstance(file, File)
    assert {each.headers["Authorization"] for each in file.requests} == {"Bearer secret"}


def test_an_archive_in_a_folder_has_a_part_for_each_file(api: EngineApi, folder: Path) -> None:
    with zipfile.ZipFile(folder / "data.zip", "w") as archive:
        archive.writestr("a.csv", ROWS)
        archive.writestr("b.csv.gz", gzip.compress(ROWS)[:-3])
    job_id = started(api, source=(folder / "data.zip").as_uri())
    status = api.finished(job_id)
    assert status["status"] == "completed_with_errors"
    assert (status["parts"]["total"], status["parts"]["failed"]) == (2, 1)
    assert status["errors"][0]["error"]["code"] == "corrupt_gzip"
    assert status["counts"]["loaded"] == 2


def test_a_transfer_that_cannot_go_on_begins_again(api: EngineApi, web: WebServer) -> None:
    web.paths["/f.csv"] = File(ROWS, etag=None, cuts=[12, 3])
    job_id = started(api, source=web.url("/f.csv"))
    completed(api, job_id)
    assert rows(api, job_id) == EXPECTED


def test_other_types_run_over_a_web_server_too(api: EngineApi, web: WebServer) -> None:
    web.paths["/f.csv"] = File(ROWS)
    options = {"mapping": {"columns": [{"name": "who", "from": "name"}]}}
    job_id = started(api, type="transform", source=web.url("/f.csv"), options=options)
    completed(api, job_id)
    made = api.client.get(f"/api/v1/jobs/{job_id}/status").json()["result_file_id"]
    content = api.client.get(f"/api/v1/files/{made}/download").content
    assert content == b"who\nAnn\nEve\n"


def test_each_problem_of_a_source_has_its_code(
    api: EngineApi, engine: Engine, web: WebServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "TRIES", 1)
    web.paths.update(
        {
            "/denied": answering(403),
            "/down": answering(503, **{"Retry-After": "7"}),
            "/page": File(b"<html>", media_type="text/html"),
            "/large": File(b"id\n" + b"1\n" * 600_000),
            "/bomb": File(gzip.compress(b"id\n" + b"1\n" * 5_000_000), cuts=[]),
            "/empty": File(b""),
            "/cut": File(ROWS, etag=None, cuts=[3]),
        }
    )
    (folder / "link.csv").symlink_to("/etc/passwd")
    before = set(engine.files())
    for source, status, code in (
        (web.url("/none"), 422, "source_not_found"),
        (web.url("/denied"), 422, "source_access_denied"),
        (web.url("/down"), 503, "unavailable"),
        (web.url("/page"), 422, "bad_source_answer"),
        (web.url("/large"), 413, "file_too_large"),
        (web.url("/bomb"), 413, "decompressed_too_large"),
        (web.url("/empty"), 422, "empty_file"),
        (web.url("/cut"), 503, "unavailable"),
        ("http://127.0.0.1:1/f", 503, "unavailable"),
        ("http://10.0.0.1/f", 422, "source_refused"),
        ("https://127.0.0.2/f", 422, "source_refused"),
        ("ftp://127.0.0.1/f", 422, "bad_source_uri"),
        ("file:///etc/passwd", 422, "source_refused"),
        (f"file://{folder}/link.csv", 422, "source_refused"),
        (f"file://{folder}/none.csv", 422, "source_not_found"),
        (f"file://{folder}/none*.csv", 422, "s3_not_found"),
    ):
        answer = api.client.post("/api/v1/jobs", json={"type": "rows", "source": source})
        assert_problem(answer, status, code)
    down = api.client.post("/api/v1/jobs", json={"type": "rows", "source": web.url("/down")})
    assert down.headers["Retry-After"] == "7"
    assert api.client.get("/api/v1/jobs").json()["items"] == []
    assert set(engine.files()) == before


def test_objects_that_must_be_decoded_are_copied_and_others_are_not(
    api: EngineApi, engine: Engine, bucket: Bucket
) -> None:
    bucket.put("day/a.csv", ROWS)
    bucket.put("day/b.csv.gz", gzip.compress(ROWS))
    bucket.put("day/c.xlsx", workbook("One", "Two"))
    bucket.put("day/d.csv", "id,name\n1,Zoë\n".encode("utf-16"))
    bucket.put("day/e.xlsx", workbook()[:-30])
    job_id = started(api, source=f"s3://{bucket.name}/day/")
    status = api.finished(job_id)
    assert (status["status"], status["counts"]["loaded"]) == ("completed_with_errors", 9)
    items = api.client.get("/api/v1/jobs", params={"parent": job_id}).json()["items"]
    names = {item["filename"].removeprefix(f"s3://{bucket.name}/day/"): item for item in items}
    assert sorted(names) == ["a.csv", "b.csv.gz", "c.xlsx#One", "c.xlsx#Two", "d.csv", "e.xlsx"]
    for name in ("a.csv", "b.csv.gz", "c.xlsx#One", "c.xlsx#Two"):
        assert rows(api, names[name]["job_id"]) == EXPECTED
    assert rows(api, names["d.csv"]["job_id"]) == [["1", "Zoë"]]
    assert api.status(names["a.csv"]["job_id"])["fetched"] is None
    assert api.status(names["b.csv.gz"]["job_id"])["fetched"]["etag"]
    assert api.status(names["e.xlsx"]["job_id"])["error"]["code"] == "corrupt_workbook"
    assert api.client.get(f"/api/v1/jobs/{job_id}/proof").json()["closes"]
    # deleting the job deletes the copies and no object
    file_id = api.status(job_id)["file_id"]
    assert api.client.delete(f"/api/v1/files/{file_id}").status_code == 204
    engine.wait_until(lambda: not list(engine.files()), 15, "the end of the deletion")
    assert len(bucket.keys()) == 5


def test_a_sheet_of_a_workbook_in_a_folder(api: EngineApi, folder: Path) -> None:
    (folder / "book.xlsx").write_bytes(workbook("One", "Two"))
    source = f"file://{folder}/book.xlsx"
    job_id = started(api, source=source, sheet="Two")
    assert completed(api, job_id)["fetched"]["uri"] == source
    assert rows(api, job_id) == EXPECTED


def test_files_of_a_folder_become_parts(api: EngineApi, folder: Path) -> None:
    for name in ("a", "b"):
        (folder / f"{name}.csv").write_bytes(ROWS)
    job_id = started(api, source=f"file://{folder}/*.csv")
    assert completed(api, job_id)["counts"]["loaded"] == 4


def test_a_source_is_previewed(api: EngineApi, web: WebServer, bucket: Bucket) -> None:
    web.paths["/f.csv.gz"] = File(gzip.compress(ROWS))
    bucket.put("book.xlsx", workbook())
    for source in (web.url("/f.csv.gz"), f"s3://{bucket.name}/book.xlsx"):
        answer = api.client.post("/api/v1/preview", params={"source": source})
        assert answer.status_code == 200, answer.text
        assert [row["data"] for row in answer.json()["rows"]] == EXPECTED
    missing = api.client.post("/api/v1/preview", params={"source": web.url("/none")})
    assert_problem(missing, 422, "source_not_found")
    assert api.client.get("/api/v1/jobs").json()["items"] == []


HOSTILE = (
    "",
    ":",
    "://",
    "https://",
    "https:///f",
    "https://[",
    "https://[::1",
    "https://a:99999999/f",
    "https://a:b/f",
    "https://\u00ad/f",
    "https://xn--a-/f",
    "https://" + "a" * 70 + ".example/f",
    "https://a..b/f",
    "https://127.1/f",
    "https://2130706433/f",
    "https://0x7f.1/f",
    "https://[::ffff:127.0.0.1]/f",
    "https://user@127.0.0.1/f",
    "https://h/f#x",
    "https://h/\r\nX: y",
    "https://h/\ud800",
    "HTTPS://127.0.0.1/f",
    "http://127.0.0.1:1@127.0.0.1/",
    "file:///\ud800",
    "file:///%ff%fe",
    "file:///%00",
    "file:///" + "a/" * 400,
    "file:///*",
    "file:////",
    "file:///[",
    "s3://",
    "s3://b/%",
    "s3://no-such-bucket-here/[",
)


def test_no_source_is_an_error_of_the_service(api: EngineApi, folder: Path) -> None:
    deep = folder / ("x" * 200) / ("y" * 200)
    deep.mkdir(parents=True)
    more = (f"file://{folder}/%ff*", f"file://{folder}/{'z' * 300}", f"file://{deep}/*[!")
    for source in (*HOSTILE, *more):
        for path, body in (
            ("/api/v1/jobs", {"type": "rows", "source": source}),
            ("/api/v1/watches", {"job": {"type": "rows"}, "source": source}),
        ):
            # as it is, also where it is no text
            content = json.dumps(body).encode()
            headers = {"Content-Type": "application/json"}
            answer = api.client.post(path, content=content, headers=headers)
            is_fine = answer.status_code < 500 or answer.json()["code"] == "unavailable"
            assert is_fine, (source, answer.text)
            assert answer.status_code != 202


def test_a_schedule_reads_a_web_server(api: EngineApi, web: WebServer) -> None:
    web.paths["/f.csv"] = File(ROWS)
    job = {"type": "rows", "source": web.url("/f.csv")}
    schedule = api.client.post("/api/v1/schedules", json={"cron": "0 2 * * *", "job": job}).json()
    run = api.client.post(f"/api/v1/schedules/{schedule['id']}/run")
    assert run.status_code == 201, run.text
    completed(api, run.json()["job_id"])


@pytest.mark.parametrize("point", ["source.received", "source.before_commit"])
def test_a_death_while_a_source_is_copied_leaves_nothing_and_the_request_may_be_repeated(
    engine: Engine, web: WebServer, point: str
) -> None:
    web.paths["/f.csv"] = File(ROWS)
    engine.start(SOURCE_PRIVATE_HOSTS="127.0.0.1", GRANULA_FAIL=f"{point}=kill")
    job = {"type": "rows", "source": web.url("/f.csv")}
    headers = {"Idempotency-Key": "once"}
    # `raises` would keep what is left of this life until the end of the test
    with engine.client() as client, suppress(httpx.RemoteProtocolError):
        client.post("/api/v1/jobs", json=job, headers=headers)
    assert not engine.is_alive
    engine.start(SOURCE_PRIVATE_HOSTS="127.0.0.1")
    with engine.api() as api:
        assert api.client.get("/api/v1/jobs").json()["items"] == []
        answers = [api.client.post("/api/v1/jobs", json=job, headers=headers) for _ in "12"]
        assert {answer.status_code for answer in answers} == {202}
        job_id, again = (str(answer.json()["job_id"]) for answer in answers)
        assert again == job_id
        completed(api, job_id)
        assert rows(api, job_id) == EXPECTED


def test_documents_and_columns_of_fixed_width_in_a_folder(api: EngineApi, folder: Path) -> None:
    (folder / "o.json").write_bytes(b'{"data": {"items": [{"id": 1, "who": {"name": "Ann"}}]}}')
    (folder / "o.xml").write_bytes(b"<a><o><id>1</id></o><o><id>2</id></o></a>")
    (folder / "o.txt").write_bytes(b"1  Ann\n2  Eve\n")
    said: list[tuple[str, dict[str, object], list[Any]]] = [
        ("o.json", {"records": "data.items", "flatten": 1}, [[1, "Ann"]]),
        ("o.xml", {"records": "/a/o"}, [["1"], ["2"]]),
        ("o.txt", {"widths": [3, 0], "columns": ["id", "name"]}, EXPECTED),
        ("o.txt", {"widths": "3,*", "header_rows": 0}, EXPECTED),
    ]
    for name, options, expected in said:
        job_id = started(api, source=f"file://{folder}/{name}", **options)
        completed(api, job_id)
        assert rows(api, job_id) == expected
