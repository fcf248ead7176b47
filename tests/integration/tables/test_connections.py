"""Named connections that are not as one wishes: a pooler in between, one that is cut, a server that is
down or full, a role without rights.
"""

from __future__ import annotations

import json

import pytest

from tests.harness import query
from tests.pooler import Pooler
from tests.remote import AFTER, BEFORE, REPEATED, Remote

pytestmark = pytest.mark.parametrize("databases", ["postgresql"], indirect=True)


def connect(remote: Remote, url: str) -> None:
    remote.engine.environment["CONNECTIONS"] = json.dumps({"warehouse": url})


def load_of_strings(remote: Remote) -> str:
    """Load into a table whose constraints only an attempt can tell."""
    query(remote.url, "ALTER TABLE prices ADD EXCLUDE USING btree (id WITH =)")
    return remote.begin(mode="append")


@pytest.mark.parametrize("visibility", ["atomic", "progressive"])
def test_loads_work_through_a_pooler_in_transaction_mode(remote: Remote, visibility: str) -> None:
    """Rows are refused, so that the attempt with its function of the session runs, too."""
    with Pooler(remote.url) as pooler:
        connect(remote, pooler.url)
        remote.engine.start()
        job_id = (
            load_of_strings(remote)
            if visibility == "atomic"
            else remote.begin(mode="upsert", visibility=visibility)
        )
        remote.ended(job_id)
        assert remote.prices() == AFTER
        with remote.engine.api() as api:
            assert [reject["row_number"] for reject in api.rejects(job_id)] == list(REPEATED)
            proof = api.proof(job_id)
            assert proof["closes"], proof["problems"]
            assert api.client.post(f"/api/v1/undo/{job_id}").json()["removed"] == len(AFTER) - 1
        assert remote.prices() == BEFORE
        assert pooler.transactions > 10
        remote.engine.stop()
    assert remote.tables("granula_") == ["granula_ledger"]


def test_a_connection_that_is_cut_is_made_again(remote: Remote) -> None:
    """In each of many transactions of a load, once."""
    with Pooler(remote.url) as pooler:
        connect(remote, pooler.url)
        remote.engine.start()
        pooler.cut_after = pooler.transactions + 8
        job_id = remote.begin()
        remote.ended(job_id)
        assert pooler.was_cut
        assert remote.prices() == AFTER
        with remote.engine.api() as api:
            assert api.proof(job_id)["closes"]
        remote.engine.stop()
    assert remote.tables("granula_load_") == []


@pytest.mark.parametrize(
    ("entry", "visibility"), [("loaded", "atomic"), ("staged", "atomic"), ("rows", "progressive")]
)
def test_a_commit_whose_answer_is_lost_counts_once(
    remote: Remote, entry: str, visibility: str
) -> None:
    """The server has committed the entry of the ledger, and the rows with it."""
    with Pooler(remote.url) as pooler:
        connect(remote, pooler.url)
        remote.engine.start()
        pooler.lose_commit_of = entry.encode()
        job_id = remote.begin(visibility=visibility)
        remote.ended(job_id)
        assert pooler.was_cut
        assert remote.prices() == AFTER
        with remote.engine.api() as api:
            assert len(api.rejects(job_id)) == len(REPEATED)
            assert api.proof(job_id)["closes"]
        remote.engine.stop()
    assert remote.tables("granula_load_") == []


def test_uploads_and_dry_runs_go_to_a_named_connection(remote: Remote) -> None:
    remote.engine.start()
    params = {"table": "prices", "connection": "warehouse"}
    with remote.engine.api() as api:
        tried = remote.begin(b"id,price\n0,8\n1,2\n", mode="upsert", dry_run=True)
        remote.ended(tried)
        summary = api.status(tried)["summary"]
        assert (summary["inserted"], summary["updated"], summary["dry_run"]) == (1, 1, True)
        result = api.client.get(f"/api/v1/jobs/{tried}/result").json()
        assert "updated" in json.dumps(result)
        assert remote.prices() == BEFORE
        assert remote.tables("granula_load_") == []
        answer = api.upload(b"id,price\n1,2\n", **params)
        api.finished(answer["file_id"])
        assert remote.prices() == [*BEFORE, (1, 2)]
        unknown = api.client.post(
            "/api/v1/upload", params={**params, "connection": "postgresql://u:p@h/d"}, content=b"a"
        )
        assert unknown.status_code in (404, 422)


def test_a_load_whose_connection_is_gone_from_the_settings_fails(remote: Remote) -> None:
    remote.engine.start(GRANULA_FAIL="load.staged=kill")
    job_id = remote.begin()
    remote.engine.wait_for_death()
    remote.engine.start(CONNECTIONS="{}")
    remote.ended(job_id)
    with remote.engine.api() as api:
        error = json.dumps(
            [api.status(job_id)["error"], api.client.get(f"/api/v1/jobs/{job_id}/chunks").json()]
        )
        assert "unknown_connection" in error
        assert api.client.delete(f"/api/v1/files/{api.status(job_id)['file_id']}").status_code in (
            202,
            204,
        )
    assert remote.prices() == BEFORE


def test_a_server_that_is_down_is_waited_for(remote: Remote) -> None:
    with Pooler(remote.url) as pooler:
        connect(remote, pooler.url)
        remote.engine.start(GRANULA_FAIL="load.staged=transient")
        job_id = remote.begin()
        pooler.go_down()
        with remote.engine.api() as api:

            def waits() -> bool:
                return bool(api.status(job_id)["waiting_on"] == "connection")

            api.wait_until(waits, 30, "the job to wait")
            [_, warehouse] = api.client.get("/api/v1/connections").json()["items"]
            assert (warehouse["reachable"], bool(warehouse["problem"])) == (False, True)
            answer = api.client.get("/api/v1/tables", params={"connection": "warehouse"})
            assert (answer.status_code, "warehouse" in answer.json()["detail"]) == (503, True)
        assert remote.prices() == BEFORE
        pooler.come_back()
        remote.ended(job_id)
        assert remote.prices() == AFTER
        remote.engine.stop()


FULL = """
CREATE FUNCTION be_full() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM nextval('tries');
    RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
END $$
"""
HAS_SPACE = """
CREATE OR REPLACE FUNCTION be_full() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RETURN NEW; END $$
"""


@pytest.mark.parametrize("visibility", ["atomic", "progressive"])
def test_a_full_disk_is_waited_for(remote: Remote, visibility: str) -> None:
    trigger = (
        "CREATE TRIGGER full_disk BEFORE INSERT ON prices FOR EACH ROW EXECUTE FUNCTION be_full()"
    )
    query(remote.url, "CREATE SEQUENCE tries", FULL, trigger)
    remote.engine.start()
    job_id = remote.begin(visibility=visibility)
    tried = "SELECT is_called FROM tries"
    remote.engine.wait_until(lambda: query(remote.url, tried)[0][0], 30, "the first attempt")
    assert remote.prices() == BEFORE
    query(remote.url, HAS_SPACE)
    remote.ended(job_id)
    assert remote.prices() == AFTER
    assert remote.tables("granula_load_") == []


def test_a_role_without_rights_is_told_and_changes_nothing(remote: Remote) -> None:
    role = f"loader_{remote.url.rpartition('?')[0].rpartition('_')[2]}"
    query(
        remote.url,
        f"CREATE ROLE {role} LOGIN",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        f"GRANT SELECT, INSERT ON prices TO {role}",
    )
    connect(remote, remote.url.replace("+asyncpg", "").replace("postgres@", f"{role}@"))
    try:
        remote.engine.start(GRANULA_FAIL="load.staged=transient")
        with pytest.raises(AssertionError, match="needs the right to create tables in"):
            remote.begin()
        query(remote.url, f"CREATE SCHEMA granula AUTHORIZATION {role}")
        job_id = remote.begin()
        query(remote.url, f"REVOKE INSERT ON prices FROM {role}")
        remote.ended(job_id)
        with remote.engine.api() as api:
            error = api.status(job_id)["error"]
            assert error["code"] == "load_refused"
            assert "permission denied" in error["message"]
        assert remote.prices() == BEFORE
        remote.engine.wait_until(
            lambda: remote.tables("granula_load_") == [], 30, "the staging table to go"
        )
        query(remote.url, f"GRANT INSERT ON prices TO {role}")
        again = remote.begin(empty="text")
        remote.ended(again)
        assert remote.prices() == AFTER
        made = query(
            remote.url,
            "SELECT DISTINCT relnamespace::regnamespace::text FROM pg_class"
            " WHERE relname LIKE 'granula%' AND relkind = 'r'",
        )
        assert made == [("granula",)]
    finally:
        remote.engine.end()
        query(remote.url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")
