"""Loads into the database of a named connection, which commits before the service's own does. A
process may die between the two: the ledger then tells the next one what was committed.
"""

from __future__ import annotations

import httpx
import pytest

from app.features.tables.loading.destination import LoadedTables
from tests.corrections.tables import ended as correction_ended
from tests.corrections.tables import patch
from tests.harness import query
from tests.remote import AFTER, BEFORE, REPEATED, ROWS, Remote

POSTGRESQL = pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
"""The service's own database, where its kind makes no difference."""


def check_loaded(remote: Remote, job_id: str) -> None:
    status = remote.ended(job_id)
    assert status["status"] == "completed", status
    assert remote.prices() == AFTER
    assert remote.tables("granula_load_") == []
    with remote.engine.api() as api:
        rejects = api.rejects(job_id)
        assert [reject["row_number"] for reject in rejects] == list(REPEATED)
        proof = api.proof(job_id)
        assert proof["closes"], proof["problems"]
        assert proof["counts"]["loaded"] == ROWS - 2
        assert proof["table"] == {"same": ROWS - 2, "changed": 0, "removed": 0}
        summary = api.status(job_id)["summary"]
        assert (summary["rows"], summary["inserted"]) == (ROWS - 2, ROWS - 2)


def test_a_load_is_proved_shown_row_by_row_and_undone(remote: Remote) -> None:
    remote.engine.start()
    job_id = remote.begin(mode="upsert")
    check_loaded(remote, job_id)
    where = {"connection": "warehouse"}
    with remote.engine.api() as api:
        listed = api.client.get("/api/v1/tables/prices", params=where).json()["loads"]
        assert [load["job_id"] for load in listed] == [job_id]
        row = api.client.get("/api/v1/tables/prices/rows", params=where | {"key": "7"}).json()
        assert row["row"] == {"id": "7", "price": "14"}
        [event] = row["history"]
        assert (event["job_id"], event["line"], event["what"]) == (job_id, 8, "inserted")
        preview = api.client.post(f"/api/v1/undo/{job_id}?dry_run=true").json()
        assert preview["removed"] == ROWS - 2
        assert remote.prices() == AFTER
        undone = api.client.post(f"/api/v1/undo/{job_id}").json()
        assert (undone["status"], undone["removed"]) == ("undone", ROWS - 2)
        assert api.proof(job_id)["closes"]
    assert remote.prices() == BEFORE
    assert remote.tables("granula_") == ["granula_ledger"]


@POSTGRESQL
@pytest.mark.parametrize(
    "point",
    [
        "connection.before_commit=kill",
        "connection.committed=kill",  # a chunk there, and not here
        "load.rejected=kill",  # a reject here, and its row still staged there
        "load.rejected=kill@2",
        "load.published=kill",
        "load.committed=kill",  # the load there, and not here
        "job.before_finish=kill@2",
        "job.after_finish=kill@2",
    ],
)
def test_a_load_is_written_once_wherever_the_service_dies(remote: Remote, point: str) -> None:
    remote.engine.start(GRANULA_FAIL=point)
    job_id = remote.begin()
    remote.engine.wait_for_death()
    assert remote.prices() in (BEFORE, AFTER)

    remote.engine.start()
    check_loaded(remote, job_id)
    assert remote.entries() == ["loaded"]


@POSTGRESQL
@pytest.mark.parametrize(
    ("point", "is_undone"),
    [
        ("connection.before_commit=kill", False),
        ("connection.committed=kill", True),
        ("undo.after_commit=kill", True),
    ],
)
def test_a_load_is_taken_back_once_wherever_the_service_dies(
    remote: Remote, point: str, is_undone: bool
) -> None:
    remote.engine.start()
    job_id = remote.begin(mode="upsert")
    remote.ended(job_id)
    remote.engine.stop()
    remote.engine.start(GRANULA_FAIL=point)
    with remote.engine.api() as api, pytest.raises(httpx.TransportError):
        api.client.post(f"/api/v1/undo/{job_id}")
    remote.engine.wait_for_death()
    assert remote.prices() == (BEFORE if is_undone else AFTER)

    remote.engine.start()
    with remote.engine.api() as api:

        def undone() -> bool:
            return (api.status(job_id)["undo"] or {}).get("state") == "undone"

        api.wait_until(undone, 15, "the end of the undo")
        assert api.status(job_id)["undo"]["removed"] == ROWS - 2
        assert api.proof(job_id)["closes"]
    assert remote.prices() == BEFORE
    assert remote.tables("granula_") == ["granula_ledger"]


@POSTGRESQL
@pytest.mark.parametrize("point", ["connection.before_commit=kill", "connection.committed=kill"])
def test_corrected_rows_are_written_once_wherever_the_service_dies(
    remote: Remote, point: str
) -> None:
    """One of the two is refused again."""
    remote.engine.start()
    job_id = remote.begin()
    remote.ended(job_id)
    remote.engine.stop()
    remote.engine.start(GRANULA_FAIL=point)
    rows = [{"_row": 120, "values": {"id": "1001"}}, {"_row": 333, "values": {"id": "1"}}]
    with remote.engine.api() as api:
        correction = patch(api, job_id, *rows)
    remote.engine.wait_for_death()

    remote.engine.start()
    with remote.engine.api() as api:
        correction_ended(api, correction)
        assert remote.prices() == [*AFTER, (1001, 240)]
        [reject] = api.rejects(job_id)
        assert (reject["row_number"], reject["code"]) == (333, "not_unique")
        proof = api.proof(job_id)
        assert proof["closes"], proof["problems"]
        assert proof["counts"]["loaded"] == ROWS - 1
    assert remote.tables("granula_load_") == []


def test_a_load_that_is_committed_cannot_be_cancelled(remote: Remote) -> None:
    """It has died since, and begins with a request."""
    remote.engine.start(GRANULA_FAIL="load.committed=kill")
    job_id = remote.begin()
    remote.engine.wait_for_death()

    remote.engine.start()
    with remote.engine.api() as api:
        answer = api.client.post(f"/api/v1/jobs/{job_id}/cancel")
        assert answer.status_code == 409, answer.text
    check_loaded(remote, job_id)


@POSTGRESQL
def test_a_load_that_is_cancelled_is_never_committed(remote: Remote) -> None:
    """Its rows are staged, and the last step begins again and again."""
    remote.engine.start(GRANULA_FAIL="load.published=transient@1+")
    job_id = remote.begin()
    with remote.engine.api() as api:
        api.wait_until(lambda: len(api.rejects(job_id)) == 2, 30, "all to be settled")
        assert api.client.post(f"/api/v1/jobs/{job_id}/cancel").status_code == 200
        counts = {"loaded": 0, "rejected": 2, "failed": 0, "not_processed": ROWS - 2}
        assert api.status(job_id)["counts"] == counts
    assert remote.prices() == BEFORE
    assert remote.tables("granula_load_") == []
    assert remote.entries() == ["loaded"]
    [(answer,)] = query(remote.url, "SELECT answer FROM granula_ledger")
    assert answer == '"cancelled"'


@POSTGRESQL
def test_the_sweep_drops_what_a_dead_service_left_and_nothing_of_others(remote: Remote) -> None:
    remote.engine.start(GRANULA_FAIL="load.published=kill")
    job_id = remote.begin()
    remote.engine.wait_for_death()
    of_others = f"granula_load_{'ab' * 16}"
    query(remote.url, f"CREATE TABLE {of_others} (granula_row bigint)")
    mine = f"granula_load_{job_id.replace('-', '')}"
    assert sorted(remote.tables("granula_load_")) == sorted([mine, of_others])
    remote.engine.sql(
        f"UPDATE jobs SET status = 'cancelled' WHERE id = {remote.engine.key(job_id)}"
    )
    remote.engine.start()
    remote.engine.wait_until(
        lambda: remote.tables("granula_load_") == [of_others], 30, "my table to go"
    )
    remote.engine.change("UPDATE jobs SET finished_at = '2020-01-01 00:00:00'")
    remote.engine.run(remote.engine.services.of(LoadedTables).sweep())
    assert remote.entries() == []
