"""Any processor of single files can read objects of a bucket, with its options."""

from __future__ import annotations

from tests.api.checks import assert_problem
from tests.harness import Api
from tests.scoring.services import Bucket


def start(api: Api, **job: object) -> str:
    answer = api.client.post("/api/v1/jobs", json=job)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/api/v1/jobs/{answer.json()['job_id']}/status"
    return str(answer.json()["job_id"])


def test_an_object_is_read_with_the_options_of_the_type(api: Api, bucket: Bucket) -> None:
    bucket.put("reviews.csv", b"id,review\n1,good\n2,bad\n")
    source = f"s3://{bucket.name}/reviews.csv"
    job_id = start(api, type="sentiment", source=source, options={"text_column": "review"})
    assert api.finished(job_id)["summary"] == {"positive": 1, "neutral": 0, "negative": 1}
    missing = api.client.post("/api/v1/jobs", json={"type": "sentiment", "source": source})
    assert_problem(missing, 422, "missing_column")


def test_each_object_of_a_prefix_is_analysed_and_none_of_its_rows_is_stored(
    api: Api, bucket: Bucket
) -> None:
    for name in ("a", "b"):
        bucket.put(f"day/{name}.csv", b"id,n\n1,2\n3,4\n")
    job_id = start(api, type="analyze", source=f"s3://{bucket.name}/day/")
    status = api.finished(job_id)
    assert (status["status"], status["rows"]["ok"]) == ("completed", 4)
    parts = api.client.get("/api/v1/jobs", params={"parent": job_id}).json()["items"]
    assert len(parts) == 2
    for part in parts:
        result = api.client.get(f"/api/v1/jobs/{part['job_id']}/result").json()["result"]
        assert [column["name"] for column in result["columns"]] == ["id", "n"]
        assert api.proof(part["job_id"])["closes"]
