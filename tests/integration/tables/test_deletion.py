"""A file that is deleted while it is loaded: the load never reaches its table, and nothing of it
stays, wherever its last step was.
"""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from tests.engine import Engine
from tests.harness import query
from tests.integration.crash.test_load import (
    AFTER,
    BEFORE,
    REPEATED,
    TABLE,
    begin,
    prices,
    records,
    stages,
)
from tests.remote import Remote

POSTGRESQL = pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
REPEATS = "load.published=transient@1+"
"""The last step is rolled back and begins again, without end."""


def delete(engine: Engine, job_id: str) -> None:
    with engine.api() as api:
        file_id = api.status(job_id)["file_id"]
        answer = api.client.delete(f"/api/v1/files/{file_id}")
        assert answer.status_code == 204, answer.text
        assert api.client.get(f"/api/v1/jobs/{job_id}/status").status_code == 404


def files(engine: Engine) -> int:
    ((count,),) = engine.sql("SELECT count(*) FROM files")
    return int(count)


@pytest.mark.parametrize("mode", ["append", "replace", "create"])
@pytest.mark.parametrize("point", ["chunk.before_write=transient@3+", REPEATS])
def test_nothing_of_a_deleted_load_stays(engine: Engine, point: str, mode: str) -> None:
    """Some chunks are staged, or all of them and the last step has begun."""
    options: dict[str, Any] = {"mode": mode}
    if mode == "create":
        options["types"] = {"id": "INTEGER", "price": "INTEGER"}
    else:
        engine.sql(*TABLE)
    engine.start(GRANULA_FAIL=point)
    job_id = begin(engine, **options)
    engine.wait_until(lambda: stages(engine), 30, "rows to be staged")
    delete(engine, job_id)
    engine.wait_until(lambda: files(engine) == 0, 30, "the file to go")
    engine.run_until_idle(30)
    assert stages(engine) == records(engine) == []
    if mode == "create":
        with engine.api() as api:
            assert api.client.get("/api/v1/tables/prices").status_code == 404
    else:
        assert prices(engine) == BEFORE


@POSTGRESQL
def test_nothing_of_a_deleted_load_stays_on_a_named_connection(remote: Remote) -> None:
    remote.engine.start(GRANULA_FAIL=REPEATS)
    job_id = remote.begin()
    with remote.engine.api() as api:
        api.wait_until(lambda: len(api.rejects(job_id)) == len(REPEATED), 30, "all to be settled")
    delete(remote.engine, job_id)
    remote.engine.wait_until(lambda: files(remote.engine) == 0, 30, "the file to go")
    remote.engine.run_until_idle(30)
    assert remote.prices() == BEFORE
    assert remote.tables("granula_") == ["granula_ledger"]
    assert remote.entries() == []


@POSTGRESQL
def test_a_load_that_is_committed_stays_in_its_table(remote: Remote) -> None:
    """Its process has died before it could say so, and nobody has looked since."""
    remote.engine.start(GRANULA_FAIL="load.committed=kill")
    job_id = remote.begin()
    remote.engine.wait_for_death()
    remote.engine.start(GRANULA_FAIL="job.before_finish=transient@1+")
    delete(remote.engine, job_id)
    remote.engine.wait_until(lambda: files(remote.engine) == 0, 30, "the file to go")
    assert remote.prices() == AFTER
    assert remote.tables("granula_") == ["granula_ledger"]
    assert remote.entries() == []


@POSTGRESQL
def test_a_process_that_stopped_cannot_commit_a_deleted_load(remote: Remote) -> None:
    """It stopped after it had written all rows, and goes on after its file was deleted."""
    remote.engine.start(GRANULA_FAIL=REPEATS)
    job_id = remote.begin()
    with remote.engine.api() as api:
        api.wait_until(lambda: len(api.rejects(job_id)) == len(REPEATED), 30, "all to be settled")
    (stage,) = remote.tables("granula_load_")

    async def stopped() -> Any:
        connection = await asyncpg.connect(remote.url.replace("+asyncpg", ""))
        await connection.execute("BEGIN")
        await connection.execute(
            f"INSERT INTO prices SELECT granula_row + 1000, 1 FROM {stage}",
        )
        return connection

    async def commit(connection: Any) -> str:
        """Write the entry of the ledger, as the last step does, and commit."""
        try:
            await connection.execute(
                "INSERT INTO granula_ledger (job_id, entry, first_row, last_row, answer,"
                " installation) VALUES ($1, 'loaded', 0, 0, '{}', $1)",
                job_id,
            )
            await connection.execute("COMMIT")
        except asyncpg.UniqueViolationError:
            return "refused"
        finally:
            await connection.close()
        return "committed"

    connection = remote.engine.run(stopped())
    delete(remote.engine, job_id)
    tried = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted"
    remote.engine.wait_until(lambda: query(remote.url, tried) != [(0,)], 30, "somebody to drop")
    remote.engine.wait_until(lambda: query(remote.url, tried) == [(0,)], 30, "it to give up")
    assert remote.entries().count("loaded") == 1
    assert remote.engine.run(commit(connection)) == "refused"
    remote.engine.wait_until(lambda: files(remote.engine) == 0, 60, "the file to go")
    assert remote.prices() == BEFORE
    assert remote.tables("granula_") == ["granula_ledger"]
    assert remote.entries() == []
