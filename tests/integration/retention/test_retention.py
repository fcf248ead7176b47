"""Retention deletes what is older than its rules, all of it, and nothing else."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.features.retention.service import Retention
from tests.corrections.tables import fixed, send
from tests.engine import Died, Engine, EngineApi

DATA = b"id,name\n1,a\n2,b\n3\n"  # the last row is rejected


def load(api: EngineApi, data: bytes = DATA, **parameters: Any) -> dict[str, Any]:
    job = api.upload(data, **parameters)
    api.finished(job["file_id"])
    return job


def age(engine: Engine, job: dict[str, Any], days: float) -> None:
    """Let the job have ended so many days ago."""
    ended = datetime.now(UTC) - timedelta(days=days)
    if engine.url.startswith("sqlite"):
        text = ended.strftime("%Y-%m-%d %H:%M:%S.%f")
        job_id = job["job_id"].replace("-", "")
    else:
        text, job_id = ended.isoformat(), job["job_id"]
    engine.change(f"UPDATE jobs SET finished_at = '{text}' WHERE id = '{job_id}'")


def apply(engine: Engine) -> dict[str, int]:
    removed = engine.run(engine.services.of(Retention).apply())
    return {str(kind): count for kind, count in removed.items()}


def zipped(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return packed.getvalue()


def answer(api: EngineApi, path: str) -> httpx.Response:
    return api.client.get(f"/api/v1{path}")


def start(engine: Engine, **extra: Any) -> Engine:
    """Start without the round at the start, whose moment would be unknown."""
    extra.setdefault("retention", '{"rows": 30}')
    return engine.start(**extra)


def test_each_kind_goes_after_its_days_and_the_rest_stays(engine: Engine) -> None:
    start(engine, retention='{"bytes": 5, "rows": 10, "rejects": 20, "jobs": 40}')
    with engine.api() as api:
        old = load(api, DATA)
        new = load(api, b"id,name\n9,z\n")
        file_id = old["file_id"]

        age(engine, old, 4.9)
        assert set(apply(engine).values()) == {0}

        age(engine, old, 5.1)
        assert apply(engine) == {"bytes": 1, "rows": 0, "rejects": 0, "jobs": 0}
        assert answer(api, f"/files/{file_id}/download").status_code == 409
        assert len(api.rows(file_id)) == 2
        stored = {path.name for path in (engine.storage / "uploads").iterdir()}
        assert stored == {new["file_id"]}

        age(engine, old, 10.1)
        assert apply(engine) == {"bytes": 0, "rows": 1, "rejects": 0, "jobs": 0}
        assert engine.count("result_pages", old["job_id"]) == 0
        assert engine.count("rejects", old["job_id"]) == 1

        age(engine, old, 20.1)
        assert apply(engine) == {"bytes": 0, "rows": 0, "rejects": 1, "jobs": 0}
        assert engine.count("rejects", old["job_id"]) == 0

        age(engine, old, 40.1)
        assert apply(engine) == {"bytes": 0, "rows": 0, "rejects": 0, "jobs": 1}
        assert answer(api, f"/status/{file_id}").status_code == 404

        assert answer(api, f"/jobs/{new['job_id']}/proof").json()["closes"]
        assert set(apply(engine).values()) == {0}


def test_readers_are_told_what_was_removed_and_when(engine: Engine) -> None:
    start(engine, retention='{"rows": 10, "rejects": 10}')
    with engine.api() as api:
        job = load(api)
        age(engine, job, 11)
        apply(engine)
        file_id = job["file_id"]
        for path in (
            f"/results/{file_id}",
            f"/results/{file_id}/download",
            f"/rejects/{file_id}",
            f"/rejects/{file_id}/download",
            f"/jobs/{job['job_id']}/proof",
        ):
            refused = answer(api, path)
            assert (refused.status_code, refused.json()["code"]) == (410, "rows_removed"), path
        corrected = api.client.post(f"/api/v1/files/{file_id}/corrections", content=b"id\n3\n")
        assert corrected.status_code == 410
        status = answer(api, f"/status/{file_id}").json()
        today = f"{datetime.now(UTC):%Y-%m-%d}"
        assert status["rows_removed_at"].startswith(today)
        assert status["rejects_removed_at"].startswith(today)
        assert status["counts"]["loaded"] == 2, "what was loaded is history, and stays"


def test_a_file_whose_rows_were_removed_can_be_loaded_again(engine: Engine) -> None:
    start(engine, retention='{"rows": 10}')
    with engine.api() as api:
        first = load(api)
        strict = "/api/v1/upload?on_duplicate=reject"
        assert api.client.post(strict, content=DATA).status_code == 409
        age(engine, first, 11)
        apply(engine)
        again = api.client.post(strict, content=DATA).json()
        api.finished(again["file_id"])
        assert again["file_id"] != first["file_id"]
        assert len(api.rows(again["file_id"])) == 2


def test_a_processor_can_have_rules_of_its_own(engine: Engine) -> None:
    start(engine, retention='{"rows": 30, "sentiment.rows": 5}')
    with engine.api() as api:
        rows = load(api, b"text\ngood\n")
        feelings = load(api, b"text\ngreat\n", processor="sentiment")
        for job in (rows, feelings):
            age(engine, job, 6)
        assert apply(engine)["rows"] == 1
        assert len(api.rows(rows["file_id"])) == 1
        assert answer(api, f"/results/{feelings['file_id']}").status_code == 410


def test_a_file_stays_while_one_of_its_jobs_is_young(engine: Engine) -> None:
    start(engine, retention='{"jobs": 10, "bytes": 10}')
    with engine.api() as api:
        job = load(api)
        body = {"type": "analyze", "file_id": job["file_id"]}
        second = api.client.post("/api/v1/jobs", json=body).json()
        api.finished(second["job_id"])
        age(engine, job, 11)
        assert set(apply(engine).values()) == {0}
        age(engine, second, 11)
        assert apply(engine)["jobs"] == 1


def test_a_recent_correction_keeps_the_rows_that_it_changed(engine: Engine) -> None:
    start(engine, retention='{"rows": 10, "jobs": 10}')
    with engine.api() as api:
        job = load(api)
        body = fixed(api, job["file_id"], lambda line: {**line, "name": "c"})
        correction = send(api, job["file_id"], body)
        assert correction.status_code == 202
        api.finished(correction.json()["job_id"])
        age(engine, job, 11)
        assert set(apply(engine).values()) == {0}


def test_a_plan_lists_what_would_go_and_deletes_nothing(engine: Engine) -> None:
    start(engine, retention="{}")
    with engine.api() as api:
        job = load(api)
        age(engine, job, 11)
        empty = answer(api, "/retention").json()
        assert (empty["rules"], empty["is_in_force"]) == ({}, False)
        plan = answer(api, "/retention?rows=10&jobs=12&bytes=10").json()
        due = {kind: len(items["items"]) for kind, items in plan["due"].items()}
        assert due == {"bytes": 1, "rows": 1, "rejects": 0, "jobs": 0}
        assert plan["due"]["bytes"]["items"][0]["file_id"] == job["file_id"]
        assert plan["due"]["bytes"]["bytes"] == len(DATA)
        assert plan["due"]["rows"]["items"][0]["job_id"] == job["job_id"]
        assert not plan["is_in_force"]
        assert set(apply(engine).values()) == {0}
        assert len(api.rows(job["file_id"])) == 2


@pytest.mark.parametrize("point", ["retention.hidden", "retention.step"])
def test_a_removal_cut_short_is_finished(engine: Engine, point: str) -> None:
    start(engine, granula_fail=f"{point}=kill@1")
    with engine.api() as api:
        job = load(api, b"id\n" + b"".join(b"%d\n" % i for i in range(3000)))
        age(engine, job, 31)
    with pytest.raises(Died):
        apply(engine)
    start(engine, granula_fail="")
    with engine.api() as api:
        assert answer(api, f"/results/{job['file_id']}").status_code == 410
    apply(engine)
    assert engine.count("result_pages", job["job_id"]) == 0


def test_a_label_has_rules_of_its_own_which_hold_for_parts_too(engine: Engine) -> None:
    start(engine, retention='{"rows": 10, "label:audit.rows": 100, "label:short.rows": 5}')
    with engine.api() as api:
        plain = load(api)
        short = load(api, label="short")
        both = load(api, label="short,audit")
        whole = load(api, zipped({"a.csv": b"id\n1\n", "b.csv": b"id\n2\n"}), label="audit")
        parts = api.client.get("/api/v1/jobs", params={"parent": whole["job_id"]}).json()["items"]
        assert len(parts) == 2
        everything = [plain, short, both, whole, *parts]
        for job in everything:
            age(engine, job, 6)
        assert apply(engine)["rows"] == 1
        assert engine.count("result_pages", short["job_id"]) == 0
        for job in everything:
            age(engine, job, 50)
        assert apply(engine)["rows"] == 1
        assert engine.count("result_pages", plain["job_id"]) == 0
        for job in everything:
            age(engine, job, 101)
        assert apply(engine)["rows"] == 3
