"""Watches over a real bucket and a real folder: each version of each object becomes a job once, whatever
happens meanwhile.
"""

from __future__ import annotations

import asyncio
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import xlsxwriter

from app.features.job_types.service import JobStarter
from app.features.watches import checks
from app.features.watches.checks import WatchChecks
from tests.api.checks import assert_problem
from tests.engine import Engine, EngineApi
from tests.scoring.services import Bucket

ROWS = b"id,name\n1,Ann\n2,Eve\n"
JOB = {"type": "rows"}


@pytest.fixture(autouse=True)
def impatient(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Looks for what is due all the time. At the end the engine stops in order: it is nearly always
    in the middle of a query.
    """
    monkeypatch.setattr(checks, "POLL_SECONDS", 0.02)
    yield
    if engine.is_alive:
        engine.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


@pytest.fixture
def api(engine: Engine, bucket: Bucket, folder: Path) -> Iterator[EngineApi]:
    start(engine, bucket, folder)
    with engine.api() as api:
        yield api


def start(engine: Engine, bucket: Bucket, folder: Path, **settings: object) -> None:
    engine.start(**bucket.environment, SOURCE_FOLDERS=str(folder), **settings)


def watch(client: httpx.Client, source: str, **members: object) -> str:
    body = {"source": source, "job": JOB, "every_seconds": 3600, **members}
    answer = client.post("/api/v1/watches", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def shown(api: EngineApi, watch_id: str) -> dict[str, Any]:
    return dict(api.client.get(f"/api/v1/watches/{watch_id}").json())


def checked(api: EngineApi, watch_id: str) -> dict[str, Any]:
    """The watch after a further check."""
    before = shown(api, watch_id)["last_checked_at"]
    assert api.client.post(f"/api/v1/watches/{watch_id}/run").status_code == 202

    def is_checked() -> bool:
        return bool(shown(api, watch_id)["last_checked_at"] != before)

    api.wait_until(is_checked, 20, "a check")
    return shown(api, watch_id)


def first_check(api: EngineApi, watch_id: str) -> dict[str, Any]:
    api.wait_until(lambda: shown(api, watch_id)["last_checked_at"], 20, "the first check")
    return shown(api, watch_id)


def history(api: EngineApi, watch_id: str, **params: str | int) -> list[dict[str, Any]]:
    answer = api.client.get(f"/api/v1/watches/{watch_id}/objects", params=params)
    return list(answer.json()["items"])


def jobs(api: EngineApi) -> list[dict[str, Any]]:
    return list(api.client.get("/api/v1/jobs", params={"limit": 500}).json()["items"])


def names(api: EngineApi) -> Counter[str]:
    """How many jobs there are over each object."""
    return Counter(job["filename"].rpartition("/")[2] for job in jobs(api))


def workbook() -> bytes:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        page = book.add_worksheet()
        for number, cells in enumerate((["id", "name"], [1, "Ann"], [2, "Eve"])):
            page.write_row(number, 0, cells)
    return out.getvalue()


def assert_completed(api: EngineApi) -> None:
    for job in jobs(api):
        assert api.finished(job["job_id"])["status"] == "completed"


@pytest.mark.one_database
def test_each_version_of_each_object_becomes_a_job_once(api: EngineApi, bucket: Bucket) -> None:
    bucket.put("in/b.csv", ROWS)
    bucket.put("in/c.xlsx", workbook())
    bucket.put("out/z.csv", ROWS)
    watch_id = watch(api.client, f"s3://{bucket.name}/in/", name="inbox")
    assert first_check(api, watch_id)["last_outcome"]["jobs"] == 2
    assert names(api) == {"b.csv": 1, "c.xlsx": 1}
    assert_completed(api)  # a job whose object is replaced while it waits fails
    # a name that comes late, before all others, and an object that changes
    bucket.put("in/a.csv", ROWS)
    bucket.put("in/b.csv", ROWS + b"3,Bob\n")
    body = checked(api, watch_id)
    assert (body["jobs"], body["waiting"], body["failed"]) == (4, 0, 0)
    assert body["last_outcome"] | {"seconds": 0} == {
        "outcome": "checked",
        "objects": 3,
        "jobs": 2,
        "failed": 0,
        "seconds": 0,
    }
    assert checked(api, watch_id)["last_outcome"]["jobs"] == 0
    assert names(api) == {"a.csv": 1, "b.csv": 2, "c.xlsx": 1}
    assert_completed(api)
    seen = history(api, watch_id)
    assert [item["status"] for item in seen] == ["queued"] * 4
    assert {item["job_id"] for item in seen} == {job["job_id"] for job in jobs(api)}
    assert [item["number"] for item in seen] == sorted(
        (item["number"] for item in seen), reverse=True
    )
    first = api.client.get(f"/api/v1/watches/{watch_id}/objects", params={"limit": 3}).json()
    rest = history(api, watch_id, before=first["next_before"])
    assert first["items"] + rest == seen


@pytest.mark.one_database
def test_a_growing_file_waits_until_its_size_rests(api: EngineApi, folder: Path) -> None:
    path = folder / "big.csv"
    path.write_bytes(ROWS)
    watch_id = watch(api.client, f"file://{folder}/*.csv", settle_seconds=1000)
    assert first_check(api, watch_id)["waiting"] == 1
    with path.open("ab") as file:
        file.write(b"3,Bob\n")
    body = checked(api, watch_id)
    # of the version that is no more, nothing is left
    assert (body["waiting"], body["jobs"]) == (1, 0)
    assert [item["size_bytes"] for item in history(api, watch_id)] == [len(ROWS) + 6]
    (folder / "gone.csv").write_bytes(ROWS)
    assert checked(api, watch_id)["waiting"] == 2
    (folder / "gone.csv").unlink()
    api.client.patch(f"/api/v1/watches/{watch_id}", json={"settle_seconds": 0.0})
    api.wait_until(lambda: shown(api, watch_id)["jobs"] == 1, 20, "a job")
    assert checked(api, watch_id)["jobs"] == 1
    (job,) = jobs(api)
    assert api.finished(job["job_id"])["counts"]["loaded"] == 3
    assert shown(api, watch_id)["waiting"] == 0


@pytest.mark.one_database
def test_an_object_that_is_replaced_behind_the_list_becomes_one_job(
    api: EngineApi, bucket: Bucket, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its job never reads another version than the one that it is noted for."""
    start_job = WatchChecks._start

    async def late(self: WatchChecks, *arguments: Any) -> None:
        monkeypatch.undo()
        bucket.put("in/a.csv", ROWS + b"3,Bob\n")
        (folder / "b.csv").write_bytes(ROWS + b"3,Bob\n")
        await start_job(self, *arguments)

    for source in (f"s3://{bucket.name}/in/", f"file://{folder}/"):
        monkeypatch.setattr(WatchChecks, "_start", late)
        bucket.put("in/a.csv", ROWS)
        (folder / "b.csv").write_bytes(ROWS)
        watch_id = watch(api.client, source, settle_seconds=0.0)
        assert first_check(api, watch_id)["jobs"] == 0
        assert checked(api, watch_id)["jobs"] == 1
        (item,) = history(api, watch_id)
        assert api.finished(item["job_id"])["counts"]["loaded"] == 3


@pytest.mark.one_database
def test_a_source_that_fails_is_shown_and_tried_again(api: EngineApi, bucket: Bucket) -> None:
    watch_id = watch(api.client, "s3://no-such-bucket/in/", every_seconds=1)
    body = first_check(api, watch_id)
    assert (body["last_outcome"]["outcome"], body["last_outcome"]["code"]) == (
        "failed",
        "s3_not_found",
    )
    assert "no-such-bucket" in body["last_outcome"]["message"]
    api.wait_until(lambda: shown(api, watch_id)["failures"] >= 2, 20, "another attempt")


@pytest.mark.one_database
def test_an_object_without_a_possible_job_costs_itself_alone(
    api: EngineApi, bucket: Bucket
) -> None:
    bucket.put("in/a.xlsx", workbook()[:-30])
    bucket.put("in/b.csv", ROWS)
    watch_id = watch(api.client, f"s3://{bucket.name}/in/")
    body = first_check(api, watch_id)
    assert (body["jobs"], body["failed"]) == (1, 1)
    (failed,) = history(api, watch_id, status="failed")
    assert failed["error"]["code"] == "corrupt_workbook"
    assert failed["uri"].endswith("a.xlsx")
    # what failed is tried again on demand, and what replaces it by itself
    assert checked(api, watch_id)["last_outcome"]["failed"] == 1
    bucket.put("in/a.xlsx", workbook())
    body = checked(api, watch_id)
    assert (body["jobs"], body["failed"]) == (2, 0)
    assert names(api) == {"a.xlsx": 1, "b.csv": 1}


@pytest.mark.one_database
def test_a_paused_watch_waits_and_misses_nothing(api: EngineApi, bucket: Bucket) -> None:
    watch_id = watch(api.client, f"s3://{bucket.name}/in/*.csv")
    first_check(api, watch_id)
    paused = api.client.patch(f"/api/v1/watches/{watch_id}", json={"paused": True}).json()
    assert (paused["paused"], paused["next_check_at"]) == (True, None)
    bucket.put("in/a.csv", ROWS)
    bucket.put("in/a.txt", ROWS)
    api.client.patch(f"/api/v1/watches/{watch_id}", json={"paused": False})
    api.wait_until(lambda: names(api) == {"a.csv": 1}, 20, "the job")
    assert api.client.delete(f"/api/v1/watches/{watch_id}").status_code == 204
    assert_problem(api.client.get(f"/api/v1/watches/{watch_id}"), 404, "not_found")
    assert names(api) == {"a.csv": 1}


@pytest.mark.one_database
def test_what_cannot_be_watched_is_refused(api: EngineApi, bucket: Bucket) -> None:
    source = f"s3://{bucket.name}/in/"
    for change, status, code in (
        ({"source": "https://data.example.com/in/"}, 422, "bad_source_uri"),
        ({"source": "file:///etc/"}, 422, "source_refused"),
        ({"source": "in/"}, 422, "bad_source_uri"),
        ({"job": {"type": "nothing"}}, 422, "unknown_job_type"),
        ({"job": {"type": "transform"}}, 422, "invalid_parameter"),
        ({"job": {"type": "rows", "source": source}}, 422, "invalid_parameter"),
        ({"every_seconds": 0.5}, 422, "invalid_parameter"),
        ({"every_seconds": "60"}, 422, "invalid_parameter"),
        ({"settle_seconds": -1}, 422, "invalid_parameter"),
    ):
        body = {"source": source, "job": JOB, **change}
        answer = api.client.post("/api/v1/watches", json=body)
        assert_problem(answer, status, code)
    assert api.client.get("/api/v1/watches").json() == {"items": []}
    watch_id = watch(api.client, source, every_seconds=60)
    for query in ("limit=5.0", "limit=0", "before=0", "status=other", "limit=1&limit=2"):
        answer = api.client.get(f"/api/v1/watches/{watch_id}/objects?{query}")
        assert_problem(answer, 422, "invalid_parameter")


@pytest.mark.parametrize(
    "point",
    ["watch.seen", "watch.before_commit", "source.before_commit", "watch.after_commit@2"],
)
def test_a_death_at_any_point_neither_loses_nor_repeats_an_object(
    engine: Engine,
    bucket: Bucket,
    folder: Path,
    point: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checks, "LEASE_SECONDS", 0.3)
    monkeypatch.setattr(checks, "HEARTBEAT_SECONDS", 0.1)
    (folder / "x.csv").write_bytes(ROWS)
    for name in ("a", "b", "c"):
        bucket.put(f"in/{name}.csv", ROWS)
    bucket.put("in/d.xlsx", workbook())
    name, _, at = point.partition("@")
    start(engine, bucket, folder, GRANULA_FAIL=f"{name}=kill@{at or 1}")
    with engine.client() as client:
        watch_id = watch(client, f"s3://{bucket.name}/in/")
        engine.wait_for_death(20)
    start(engine, bucket, folder)
    with engine.api() as api:
        api.wait_until(lambda: shown(api, watch_id)["jobs"] == 4, 20, "all jobs")
        assert checked(api, watch_id)["jobs"] == 4
        assert names(api) == {"a.csv": 1, "b.csv": 1, "c.csv": 1, "d.xlsx": 1}
        assert {item["status"] for item in history(api, watch_id)} == {"queued"}


def test_of_two_processes_one_makes_each_job(
    engine: Engine, bucket: Bucket, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is so slow that it loses its lease when it is about to make its first job."""
    monkeypatch.setattr(WatchChecks, "run", lambda self: asyncio.sleep(3600))  # only ours check
    monkeypatch.setattr(checks, "HEARTBEAT_SECONDS", 3600)
    start(engine, bucket, folder)
    for name in ("a", "b", "c"):
        bucket.put(f"in/{name}.csv", ROWS)
    services = engine.services
    first, second = (
        WatchChecks(services.database, services.sources, services.of(JobStarter)) for _ in "12"
    )
    is_listed, may_go_on = asyncio.Event(), asyncio.Event()
    start_job = first._start

    async def slowly(*arguments: Any) -> None:
        is_listed.set()
        await may_go_on.wait()
        await start_job(*arguments)

    monkeypatch.setattr(first, "_start", slowly)

    async def end(worker: WatchChecks) -> None:
        while worker._checks:
            await asyncio.wait(set(worker._checks))

    async def race() -> None:
        await asyncio.gather(first.begin_due(), first.begin_due())
        await is_listed.wait()
        assert len(first._checks) == 1
        await second.begin_due()
        assert not second._checks  # as long as the lease holds

    async def go_on() -> None:
        await second.begin_due()
        await end(second)
        may_go_on.set()
        await end(first)

    with engine.api() as api:
        watch_id = watch(api.client, f"s3://{bucket.name}/in/")
        engine.run(race())
        engine.change("UPDATE watches SET leased_until = created_at")
        engine.run(go_on())
        assert names(api) == {"a.csv": 1, "b.csv": 1, "c.csv": 1}
        assert shown(api, watch_id)["jobs"] == 3
