"""One job for many files, over a real server on both databases."""

from __future__ import annotations

from typing import Any

import pytest

from tests.crash.service import Service
from tests.harness import Api, wait_until

UNKNOWN = "00000000-0000-4000-8000-000000000000"
BATCH = "/api/v1/jobs/batch"


def submitted(api: Api, file_ids: list[str], job_type: str, **options: object) -> dict[str, Any]:
    answer = api.client.post(
        BATCH, json={"file_ids": file_ids, "job_type": job_type, "options": options}
    )
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def state(api: Api, job_id: str) -> dict[str, Any]:
    answer = api.client.get(f"/api/v1/jobs/{job_id}/status")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def ended(api: Api, job_id: str) -> dict[str, Any]:
    def final() -> dict[str, Any] | None:
        status = state(api, job_id)
        assert 0 <= status["progress"] <= 100
        return None if status["is_active"] else status

    return wait_until(final, 60, f"end of {job_id}") or {}


def result(api: Api, job_id: str) -> dict[str, Any]:
    answer = api.client.get(f"/api/v1/jobs/{job_id}/result")
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["result"])


def uploads(api: Api, *data: bytes) -> list[str]:
    return [str(api.run(each)["file_id"]) for each in data]


def test_each_file_gets_a_job_and_one_bad_file_costs_only_itself(api: Api) -> None:
    file_ids = uploads(api, b"id,text\n1,good\n2,bad\n", b"id,name\n1,x\n", b"id,text\n1,fine\n")
    answer = submitted(api, file_ids, "sentiment")
    assert (answer["status"], answer["message"]) == ("pending", "Batch job created and queued")
    assert [child["file_id"] for child in answer["children"]] == file_ids
    status = ended(api, answer["job_id"])
    assert (status["job_type"], status["status"], status["progress"]) == ("batch", "completed", 100)
    assert [child["status"] for child in status["children"]] == ["completed", "failed", "completed"]
    outcome = result(api, answer["job_id"])
    assert outcome["counts"] == {"completed": 2, "failed": 1}
    assert [(c["file_id"], c["job_id"], c["status"]) for c in outcome["children"]] == [
        (given["file_id"], given["job_id"], state)
        for given, state in zip(
            answer["children"], ["completed", "failed", "completed"], strict=True
        )
    ]
    assert "`text`" in outcome["children"][1]["error_message"]
    whole = api.status(answer["job_id"])
    assert (whole["status"], whole["rows"]["ok"], whole["parts"]["total"]) == (
        "completed_with_errors",
        3,
        3,
    )
    assert api.proof(answer["job_id"])["closes"]
    rows = api.client.get(f"/api/v1/results/{answer['children'][0]['job_id']}").json()
    assert rows["total"] == 2


def test_a_batch_of_analyses_has_a_result_for_each_file(api: Api) -> None:
    file_ids = uploads(api, *(f"id,n\n{i},{i}\n".encode() for i in range(5)))
    answer = submitted(api, file_ids, "analyze")
    assert ended(api, answer["job_id"])["status"] == "completed"
    for child in answer["children"]:
        assert result(api, child["job_id"])["rows"]["profiled"] == 1


MAPPING = {
    "columns": [{"name": "key", "from": "id"}, {"name": "twice", "expression": "integer(n) * 2"}]
}


def test_a_batch_of_transforms_writes_a_file_for_each_input_and_reuses_it(api: Api) -> None:
    """A file without the column fails alone; a repeated request returns the existing files, until
    one of them is deleted.
    """
    good, other, bad = uploads(api, b"id,n\n1,4\n2,5\n", b"id,n\n3,6\n", b"id,m\n1,1\n")
    answer = submitted(api, [good, other, bad], "transform", mapping=MAPPING, output_format="csv")
    status = ended(api, answer["job_id"])
    assert [child["status"] for child in status["children"]] == ["completed", "completed", "failed"]
    made = [state(api, child["job_id"])["result_file_id"] for child in answer["children"][:2]]
    texts = [api.client.get(f"/api/v1/files/{each}/download").text for each in made]
    assert texts == ["key,twice\n1,8\n2,10\n", "key,twice\n3,12\n"]

    again = submitted(api, [good, other], "transform", mapping=MAPPING, output_format="csv")
    assert [child.get("cached") for child in again["children"]] == [True, True]
    assert api.client.delete(f"/api/v1/files/{made[0]}").status_code == 204
    once_more = submitted(api, [good, other], "transform", mapping=MAPPING, output_format="csv")
    assert [child.get("cached") for child in once_more["children"]] == [None, True]

    refused = api.client.post(
        BATCH,
        json={
            "file_ids": [bad],
            "job_type": "transform",
            "options": {"mapping": MAPPING, "output_format": "csv"},
        },
    )
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_transform")
    nonsense = api.client.post(
        BATCH, json={"file_ids": [good], "job_type": "transform", "options": {"mappings": {}}}
    )
    assert (nonsense.status_code, nonsense.json()["code"]) == (422, "invalid_parameter")


def test_deleting_a_file_of_a_batch_of_mappings_keeps_the_others(api: Api) -> None:
    """Each mapping has parts of its own. The reference and the other files stay when one file is
    deleted.
    """
    reference, first, second = uploads(
        api, b"email,name\na@b.de,Ann\n", b"mail,nom\nc@d.fr,Eve\n", b"e-mail,n\nx@y.z,Z\n"
    )
    answer = submitted(api, [first, second], "mapping", reference_file_id=reference)
    status = ended(api, answer["job_id"])
    assert [child["status"] for child in status["children"]] == ["completed"] * 2
    for child in answer["children"]:
        assert result(api, child["job_id"])["reference_file_id"] == reference
    assert api.client.delete(f"/api/v1/files/{first}").status_code == 204
    wait_until(
        lambda: api.client.get(f"/api/v1/jobs/{answer['children'][0]['job_id']}").status_code == 404
    )
    outcome = result(api, answer["job_id"])
    assert [child["status"] for child in outcome["children"]] == ["deleted", "completed"]
    for file_id in (reference, second):
        assert len(api.rows(file_id)) == 1
    parent_file = api.status(answer["job_id"])["file_id"]
    assert api.client.delete(f"/api/v1/files/{parent_file}").status_code == 204
    wait_until(
        lambda: api.client.get(f"/api/v1/jobs/{answer['children'][1]['job_id']}").status_code == 404
    )
    assert len(api.rows(second)) == 1  # a batch is not its files


def test_invalid_batches_are_refused_and_create_nothing(api: Api) -> None:
    (file_id,) = uploads(api, b"id\n1\n")
    before = api.client.get("/api/v1/jobs", params={"limit": 500}).json()["items"]
    answer = api.client.post(BATCH, json={"file_ids": [file_id, UNKNOWN], "job_type": "analyze"})
    assert answer.status_code == 404
    assert UNKNOWN in answer.json()["detail"]
    body: dict[str, Any]
    for body in (
        {"file_ids": [], "job_type": "analyze"},
        {"file_ids": [file_id, file_id], "job_type": "analyze"},
        {"file_ids": ["nonsense"], "job_type": "analyze"},
        {"file_ids": [file_id]},
        {"file_ids": [file_id], "job_type": "explode"},
        {"file_ids": [file_id], "job_type": "batch"},
        {"file_ids": [file_id], "job_type": "analyze", "options": {"x": 1}},
        {"file_ids": [file_id], "job_type": "mapping"},
        {"file_ids": [file_id], "job_type": "mapping", "options": {"reference_file_id": 5}},
        {"file_ids": [file_id], "job_type": "sentiment", "options": {"model": "nobody:Knows"}},
        {"file_ids": [file_id], "job_type": "analyze", "other": 1},
    ):
        assert api.client.post(BATCH, json=body).status_code == 422, body
    gone = {"file_ids": [file_id], "job_type": "mapping", "options": {"reference_file_id": UNKNOWN}}
    assert api.client.post(BATCH, json=gone).status_code == 404
    # no service
    assert (
        api.client.post(BATCH, json={"file_ids": [file_id], "job_type": "scoring"}).status_code
        == 503
    )
    assert api.client.get("/api/v1/jobs", params={"limit": 500}).json()["items"] == before


def test_cancelling_a_batch_cancels_its_parts_and_their_parts(service: Service) -> None:
    service.start(GRANULA_FAIL="chunk.read=transient@4+")  # after the three uploads
    with service.api() as api:
        reference, *file_ids = uploads(
            api, b"email\na@b.de\n", b"mail\nc@d.fr\n", b"e-mail\nx@y.z\n"
        )
        answer = submitted(api, file_ids, "mapping", reference_file_id=reference)
        assert (
            api.client.get(f"/api/v1/jobs/{answer['job_id']}/result").json()["code"]
            == "result_not_ready"
        )
        assert api.client.post(f"/api/v1/jobs/{answer['job_id']}/cancel").status_code == 200
        status = state(api, answer["job_id"])
        assert (status["status"], [c["status"] for c in status["children"]]) == (
            "cancelled",
            ["cancelled"] * 2,
        )
        active = "SELECT count(*) FROM jobs WHERE status IN ('queued', 'processing')"
        assert service.sql(active) == [(0,)]
        assert result(api, answer["job_id"])["counts"] == {"cancelled": 2}


@pytest.mark.one_database  # on both: tests/integration/crash/test_job_types.py
def test_a_batch_resumes_after_a_kill(service: Service) -> None:
    service.start()
    with service.api() as api:
        file_ids = uploads(api, *(b"id,text\n" + b"1,good\n" * n for n in (1, 2, 3)))
    service.kill()
    service.start(GRANULA_FAIL="chunk.after_write=kill@2")
    with service.api() as api:
        answer = submitted(api, file_ids, "sentiment")
    service.wait_for_death()
    service.start()
    with service.api() as api:
        status = ended(api, answer["job_id"])
        assert [child["status"] for child in status["children"]] == ["completed"] * 3
        whole = api.status(answer["job_id"])
        assert (whole["status"], whole["rows"]["ok"]) == ("completed", 6)
        assert api.proof(answer["job_id"])["closes"]
