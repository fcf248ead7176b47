"""Death in the middle of an analysis, a mapping and a batch: each ends with the result of an
undisturbed job, whether it died during a chunk, a part or its own end. (Transforms have their own
file.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.crash.service import RECOVERY_SECONDS, Input
from tests.engine import Engine
from tests.harness import Api

FIRST = Input.clean(150).data
"""Few enough numbers for quantiles that do not depend on chance."""
SECOND = b"email,born\n" + b"".join(
    b"p%d@example.org,1980-02-%02d\n" % (i, i % 28 + 1) for i in range(250)
)
REFERENCE = b"mail,birth_date,title\nann@example.org,1988-12-24,Dr\neve@example.org,1990-02-03,Ms\n"


@dataclass(frozen=True)
class JobType:
    """A request over the three files, and the steps at which its job dies, each in a life of its
    own, in this order.
    """

    path: str
    body: dict[str, Any]
    """`$0` to `$2` stand for the ids of the files."""
    kills: tuple[str, ...]
    parts: int = 0


# No part has ended before the last life of a parent, which ends after all its parts.
JOB_TYPES = {
    "analyze": JobType(
        "analyze",
        {"file_id": "$0"},
        ("split.before_commit=kill", "chunk.read=kill", "chunk.after_write=kill",
         "job.before_finish=kill", "job.after_finish=kill"),
    ),
    "mapping": JobType(
        "mapping",
        {"input_file_id": "$1", "reference_file_id": "$2"},
        ("split.before_commit=kill", "chunk.after_write=kill", "job.before_finish=kill", "job.before_finish=kill@3"),
        parts=2,
    ),
    "batch": JobType(
        "batch",
        {"file_ids": ["$0", "$1", "$2"], "job_type": "analyze"},
        ("split.before_commit=kill", "chunk.after_write=kill", "job.before_finish=kill", "job.before_finish=kill@4"),
        parts=3,
    ),
}  # fmt: skip


def filled(value: Any, files: list[str]) -> Any:
    if isinstance(value, dict):
        return {name: filled(each, files) for name, each in value.items()}
    if isinstance(value, list):
        return [filled(each, files) for each in value]
    return files[int(value[1:])] if value.startswith("$") else value


def found_out(api: Api, job_id: str) -> list[Any]:
    """Return the results of the job, or of its parts."""

    def final() -> dict[str, Any] | None:
        status = dict(api.client.get(f"/api/v1/jobs/{job_id}/status").json())
        return None if status["is_active"] else status

    status = api.wait_until(final, 2 * RECOVERY_SECONDS, f"end of {job_id}") or {}
    assert (status["status"], status["progress"]) == ("completed", 100), status
    proof = api.proof(job_id)
    assert proof["closes"], proof["problems"]
    ids = [child["job_id"] for child in status["children"] or []] or [job_id]
    return [api.client.get(f"/api/v1/jobs/{each}/result").json()["result"] for each in ids]


@pytest.mark.parametrize("name", JOB_TYPES)
def test_a_job_killed_at_each_step_has_the_result_of_an_undisturbed_one(
    engine: Engine, name: str
) -> None:
    kind = JOB_TYPES[name]
    engine.start()
    with engine.api() as api:
        files = [str(api.run(data)["file_id"]) for data in (FIRST, SECOND, REFERENCE)]
        body = filled(kind.body, files)
        answer = api.client.post(f"/api/v1/jobs/{kind.path}", json=body)
        assert answer.status_code == 202, answer.text
        undisturbed = found_out(api, answer.json()["job_id"])
    engine.kill()
    jobs = {job_id for (job_id,) in engine.sql("SELECT id FROM jobs")}

    for number, point in enumerate(kind.kills):
        engine.start(GRANULA_FAIL=point)
        if number == 0:
            with engine.api() as api:
                try:
                    api.client.post(f"/api/v1/jobs/{kind.path}", params={"fresh": True}, json=body)
                except httpx.TransportError:
                    pass  # the work may start before the response is sent
        engine.wait_for_death()

    engine.start()
    rows = engine.sql("SELECT id FROM jobs WHERE parent_id IS NULL")
    (job_id,) = {job_id for (job_id,) in rows} - jobs
    with engine.api() as api:
        assert found_out(api, str(UUID(str(job_id)))) == undisturbed
    assert engine.sql("SELECT count(*) FROM jobs") == [(len(jobs) + 1 + kind.parts,)]
    assert engine.sql("SELECT count(*) FROM chunks WHERE status <> 'completed'") == [(0,)]
