"""Mappings and transforms of objects in place, named in each way: the results equal those of an
upload.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.checks import assert_problem
from tests.engine import Engine, EngineApi
from tests.scoring.services import Bucket

CUSTOMERS = b"customer,born\nAnn,1988-12-24\nEve,1990-02-03\n"
REFERENCE = b"born,customer\n1971-01-01,Bob\n1972-02-02,Zoe\n"
UPPER: dict[str, Any] = {
    "mapping": {
        "columns": [
            {"name": "name", "from": "customer", "steps": [{"operation": "case", "to": "upper"}]},
            {"name": "year", "expression": "year(parse_date(born, '%Y-%m-%d'))"},
        ]
    }
}
UPPER_CUSTOMERS = b"name,year\nANN,1988\nEVE,1990\n"
"""Result of UPPER over CUSTOMERS."""


@pytest.fixture
def api(engine: Engine, bucket: Bucket) -> Iterator[EngineApi]:
    engine.start(**bucket.environment)
    with engine.api() as api:
        yield api


def started(api: EngineApi, **job: object) -> str:
    answer = api.client.post("/api/v1/jobs", json=job)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


def ended(api: EngineApi, job_id: str) -> dict[str, Any]:
    status = api.finished(job_id)
    assert status["status"] == "completed", status
    return dict(api.client.get(f"/api/v1/jobs/{job_id}/status").json())


def parts_of(api: EngineApi, job_id: str) -> list[dict[str, Any]]:
    """Return the files in the order of their objects."""
    items = api.client.get("/api/v1/jobs", params={"parent": job_id}).json()["items"]
    return sorted(items, key=lambda item: str(item["filename"]))


def made_file(api: EngineApi, job_id: str) -> bytes:
    file_id = api.client.get(f"/api/v1/jobs/{job_id}/status").json()["result_file_id"]
    return api.client.get(f"/api/v1/files/{file_id}/download").content


def pairs(api: EngineApi, job_id: str) -> dict[str, list[str]]:
    """Return the mapping that a job proposes: source columns by wanted column."""
    result = api.client.get(f"/api/v1/jobs/{job_id}/result").json()["result"]
    return {mapping["reference_column"]: mapping["input_columns"] for mapping in result["mappings"]}


def test_an_object_is_transformed_in_place(api: EngineApi, bucket: Bucket) -> None:
    bucket.put("day/customers.csv", CUSTOMERS)
    source = f"s3://{bucket.name}/day/customers.csv"
    job_id = started(api, type="transform", source=source, options=UPPER)
    ended(api, job_id)
    assert made_file(api, job_id) == UPPER_CUSTOMERS
    file_id = api.client.get(f"/api/v1/jobs/{job_id}/status").json()["result_file_id"]
    named = api.client.get(f"/api/v1/files/{file_id}/download").headers["content-disposition"]
    assert '"customers.transformed.csv"' in named


def test_an_object_is_mapped_to_a_reference_that_was_uploaded(
    api: EngineApi, bucket: Bucket
) -> None:
    reference = api.run(REFERENCE)["file_id"]
    bucket.put("customers.csv", CUSTOMERS)
    source = f"s3://{bucket.name}/customers.csv"
    options = {"reference_file_id": reference}
    job_id = started(api, type="mapping", source=source, options=options)
    status = ended(api, job_id)
    assert (status["job_type"], status["reference_file_id"]) == ("mapping", reference)
    assert pairs(api, job_id) == {"born": ["born"], "customer": ["customer"]}


def test_each_object_of_a_prefix_becomes_a_file_or_fails_alone(
    api: EngineApi, bucket: Bucket
) -> None:
    bucket.put("day/a.csv", CUSTOMERS)
    bucket.put("day/b.csv", b"customer,born\nZoe,2001-01-01\n")
    bucket.put("day/c.csv", b"other\n1\n")
    job_id = started(api, type="transform", source=f"s3://{bucket.name}/day/", options=UPPER)
    status = api.finished(job_id)
    assert (status["status"], status["rows"]["ok"]) == ("completed_with_errors", 3)
    first, second, third = parts_of(api, job_id)
    assert made_file(api, first["job_id"]) == UPPER_CUSTOMERS
    assert made_file(api, second["job_id"]) == b"name,year\nZOE,2001\n"
    assert third["status"] == "failed"
    assert api.finished(third["job_id"])["error"]["code"] == "invalid_transform"
    all_refused = {"type": "transform", "source": f"s3://{bucket.name}/day/c*", "options": UPPER}
    assert_problem(api.client.post("/api/v1/jobs", json=all_refused), 422, "invalid_transform")


def test_each_object_of_a_prefix_is_mapped_and_the_reference_is_kept(
    api: EngineApi, engine: Engine, bucket: Bucket
) -> None:
    reference = api.run(REFERENCE)["file_id"]
    for name in ("a", "b"):
        bucket.put(f"day/{name}.csv", CUSTOMERS)
    options = {"reference_file_id": reference}
    source = f"s3://{bucket.name}/day/"
    job_id = started(api, type="mapping", source=source, options=options)
    status = ended(api, job_id)
    assert [stage["name"] for stage in status["stages"]] == ["queued", "processing", "done"]
    for part in parts_of(api, job_id):
        assert pairs(api, part["job_id"]) == {"born": ["born"], "customer": ["customer"]}
    file_id = api.status(job_id)["file_id"]
    assert api.client.delete(f"/api/v1/files/{file_id}").status_code == 204
    engine.wait_until(lambda: set(engine.files()) == {reference}, 15, "the end of the deletion")
    assert api.client.get(f"/api/v1/files/{reference}/download").content == REFERENCE
    assert sorted(bucket.keys()) == ["day/a.csv", "day/b.csv"]


def test_a_schedule_transforms_an_object(api: EngineApi, bucket: Bucket) -> None:
    bucket.put("customers.csv", CUSTOMERS)
    job = {
        "type": "transform",
        "source": f"s3://{bucket.name}/customers.csv",
        "options": UPPER,
    }
    schedule = api.client.post("/api/v1/schedules", json={"cron": "0 2 * * *", "job": job}).json()
    run = api.client.post(f"/api/v1/schedules/{schedule['id']}/run")
    assert (run.status_code, run.json()["processor"]) == (201, "transform")
    ended(api, run.json()["job_id"])
    assert made_file(api, run.json()["job_id"]) == UPPER_CUSTOMERS
    again = api.client.post(f"/api/v1/schedules/{schedule['id']}/run").json()
    assert again["job_id"] != run.json()["job_id"]


def test_invalid_requests_are_refused_before_a_job_is_created(
    api: EngineApi, bucket: Bucket
) -> None:
    bucket.put("customers.csv", CUSTOMERS)
    source = f"s3://{bucket.name}/customers.csv"
    unknown = "00000000-0000-4000-8000-000000000000"
    for body, status, code in (
        ({"type": "mapping", "options": {"reference_file_id": unknown}}, 404, "not_found"),
        ({"type": "mapping", "options": {}}, 422, "invalid_parameter"),
        ({"type": "transform", "options": {"template_id": unknown}}, 404, "not_found"),
        ({"type": "transform", "options": {}}, 422, "invalid_parameter"),
    ):
        answer = api.client.post("/api/v1/jobs", json={**body, "source": source})
        assert_problem(answer, status, code)
    assert api.client.get("/api/v1/jobs").json()["items"] == []


def test_an_object_is_previewed_in_place(api: EngineApi, bucket: Bucket) -> None:
    bucket.put("day/b.csv", CUSTOMERS)
    bucket.put("day/a.csv", b"id,town\n1,Bonn\n2,Oslo\n")
    for source in ("day/a.csv", "day/*.csv"):
        answer = api.client.post(
            "/api/v1/preview", params={"source": f"s3://{bucket.name}/{source}"}
        )
        assert answer.status_code == 200, answer.text
        assert [row["data"] for row in answer.json()["rows"]] == [["1", "Bonn"], ["2", "Oslo"]]
    gone = api.client.post("/api/v1/preview", params={"source": f"s3://{bucket.name}/none.csv"})
    assert (gone.status_code, gone.json()["code"]) == (422, "s3_not_found")
