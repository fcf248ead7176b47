"""Earlier results are reused for the same bytes, processor, version and options, and for nothing
else.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from app.embeddings.model import Embedder
from app.features.analysis.processor import ProfileProcessor
from app.features.mapping.processor import MappingProcessor, StoredOptions
from app.features.sentiment.processor import SentimentOptions, SentimentProcessor
from app.processors.base import version_of
from app.processors.options import NoOptions
from tests.acceptance.batch_jobs.test_batch_jobs import ended, result, submitted, uploads
from tests.harness import Api, wait_until


def asked(api: Api, path: str, fresh: bool | None = None, **body: object) -> dict[str, Any]:
    params = {} if fresh is None else {"fresh": fresh}
    answer = api.client.post(f"/api/v1/jobs/{path}", json=body, params=params)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def test_an_analysis_of_the_same_bytes_is_reused(api: Api) -> None:
    first, same, other = uploads(api, b"id,x\n1,a\n", b"id,x\n1,a\n", b"id,x\n1,b\n")
    made = asked(api, "analyze", file_id=first)
    assert "cached" not in made
    ended(api, made["job_id"])
    for file_id in (first, same):
        again = asked(api, "analyze", file_id=file_id)
        assert (again["job_id"], again["status"], again["cached"]) == (
            made["job_id"],
            "completed",
            True,
        )
        assert result(api, again["job_id"])["rows"]["profiled"] == 1
    anew = asked(api, "analyze", True, file_id=first)
    assert "cached" not in anew
    ended(api, anew["job_id"])
    assert asked(api, "analyze", file_id=same)["job_id"] == anew["job_id"]  # the newest
    assert "cached" not in asked(api, "analyze", file_id=other)
    headless = api.upload(b"id,x\n1,a\n", header_rows=0)["file_id"]
    assert "cached" not in asked(api, "analyze", file_id=headless)  # read in another way
    assert (
        api.client.post("/api/v1/jobs/analyze?fresh=perhaps", json={"file_id": first}).status_code
        == 422
    )


def test_unfinished_and_deleted_jobs_are_not_reused(api: Api) -> None:
    first, same = uploads(api, b"id,gone\n1,a\n", b"id,gone\n1,a\n")
    made = asked(api, "analyze", file_id=first)
    ended(api, made["job_id"])
    assert api.client.delete(f"/api/v1/files/{first}").status_code == 204
    anew = asked(api, "analyze", file_id=same)
    assert "cached" not in anew
    assert api.client.post(f"/api/v1/jobs/{anew['job_id']}/cancel").status_code in (200, 409)
    if ended(api, anew["job_id"])["status"] == "cancelled":
        assert "cached" not in asked(api, "analyze", file_id=same)


def test_a_mapping_is_reused_until_a_file_is_deleted_or_a_mapping_accepted(
    api: Api,
) -> None:
    given, wanted, twin = uploads(api, b"mail\na@b.de\n", b"email\nc@d.fr\n", b"email\nc@d.fr\n")
    made = asked(api, "mapping", input_file_id=given, reference_file_id=wanted)
    ended(api, made["job_id"])
    assert (
        asked(api, "mapping", input_file_id=given, reference_file_id=twin)["job_id"]
        == made["job_id"]
    )
    turned = asked(api, "mapping", input_file_id=wanted, reference_file_id=given)
    assert "cached" not in turned
    chat = asked(api, "mapping", input_file_id=given, reference_file_id=wanted, provider="openai")
    assert "cached" not in chat
    ended(api, chat["job_id"])
    assert "cached" not in asked(
        api, "mapping", input_file_id=given, reference_file_id=wanted, provider="openai"
    )
    name = {"name": "accepted", "job_id": made["job_id"]}
    template = api.client.post("/api/v1/templates", json=name).json()["template_id"]
    assert "cached" not in asked(api, "mapping", input_file_id=given, reference_file_id=twin)
    assert api.client.delete(f"/api/v1/templates/{template}").status_code == 204
    assert (
        asked(api, "mapping", input_file_id=given, reference_file_id=twin)["job_id"]
        == made["job_id"]
    )
    assert api.client.delete(f"/api/v1/files/{wanted}").status_code == 204
    assert "cached" not in asked(api, "mapping", input_file_id=given, reference_file_id=twin)


def test_a_batch_reuses_finished_parts_and_runs_the_rest(api: Api) -> None:
    one, two, three = uploads(api, b"id,text\n1,good\n", b"id,text\n1,bad\n", b"id,text\n1,so so\n")
    first = submitted(api, [one, two], "sentiment")
    ended(api, first["job_id"])
    second = submitted(api, [three, two, one], "sentiment")
    assert [child.get("cached", False) for child in second["children"]] == [False, True, True]
    assert second["children"][1]["job_id"] == first["children"][1]["job_id"]
    status = ended(api, second["job_id"])
    assert [child["file_id"] for child in status["children"]] == [three, two, one]
    assert {child["progress"] for child in status["children"]} == {100}
    outcome = result(api, second["job_id"])
    assert [(c["status"], c["cached"]) for c in outcome["children"]] == [
        ("completed", False),
        ("completed", True),
        ("completed", True),
    ]
    whole = submitted(api, [one, two, three], "sentiment")
    assert all(child["cached"] for child in whole["children"])
    assert ended(api, whole["job_id"])["status"] == "completed"
    assert result(api, whole["job_id"])["counts"] == {"completed": 3}
    assert api.proof(whole["job_id"])["closes"]
    answer = api.client.post(
        "/api/v1/jobs/batch",
        json={"file_ids": [one], "job_type": "sentiment"},
        params={"fresh": True},
    )
    assert "cached" not in answer.json()["children"][0]
    first_file = api.status(first["job_id"])["file_id"]
    assert api.client.delete(f"/api/v1/files/{first_file}").status_code == 204
    wait_until(lambda: result(api, whole["job_id"])["counts"] == {"completed": 1, "deleted": 2})


def test_a_duplicate_upload_with_on_duplicate_new_gets_its_own_job(api: Api) -> None:
    """`on_duplicate=new` runs again and returns a new job, whatever earlier results exist."""
    file_id = uploads(api, b"id,up\n1,a\n")[0]
    ended(api, asked(api, "analyze", file_id=file_id)["job_id"])
    again = api.upload(b"id,up\n1,a\n", processor="profile")
    assert again["duplicate"] is False
    assert UUID(again["job_id"]) != UUID(asked(api, "analyze", file_id=file_id)["job_id"])


def test_everything_that_results_depend_on_is_part_of_their_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    exact, fast = (Embedder(tmp_path, precision=precision) for precision in ("fp32", "int8"))
    sentiment = {p: SentimentProcessor(embedder=p) for p in (exact, fast)}
    default, head = SentimentOptions(), SentimentOptions(model="minilm")
    assert version_of(sentiment[exact], head) != version_of(sentiment[fast], head)
    assert version_of(sentiment[exact], default) == version_of(sentiment[fast], default) is not None
    assert version_of(sentiment[exact], SentimentOptions(model="own:Model")) is None
    local = StoredOptions(provider="local")
    assert version_of(MappingProcessor(exact), StoredOptions(provider="openai")) is None
    assert version_of(MappingProcessor(exact), local) != version_of(MappingProcessor(fast), local)
    without = Embedder(tmp_path / "none")
    assert version_of(MappingProcessor(without), local) == version_of(MappingProcessor(None), local)
    profile = ProfileProcessor()
    before = version_of(profile, NoOptions())
    monkeypatch.setattr(ProfileProcessor, "version", "another")
    assert version_of(profile, NoOptions()) != before
