"""The undo endpoints over a real server, on both databases."""

from __future__ import annotations

from typing import Any

import pytest

from tests.crash.service import Service
from tests.harness import Api, wait_until

UNKNOWN = "00000000-0000-4000-8000-000000000000"
PEOPLE = b"name,email,age,department\nAnn,ann@example.com,30,IT\nBob,nothing,40,HR\nEve,eve@example.com,50,IT\n"


def undone(api: Api, job_id: str, expect: int = 200) -> dict[str, Any]:
    answer = api.client.post(f"/api/v1/undo/{job_id}")
    assert answer.status_code == expect, answer.text
    return dict(answer.json())


def imported(api: Api, data: bytes = PEOPLE) -> dict[str, Any]:
    answer = api.client.post(
        "/api/upload?on_duplicate=new", files={"file": ("people.csv", data, "text/csv")}
    )
    assert answer.status_code == 201, answer.text
    api.finished(answer.json()["file_id"])
    return dict(answer.json())


def ledger(api: Api, **accounts: str) -> dict[str, Any]:
    """Run a job that writes these accounts by transaction."""
    rows = "".join(f"{key},{account}\n" for key, account in accounts.items())
    return api.run(f"transaction_id,account_id\n{rows}".encode(), processor="ledger")


def accounts(server: Service) -> dict[str, str]:
    return dict(server.sql("SELECT transaction_id, account_id FROM transactions"))


def test_an_undone_import_disappears_from_records_search_and_stats(
    api: Api, server: Service
) -> None:
    kept = imported(api)
    before = api.client.get("/api/stats").json()
    gone = imported(api)
    job_id = api.status(gone["file_id"])["job_id"]
    assert api.client.get("/api/stats").json()["total_records"] == before["total_records"] + 3
    answer = undone(api, job_id)
    assert answer == {"job_id": job_id, "status": "undone", "removed": 3, "restored": 0}
    after = api.client.get("/api/stats").json()
    for name in ("total_records", "valid_records", "invalid_records", "failed_records"):
        assert after[name] == before[name], name
    assert after["vectors"]["total"] == before["vectors"]["total"]
    assert (after["total_imports"], after["undone_imports"]) == (before["total_imports"] + 1, 1)
    found = api.client.post("/api/records/search", json={"status": "valid"}).json()["records"]
    assert {record["import_id"] for record in found} == {kept["id"]}
    shown = api.client.get(f"/api/imports/{gone['id']}").json()
    assert shown["records"] == []
    assert shown["undo"]["state"] == "undone"
    for table in ("records", "vector_tasks", "record_vectors", "record_words"):
        assert server.count(table, job_id) == 0
    status = api.status(gone["file_id"])
    assert (status["status"], status["undo"]["removed"]) == ("completed_with_errors", 3)
    assert api.client.get(f"/api/v1/jobs/{job_id}/status").json()["undo"]["undone_at"]
    # the rows read from the file are still in the results and rejects
    assert api.proof(gone["file_id"])["closes"]
    assert undone(api, job_id) == answer


def test_changed_rows_are_restored_and_an_undo_below_a_later_job_keeps_its_rows(
    api: Api, server: Service
) -> None:
    first = ledger(api, a="first", b="first")
    second = ledger(api, b="second", c="second")
    third = ledger(api, b="third")
    assert accounts(server) == {"a": "first", "b": "third", "c": "second"}
    assert undone(api, second["job_id"])["removed"] == 1  # c; b belongs to the third
    assert accounts(server) == {"a": "first", "b": "third"}
    answer = undone(api, third["job_id"])
    assert (answer["removed"], answer["restored"]) == (0, 1)
    assert accounts(server) == {"a": "first", "b": "first"}
    assert undone(api, first["job_id"])["removed"] == 2
    assert accounts(server) == {}


def test_jobs_that_cannot_be_undone_are_refused(api: Api) -> None:
    assert undone(api, UNKNOWN, 404)["code"] == "not_found"
    assert undone(api, "nonsense", 404)["code"] == "not_found"
    assert undone(api, api.run(b"id\n1\n")["job_id"], 409)["code"] == "nothing_to_undo"
    waiting = api.upload(b"id\n1\n", processor="waiting")["job_id"]
    assert undone(api, waiting, 409)["code"] == "conflict"
    assert api.client.post(f"/api/v1/jobs/{waiting}/cancel").status_code == 200
    assert undone(api, waiting, 409)["code"] == "nothing_to_undo"


def test_old_jobs_are_not_undone_and_undone_jobs_are_not_retried(api: Api, server: Service) -> None:
    for change in ("keeps_versions = false", "created_at = '2020-01-01 00:00:00'"):
        job_id = ledger(api, x=change)["job_id"]
        server.sql(f"UPDATE jobs SET {change} WHERE id = {server.key(job_id)}")
        assert undone(api, job_id, 409)["code"] == "not_undoable"
    job_id = ledger(api, y="y")["job_id"]
    undone(api, job_id)
    assert api.client.post(f"/api/v1/jobs/{job_id}/retry").json()["code"] == "conflict"


def test_an_undone_import_refuses_corrections_and_its_file_can_be_imported_again(api: Api) -> None:
    def upload() -> dict[str, Any]:
        made = dict(
            api.client.post(
                "/api/upload", files={"file": ("again.csv", PEOPLE + b"\n", "text/csv")}
            ).json()
        )
        api.finished(made["file_id"])
        return made

    first = upload()
    assert upload()["id"] == first["id"]
    undone(api, first["job_id"])
    cells = {"rows": [{"_row": 2, "values": {"email": "bob@example.com"}}]}
    answer = api.client.post(f"/api/v1/files/{first['file_id']}/corrections", json=cells)
    assert (answer.status_code, answer.json()["code"]) == (409, "not_correctable"), answer.text
    second = upload()
    assert not second["duplicate"]
    assert second["id"] != first["id"]
    assert len(api.client.get(f"/api/imports/{second['id']}").json()["records"]) == 3
    assert upload()["id"] == second["id"]


@pytest.mark.one_database  # on both: tests/integration/undo/test_death.py
def test_a_killed_undo_resumes_at_the_next_start(service: Service) -> None:
    """One step of 1,000 rows is done and the next is not."""
    rows = {f"t{n}": "new" for n in range(2_500)}
    service.start(GRANULA_FAIL="undo.before_commit=kill@2")
    with service.api() as api:
        ledger(api, t0="old", t1999="old", t2499="old")
        job_id = ledger(api, **rows)["job_id"]
        try:
            api.client.post(f"/api/v1/undo/{job_id}")
        except Exception:
            pass
    service.wait_for_death()
    assert len(accounts(service)) == 1_500 + 1  # a step was committed; t0 is restored
    service.start()
    with service.api() as api:
        wait_until(lambda: api.status(job_id)["undo"]["state"] == "undone", 30, "the undo")
        assert accounts(service) == {"t0": "old", "t1999": "old", "t2499": "old"}
        assert undone(api, job_id) == {
            "job_id": job_id,
            "status": "undone",
            "removed": 2_497,
            "restored": 3,
        }
