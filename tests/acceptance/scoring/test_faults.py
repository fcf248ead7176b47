"""Whatever the model service and the object store do, each row is scored once or has a reason."""

from __future__ import annotations

from uuid import UUID

import pytest

from tests.forks import Server
from tests.harness import Api, query, wait_until
from tests.scoring.services import Bucket, FaultyStore, ModelService, transactions

ROWS = 1000


@pytest.fixture(scope="module")
def data() -> bytes:
    return transactions(ROWS, seed=21)


@pytest.fixture(scope="module")
def truth(model_process: ModelService, data: bytes) -> dict[str, float]:
    """Return the score of each transaction, from the service without faults."""
    model_process.misbehave()
    names, *rows = [line.split(",") for line in data.decode().splitlines()]
    sent = [{**dict(zip(names, row, strict=True)), "id": row[0]} for row in rows]
    answer = model_process.client.post("/predict", json={"transactions": sent}).json()
    return {p["id"]: p["fraud_score"] for p in answer["predictions"]}


def assert_all_scored(api: Api, server: Server, file_id: str, truth: dict[str, float]) -> None:
    status = api.finished(file_id)
    assert status["status"] == "completed", status
    assert status["rows"]["ok"] == ROWS
    assert {cells[0]: float(cells[-2]) for _, cells in api.rows(file_id)} == truth
    assert (
        dict(query(server.url, "SELECT transaction_id, fraud_score FROM predictions")).items()
        >= truth.items()
    )
    chunks = api.client.get(f"/api/v1/jobs/{status['job_id']}/chunks").json()["items"]
    assert {(c["attempt"], c["deaths"]) for c in chunks} == {(1, 0)}, "a retry was burnt"


def test_a_limited_failing_and_hanging_service_costs_no_row_and_no_retry(
    api: Api, server: Server, model: ModelService, data: bytes, truth: dict[str, float]
) -> None:
    model.misbehave(requests_per_second=15, retry_after="1", error_rate=0.3, hang_rate=0.05)
    assert_all_scored(
        api, server, api.upload(data, processor="scoring", chunk_size=250)["file_id"], truth
    )


def test_an_outage_is_reported_and_holds_no_worker(
    api: Api, server: Server, model: ModelService, data: bytes, truth: dict[str, float]
) -> None:
    model.misbehave(outage_seconds=3600)
    upload = api.upload(data, processor="scoring", chunk_size=250, priority=10)
    wait_until(lambda: api.status(upload["file_id"])["waiting_on"] == "ml_api", what="waiting_on")
    assert api.run(b"a,b\n1,2\n")["status"] == "completed", "somebody else had to wait too"
    assert api.status(upload["file_id"])["status"] == "processing"
    model.misbehave()
    assert_all_scored(api, server, upload["file_id"], truth)
    assert api.status(upload["file_id"])["waiting_on"] is None


def test_a_cancelled_job_writes_nothing_more(api: Api, server: Server, model: ModelService) -> None:
    model.misbehave(latency_ms=200)
    upload = api.upload(transactions(3000, seed=23), processor="scoring", chunk_size=250)
    wait_until(lambda: model.stats()["answered"] > 3, what="calls")
    api.client.post(f"/api/v1/jobs/{upload['job_id']}/cancel").raise_for_status()
    held = "SELECT count(*) FROM predictions WHERE transaction_id LIKE 'tx-23-%'"
    before = query(server.url, held)
    status = api.status(upload["file_id"])
    assert (status["status"], before) == ("cancelled", [(status["rows"]["ok"],)])
    asked = model.stats()["requests"]
    model.misbehave()
    assert api.run(b"a,b\n1,2\n")["status"] == "completed"
    assert model.stats()["requests"] <= asked
    assert query(server.url, held) == before


# ---------------------------------------------------------------------- the object store


def score(api: Api, source: str) -> str:
    answer = api.client.post("/api/v1/jobs/score", json={"source": source, "chunk_size": 250})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["job_id"])


def test_a_slow_or_broken_object_store_is_retried(
    api: Api,
    server: Server,
    model: ModelService,
    bucket: Bucket,
    store: FaultyStore,
    data: bytes,
    truth: dict[str, float],
) -> None:
    faults = ["cut", "503", "reset", "reset", "cut"]
    bucket.put("a.csv", data)
    store.faults += ["", *faults]  # the request waits for the first response
    assert_all_scored(api, server, score(api, f"s3://{bucket.name}/a.csv"), truth)
    reads = [(asked, etag) for path, asked, etag in store.requests if asked]
    assert len(reads) > len(faults)
    assert all(etag for _, etag in reads), "a read that would take any version"


def test_a_replaced_object_is_an_error_and_never_mixed_with_the_old_one(
    api: Api, model: ModelService, bucket: Bucket, data: bytes
) -> None:
    model.misbehave(outage_seconds=3600)
    bucket.put("a.csv", data)
    job_id = score(api, f"s3://{bucket.name}/a.csv")
    wait_until(lambda: api.status(job_id)["waiting_on"] == "ml_api", what="waiting_on")
    bucket.put("a.csv", transactions(ROWS, seed=24))
    status = api.finished(job_id)  # each attempt reads its chunk again
    assert status["status"] == "failed"
    assert status["error"]["code"] == "source_changed"
    assert status["rows"]["ok"] == 0


def test_a_missing_object_fails_only_its_part(
    api: Api,
    server: Server,
    model: ModelService,
    bucket: Bucket,
    data: bytes,
    truth: dict[str, float],
) -> None:
    model.misbehave(outage_seconds=3600)
    bucket.put("in/a.csv", data)
    bucket.put("in/b.csv", transactions(300, seed=25))
    bucket.put("in/c.csv", b"name,value\nx,1\n")
    job_id = score(api, f"s3://{bucket.name}/in/*.csv")
    wait_until(lambda: api.status(job_id)["rows"]["total"] == ROWS + 300, what="split")
    bucket.delete("in/b.csv")
    wait_until(lambda: api.status(job_id)["parts"]["failed"] == 2, what="b.csv read anew")
    model.misbehave()
    status = api.finished(job_id)
    assert status["status"] == "completed_with_errors"
    assert status["parts"] == {
        "total": 3,
        "completed": 1,
        "failed": 2,
        "completed_with_errors": 0,
        "cancelled": 0,
        "queued": 0,
        "processing": 0,
    }
    codes = {
        error["filename"].rpartition("/")[2]: error["error"]["code"] for error in status["errors"]
    }
    assert codes == {"b.csv": "s3_not_found", "c.csv": "missing_column"}
    assert status["rows"] == {
        "total": ROWS + 300,
        "ok": ROWS,
        "invalid": 0,
        "failed": 300,
        "unprocessed": 0,
    }
    proof = api.proof(job_id)
    assert (proof["closes"], proof["rows"]["ok"]) == (True, ROWS)
    parts = api.client.get("/api/v1/jobs", params={"parent": job_id}).json()["items"]
    (whole,) = [part for part in parts if part["status"] == "completed"]
    assert {cells[0]: float(cells[-2]) for _, cells in api.rows(whole["job_id"])} == truth

    for path in ("results/{}", "results/{}/download", "rejects/{}", "rejects/{}/download"):
        answer = api.client.get("/api/v1/" + path.format(job_id))
        assert (answer.status_code, answer.json()["code"]) == (409, "job_has_parts")
        assert f"/api/v1/jobs?parent={job_id}" in answer.json()["detail"]

    assert api.client.delete(f"/api/v1/files/{status['file_id']}").status_code == 204
    gone = {job_id, *(part["job_id"] for part in parts)}
    assert {api.client.get(f"/api/v1/status/{each}").status_code for each in gone} == {404}

    def rows_left() -> int:
        marks = ", ".join(
            f"'{UUID(each).hex if server.url.startswith('sqlite') else each}'" for each in gone
        )
        tables = ("result_pages", "rejects", "chunks", "transactions", "predictions")
        return sum(
            query(server.url, f"SELECT count(*) FROM {table} WHERE job_id IN ({marks})")[0][0]
            for table in tables
        )

    wait_until(lambda: rows_left() == 0, what="all rows of all parts removed")


def test_an_exact_key_takes_precedence_over_a_pattern(
    api: Api, server: Server, model: ModelService, bucket: Bucket
) -> None:
    keys = ["rep[1].csv", "rep1.csv", "a*.csv", "ab.csv", "q?.csv", "q1.csv"]
    for seed, key in enumerate(keys, 61):
        bucket.put(key, transactions(10, seed=seed))

    def scored(text: str) -> list[str]:
        status = api.finished(score(api, f"s3://{bucket.name}/{text}"))
        assert status["status"] == "completed", status
        parts = api.client.get("/api/v1/jobs", params={"parent": status["job_id"]}).json()["items"]
        names = [part["filename"] for part in parts] or [status["filename"]]
        return sorted(name.removeprefix(f"s3://{bucket.name}/") for name in names)

    for key in keys:
        assert scored(key) == [key]
    assert scored("rep[12].csv") == ["rep1.csv"]
    assert scored("rep[[]1].csv") == ["rep[1].csv"]
    assert scored("a*.c*") == ["a*.csv", "ab.csv"]
    assert scored("q[?].csv") == ["q?.csv"]
    bucket.delete("rep[1].csv")
    assert scored("rep[1].csv") == ["rep1.csv"], "now it can only be the pattern"


def test_an_object_whose_key_is_not_a_path_fails_only_its_part(
    api: Api, server: Server, model: ModelService, bucket: Bucket
) -> None:
    for seed, key in enumerate(["plain.csv", "2026/feb.csv", "u\u0308 x%20.csv"], 71):
        bucket.put(key, transactions(10, seed=seed))
    odd = ["2026//jan.csv", "2026/./x.csv", "../up.csv", "tab\tx.csv", "2026/folder/"]
    for key in odd:
        bucket.put(key, transactions(10, seed=79))
    base = f"s3://{bucket.name}/"

    status = api.finished(score(api, base))
    assert (status["status"], status["rows"]["ok"]) == ("completed_with_errors", 30)
    parts = api.client.get(
        "/api/v1/jobs", params={"parent": status["job_id"], "limit": 100}
    ).json()["items"]
    outcomes = {
        part["filename"].removeprefix(base): (part["status"], (part["error"] or {}).get("code"))
        for part in parts
    }
    failed = ("failed", "bad_source_uri")
    assert outcomes == {
        "plain.csv": ("completed", None),
        "2026/feb.csv": ("completed", None),
        "u\u0308 x%20.csv": ("completed", None),
        **{key.replace("\t", "%09"): failed for key in odd},
    }
    assert api.finished(score(api, f"{base}plain*"))["status"] == "completed"
    assert api.finished(score(api, f"{base}plain.csv"))["status"] == "completed"
    refused = api.client.post("/api/v1/jobs/score", json={"source": f"{base}2026/folder/"})
    assert (refused.status_code, refused.json()["code"]) == (
        422,
        "bad_source_uri",
    ), "there is nothing else"


def test_an_invalid_source_uri_is_refused(api: Api, bucket: Bucket) -> None:
    for text in ("/lead.csv", "a//b.csv", "a/../b.csv", "./a.csv", "a/./", "a\tb.csv", "2026//"):
        answer = api.client.post(
            "/api/v1/jobs/score", json={"source": f"s3://{bucket.name}/{text}"}
        )
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_source_uri"), text


@pytest.mark.parametrize(
    ("source", "fault", "status", "code"),
    [
        ("s3://{}/none.csv", "", 422, "s3_not_found"),
        ("s3://{}/none*.csv", "", 422, "s3_not_found"),
        ("s3://no-such-bucket/a.csv", "", 422, "s3_not_found"),
        ("s3://no-such-bucket/*.csv", "", 422, "s3_not_found"),
        ("s3://{}/a.csv", "403", 422, "s3_access_denied"),
        ("s3://{}/*.csv", "403", 422, "s3_access_denied"),
        ("s3://{}/../a.csv", "", 422, "bad_source_uri"),
        ("s3://", "", 422, "bad_source_uri"),
        ("s3://../a.csv", "", 422, "bad_source_uri"),
        ("file:///etc/passwd", "", 503, "not_configured"),
        ("ftp://host/a.csv", "", 422, "bad_source_uri"),
        ("s3://{}/" + "k" * 2000, "", 422, "invalid_parameter"),
    ],
)
def test_an_unreadable_source_is_refused_with_what_to_check(
    api: Api, bucket: Bucket, store: FaultyStore, source: str, fault: str, status: int, code: str
) -> None:
    bucket.put("a.csv", b"a,b\n1,2\n")
    store.faults += [fault] if fault else []
    answer = api.client.post("/api/v1/jobs/score", json={"source": source.format(bucket.name)})
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
