"""Death at each step of a correction: each corrected row is a reject or a result, never both and
never neither.
"""

from __future__ import annotations

import httpx
import pytest

from tests.corrections.tables import fixed, reject_file, send
from tests.crash.service import RECOVERY_SECONDS, Input
from tests.engine import Engine
from tests.harness import Api

CELLS = [[str(i), f"row {i}", str(i * 7 % 1000)] for i in range(1, 501)]
CLEAN = Input.of(CELLS)
BAD = [3, 7, 99, 100, 101, 250, 251, 252, 500]
DIRTY = b"\n".join(
    line if number not in BAD else line.rpartition(b",")[0]
    for number, line in enumerate(CLEAN.data.split(b"\n"))
)
"""CLEAN with rows in four of its five chunks that lack their last cell."""


def correction(api: Api, file_id: str) -> bytes:
    return fixed(api, file_id, lambda line: line | {"value": CELLS[int(line["_row"]) - 1][2]})


@pytest.mark.parametrize(
    ("point", "occurrence"),
    [
        ("correction.before_commit", 1),
        ("correction.after_commit", 1),
        ("chunk.claimed", 2),
        ("chunk.read", 2),
        ("chunk.before_write", 2),
        ("correction.rejects_removed", 2),
        ("correction.results_written", 3),
        ("chunk.after_write", 2),
        ("chunk.after_commit", 1),
        ("job.before_finish", 1),
        ("job.after_finish", 1),
    ],
)
def test_an_interrupted_correction_runs_once_or_not_at_all(
    engine: Engine, point: str, occurrence: int
) -> None:
    engine.start()
    with engine.api() as api:
        job = api.run(DIRTY, chunk_size=100)
        body = correction(api, job["file_id"])
    engine.kill()
    engine.start(GRANULA_FAIL=f"{point}=kill@{occurrence}")
    with engine.api() as api:
        try:
            send(api, job["file_id"], body)
        except httpx.TransportError:
            pass
    engine.wait_for_death()

    engine.start()
    with engine.api() as api:
        proof = api.proof(job["file_id"])
        assert proof["closes"], proof["problems"]
        if point == "correction.before_commit":
            assert len(reject_file(api, job["file_id"])[1]) == len(BAD)
            assert send(api, job["file_id"], body).status_code == 202
        made = engine.wait_until(
            lambda: api.client.get("/api/v1/jobs", params={"parent": job["job_id"]}).json()[
                "items"
            ],
            10,
            "the correction",
        )
        assert len(made) == 1
        assert api.finished(made[0]["file_id"], RECOVERY_SECONDS)["status"] == "completed"
        status = api.status(job["file_id"])
        assert (status["status"], status["corrections"]) == (
            "completed",
            {"accepted": 1, "rows": len(BAD)},
        )
        assert api.rows(job["file_id"]) == CLEAN.results
        assert api.rejects(job["file_id"]) == []
        clean = api.run(CLEAN.data, chunk_size=100)
        assert api.proof(job["file_id"])["hash"] == api.proof(clean["file_id"])["hash"]
        assert api.proof(made[0]["file_id"])["closes"]
    engine.kill()
    engine.sweep()
    assert set(engine.stored()) == set(engine.files())


def test_a_cancelled_correction_keeps_its_written_rows_and_the_rest_can_be_corrected(
    engine: Engine,
) -> None:
    engine.environment["PROCESSORS"] = "tests.crash.processors:GatedProcessor"
    engine.raise_flag("open")
    engine.start()
    with engine.api() as api:
        job = api.run(DIRTY, chunk_size=100, processor="gated")
        body = correction(api, job["file_id"])
        (engine.flags / "open").unlink()
        (engine.flags / "began").unlink()
        made = send(api, job["file_id"], body).json()
        engine.wait_until(lambda: engine.flagged("began"), 15, "a chunk in work")
        assert api.client.post(f"/api/v1/jobs/{made['job_id']}/cancel").status_code == 200
        engine.raise_flag("open")
        proof = api.proof(job["file_id"])
        assert proof["closes"], proof["problems"]
        left = fixed(
            api, job["file_id"], lambda line: line | {"value": CELLS[int(line["_row"]) - 1][2]}
        )
        assert (
            api.finished(send(api, job["file_id"], left).json()["file_id"])["status"] == "completed"
        )
        assert api.status(job["file_id"])["status"] == "completed"
        assert api.rows(job["file_id"]) == CLEAN.results
        assert api.proof(job["file_id"])["closes"]
