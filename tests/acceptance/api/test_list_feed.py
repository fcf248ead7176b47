"""The event stream of the list of jobs, and the filters of the list: over a real service, on both
databases.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from app.features.jobs import list_feed
from tests.api.checks import assert_problem
from tests.api.gate import GatedFile
from tests.conftest import Databases
from tests.forks import Server
from tests.harness import Api, Parameter


@pytest.fixture(scope="module")
def server(
    databases: Databases, gates: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    storage = tmp_path_factory.mktemp("service") / "storage"
    running = Server(
        databases.create(storage), storage, PROCESSORS="tests.api.gate:Gate", TEST_GATES=gates
    )
    try:
        yield running.start()
    finally:
        code = running.stop()
    assert code in (0, -15), running.tail()


class Stream:
    """Events of the list; reading them raises an error after 20 s of silence."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.iter_lines()
        self.seen: dict[str, dict[str, Any]] = {}

    def next(self) -> dict[str, Any]:
        data = next(line for line in self._lines if line.startswith("data: "))
        change = dict(json.loads(data.removeprefix("data: ")))
        self.seen |= {item["job_id"]: item for item in change["items"]}
        return change

    def until(self, job_id: str, **members: object) -> dict[str, Any]:
        """Return the job as last reported, once it has these members."""
        while not (job_id in self.seen and members.items() <= self.seen[job_id].items()):
            self.next()
        return self.seen[job_id]


@pytest.fixture
def stream(api: Api) -> Iterator[Stream]:
    with api.client.stream("GET", "/api/v1/jobs/events", timeout=20) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        opened = Stream(answer)
        opened.next()
        yield opened


def test_the_stream_reports_each_change_of_a_later_job(
    stream: Stream, server: Server, gates: Path
) -> None:
    with server.client() as client, GatedFile(gates, 2) as gated:
        api = Api(client)
        job_id = api.upload(gated.data, name="moves.csv", processor="gate", chunk_size=100)[
            "job_id"
        ]
        stream.until(job_id, status="processing")
        client.patch(f"/api/v1/jobs/{job_id}", json={"priority": 9}).raise_for_status()
        stream.until(job_id, priority=9)
        gated.open(0)
        half = stream.until(job_id, rows={"ok": 100, "invalid": 0, "failed": 0})
        assert (half["status"], half["progress_percent"]) == ("processing", 50.0)
        gated.open()
        end = stream.until(job_id, status="completed")
        (listed,) = client.get("/api/v1/jobs", params={"search": "moves"}).json()["items"]
        assert end == listed


def test_the_stream_reports_a_job_that_ended_between_polls_and_the_deletion_of_a_running_one(
    stream: Stream, server: Server, gates: Path
) -> None:
    with server.client() as client, GatedFile(gates, 1) as gated:
        api = Api(client)
        for name in ("quick.csv", "quicker.csv"):
            stream.until(api.run(b"id\n1\n", name=name)["job_id"], status="completed")
        upload = api.upload(gated.data, processor="gate", chunk_size=100)
        stream.until(upload["job_id"], status="processing")
        client.delete(f"/api/v1/files/{upload['file_id']}").raise_for_status()
        while upload["job_id"] not in stream.next()["removed"]:
            pass


def test_the_stream_reports_the_deletion_of_a_job_that_ended_earlier(
    api: Api, server: Server
) -> None:
    kept, gone = (api.run(b"id\n1\n", name=name) for name in ("kept.csv", "gone.csv"))
    with (
        server.client() as client,
        client.stream("GET", "/api/v1/jobs/events", timeout=20) as answer,
    ):
        stream = Stream(answer)
        stream.next()
        api.client.delete(f"/api/v1/files/{gone['file_id']}").raise_for_status()
        while gone["job_id"] not in (removed := stream.next()["removed"]):
            pass
        assert kept["job_id"] not in removed


def test_deleted_jobs_are_reported_as_gone_and_jobs_of_later_pages_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(list_feed, "MAX_THERE", 3)
    ids = [uuid4() for _ in range(6)]
    topic = list_feed._Changes()
    numbered = dict(zip(ids, range(1, 7), strict=True))

    def there(*indexes: int) -> dict[UUID, int]:
        return {ids[i]: numbered[ids[i]] for i in indexes}

    assert topic.missing(there(2, 1, 0)) == []
    assert topic.missing(there(3, 2, 1)) == [], "the first was pushed out"
    assert topic.missing(there(3, 1, 0)) == [ids[2]], "and came back for one that went"
    assert topic.missing(there(5, 4, 3)) == [], "two new ones pushed out two"
    assert sorted(topic.missing(there(4)), key=numbered.__getitem__) == [ids[3], ids[5]]


def test_a_later_watcher_gets_the_running_jobs(api: Api, server: Server, gates: Path) -> None:
    with GatedFile(gates, 1) as gated, server.client() as first, server.client() as second:
        job_id = api.upload(gated.data, processor="gate", chunk_size=100)["job_id"]
        for client in (first, second):
            with client.stream("GET", "/api/v1/jobs/events", timeout=20) as answer:
                late = Stream(answer)
                late.until(job_id, status="processing")


def test_the_list_filters_by_a_literal_part_of_the_name_and_omits_parts_of_jobs(api: Api) -> None:
    files = [
        api.run(b"id,name\n1,a\n", name=name)["file_id"]
        for name in ("Sales_100%.csv", "sales-1000.csv")
    ]
    mapping = api.client.post(
        "/api/v1/jobs/mapping", json={"input_file_id": files[0], "reference_file_id": files[1]}
    ).json()

    def names(**params: Parameter) -> list[str]:
        return [
            item["filename"]
            for item in api.client.get("/api/v1/jobs", params=params).json()["items"]
        ]

    assert set(names(search="SALES")) == {"Sales_100%.csv", "sales-1000.csv"}
    assert set(names(search="s_100%", parts=False)) == {"Sales_100%.csv"}
    assert names(search="s_1", processor="rows") == ["Sales_100%.csv"]
    items = api.client.get("/api/v1/jobs", params={"parts": False}).json()["items"]
    assert not [item for item in items if item["parent_id"]]
    assert next(item["parts"] for item in items if item["job_id"] == mapping["job_id"]) == 2
    assert_problem(
        api.client.get("/api/v1/jobs", params={"parts": "perhaps"}), 422, "invalid_parameter"
    )
    assert_problem(
        api.client.get("/api/v1/jobs", params={"search": "x" * 101}), 422, "invalid_parameter"
    )


def test_each_chunk_reports_the_seconds_of_its_stages(api: Api) -> None:
    job = api.run(b"id,name\n" + b"1,a\n" * 1000, chunk_size=100)
    chunks = api.client.get(f"/api/v1/jobs/{job['job_id']}/chunks").json()["items"]
    assert len(chunks) == 10
    assert all(chunk["timings"].keys() >= {"wait", "read", "process"} for chunk in chunks)
    assert all(seconds >= 0 for chunk in chunks for seconds in chunk["timings"].values())
    assert sum(chunk["timings"].get("write", 0) for chunk in chunks) > 0
    assert all(chunk["finished_at"] >= job["started_at"] for chunk in chunks)


def test_the_system_endpoint_reports_database_disk_queue_and_jobs(
    api: Api, databases: Databases
) -> None:
    about = api.client.get("/api/v1/system").json()
    assert about["database"] == {"kind": databases.kind, "status": "ok"}
    assert about["disk"]["total_bytes"] > about["disk"]["free_bytes"] > 0
    assert about["queue"]["status"] == "ok"
    assert {"rows", "sentiment", "gate"} <= set(about["processors"])
    assert sum(about["jobs"].values()) == len(
        api.client.get("/api/v1/jobs", params={"limit": 500}).json()["items"]
    )


@pytest.mark.one_database
def test_the_listed_processors_are_those_that_an_upload_accepts(api: Api) -> None:
    about = api.client.get("/api/v1/system").json()
    names = about["processors"]
    answers = {
        name: api.client.post("/api/v1/upload", params={"processor": name}, content=b"")
        for name in names
    }
    by_other_means = {
        name for name, answer in answers.items() if "needs several files" in answer.json()["detail"]
    }
    assert set(names) - set(about["uploadable_processors"]) == by_other_means == {"batch"}
    for name in ("batch", "nonsense"):
        problem = api.client.post(
            "/api/v1/upload", params={"processor": name}, content=b"a,b\n1,2\n"
        ).json()
        assert problem["status"] == 422
    assert "batch" not in problem["detail"]
