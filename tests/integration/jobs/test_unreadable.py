"""Stored files without rows: each way to start a job refuses them with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.checks import assert_problem
from tests.engine import Engine, EngineApi

ROWS = b"id,text\n1,good\n2,bad\n"
COLUMNS = {"mapping": {"columns": [{"name": "id", "from": "id"}]}}


@pytest.fixture
def api(engine: Engine) -> Iterator[EngineApi]:
    engine.start(ML_API_URL="http://127.0.0.1:1")
    with engine.api() as api:
        yield api


@pytest.fixture
def parquet(api: EngineApi) -> str:
    """Return the file that a transform has written."""
    body = {"input_file_id": api.run(ROWS)["file_id"], "output_format": "parquet", **COLUMNS}
    job_id = api.client.post("/api/v1/jobs/transform", json=body).json()["job_id"]
    api.finished(job_id)
    status = api.client.get(f"/api/v1/jobs/{job_id}/status").json()
    return str(status["result_file_id"])


def options_of(job_type: str, file_id: str) -> dict[str, Any]:
    options: dict[str, dict[str, Any]] = {
        "mapping": {"reference_file_id": file_id},
        "transform": COLUMNS,
        "load": {"table": "orders", "mode": "create"},
    }
    return options.get(job_type, {})


def test_no_job_type_accepts_parquet(api: EngineApi, parquet: str) -> None:
    reference = api.run(b"id\n1\n")["file_id"]
    names = [item["name"] for item in api.client.get("/api/v1/job-types").json()["items"]]
    assert {"rows", "analyze", "sentiment", "scoring", "mapping", "transform"} <= set(names)
    for name in names:
        options = options_of(name, reference)
        job = {"type": name, "file_id": parquet, "options": options}
        assert_problem(api.client.post("/api/v1/jobs", json=job), 415, "not_rows")
        batch = {"job_type": name, "file_ids": [parquet], "options": options}
        assert_problem(api.client.post("/api/v1/jobs/batch", json=batch), 415, "not_rows")
    for path, body in (
        ("analyze", {"file_id": parquet}),
        ("score", {"file_id": parquet}),
        ("mapping", {"input_file_id": parquet, "reference_file_id": reference}),
        ("mapping", {"input_file_id": reference, "reference_file_id": parquet}),
        ("transform", {"input_file_id": parquet, **COLUMNS}),
        ("transform", {"input_file_id": parquet, "dry_run": True, "sample_rows": 1, **COLUMNS}),
    ):
        answer = api.client.post(f"/api/v1/jobs/{path}", json=body)
        assert_problem(answer, 415, "not_rows")


@pytest.mark.parametrize("job_type", ["analyze", "transform", "mapping"])
def test_a_parquet_file_in_a_batch_fails_alone(api: EngineApi, parquet: str, job_type: str) -> None:
    readable = api.run(ROWS)["file_id"]
    body = {
        "job_type": job_type,
        "file_ids": [parquet, readable],
        "options": options_of(job_type, readable),
    }
    answer = api.client.post("/api/v1/jobs/batch", json=body)
    assert answer.status_code == 202, answer.text
    job_id = answer.json()["job_id"]
    api.finished(job_id)
    status = api.client.get(f"/api/v1/jobs/{job_id}/status").json()
    assert [(c["file_id"], c["status"], c["progress"]) for c in status["children"]] == [
        (parquet, "failed", 100),
        (readable, "completed", 100),
    ]
    failed = answer.json()["children"][0]["job_id"]
    assert api.status(failed)["error"]["code"] == "not_rows"
    listed = api.client.get("/api/v1/jobs", params={"parent": job_id}).json()["items"]
    assert {item["status"] for item in listed} == {"failed", "completed"}


def test_the_file_of_a_batch_holds_no_rows_to_read(api: EngineApi) -> None:
    file_id = api.run(ROWS)["file_id"]
    batch = {"job_type": "analyze", "file_ids": [file_id]}
    job_id = api.client.post("/api/v1/jobs/batch", json=batch).json()["job_id"]
    of_batch = api.finished(job_id)["file_id"]
    job = {"type": "analyze", "file_id": of_batch}
    assert_problem(api.client.post("/api/v1/jobs", json=job), 415, "not_rows")
