"""One action on many jobs: the outcome of each, by ids, numbers or a filter, and a dry count."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.api.checks import assert_problem
from tests.api.gate import GatedFile
from tests.engine import Engine, EngineApi

ROWS = b"id\n1\n2\n"


@pytest.fixture
def api(engine: Engine, gates: Path) -> Iterator[EngineApi]:
    engine.start(PROCESSORS="tests.api.gate:Gate", TEST_GATES=gates)
    with engine.api() as api:
        yield api


def bulk(api: EngineApi, action: str, **body: Any) -> dict[str, Any]:
    answer = api.client.post("/api/v1/jobs/bulk", json={"action": action, **body})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def outcomes(answer: dict[str, Any]) -> dict[str, tuple[str, str | None]]:
    return {item["filename"]: (item["outcome"], item["code"]) for item in answer["items"]}


def test_each_job_has_its_outcome_and_a_refused_one_stops_no_other(
    api: EngineApi, gates: Path
) -> None:
    ended = api.run(ROWS, name="ended.csv")
    with GatedFile(gates, 2) as gated:
        running = api.upload(gated.data, name="running.csv", processor="gate", chunk_size=100)
        number = api.status(running["job_id"])["number"]
        unknown = str(uuid4())
        names = [ended["job_id"], number, unknown]
        dry = bulk(api, "cancel", jobs=names, dry_run=True)
        assert (dry["matched"], dry["can"], dry["items"]) == (2, 1, [])
        assert api.status(running["job_id"])["status"] in ("queued", "processing")
        moved = bulk(api, "priority", jobs=names, priority=7)
        assert outcomes(moved) == {
            "running.csv": ("done", None),
            "ended.csv": ("refused", "conflict"),
            None: ("refused", "not_found"),
        }
        assert moved["items"][-1]["job_id"] == unknown
        first = bulk(api, "cancel", jobs=names)
        assert outcomes(first)["running.csv"] == ("done", None)
        assert outcomes(first)["ended.csv"] == ("refused", "not_cancellable")
        assert (first["matched"], first["can"]) == (2, 1)
        again = bulk(api, "cancel", jobs=names)
        assert outcomes(again)["running.csv"] == ("unchanged", None)
    assert api.status(running["job_id"])["status"] == "cancelled"
    assert outcomes(bulk(api, "retry", jobs=[ended["job_id"]]))["ended.csv"][0] == "refused"


def test_all_jobs_of_a_filter_are_labelled_in_steps_and_deleted(api: EngineApi) -> None:
    made = [api.run(ROWS, name=f"{name}.csv") for name in ("a", "b", "c", "other")]
    where = {"search": ".csv", "until": api.status(made[3]["job_id"])["created_at"]}
    before, steps = None, []
    while True:
        answer = bulk(api, "label", where=where, limit=2, before=before, add_labels=["x", "y"])
        steps.append([item["filename"] for item in answer["items"]])
        before = answer["next_before"]
        if before is None:
            break
    assert steps == [["c.csv", "b.csv"], ["a.csv"]]
    again = bulk(api, "label", where=where, add_labels=["x"])
    assert {outcome for outcome, _ in outcomes(again).values()} == {"unchanged"}
    bulk(api, "label", jobs=[made[1]["job_id"]], remove_labels=["x"], add_labels=["z"])
    assert api.status(made[1]["job_id"])["labels"] == ["y", "z"]

    wanted = {"label": ["x"]}
    assert bulk(api, "delete", where=wanted, dry_run=True)["can"] == 2
    assert bulk(api, "retry", where=wanted, dry_run=True)["can"] == 0
    assert outcomes(bulk(api, "delete", where=wanted)) == {
        "a.csv": ("done", None),
        "c.csv": ("done", None),
    }
    assert bulk(api, "delete", where=wanted)["matched"] == 0
    left = api.client.get("/api/v1/jobs").json()["items"]
    assert [job["filename"] for job in left] == ["other.csv", "b.csv"]


def test_a_job_whose_file_went_with_another_job_is_gone_already(api: EngineApi) -> None:
    upload = api.run(ROWS, name="a.csv")
    body = {"type": "analyze", "file_id": upload["file_id"]}
    analysis = api.finished(api.client.post("/api/v1/jobs", json=body).json()["job_id"])
    answer = bulk(api, "delete", jobs=[upload["job_id"], analysis["job_id"]])
    assert [item["outcome"] for item in answer["items"]] == ["done", "unchanged"]
    assert bulk(api, "delete", where={}, dry_run=True)["matched"] == 0


@pytest.mark.one_database
def test_a_request_that_makes_no_sense_is_refused(api: EngineApi) -> None:
    wrong: list[dict[str, Any]] = [
        {"action": "cancel"},
        {"action": "cancel", "jobs": [1], "where": {}},
        {"action": "cancel", "jobs": []},
        {"action": "label", "jobs": [1]},
        {"action": "priority", "jobs": [1]},
        {"action": "forget", "jobs": [1]},
        {"action": "cancel", "jobs": ["last"]},
        {"action": "cancel", "where": {"owner": "somebody"}},
    ]
    for body in wrong:
        answer = api.client.post("/api/v1/jobs/bulk", json=body)
        assert_problem(answer, 422, "invalid_parameter")
