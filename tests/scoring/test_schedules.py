"""Schedules make jobs on time, never two at once, and tell what they missed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.errors import BadCron, InvalidParameter
from app.jobs.schedules import next_runs
from tests.forks import Server
from tests.harness import Api, query, wait_until
from tests.scoring.services import Bucket, FaultyStore, ModelService, transactions


def test_moments_are_those_of_the_clock_on_the_wall() -> None:
    moments = next_runs("30 2 * * *", "Europe/Berlin", datetime(2026, 3, 27, 12, tzinfo=UTC))
    # On the 29th there is no half past two: the clock goes from two to three, and the run with it.
    assert [f"{next(moments):%d %H:%M}" for _ in range(3)] == ["28 01:30", "29 01:00", "30 00:30"]


@pytest.mark.parametrize(
    ("cron", "zone", "error"),
    [
        ("* * *", "UTC", BadCron),
        ("61 * * * *", "UTC", BadCron),
        ("* * * * *", "Mars/Base", InvalidParameter),
    ],
)
def test_what_is_no_schedule_is_refused(cron: str, zone: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        next(next_runs(cron, zone, datetime.now(UTC)))


def test_due_runs_are_made_skipped_while_one_goes_on_and_told_when_missed(
    api: Api, server: Server, model: ModelService, bucket: Bucket, store: FaultyStore
) -> None:
    bucket.put("a.csv", transactions(200, seed=41))
    job = {"source": f"s3://{bucket.name}/*.csv"}
    made = api.client.post("/api/v1/schedules", json={"cron": "0 0 1 1 *", "job": job, "name": "yearly"})
    assert made.status_code == 201, made.text
    path = made.headers["Location"]

    def schedule() -> dict[str, object]:
        return dict(api.client.get(path).json())

    def due(moment: str) -> None:
        query(server.url, f"UPDATE schedules SET next_run_at = '{moment}'")

    assert len(schedule()["next_runs"]) == 5  # type: ignore[arg-type]
    assert (schedule()["runs"], schedule()["last_outcome"]) == (0, None)

    model.misbehave(outage_seconds=3600)
    year = datetime.now(UTC).year
    due(f"{year - 2}-01-01 00:00:00.000000")  # two more have passed since
    wait_until(lambda: schedule()["last_outcome"] == {"outcome": "made", "missed": 2}, what="made")
    assert (schedule()["runs"], schedule()["missed"]) == (1, 2)
    job_id = str(schedule()["last_job_id"])

    due(f"{year}-01-01 00:00:00.000000")
    wait_until(lambda: schedule()["skipped"] == 1, what="skipped")
    assert api.client.post(f"{path}/run").json()["code"] == "run_goes_on"
    model.misbehave()
    assert api.finished(job_id)["rows"]["ok"] == 200

    assert api.client.patch(path, json={"paused": True}).json()["next_runs"] == []
    before = schedule()["last_run_at"]
    again = api.client.post(f"{path}/run")
    assert again.status_code == 201
    assert api.finished(again.json()["job_id"])["status"] == "completed"
    assert schedule()["runs"] == 2
    assert schedule()["last_run_at"] != before
    assert api.client.patch(path, json={"cron": "never"}).status_code == 422
    assert api.client.delete(path).status_code == 204
    assert api.client.get(path).status_code == 404
    assert api.status(job_id)["status"] == "completed", "the jobs stay"
