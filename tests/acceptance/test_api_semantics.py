"""Semantics of the API, on both databases: consistent pages, progress that only grows, states that
allow what they document, and complete deletions.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.errors import request_errors
from tests.api.checks import RawConnection, assert_problem, key_of
from tests.api.gate import GatedFile
from tests.conftest import Databases
from tests.forks import Server
from tests.harness import FINAL, Api, query, wait_until

ROWS, CHUNK = 1050, 100
HEADERS = (
    "x-request-id",
    "x-content-type-options",
    "referrer-policy",
    "cache-control",
    "content-security-policy",
)


@pytest.fixture(scope="module")
def server(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With chunks of 100 rows, and a processor that tests can stop."""
    folder = tmp_path_factory.mktemp("service")
    (folder / "gates").mkdir()
    running = Server(
        databases.create(folder / "storage"),
        folder / "storage",
        CHUNK_SIZE=CHUNK,
        MAX_CONCURRENCY=4,
        PROCESSORS="tests.api.gate:Gate",
        TEST_GATES=folder / "gates",
    ).start()
    yield running
    assert running.stop() in (0, -15), running.tail()
    assert "Traceback" not in running.log.read_text()


@pytest.fixture(scope="module")
def api(server: Server) -> Iterator[Api]:
    with server.client() as client:
        yield Api(client)


def gated(server: Server, chunks: int) -> GatedFile:
    return GatedFile(server.storage.parent / "gates", chunks)


def get(api: Api, path: str, **params: Any) -> dict[str, Any]:
    answer = api.client.get(f"/api/v1/{path}", params=params)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


# ---------------------------------------------------------------------- pages


def cells(number: int) -> list[str]:
    return [str(number), f"name {number}", "x" * (number % 7)]


def is_bad(number: int) -> bool:
    return number % 7 == 3 or 400 < number <= 520


@pytest.fixture(scope="module")
def ragged(api: Api) -> str:
    """A file of eleven chunks with rejects in each, one chunk of only rejects."""
    rows = [cells(n)[: 2 if is_bad(n) else 3] for n in range(1, ROWS + 1)]
    data = "id,name,x\n" + "".join(",".join(row) + "\n" for row in rows)
    status = api.run(data.encode())
    assert status["total_chunks"] == 11
    return str(status["file_id"])


def test_pages_by_offset_and_by_cursor_give_the_same_rows_in_the_order_of_the_file(
    api: Api, ragged: str
) -> None:
    good = [n for n in range(1, ROWS + 1) if not is_bad(n)]
    for limit in (1, 97, 100, 10_000):
        offset, after, by_offset, by_cursor = 0, 0, [], []
        for _ in range(0, len(good) + 1, limit):
            page = get(api, f"results/{ragged}", limit=limit, offset=offset)
            assert (page["total"], page["limit"], page["offset"]) == (len(good), limit, offset)
            assert page["complete"] is True
            by_offset += page["items"]
            offset += limit
            page = get(api, f"results/{ragged}", limit=limit, after=after)
            by_cursor += page["items"]
            after = page["next_after"] or after
            if limit == 1 and offset == 20:
                break
        expected = good[:20] if limit == 1 else good
        assert [item["row_number"] for item in by_offset] == expected
        assert [item["data"]["row"] for item in by_offset] == [cells(n) for n in expected]
        assert by_cursor[: len(expected)] == by_offset
        assert [item["chunk_index"] for item in by_offset] == [(n - 1) // CHUNK for n in expected]
        assert len({item["id"] for item in by_offset}) == len(expected)


@pytest.mark.parametrize("offset", [0, 1, 341, 342, 343, 700, 779, 780, 781, 10**9, 2**62])
def test_every_offset_returns_its_row_and_one_past_the_end_returns_none(
    api: Api, ragged: str, offset: int
) -> None:
    good = [n for n in range(1, ROWS + 1) if not is_bad(n)]
    page = get(api, f"results/{ragged}", limit=2, offset=offset)
    assert [item["row_number"] for item in page["items"]] == good[offset : offset + 2]
    assert page["total"] == len(good)
    assert (page["next_after"] is None) == (offset + 2 > len(good))


def test_format_object_returns_cells_by_column_name(api: Api, ragged: str) -> None:
    rows = get(api, f"results/{ragged}", limit=50, offset=300)
    objects = get(api, f"results/{ragged}", limit=50, offset=300, format="object")
    assert objects["columns"] == ["id", "name", "x"]
    for row, item in zip(rows["items"], objects["items"], strict=True):
        assert item == row | {
            "data": dict(zip(objects["columns"], row["data"]["row"], strict=True))
        }


def test_rejects_by_offset_by_cursor_and_by_code_agree(api: Api, ragged: str) -> None:
    bad = [n for n in range(1, ROWS + 1) if is_bad(n)]
    everything = api.rejects(ragged)
    assert [(r["row_number"], r["line"]) for r in everything] == [(n, n + 1) for n in bad]
    assert get(api, f"rejects/{ragged}", limit=10, offset=95)["items"] == everything[95:105]
    assert get(api, f"rejects/{ragged}", limit=10, after=bad[94])["items"] == everything[95:105]
    page = get(api, f"rejects/{ragged}", code="column_count", limit=5)
    assert (page["items"], page["total"], page["codes"]) == (
        everything[:5],
        len(bad),
        {"column_count": len(bad)},
    )
    page = get(api, f"rejects/{ragged}", code="nul_character")
    assert (page["items"], page["total"], page["next_after"]) == ([], 0, None)


@pytest.mark.one_database
@pytest.mark.parametrize(
    "query_",
    ["limit=0", "limit=-1", "limit=10001", "limit=100000000000000000000", "limit=5.0", "limit=", "limit=1_0", "limit=٥",
     "offset=-1", "offset=9223372036854775808", "offset=x", "after=-1", "after=9223372036854775808", "after=abc",
     "format=xml", "limit=1&limit=2"],
)  # fmt: skip
def test_a_page_out_of_bounds_is_refused_with_the_parameter_s_name(
    api: Api, ragged: str, query_: str
) -> None:
    name = query_.partition("=")[0]
    for path in ("results", "rejects") if name != "format" else ("results",):
        body = assert_problem(
            api.client.get(f"/api/v1/{path}/{ragged}?{query_}"), 422, "invalid_parameter"
        )
        assert [error["pointer"] for error in body["errors"]] == [f"query/{name}"]


def test_json_numbers_keep_their_digits_in_the_pages(api: Api) -> None:
    row = b'{"a":1.10,"b":0.12345678901234567890123,"c":1e-999,"d":12345678901234567890123,"e":-0.0,"f":{"g":[1E+2]}}'
    file_id = api.run(b"[" + row + b"]", name="x.json", type="application/json")["file_id"]
    as_object = api.client.get(f"/api/v1/results/{file_id}?format=object").content
    assert b'"data":' + row + b"}" in as_object
    as_row = api.client.get(f"/api/v1/results/{file_id}").content
    values = b'[1.10,0.12345678901234567890123,1e-999,12345678901234567890123,-0.0,{"g":[1E+2]}]'
    assert b'"data":{"row":' + values + b"}" in as_row


def test_a_header_without_rows_completes_with_no_rows(api: Api) -> None:
    status = api.run(b"a,b\n")
    assert (status["status"], status["progress_percent"], status["rows"]["total"]) == (
        "completed",
        100,
        0,
    )
    file_id = status["file_id"]
    page = get(api, f"results/{file_id}")
    assert (page["items"], page["total"], page["columns"], page["complete"]) == (
        [],
        0,
        ["a", "b"],
        True,
    )
    assert api.client.get(f"/api/v1/results/{file_id}/download").text == "a,b\r\n"
    assert api.client.get(f"/api/v1/results/{file_id}/download?format=jsonl").text == ""
    assert (
        api.client.get(f"/api/v1/rejects/{file_id}/download").text
        == "a,b,_row,_line,_column,_code,_message\r\n"
    )
    assert api.proof(file_id)["closes"]


# ---------------------------------------------------------------------- while it runs


def test_results_of_a_running_job_are_its_finished_chunks_and_say_so(
    api: Api, server: Server
) -> None:
    with gated(server, 3) as file:
        file_id = api.upload(file.data, processor="gate")["file_id"]
        page = get(api, f"results/{file_id}")
        assert (page["items"], page["total"], page["complete"]) == ([], 0, False)
        file.open(1)
        status = wait_until(
            lambda: (s := api.status(file_id))["processed_chunks"] == 1 and s,
            20,
            "the second chunk",
        )
        assert (status["status"], status["failed_chunks"]) == ("processing", 0)
        assert 30 < status["progress_percent"] < 36
        page = get(api, f"results/{file_id}", limit=1000)
        assert [item["row_number"] for item in page["items"]] == list(range(101, 201))
        assert (page["total"], page["complete"]) == (100, False)
        assert get(api, f"results/{file_id}", offset=99)["items"] == page["items"][99:]
        file.open()
        api.finished(file_id)
        page = get(api, f"results/{file_id}", limit=1000)
        assert [item["row_number"] for item in page["items"]] == list(range(1, 301))
        assert page["complete"] is True


class Watcher:
    """Reads the events of a job, in a thread, until the server ends the stream."""

    def __init__(self, server: Server, file_id: str) -> None:
        self._server, self._path = server, f"/api/v1/status/{file_id}/events"
        self._has_begun = Event()
        self._thread = ThreadPoolExecutor(1)
        self._text = self._thread.submit(self._read)
        assert self._has_begun.wait(20)

    def _read(self) -> str:
        text = ""
        headers = {"Last-Event-ID": "nonsense"}
        with (
            self._server.client() as client,
            client.stream("GET", self._path, headers=headers) as answer,
        ):
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/event-stream")
            for piece in answer.iter_text():
                text += piece
                self._has_begun.set()
        return text

    def events(self) -> list[dict[str, Any]]:
        text = self._text.result(30)
        self._thread.shutdown()
        assert text.endswith("\n\n")
        blocks = [block.split("\n") for block in text[:-2].split("\n\n")]
        assert {block[0] for block in blocks} == {"event: status"}
        return [json.loads(block[1].removeprefix("data: ")) for block in blocks]


def test_every_watcher_of_a_job_sees_the_percentage_rise_to_a_final_status(
    api: Api, server: Server
) -> None:
    with gated(server, 3) as file:
        file_id = api.upload(file.data, processor="gate")["file_id"]
        watchers = [Watcher(server, file_id) for _ in range(3)]
        for index in range(3):
            file.open(index)
            wait_until(lambda done=index + 1: api.status(file_id)["processed_chunks"] >= done, 20)  # type: ignore[misc]
            if index == 1:
                watchers.append(Watcher(server, file_id))
        for events in [watcher.events() for watcher in watchers]:
            assert [e["progress_percent"] for e in events] == sorted(
                e["progress_percent"] for e in events
            )
            assert [e["status"] in FINAL for e in events] == [False] * (len(events) - 1) + [True]
            assert (events[-1]["status"], events[-1]["progress_percent"]) == ("completed", 100)
            assert {e["file_id"] for e in events} == {file_id}
    assert Watcher(server, file_id).events() == [api.status(file_id)]


def test_the_stream_of_a_job_ends_when_it_is_deleted(api: Api, server: Server) -> None:
    with gated(server, 1) as file:
        file_id = api.upload(file.data, processor="gate")["file_id"]
        watcher = Watcher(server, file_id)
        api.client.delete(f"/api/v1/files/{file_id}")
        assert {e["status"] for e in watcher.events()} <= {"queued", "processing", "cancelled"}


def test_cancelling_is_immediate_idempotent_and_keeps_finished_rows(
    api: Api, server: Server
) -> None:
    with gated(server, 3) as file:
        file_id = api.upload(file.data, processor="gate")["file_id"]
        file.open(0)
        status = wait_until(
            lambda: (s := api.status(file_id))["processed_chunks"] == 1 and s, 20, "the first chunk"
        )
        job_id = status["job_id"]
        for _ in range(2):
            answer = api.client.post(f"/api/v1/jobs/{job_id}/cancel")
            assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    status = api.status(file_id)
    assert status["status"] == "cancelled"
    assert status["rows"] == {
        "total": 300,
        "ok": 100,
        "invalid": 0,
        "failed": 0,
        "unprocessed": 200,
    }
    assert [number for number, _ in api.rows(file_id)] == list(range(1, 101))
    assert get(api, f"results/{file_id}")["complete"] is True
    assert_problem(api.client.post(f"/api/v1/jobs/{job_id}/retry"), 409, "nothing_to_retry")
    assert_problem(
        api.client.patch(f"/api/v1/jobs/{job_id}", json={"priority": 3}), 409, "conflict"
    )
    assert api.proof(file_id)["closes"]


def test_a_running_job_accepts_a_new_priority_and_no_retry(api: Api, server: Server) -> None:
    with gated(server, 1) as file:
        file_id = api.upload(file.data, processor="gate", priority=2)["file_id"]
        job_id = api.status(file_id)["job_id"]
        assert_problem(api.client.post(f"/api/v1/jobs/{job_id}/retry"), 409, "nothing_to_retry")
        answer = api.client.patch(f"/api/v1/jobs/{job_id}", json={"priority": 10})
        assert (answer.status_code, answer.json()["priority"]) == (200, 10)
        assert api.status(file_id)["priority"] == 10
    api.finished(file_id)


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"priority":11}', 422, "invalid_parameter"),
        (b'{"priority":-1}', 422, "invalid_parameter"),
        (b'{"priority":true}', 422, "invalid_parameter"),
        (b'{"priority":5.0}', 422, "invalid_parameter"),
        (b'{"priority":NaN}', 422, "invalid_parameter"),
        (b'{"priority":1e400}', 422, "invalid_parameter"),
        (rb'{"priority":"\ud800"}', 422, "invalid_parameter"),
        (b'{"priority":null}', 422, "invalid_parameter"),
        (b'{"priority":5,"zqxMark":1}', 422, "invalid_parameter"),
        (b"{}", 422, "invalid_parameter"),
        (b"[]", 422, "invalid_parameter"),
        (b"", 422, "invalid_parameter"),
        (b"priority=5", 400, "malformed_json"),
        (b"\xff", 400, "malformed_json"),
        (b"[" * 100_000, 400, "malformed_json"),
        (b'{"priority":' + b"9" * 5000 + b"}", 400, "malformed_json"),
        (b" " * (1 << 20) + b'{"priority":5}', 413, "body_too_large"),
    ],
    ids=lambda value: ascii(value[:30]) if isinstance(value, bytes) else str(value),
)
def test_a_change_without_a_priority_is_refused(
    api: Api, ragged: str, body: bytes, status: int, code: str
) -> None:
    job_id = api.status(ragged)["job_id"]
    headers = {"Content-Type": "application/json"}
    answer = api.client.patch(f"/api/v1/jobs/{job_id}", content=body, headers=headers)
    problem = assert_problem(answer, status, code)
    assert "999" not in answer.text.replace(problem["request_id"], "").replace(job_id, "")


# ---------------------------------------------------------------------- when it has ended


def test_a_finished_job_cannot_be_cancelled_retried_or_reprioritised(api: Api, ragged: str) -> None:
    job_id = api.status(ragged)["job_id"]
    assert_problem(api.client.post(f"/api/v1/jobs/{job_id}/cancel"), 409, "not_cancellable")
    assert_problem(api.client.post(f"/api/v1/jobs/{job_id}/retry"), 409, "nothing_to_retry")
    assert_problem(
        api.client.patch(f"/api/v1/jobs/{job_id}", json={"priority": 1}), 409, "conflict"
    )
    unknown = f"/api/v1/jobs/{uuid4()}"
    assert_problem(api.client.post(f"{unknown}/cancel"), 404, "not_found")
    assert_problem(api.client.post(f"{unknown}/retry"), 404, "not_found")
    assert_problem(api.client.patch(unknown, json={"priority": 1}), 404, "not_found")


def test_the_list_shows_the_newest_first_page_by_page_and_filtered(
    api: Api, server: Server
) -> None:
    with gated(server, 1) as file:
        done = [api.run(b"a\n1\n")["file_id"] for _ in range(3)]
        running = api.upload(file.data, processor="gate")["file_id"]
        newest = [running, *reversed(done)]
        everything = get(api, "jobs", limit=500)["items"]
        assert [job["file_id"] for job in everything[:4]] == newest
        assert [job["number"] for job in everything] == sorted(
            (job["number"] for job in everything), reverse=True
        )

        paged: list[dict[str, Any]] = []
        before: dict[str, int] = {}
        while True:
            page = get(api, "jobs", limit=2, **before)
            paged += page["items"]
            if page["next_before"] is None:
                break
            before = {"before": page["next_before"]}
        assert [job["number"] for job in paged] == [job["number"] for job in everything]

        wait_until(lambda: api.status(running)["status"] == "processing", 20, "processing")
        assert get(api, "jobs", status="processing")["items"][0]["file_id"] == running
        assert [
            job["file_id"] for job in get(api, "jobs", status="completed", limit=3)["items"]
        ] == newest[1:]
        assert {job["processor"] for job in get(api, "jobs", processor="gate")["items"]} == {"gate"}
        assert get(api, "jobs", processor="gate", status="failed")["items"] == []


@pytest.mark.one_database
@pytest.mark.parametrize(
    "query_",
    [
        "limit=0",
        "limit=501",
        "before=0",
        "before=9223372036854775808",
        "before=x",
        "status=done",
        "status=",
    ],
)
def test_list_parameters_out_of_bounds_are_refused(api: Api, query_: str) -> None:
    body = assert_problem(api.client.get(f"/api/v1/jobs?{query_}"), 422, "invalid_parameter")
    assert body["errors"][0]["pointer"] == f"query/{query_.partition('=')[0]}"


def stored_rows(server: Server, job_id: str, file_id: str) -> int:
    """Return the number of rows in all tables together."""
    job, file = key_of(server, job_id), key_of(server, file_id)
    columns = {
        "files": "id",
        "jobs": "id",
        "chunks": "job_id",
        "result_pages": "job_id",
        "rejects": "job_id",
    }
    counts = (
        f"(SELECT count(*) FROM {table} WHERE {column} = {file if table == 'files' else job})"
        for table, column in columns.items()
    )
    return int(query(server.url, f"SELECT {' + '.join(counts)}")[0][0])


@pytest.mark.parametrize("is_running", [False, True], ids=["done", "running"])
def test_a_deleted_file_disappears_from_every_endpoint_immediately_and_from_tables_and_disk_soon(
    api: Api, server: Server, is_running: bool
) -> None:
    with gated(server, 3) as file:
        data = file.data + b"short\n"
        file_id = api.upload(data, processor="gate")["file_id"]
        job_id = api.status(file_id)["job_id"]
        if is_running:
            file.open(0, 2)
            wait_until(
                lambda: api.status(file_id)["processed_chunks"] == 3, 20, "all but one chunk"
            )
        else:
            file.open()
            assert api.finished(file_id)["status"] == "completed_with_errors"
        stored = server.storage / "uploads" / file_id
        assert stored.read_bytes() == data
        assert stored_rows(server, job_id, file_id) > 5

        assert api.client.delete(f"/api/v1/files/{file_id}").status_code == 204
        for path in (
            "status/{}", "status/{}/events", "results/{}", "results/{}/download", "rejects/{}", "rejects/{}/download",
            "files/{}/bytes?start=0&end=1", "jobs/{}", "jobs/{}/proof", "jobs/{}/chunks",
        ):  # fmt: skip
            for identifier in (file_id, job_id):
                assert_problem(
                    api.client.get("/api/v1/" + path.format(identifier)), 404, "not_found"
                )
        for action in ("cancel", "retry"):
            assert_problem(api.client.post(f"/api/v1/jobs/{job_id}/{action}"), 404, "not_found")
        assert_problem(
            api.client.patch(f"/api/v1/jobs/{job_id}", json={"priority": 1}), 404, "not_found"
        )
        assert_problem(api.client.delete(f"/api/v1/files/{file_id}"), 404, "not_found")
        assert file_id not in {job["file_id"] for job in get(api, "jobs", limit=500)["items"]}
        wait_until(
            lambda: stored_rows(server, job_id, file_id) == 0 and not stored.exists(),
            20,
            "nothing left",
        )
    # The stopped chunk continues now, for a deleted job.
    wait_until(lambda: get_ready(api)["busy_slots"] == 0, 20, "the end of its turn")
    assert stored_rows(server, job_id, file_id) == 0


def get_ready(api: Api) -> dict[str, Any]:
    return dict(api.client.get("/ready").json())


# ---------------------------------------------------------------------- downloads


def test_the_rejects_download_has_the_cells_of_each_row_and_the_reason(
    api: Api,
) -> None:
    lines = [
        b"1,fine,x", b"2,\xe9t\xe9,x", b"3,short", b"4,a,b,c,d", b'5,"un"quoted,x', b"6,nul\0,x",
        b'7,"two\nlines","q""uote",more', b"8,open \"quote,\xff", b"9",
    ]  # fmt: skip
    expected = [
        ["2", "\xe9t\xe9", "x"], ["3", "short", ""], ["4", "a", "b,c,d"], ["5", '"un"quoted', "x"], ["6", "nul\0", "x"],
        ["7", "two\nlines", 'q"uote,more'], ["8", 'open "quote', "\xff"], ["9", "", ""],
    ]  # fmt: skip
    codes = ["invalid_utf8", "column_count", "column_count", "csv_bad_quote", "nul_character", "column_count",
             "invalid_utf8", "column_count"]  # fmt: skip
    file_id = api.run(b"id,name,note\n" + b"\n".join(lines) + b"\n", name="my \u2028 data.csv")[
        "file_id"
    ]
    answer = api.client.get(f"/api/v1/rejects/{file_id}/download")
    assert answer.headers["content-type"].startswith("text/csv")
    assert "data.rejects.csv" in answer.headers["content-disposition"]
    header, *rows = csv.reader(
        io.StringIO(answer.content.decode("latin-1"), newline=""), strict=True
    )
    assert header == ["id", "name", "note", "_row", "_line", "_column", "_code", "_message"]
    assert [row[:3] for row in rows] == expected
    assert [row[6] for row in rows] == codes
    assert [row[3] for row in rows] == [str(n) for n in range(2, 10)]
    assert [row[4] for row in rows] == ["3", "4", "5", "6", "7", "8", "10", "11"]
    for reject in api.rejects(file_id):
        cut = {"start": reject["byte_start"], "end": reject["byte_end"]}
        raw = api.client.get(f"/api/v1/files/{file_id}/bytes", params=cut).content
        assert raw == lines[reject["row_number"] - 1]


@pytest.mark.one_database
@pytest.mark.parametrize(
    "query_",
    [
        "start=0",
        "end=1",
        "start=-1&end=1",
        "start=2&end=1",
        "start=0&end=99999",
        "start=0&end=99999999999999999999",
    ],
)
def test_an_invalid_range_of_bytes_is_refused(api: Api, ragged: str, query_: str) -> None:
    assert_problem(
        api.client.get(f"/api/v1/files/{ragged}/bytes?{query_}"), 422, "invalid_parameter"
    )


def test_a_download_of_20000_rows_holds_each_of_them_once_in_order(api: Api) -> None:
    rows = [[str(n), f'name "{n}"', "a,b" if n % 3 else "", str(n * 1.5)] for n in range(20_000)]
    source = io.StringIO()
    csv.writer(source).writerows([["id", "name", "x", "value"], *rows])
    status = api.run(source.getvalue().encode())
    assert status["total_chunks"] == 200
    path = f"/api/v1/results/{status['file_id']}/download"
    text = api.client.get(path).text
    assert list(csv.reader(io.StringIO(text, newline="")))[1:] == rows
    assert gzip.decompress(api.client.get(f"{path}?gzip=true").content).decode() == text
    objects = [
        json.loads(line) for line in api.client.get(f"{path}?format=jsonl").text.splitlines()
    ]
    assert [list(o.values()) for o in objects] == rows
    assert api.proof(status["file_id"])["stored"]["results"] == 20_000


# ---------------------------------------------------------------------- other routes


def test_health_and_ready_report_the_state(api: Api) -> None:
    assert api.client.get("/health").json() == {"status": "healthy"}
    body = api.client.get("/ready").json()
    assert body["status"] == "ready"
    assert body["checks"] == {
        "database": "ok",
        "migrations": "ok",
        "storage": "ok",
        "disk": "ok",
        "queue": "ok",
    }
    assert body["slots"] >= 4


def test_metrics_parse_as_prometheus_text_and_count_the_jobs(api: Api, ragged: str) -> None:
    answer = api.client.get("/metrics")
    found = {family.name: family for family in text_string_to_metric_families(answer.text)}
    by_status = {sample.labels["status"]: sample.value for sample in found["granula_jobs"].samples}
    assert by_status["completed_with_errors"] >= 1
    assert found["granula_database_up"].samples[0].value == 1
    assert {
        "granula_queued_jobs",
        "granula_busy_slots",
        "granula_slots",
        "granula_disk_free_bytes",
    } <= found.keys()


@pytest.mark.one_database
@pytest.mark.parametrize("code", request_errors())
def test_the_type_of_each_problem_links_to_its_explanation(api: Api, code: str) -> None:
    body = api.client.get(f"/errors/{code}").json()
    error = request_errors()[code]
    assert (body["code"], body["status"]) == (code, error.status)
    assert body["title"]
    assert body["remedy"].endswith(".")


@pytest.mark.one_database
def test_the_openapi_document_describes_each_route(api: Api) -> None:
    document = api.client.get("/openapi.json").json()
    operations = [o for path in document["paths"].values() for o in path.values()]
    assert all(operation["summary"] for operation in operations)
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    described = {"/api/v1/upload", "/api/v1/status/{file_id}", "/api/v1/results/{file_id}", "/api/v1/rejects/{file_id}",
                 "/api/v1/files/{file_id}", "/api/v1/jobs", "/api/v1/jobs/{job_id}/proof", "/ready"}  # fmt: skip
    assert described <= document["paths"].keys()
    names = {p["name"] for p in document["paths"]["/api/v1/upload"]["post"]["parameters"]}
    assert {"priority", "processor", "chunk_size", "on_duplicate", "delimiter", "encoding"} <= names


@pytest.mark.one_database
def test_the_type_of_a_problem_serves_html_to_browsers_and_json_to_programs(api: Api) -> None:
    problem = api.client.get("/api/v1/status/none").json()
    page = api.client.get(problem["type"], headers={"Accept": "text/html,*/*;q=0.8"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"].startswith(
        "default-src 'none'; style-src 'sha256-"
    )
    assert "<h2>Why it happens</h2>" in page.text
    assert api.client.get(problem["type"]).json()["remedy"] == problem["remedy"]
    outside = api.client.get("/errors/..%2fstates", headers={"Accept": "text/html"})
    assert (outside.status_code, outside.headers["content-type"]) == (
        404,
        "text/html; charset=utf-8",
    )
    assert_problem(api.client.get("/errors/..%2fstates"), 404, "not_found")


@pytest.mark.one_database
def test_the_page_of_the_api_needs_no_other_host(api: Api) -> None:
    page = api.client.get("/docs")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "http" not in page.text + policy
    for name in re.findall(r"(?:src|href)=\"(.+?)\"", page.text):
        assert api.client.get(f"/{name}").status_code == 200, name
    script = api.client.get("/docs/assets/swagger-ui-bundle.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert "SwaggerUIBundle" in script.text
    assert_problem(api.client.get("/docs/assets/..%2f__init__.py"), 404, "not_found")


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/health", 200),
        ("GET", "/metrics", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/api/v1/results/FILE", 200),
        ("GET", "/api/v1/results/FILE/download", 200),
        ("GET", "/api/v1/status/FILE/events", 200),
        ("GET", "/api/v1/results/FILE?limit=0", 422),
        ("GET", "/nowhere", 404),
        ("DELETE", "/health", 403),  # pages of other sites change nothing
        ("POST", "/api/v1/upload", 403),
    ],
)
def test_each_response_has_a_unique_id_and_the_security_headers(
    api: Api, ragged: str, method: str, path: str, status: int
) -> None:
    headers = {"X-Request-ID": "mine", "Accept": "text/html", "Origin": "https://evil.example"}
    answer = api.client.request(method, path.replace("FILE", ragged), headers=headers)
    assert answer.status_code == status
    assert all(answer.headers.get(name) for name in HEADERS)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert len(answer.headers["x-request-id"]) == 32
    assert "access-control-allow-origin" not in answer.headers
    is_page = answer.headers["content-type"].startswith("text/html")
    assert is_page == (path in ("/", "/nowhere"))


@pytest.mark.one_database
def test_a_response_before_the_end_of_the_body_closes_the_connection(
    server: Server,
) -> None:
    with RawConnection(server) as connection:
        for _ in range(2):
            connection.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert "connection" not in connection.answer().headers
        connection.send(
            b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf"
        )
        assert connection.answer().headers["connection"] == "close"
        assert connection.is_closed_by_server()


# ---------------------------------------------------------------------- other settings

ORIGIN = "https://app.example"


@pytest.fixture(scope="module")
def other(
    databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, httpx.Response]]:
    """A server that deletes uploads when they are done and allows one origin, and its response to
    an upload that failed internally.
    """
    storage = tmp_path_factory.mktemp("other") / "storage"
    running = Server(
        databases.create(storage),
        storage,
        DELETE_FILE_ON_COMPLETE=True,
        CORS_ORIGINS=ORIGIN,
        ALLOWED_CONTENT_TYPES="text/csv",
        GRANULA_FAIL="upload.before_fsync=raise",
    ).start()
    with running.client() as client:
        broken = client.post("/api/v1/upload", content=b"a,b\n1,2\n", headers={"Origin": ORIGIN})
    yield running, broken
    assert running.stop() in (0, -15)


@pytest.mark.one_database
def test_an_internal_error_is_a_problem_that_reveals_nothing_and_leaves_nothing(
    other: tuple[Server, httpx.Response],
) -> None:
    server, broken = other
    body = assert_problem(broken, 500, "internal_error")
    assert "fail-point" not in broken.text
    assert all(broken.headers.get(name) for name in HEADERS)
    assert broken.headers["access-control-allow-origin"] == ORIGIN
    assert not list((server.storage / "uploads").glob("*.part"))
    log = server.log.read_text()
    assert log.count("fail-point upload.before_fsync") == 1
    assert body["request_id"]


def test_the_stored_file_is_removed_after_its_job_and_the_results_stay(
    other: tuple[Server, httpx.Response],
) -> None:
    server, _ = other
    with server.client() as client:
        api = Api(client)
        status = api.run(b"a,b\n1,2\n3\n")
        file_id = status["file_id"]
        assert status["status"] == "completed_with_errors"
        wait_until(
            lambda: not (server.storage / "uploads" / file_id).exists(),
            10,
            "removal of the stored file",
        )
        assert api.rows(file_id) == [(1, ["1", "2"])]
        assert api.rejects(file_id)[0]["raw"] == "3"
        assert api.proof(file_id)["closes"]
        assert (
            client.get(f"/api/v1/rejects/{file_id}/download")
            .text.splitlines()[1]
            .startswith("3,,2,3,b,column_count,")
        )
        gone = client.get(f"/api/v1/files/{file_id}/bytes?start=0&end=1")
        assert_problem(gone, 404, "not_found")
        assert client.delete(f"/api/v1/files/{file_id}").status_code == 204


@pytest.mark.one_database
def test_only_the_allowed_origins_may_read_answers_in_a_browser(
    other: tuple[Server, httpx.Response],
) -> None:
    server, _ = other
    with server.client() as client:
        for origin, allowed in ((ORIGIN, ORIGIN), ("https://evil.example", None), ("null", None)):
            answer = client.get("/api/v1/jobs", headers={"Origin": origin})
            assert answer.status_code == 200
            assert answer.headers.get("access-control-allow-origin") == allowed
            preflight = client.options(
                "/api/v1/upload",
                headers={"Origin": origin, "Access-Control-Request-Method": "POST"},
            )
            assert (preflight.status_code == 200) == (allowed is not None)
            assert preflight.headers.get("access-control-allow-origin") == allowed


@pytest.mark.one_database
def test_only_the_allowed_media_types_are_accepted(other: tuple[Server, httpx.Response]) -> None:
    server, _ = other
    with server.client() as client:
        refused = client.post(
            "/api/v1/upload", content=b"[]", headers={"Content-Type": "application/json"}
        )
        assert assert_problem(refused, 415, "unsupported_media_type")["accepted"] == ["text/csv"]
        assert (
            client.post(
                "/api/v1/upload", content=b"a\n1\n", headers={"Content-Type": "text/csv"}
            ).status_code
            == 201
        )
