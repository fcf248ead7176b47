"""The list tells jobs that help another one from those that their owner asked for."""

from __future__ import annotations

from typing import Any

from tests.corrections.tables import ended, patch
from tests.engine import Engine, EngineApi
from tests.integration.tables.test_load import load

CREATED = "CREATE TABLE orders (id INTEGER PRIMARY KEY, amount INTEGER)"


def listed(api: EngineApi, **parameters: Any) -> dict[int, str | None]:
    """Return what each listed job helps, by its number."""
    items = api.client.get("/api/v1/jobs", params=parameters).json()["items"]
    return {item["number"]: item["helps_as"] for item in items}


def test_corrections_profiles_and_trials_are_helpers_of_the_first_job(engine: Engine) -> None:
    engine.sql(CREATED)
    engine.start()
    with engine.api() as api:
        first = load(api, "id,amount\n1,10\n2,x\n", dry_run=True)
        upload, trial = first["number"] - 1, first["number"]
        assert listed(api) == {trial: f"trial of #{upload}", upload: None}

        asked = {"file_id": first["file_id"]}
        answer = api.client.post("/api/v1/jobs/analyze", json=asked)
        assert answer.status_code in (200, 202), answer.text
        engine.run_until_idle(60)
        real = api.client.post(
            "/api/v1/jobs", json={"type": "load", **asked, "options": {"table": "orders"}}
        ).json()["job_id"]
        engine.run_until_idle(60)
        load_number = api.client.get(f"/api/v1/status/{real}").json()["number"]
        assert ended(api, patch(api, real, {"_row": 2, "values": {"amount": "20"}}))

        own = {load_number: None, upload: None}
        helpers = {
            trial: f"trial of #{upload}",
            trial + 1: f"profile of #{upload}",
            load_number + 1: f"correction of #{load_number}",
        }
        assert listed(api) == own | helpers
        assert listed(api, helpers=False) == own
        assert listed(api, parts=False, helpers=False) == own
        assert listed(api, parts=False, helpers=True) == own | helpers
        without_correction = {n: text for n, text in helpers.items() if n != load_number + 1}
        assert listed(api, parts=False) == own | without_correction
        counted = api.client.post(
            "/api/v1/jobs/bulk",
            json={"action": "delete", "where": {"helpers": False}, "dry_run": True},
        )
        assert counted.json()["matched"] == len(own)


def test_a_profile_or_trial_that_is_the_first_job_of_its_file_helps_none(engine: Engine) -> None:
    engine.sql(CREATED)
    engine.start()
    with engine.api() as api:
        number = api.upload(b"id\n1\n", processor="profile")["file_id"]
        profile = api.finished(number)["number"]
        assert listed(api, helpers=False) == {profile: None}
