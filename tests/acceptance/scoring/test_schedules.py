"""Schedules start jobs on time, never two at once, and report missed runs."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.errors import BadCron, InvalidParameter
from app.features.schedules.cron import check_cron
from app.features.schedules.service import first_run, next_runs
from tests.forks import Server
from tests.harness import Api, query, wait_until
from tests.scoring.services import Bucket, FaultyStore, ModelService, transactions


def test_cron_times_are_wall_clock_times() -> None:
    moments = next_runs("30 2 * * *", "Europe/Berlin", datetime(2026, 3, 27, 12, tzinfo=UTC))
    # On the 29th there is no half past two: the clock goes from two to three, and so does the run.
    assert [f"{next(moments):%d %H:%M}" for _ in range(3)] == ["28 01:30", "29 01:00", "30 00:30"]


@pytest.mark.parametrize(
    ("cron", "moments"),
    [
        ("0 2 * * *", ["01 02:00", "02 02:00", "03 02:00"]),
        (" 0\t2 *  * * ", ["01 02:00", "02 02:00"]),
        ("*/20 5 * * *", ["01 05:00", "01 05:20", "01 05:40", "02 05:00"]),
        ("5/25 5 * * *", ["01 05:05", "01 05:30", "01 05:55", "02 05:05"]),
        ("10-30/10 5 * * *", ["01 05:10", "01 05:20", "01 05:30", "02 05:10"]),
        ("0 22-23,0-1 2 * *", ["02 00:00", "02 01:00", "02 22:00", "02 23:00"]),
        ("0 0 * * 7", ["04 00:00", "11 00:00"]),
        ("0 0 * * 0", ["04 00:00", "11 00:00"]),
        ("0 0 * * Sun", ["04 00:00", "11 00:00"]),
        ("0 0 * * 5-7", ["02 00:00", "03 00:00", "04 00:00", "09 00:00"]),
        ("0 6 * * MON-fri", ["01 06:00", "02 06:00", "05 06:00"]),
        ("0 0 13 jan,feb fri", ["02 00:00", "09 00:00", "13 00:00", "16 00:00"]),
        ("0 0 */2 * 4", ["01 00:00", "15 00:00", "29 00:00"]),
    ],
)
def test_cron_fields_mean_what_debian_cron_says(cron: str, moments: list[str]) -> None:
    """From the page; January 2026 begins on a Thursday."""
    check_cron(cron)
    found = next_runs(cron, "UTC", datetime(2025, 12, 31, 23, 59, tzinfo=UTC))
    assert [f"{next(found):%d %H:%M}" for _ in moments] == moments


@pytest.mark.parametrize(
    ("cron", "sentence"),
    [
        ("* * *", "'* * *' has 3 fields, not 5."),
        ("", "'' has 1 fields, not 5."),
        ("15 2 * * * *", "has 6 fields, not 5; it has none for seconds or years."),
        ("*/10 * * * * *", "has 6 fields, not 5; it has none for seconds or years."),
        (
            "0 15 2 * * ? 2026",
            "has 7 fields, not 5; it has none for seconds or years.",
        ),
        ("@daily", "'@daily' is a nickname, which is not supported; write `0 0 * * *`."),
        ("@reboot", "'@reboot' is a nickname, which is not supported; write the five fields."),
        ("61 * * * *", "The minute, '61', must be 0 to 59, not `61`."),
        ("0 24 * * *", "The hour, '24', must be 0 to 23, not `24`."),
        ("0 0 0 * *", "The day of the month, '0', must be 1 to 31, not `0`."),
        ("0 0 1 13 *", "The month, '13', must be 1 to 12, not `13`."),
        ("0 0 * * 8", "The day of the week, '8', must be 0 to 7, not `8`."),
        (
            "0 22-2 * * *",
            (
                "The hour, '22-2', has a range that ends before it begins; a list like `22-23,0-2`"
                " has both parts."
            ),
        ),
        (
            "0 0 * * fri-mon",
            "The day of the week, 'fri-mon', has a range that ends before it begins",
        ),
        ("*/0 * * * *", "The minute, '*/0', has a step of 0."),
        ("1-5/00 * * * *", "The minute, '1-5/00', has a step of 0."),
        ("0 0 L * *", "The day of the month, 'L', takes numbers, not `l`."),
        ("0 0 LW * *", "The day of the month, 'LW', takes numbers, not `lw`."),
        ("0 0 15W * *", "The day of the month, '15W', takes numbers, not `15w`."),
        (
            "0 0 * * MON#1",
            "The day of the week, 'MON#1', takes numbers and names like `sun`, ranges like `1-5`",
        ),
        (
            "0 0 * * 5L",
            "The day of the week, '5L', takes numbers and names like `sun`, not `5l`.",
        ),
        ("0 0 ? * *", "The day of the month, '?', takes numbers, ranges like `1-5`"),
        (
            "0 0 * monday *",
            "The month, 'monday', takes numbers and names like `jan`, not `monday`.",
        ),
        (
            "0 0 * * sunday",
            "The day of the week, 'sunday', takes numbers and names like `sun`, not `sunday`.",
        ),
        ("0 0 * mon *", "The month, 'mon', takes numbers"),
        ("mon 0 * * *", "The minute, 'mon', takes numbers, not `mon`."),
        ("1,,2 * * * *", "The minute, '1,,2', takes numbers, ranges"),
        ("1-2-3 * * * *", "The minute, '1-2-3', takes"),
        ("*/2/3 * * * *", "The minute, '*/2/3', takes"),
        ("-5 * * * *", "The minute, '-5', takes"),
        ("*-5 * * * *", "The minute, '*-5', takes"),
        ("1.5 * * * *", "The minute, '1.5', takes"),
        ("+5 * * * *", "The minute, '+5', takes"),
        ("\u0665 * * * *", "takes numbers"),
        ("0 0 * * \u017fun", "takes numbers"),
        ("0 2 * *\u00a0*", "has 4 fields, not 5."),
        ("0 2 * *\n*", "has 4 fields, not 5."),
        ("H 2 * * *", "The minute, 'H', takes numbers, not `h`."),
        ("~ 2 * * *", "The minute, '~', takes numbers, ranges"),
    ],
)
def test_an_invalid_cron_expression_is_refused_with_its_fault(cron: str, sentence: str) -> None:
    with pytest.raises(BadCron) as raised:
        check_cron(cron)
    assert sentence in raised.value.detail


def test_impossible_dates_and_unknown_time_zones_are_refused() -> None:
    for cron in ("0 0 31 2 *", "0 0 30 feb *", "0 0 31 4,6,9,11 *"):
        check_cron(cron)
        with pytest.raises(BadCron, match="never matches a date"):
            first_run(cron, "UTC", datetime.now(UTC))
    with pytest.raises(InvalidParameter):
        first_run("* * * * *", "Mars/Base", datetime.now(UTC))


def test_invalid_schedules_get_422_with_the_fault(api: Api, bucket: Bucket) -> None:
    job = {"source": f"s3://{bucket.name}/*.csv"}
    refused = api.client.post("/api/v1/schedules", json={"cron": "15 2 * * * *", "job": job})
    assert (refused.status_code, refused.json()["code"]) == (422, "bad_cron")
    assert "has 6 fields" in refused.json()["detail"]
    response = api.client.post("/api/v1/schedules", json={"cron": "0 0 1 1 *", "job": job})
    path = response.headers["Location"]
    for cron in ("@daily", "15 2 * * * *", "0 0 L * *"):
        refused = api.client.patch(path, json={"cron": cron})
        assert (refused.status_code, refused.json()["code"]) == (422, "bad_cron")
    assert api.client.get(path).json()["cron"] == "0 0 1 1 *"
    assert api.client.delete(path).status_code == 204


def test_a_schedule_of_an_earlier_version_keeps_its_times(
    api: Api, server: Server, bucket: Bucket
) -> None:
    """Its seconds were accepted then: it is shown, paused and deleted as any other."""
    response = api.client.post(
        "/api/v1/schedules",
        json={"cron": "0 0 1 1 *", "job": {"source": f"s3://{bucket.name}/x.csv"}},
    )
    path = response.headers["Location"]
    query(server.url, "UPDATE schedules SET cron = '15 0 0 1 1 *'")
    assert api.client.get(path).json()["next_runs"][-1].endswith("-01-01T00:00:15+00:00")
    assert api.client.patch(path, json={"paused": True}).status_code == 200
    assert api.client.delete(path).status_code == 204


def test_due_runs_start_are_skipped_while_one_runs_and_are_reported_when_missed(
    api: Api, server: Server, model: ModelService, bucket: Bucket, store: FaultyStore
) -> None:
    bucket.put("a.csv", transactions(200, seed=41))
    job = {"source": f"s3://{bucket.name}/*.csv"}
    response = api.client.post(
        "/api/v1/schedules", json={"cron": "0 0 1 1 *", "job": job, "name": "yearly"}
    )
    assert response.status_code == 201, response.text
    path = response.headers["Location"]

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
