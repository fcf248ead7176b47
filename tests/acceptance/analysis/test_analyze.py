"""The job interface of an analysis, over a real server on both databases."""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.conftest import Databases
from tests.forks import Server
from tests.harness import Api, wait_until

UNKNOWN = "00000000-0000-4000-8000-000000000000"


def analyzed(api: Api, file_id: str) -> dict[str, Any]:
    """Return the final status of an analysis."""
    answer = api.client.post("/api/v1/jobs/analyze", json={"file_id": file_id})
    assert answer.status_code == 202, answer.text
    return ended(api, answer.json()["job_id"])


def ended(api: Api, job_id: str) -> dict[str, Any]:
    def final() -> dict[str, Any] | None:
        status = dict(api.client.get(f"/api/v1/jobs/{job_id}/status").json())
        return None if status["is_active"] else status

    return wait_until(final, 60, f"end of {job_id}") or {}


def profile(api: Api, job_id: str) -> dict[str, Any]:
    answer = api.client.get(f"/api/v1/jobs/{job_id}/result")
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["result"])


def test_the_endpoint_responds_as_documented(api: Api) -> None:
    """202 with the three members, a status with all of its members, the result, and a proof without
    rows that is valid.
    """
    upload = api.upload(b"id,name\n1,ann\n2,bob\n")
    answer = api.client.post("/api/v1/jobs/analyze", json={"file_id": upload["file_id"]})
    assert answer.status_code == 202
    job_id = answer.json()["job_id"]
    assert answer.json() == {
        "job_id": job_id,
        "status": "pending",
        "message": "Analysis job created and queued",
    }
    status = ended(api, job_id)
    assert status.keys() >= {
        "id",
        "user_id",
        "status",
        "progress",
        "is_active",
        "created_at",
        "updated_at",
    }
    assert (status["id"], status["status"], status["progress"], status["is_active"]) == (
        job_id,
        "completed",
        100,
        False,
    )
    assert [stage["begins_at"] for stage in status["stages"]] == [0, 10, 30, 100]
    result = profile(api, job_id)
    assert [(c["name"], c["type"]) for c in result["columns"]] == [
        ("id", "number"),
        ("name", "text"),
    ]
    proof = api.proof(job_id)
    assert proof["closes"]
    assert proof["rows"]["ok"] == 2
    assert proof["stored"]["results"] == 0
    assert api.client.get(f"/api/v1/results/{job_id}").json()["total"] == 0
    # the file's job is still that of its upload
    assert api.finished(upload["file_id"])["processor"] == "rows"
    assert len(api.rows(upload["file_id"])) == 2


def test_invalid_requests_are_refused(api: Api) -> None:
    upload = api.upload(b"id\n1\n")
    api.finished(upload["file_id"])
    post, get = api.client.post, api.client.get
    assert post("/api/v1/jobs/analyze", json={"file_id": UNKNOWN}).status_code == 404
    bodies: tuple[object, ...] = (
        {},
        {"file_id": 5},
        {"file_id": "uuid"},
        {"file_id": UNKNOWN, "other": 1},
        [],
    )
    for wrong in bodies:
        assert post("/api/v1/jobs/analyze", json=wrong).status_code == 422
    assert get(f"/api/v1/jobs/{UNKNOWN}/status").status_code == 404
    assert get(f"/api/v1/jobs/{UNKNOWN}/result").status_code == 404
    assert get(f"/api/v1/jobs/{upload['job_id']}/result").json()["code"] == "result_unavailable"


def test_rejected_rows_are_counted_in_the_profile(api: Api) -> None:
    data = b"id,name\n1,ann\n2\n3,bob,x\n4,caf\xff\n5,eve\n"
    result = profile(api, analyzed(api, api.upload(data, encoding="utf-8")["file_id"])["id"])
    assert result["rows"] == {
        "total": 5,
        "profiled": 2,
        "rejected": 3,
        "ragged": 2,
        "unread": 0,
        "rejected_by_code": {"column_count": 2, "invalid_utf8": 1},
    }
    assert result["file"]["encoding"] == "utf-8"
    assert result["file"]["dialect"]["delimiter"] == ","


def test_a_file_without_rows_has_a_profile(api: Api) -> None:
    status = analyzed(api, api.upload(b"id,name\n")["file_id"])
    assert status["status"] == "completed"
    found = profile(api, status["id"])
    assert found["rows"]["total"] == 0
    assert [(c["name"], c["count"]) for c in found["columns"]] == [("id", 0), ("name", 0)]


def test_cancel_responds_as_documented_and_leaves_no_result(
    databases: Databases, tmp_path: Path
) -> None:
    """The first chunk of the analysis waits again and again."""
    storage = tmp_path / "storage"
    server = Server(
        databases.create(storage), storage, GRANULA_FAIL="chunk.read=transient@1+"
    ).start()
    with server.client() as client:
        api = Api(client)
        job_id = client.post(
            "/api/v1/jobs/analyze", json={"file_id": api.upload(b"id\n1\n")["file_id"]}
        ).json()["job_id"]
        assert client.get(f"/api/v1/jobs/{job_id}/result").json()["code"] == "result_not_ready"
        answer = client.post(f"/api/v1/jobs/{job_id}/cancel")
        assert answer.status_code == 200
        assert answer.json()["message"] == "Job cancelled successfully"
        status = client.get(f"/api/v1/jobs/{job_id}/status").json()
        assert (status["status"], status["is_active"]) == ("cancelled", False)
        assert client.get(f"/api/v1/jobs/{job_id}/result").json()["code"] == "result_unavailable"
    server.kill()


def generated(rows: int) -> bytes:
    """A table of all types with gaps, quotes and repeated values; always the same."""
    rng = random.Random(7)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["id", "price", "day", "at", "active", "city", "note", "rare"])
    for i in range(rows):
        writer.writerow(
            [
                i * 3 - 500,
                f"{rng.expovariate(0.01):.2f}",
                f"202{i % 5}-{1 + i % 12:02}-{1 + i % 28:02}",
                f"2026-01-{1 + i % 28:02}T{i % 24:02}:{i % 60:02}:00",
                rng.choice(["true", "false"]),
                rng.choice(["Berlin", "Paris, France", 'The "Hague"', "São Paulo", ""]),
                f"note {rng.randrange(20_000)}",
                rng.randrange(10) if i % 10 == 0 else "",
            ]
        )
    return out.getvalue().encode()


DUCKDB_TYPES = {
    "BIGINT": "number", "DOUBLE": "number", "DATE": "date", "TIMESTAMP": "date", "BOOLEAN": "boolean", "VARCHAR": "text",
}  # fmt: skip


@pytest.mark.one_database
def test_the_profile_agrees_with_duckdb(api: Api, tmp_path: Path) -> None:
    """Types, counts and bounds are equal; a distinct count is within 15 % (5 standard errors), a
    quantile within 2 % of the ranks.
    """
    data = generated(30_000)
    path = tmp_path / "data.csv"
    path.write_bytes(data)
    table = f"read_csv('{path}', header=true, nullstr='')"
    with duckdb.connect() as oracle:
        described = {
            name: kind for name, kind, *_ in oracle.execute(f"DESCRIBE FROM {table}").fetchall()
        }
        status = analyzed(api, api.upload(data)["file_id"])
        result = profile(api, status["id"])
        assert result["rows"]["profiled"] == 30_000
        assert set(described) == {column["name"] for column in result["columns"]}
        for column in result["columns"]:
            name = column["name"]
            kind = DUCKDB_TYPES[described[name]]
            assert column["type"] == kind, name
            values, distinct = (
                oracle.execute(
                    f'SELECT count("{name}"), count(DISTINCT "{name}") FROM {table}'
                ).fetchone()
                or ()
            )
            assert column["count"] == values
            assert column["distinct"] == pytest.approx(distinct, rel=0.15 if distinct > 1024 else 0)
            if kind == "number":
                check_numbers(oracle, table, column)
            elif described[name] in ("DATE", "VARCHAR"):
                ends = oracle.execute(
                    f'SELECT min("{name}")::VARCHAR, max("{name}")::VARCHAR FROM {table}'
                ).fetchone()
                assert (column["min"], column["max"]) == ends


def check_numbers(oracle: duckdb.DuckDBPyConnection, table: str, column: dict[str, Any]) -> None:
    name = column["name"]
    low, high, mean, spread = oracle.execute(
        f'SELECT min("{name}"), max("{name}"), avg("{name}"), stddev("{name}") FROM {table}'
    ).fetchone() or (0, 0, 0, 0)
    assert (float(column["min"]), float(column["max"])) == (low, high)
    assert column["mean"] == pytest.approx(mean)
    assert column["stddev"] == pytest.approx(spread)
    for rank, value in column["quantiles"].items():
        below, upto = oracle.execute(
            f'SELECT avg(("{name}" < {value})::INT), avg(("{name}" <= {value})::INT) FROM {table}'
            f' WHERE "{name}" IS NOT NULL'
        ).fetchone() or (0, 0)
        assert below - 0.02 <= float(rank) <= upto + 0.02


KILLED_AT = {"sqlite": "chunk.after_write=kill@2", "postgresql": "job.before_finish=kill"}


def test_an_analysis_resumes_after_a_kill(databases: Databases, api: Api, tmp_path: Path) -> None:
    """kill -9 while a chunk commits, or while the job ends: the profile is that of an undisturbed
    run, and the proof is valid.
    """
    data = generated(40_000)
    storage = tmp_path / "storage"
    server = Server(databases.create(storage), storage).start(
        GRANULA_FAIL=KILLED_AT[databases.kind]
    )
    with server.client() as client:
        file_id = Api(client).upload(data, processor="profile", chunk_size=10_000)["file_id"]
        assert server.process is not None
        wait_until(lambda: server.process.poll() is not None, 30, "the kill")  # type: ignore[union-attr]
    server.start(GRANULA_FAIL="")
    with server.client() as client:
        again = Api(client)
        status = again.finished(file_id)
        assert status["status"] == "completed"
        result = profile(again, status["job_id"])
        assert again.proof(file_id)["closes"]
    server.stop()
    other = api.upload(data, processor="profile", chunk_size=10_000)["file_id"]
    clean = profile(api, api.finished(other)["job_id"])
    for column in [*result["columns"], *clean["columns"]]:
        del column["quantiles"], column["histogram"]  # they are chosen at random
    assert result == clean
