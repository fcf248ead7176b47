"""Death while a transform works, rejects duplicates and publishes: the file is complete or absent,
and in the end it is that of an undisturbed run.
"""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from tests.crash.service import RECOVERY_SECONDS
from tests.engine import Engine
from tests.harness import Api
from tests.transform.oracle import HEADER, MAPPING, VALIDATION, dirty_rows, expected

ROWS = dirty_rows(300, 5)
EXPECTED = expected(ROWS)


@pytest.fixture(scope="module")
def data() -> bytes:
    return transform_input()


def transform_input() -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([HEADER, *ROWS])
    return out.getvalue().encode()


def ended(api: Api, job_id: str, seconds: float = 2 * RECOVERY_SECONDS) -> dict[str, Any]:
    def final() -> dict[str, Any] | None:
        status = dict(api.client.get(f"/api/v1/jobs/{job_id}/status").json())
        return None if status["is_active"] else status

    return api.wait_until(final, seconds, f"end of {job_id}") or {}


def begin(api: Api, data: bytes) -> str:
    file_id = api.upload(data)["file_id"]
    api.finished(file_id)
    body = {
        "input_file_id": file_id,
        "mapping": MAPPING,
        "validation": VALIDATION,
        "chunk_size": 100,
    }
    answer = api.client.post("/api/v1/jobs/transform", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


KILLS = (
    "output.part_written=kill@2",
    "output.settled=kill@2",
    "output.written=kill",
    "output.renamed=kill",
)


def test_a_transform_killed_at_each_step_makes_the_file_of_an_undisturbed_one(
    engine: Engine, data: bytes
) -> None:
    """One job dies while it writes parts, rejects duplicates, flushes the file and names it."""
    job_id = ""
    for point in KILLS:
        engine.start(GRANULA_FAIL=point, COMPUTE_PROCESSES=1)
        if not job_id:
            with engine.api() as api:
                job_id = begin(api, data)
        engine.wait_for_death(60)
        assert engine.sql("SELECT count(*) FROM files WHERE filename LIKE '%transformed%'") == [
            (0,)
        ], point

    engine.start()
    with engine.api() as api:
        status = ended(api, job_id)
        assert status["status"] == "completed", status
        made = api.client.get(f"/api/v1/files/{status['result_file_id']}/download").content.decode()
        rows = list(csv.reader(io.StringIO(made, newline="")))
        assert [row[0] for row in rows[1:]] == [str(row[0]) for row in EXPECTED.rows]
        assert {
            reject["row_number"]: (reject["column"], reject["code"])
            for reject in api.rejects(job_id)
        } == EXPECTED.rejects
        proof = api.proof(job_id)
        assert proof["closes"], proof["problems"]
        assert len(engine.files()) == 2
    engine.kill()
    engine.sweep()
    assert engine.stored().keys() == engine.files().keys()
    assert not list((engine.storage / "outputs").iterdir())


def test_a_transform_with_a_failed_chunk_writes_no_file_until_a_retry_completes_it(
    engine: Engine, data: bytes
) -> None:
    """The stored file is damaged in its last chunk, and restored. The output of the other chunks
    waits for the retry.
    """
    engine.start(GRANULA_FAIL="output.part_written=kill", COMPUTE_PROCESSES=1)
    with engine.api() as api:
        job_id = begin(api, data)
    engine.wait_for_death(60)
    (stored,) = (engine.storage / "uploads").iterdir()
    stored.write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])

    engine.start(COMPUTE_PROCESSES=1)
    with engine.api() as api:
        status = ended(api, job_id)
        assert (status["status"], status["result_file_id"]) == ("failed", None)
        assert api.status(job_id)["error"]["code"] == "output_incomplete"
        assert [c["status"] for c in engine.chunks(job_id)] == ["completed", "completed", "failed"]
        assert (
            api.client.get(f"/api/v1/jobs/{job_id}/result").json()["code"] == "result_unavailable"
        )
        assert len(engine.files()) == 1
    engine.kill()
    engine.sweep()
    assert list((engine.storage / "outputs" / job_id).iterdir())
    before = [(c["attempt"], c["deaths"]) for c in engine.chunks(job_id)[:2]]

    stored.write_bytes(data)
    engine.start(COMPUTE_PROCESSES=1)
    with engine.api() as api:
        assert api.client.post(f"/api/v1/jobs/{job_id}/retry").json()["chunks"] == 1
        status = ended(api, job_id)
        assert status["status"] == "completed", status
        made = api.client.get(f"/api/v1/files/{status['result_file_id']}/download").content.decode()
        rows = list(csv.reader(io.StringIO(made, newline="")))
        assert [row[0] for row in rows[1:]] == [str(row[0]) for row in EXPECTED.rows]
        assert {
            reject["row_number"]: (reject["column"], reject["code"])
            for reject in api.rejects(job_id)
        } == EXPECTED.rejects
        assert api.proof(job_id)["closes"]
        assert [(c["attempt"], c["deaths"]) for c in engine.chunks(job_id)[:2]] == before
    engine.kill()
    engine.sweep()
    assert not list((engine.storage / "outputs").iterdir())


def test_a_cancelled_transform_leaves_no_file_and_no_part(engine: Engine, data: bytes) -> None:
    """The job is stopped when its output cannot be finished."""
    engine.start(GRANULA_FAIL="output.written=transient@1+", COMPUTE_PROCESSES=1)
    with engine.api() as api:
        job_id = begin(api, data)
        engine.wait_until(
            lambda: api.client.get(f"/api/v1/jobs/{job_id}/status").json()["progress"] == 80,
            30,
            "writing",
        )
        assert api.client.get(f"/api/v1/jobs/{job_id}/status").json()["stage"] == "writing"
        assert api.client.post(f"/api/v1/jobs/{job_id}/cancel").status_code == 200
        status = ended(api, job_id)
        assert (status["status"], status["result_file_id"]) == ("cancelled", None)
        assert (
            api.client.get(f"/api/v1/jobs/{job_id}/result").json()["code"] == "result_unavailable"
        )
    engine.kill()
    engine.sweep()
    assert len(engine.stored()) == 1
    assert not list((engine.storage / "outputs").iterdir())
