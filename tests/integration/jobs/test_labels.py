"""Labels of jobs over the API: given with an upload or a job, changed later, and filtered by."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.checks import assert_problem
from tests.engine import Engine, EngineApi
from tests.uploads.tus import metadata

ROWS = b"id,note\n1,a\n2,b\n"
CSV = {"Content-Type": "text/csv"}


pytestmark = pytest.mark.one_database


@pytest.fixture
def api(engine: Engine) -> Iterator[EngineApi]:
    engine.start()
    with engine.api() as api:
        yield api


def listed(api: EngineApi, **params: object) -> list[list[str]]:
    page = api.client.get("/api/v1/jobs", params=params).json()  # type: ignore[arg-type]
    return [item["labels"] for item in page["items"]]


def test_labels_are_given_with_an_upload_of_any_kind(api: EngineApi) -> None:
    raw = api.client.post("/api/v1/upload?label=q3&label=shop,q3", content=ROWS, headers=CSV)
    assert raw.status_code == 201, raw.text
    assert api.status(raw.json()["file_id"])["labels"] == ["q3", "shop"]
    form = api.client.post(
        "/api/v1/upload", data={"label": " b , a,"}, files={"file": ("a.csv", ROWS, "text/csv")}
    )
    assert api.status(form.json()["file_id"])["labels"] == ["a", "b"]
    tus = api.client.post(
        "/api/v1/uploads",
        content=ROWS,
        headers={
            "Tus-Resumable": "1.0.0",
            "Upload-Length": str(len(ROWS)),
            "Content-Type": "application/offset+octet-stream",
            **metadata(label="from tus", filename="t.csv"),
        },
    )
    assert tus.status_code == 201, tus.text
    assert listed(api) == [["from tus"], ["a", "b"], ["q3", "shop"]]
    assert listed(api, label="shop") == [["q3", "shop"]]
    counts = api.client.get("/api/v1/jobs/labels").json()["items"]
    assert {item["label"]: item["jobs"] for item in counts} == {
        "q3": 1,
        "shop": 1,
        "a": 1,
        "b": 1,
        "from tus": 1,
    }


def test_labels_of_a_job_are_replaced_and_a_cached_job_gets_more(api: EngineApi) -> None:
    upload = api.run(ROWS)
    body = {"type": "analyze", "file_id": upload["file_id"], "labels": ["weekly"]}
    job_id = api.client.post("/api/v1/jobs", json=body).json()["job_id"]
    api.finished(job_id)
    cached = api.client.post("/api/v1/jobs", json=body | {"labels": ["again", "weekly"]})
    assert cached.json()["job_id"] == job_id
    number = api.status(job_id)["number"]
    assert api.status(job_id)["labels"] == ["again", "weekly"]
    changed = api.client.patch(f"/api/v1/jobs/{number}", json={"labels": ["other"]})
    assert changed.json()["labels"] == ["other"]
    assert changed.json()["job_id"] == job_id
    assert api.client.patch(f"/api/v1/jobs/{job_id}", json={"labels": []}).json()["labels"] == []


def test_a_number_serves_as_the_id_in_addresses_of_a_job(api: EngineApi) -> None:
    upload = api.run(ROWS)
    number = api.status(upload["job_id"])["number"]
    assert api.client.get(f"/api/v1/jobs/{number}").json()["job_id"] == upload["job_id"]
    rows = api.client.get(f"/api/v1/results/{number}").json()["items"]
    assert len(rows) == 2
    for unknown in (number + 1, 0, 10**17, f"0{number}"):
        assert_problem(api.client.get(f"/api/v1/jobs/{unknown}"), 404, "not_found")


@pytest.mark.parametrize(
    "label", ["x" * 41, "a\tb", ",".join(f"l{number}" for number in range(21))]
)
def test_labels_that_are_too_long_or_too_many_are_refused(api: EngineApi, label: str) -> None:
    answer = api.client.post("/api/v1/upload", params={"label": label}, content=ROWS, headers=CSV)
    assert_problem(answer, 422, "invalid_parameter")
    assert listed(api) == []
    assert_problem(api.client.patch("/api/v1/jobs/1", json={}), 404, "not_found")
