"""Progressive loads: the rows of each chunk are in the table as soon as the chunk is done."""

from __future__ import annotations

from typing import Any

import pytest

from tests.corrections.tables import ended as correction_ended
from tests.corrections.tables import patch
from tests.engine import Engine
from tests.harness import query
from tests.integration.crash.test_load import begin, ended, records, stages
from tests.remote import AFTER, BEFORE, REPEATED, ROWS, Remote

TABLE = (
    "CREATE TABLE prices (id INTEGER PRIMARY KEY, price INTEGER CHECK (price < 990))",
    "INSERT INTO prices VALUES (0, 7)",
)
POSTGRESQL = pytest.mark.parametrize("databases", ["postgresql"], indirect=True)


def prices(engine: Engine) -> list[tuple[Any, ...]]:
    return engine.sql("SELECT id, price FROM prices ORDER BY id")


@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_chunks_are_written_with_their_rejects_and_taken_back(engine: Engine, mode: str) -> None:
    """Rows 495 to 500 break a condition."""
    engine.sql(*TABLE)
    engine.start()
    job_id = begin(engine, mode=mode, visibility="progressive")
    ended(engine, job_id)
    expected = [row for row in AFTER if row[1] < 990]
    assert prices(engine) == expected
    with engine.api() as api:
        status = api.status(job_id)
        assert status["status"] == "completed_with_errors", status
        assert status["summary"]["inserted"] == len(expected) - 1
        rejects = {reject["row_number"]: reject for reject in api.rejects(job_id)}
        assert sorted(rejects) == [*REPEATED, *range(495, 501)]
        assert rejects[120]["code"] == "not_unique"
        assert (rejects[500]["code"], rejects[500]["line"]) == ("check_failed", 501)
        proof = api.proof(job_id)
        assert proof["closes"], proof["problems"]
        assert proof["table"] == {"same": len(expected) - 1, "changed": 0, "removed": 0}
        correction_ended(api, patch(api, job_id, {"_row": 500, "values": {"price": "1"}}))
        assert prices(engine) == [*expected, (500, 1)]
        assert api.proof(job_id)["closes"]
        undone = api.client.post(f"/api/v1/undo/{job_id}").json()
        assert undone["removed"] == len(expected)
        assert api.proof(job_id)["closes"]
    assert prices(engine) == BEFORE
    assert not stages(engine)
    assert not records(engine)


def test_rows_are_there_before_the_load_has_ended(engine: Engine) -> None:
    """The service dies after the second chunk; the next one writes the others."""
    engine.sql(*TABLE)
    engine.start(GRANULA_FAIL="chunk.after_commit=kill@3")  # the first was of the upload
    job_id = begin(engine, visibility="progressive")
    engine.wait_for_death()
    assert 0 < len(prices(engine)) - 1 < ROWS - 8
    engine.start()
    ended(engine, job_id)
    with engine.api() as api:
        assert api.status(job_id)["summary"]["rows"] == ROWS - 8
        assert api.proof(job_id)["closes"]
    assert prices(engine) == [row for row in AFTER if row[1] < 990]


def test_accepted_rows_stay_if_too_many_are_rejected(engine: Engine) -> None:
    engine.sql(*TABLE)
    engine.start()
    with engine.api() as api:
        data = b"id,price\n1,1\n2,2\n3,995\n4,996\n"
        file_id = api.upload(data)["file_id"]
        api.finished(file_id)
        options = {"table": "prices", "visibility": "progressive"}
        body = {"type": "load", "file_id": file_id, "options": options, "max_rejects": "1"}
        job_id = api.client.post("/api/v1/jobs", json=body).json()["job_id"]
        ended(engine, job_id)
        status = api.status(job_id)
        assert (status["status"], status["error"]["code"]) == ("failed", "too_many_rejects")
        assert status["error"]["message"].endswith(
            "The other 2 rows are in the table, until an undo."
        )
        assert prices(engine) == [(0, 7), (1, 1), (2, 2)]
        assert status["counts"]["loaded"] == 2
        proof = api.proof(job_id)
        assert proof["closes"], proof["problems"]
        assert api.client.post(f"/api/v1/undo/{job_id}").json()["removed"] == 2
    assert prices(engine) == BEFORE


def test_a_load_that_is_cancelled_keeps_the_chunks_that_are_done(engine: Engine) -> None:
    engine.sql(*TABLE)
    engine.start(GRANULA_FAIL="chunk.before_write=transient@3+")
    job_id = begin(engine, visibility="progressive")
    with engine.api() as api:
        api.wait_until(lambda: len(prices(engine)) > 1, 30, "the first chunk")
        assert api.client.post(f"/api/v1/jobs/{job_id}/cancel").status_code == 200
        loaded = len(prices(engine)) - 1
        assert api.status(job_id)["counts"]["loaded"] == loaded
        proof = api.proof(job_id)
        assert proof["closes"], proof["problems"]
        assert api.client.post(f"/api/v1/undo/{job_id}").json()["removed"] == loaded
    assert prices(engine) == BEFORE


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mode": "replace"}, "about the whole table"),
        ({"mode": "mirror", "max_delete": "5%"}, "about the whole table"),
        ({"mode": "create"}, "about the whole table"),
        ({"dry_run": True}, "a dry run writes nothing"),
        ({"on_schema_change": "add_columns"}, "has all columns already"),
        ({"mode": "upsert", "record": False}, "needs its record"),
    ],
)
@POSTGRESQL
def test_combinations_without_a_sense_are_refused(
    engine: Engine, options: dict[str, Any], said: str
) -> None:
    engine.start()
    with engine.api() as api:
        body = {
            "type": "load",
            "file_id": "00000000-0000-4000-8000-000000000000",
            "options": {"table": "prices", "visibility": "progressive", **options},
        }
        answer = api.client.post("/api/v1/jobs", json=body)
        assert answer.status_code == 422, answer.text
        assert said in answer.text


@pytest.mark.parametrize(
    "point",
    [
        "connection.before_commit=kill@2",
        "connection.committed=kill@2",  # a chunk there, and not here
        "chunk.after_commit=kill@3",
    ],
)
@POSTGRESQL
def test_chunks_are_written_once_wherever_the_service_dies(remote: Remote, point: str) -> None:
    remote.engine.start(GRANULA_FAIL=point)
    job_id = remote.begin(mode="upsert", visibility="progressive")
    remote.engine.wait_for_death()
    assert len(remote.prices()) < len(AFTER)

    remote.engine.start()
    remote.ended(job_id)
    assert remote.prices() == AFTER
    with remote.engine.api() as api:
        status = api.status(job_id)
        assert status["status"] == "completed_with_errors", status
        assert status["summary"]["inserted"] == ROWS - 2
        assert [reject["row_number"] for reject in api.rejects(job_id)] == list(REPEATED)
        proof = api.proof(job_id)
        assert proof["closes"], proof["problems"]
        assert api.client.post(f"/api/v1/undo/{job_id}").json()["removed"] == ROWS - 2
    assert remote.prices() == BEFORE
    assert remote.tables("granula_") == ["granula_ledger"]


@POSTGRESQL
def test_rows_with_the_same_key_in_different_chunks_count_once(remote: Remote) -> None:
    query(remote.url, "UPDATE prices SET id = 5")
    data = b"id,price\n" + b"".join(b"%d,%d\n" % (i % 150, i) for i in range(1, 201))
    remote.engine.start()
    job_id = remote.begin(data, mode="upsert", visibility="progressive")
    remote.ended(job_id)
    with remote.engine.api() as api:
        summary = api.status(job_id)["summary"]
        assert (summary["inserted"], summary["updated"]) == (149, 1)
        rejects = api.rejects(job_id)
        assert {reject["code"] for reject in rejects} == {"not_unique"}
        assert len(rejects) == 50
        assert api.proof(job_id)["closes"]
        undone = api.client.post(f"/api/v1/undo/{job_id}").json()
        assert (undone["removed"], undone["restored"]) == (149, 1)
    assert remote.prices() == [(5, 7)]
