"""What a role may not do, and what is no table: each ends in a clear error, and leaves the table
unchanged. Sessions of these databases act as a role that is neither an owner nor a superuser.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from tests.engine import Engine, EngineApi
from tests.integration.crash.test_load import records, stages
from tests.integration.tables.test_load import load

pytestmark = pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
DATA = "id,name\n1,a\n2,b\n3,c\n"


def as_superuser(engine: Engine, script: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(engine.url.replace("+asyncpg", ""))
        await connection.execute(f"SET ROLE NONE; {script}")
        await connection.close()

    asyncio.run(run())


@pytest.fixture
def role(engine: Engine) -> Iterator[str]:
    """Role that the sessions of the service act as. Tables that are made later are not its own."""
    name = f"loader_{uuid4().hex[:12]}"
    as_superuser(
        engine,
        f"""
        CREATE ROLE {name};
        GRANT ALL ON SCHEMA public TO {name};
        GRANT ALL ON ALL TABLES IN SCHEMA public TO {name};
        GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {name};
        DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET role = {name}', current_database()); END $$;
        """,
    )
    yield name
    as_superuser(
        engine,
        f"""
        DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET role', current_database()); END $$;
        REASSIGN OWNED BY {name} TO CURRENT_USER; DROP OWNED BY {name}; DROP ROLE {name}
        """,
    )


def names(engine: Engine, table: str = "people") -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []

    async def run() -> None:
        connection = await asyncpg.connect(engine.url.replace("+asyncpg", ""))
        await connection.execute("SET ROLE NONE")
        rows.extend(map(tuple, await connection.fetch(f"SELECT id, name FROM {table} ORDER BY id")))
        await connection.close()

    asyncio.run(run())
    return rows


def refused(api: EngineApi, **options: Any) -> dict[str, Any]:
    """Return the answer to a load that is refused before it begins."""
    file_id = api.upload(DATA.encode())["file_id"]
    api.finished(file_id)
    body = {"type": "load", "file_id": file_id, "options": {"table": "people", **options}}
    answer = api.client.post("/api/v1/jobs", json=body)
    assert answer.is_client_error, answer.text
    return dict(answer.json())


def test_without_rights_nothing_begins(engine: Engine, role: str) -> None:
    as_superuser(
        engine,
        f"CREATE TABLE people (id INT PRIMARY KEY, name TEXT); GRANT SELECT ON people TO {role}",
    )
    engine.start()
    with engine.api() as api:
        answer = refused(api)
        assert answer["code"] == "table_mismatch"
        assert "may not insert into the column 'id'" in answer["detail"]
        assert refused(api, mode="replace")["code"] == "table_unusable"
        assert names(engine) == []


def test_a_right_that_is_revoked_meanwhile_ends_the_load(engine: Engine, role: str) -> None:
    as_superuser(
        engine,
        "CREATE TABLE people (id INT PRIMARY KEY, name TEXT);"
        f" GRANT SELECT, INSERT ON people TO {role}",
    )
    engine.start(GRANULA_FAIL="load.staged=transient")
    with engine.api() as api:
        file_id = api.upload(DATA.encode())["file_id"]
        api.finished(file_id)
        body = {"type": "load", "file_id": file_id, "options": {"table": "people"}}
        job_id = api.client.post("/api/v1/jobs", json=body).json()["job_id"]
        as_superuser(engine, f"REVOKE INSERT ON people FROM {role}")
        job = api.finished(job_id)
        assert (job["status"], job["error"]["code"]) == ("failed", "load_refused")
        assert "permission denied" in job["error"]["message"]
        assert names(engine) == []
        assert not stages(engine)


@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_rows_that_a_policy_refuses_are_rejects(engine: Engine, role: str, mode: str) -> None:
    as_superuser(
        engine,
        f"""
        CREATE TABLE people (id INT PRIMARY KEY, name TEXT);
        INSERT INTO people VALUES (1, 'seen'), (9, 'hidden');
        ALTER TABLE people ENABLE ROW LEVEL SECURITY;
        CREATE POLICY seen ON people USING (id < 9) WITH CHECK (id < 9 AND name <> 'b');
        GRANT SELECT, INSERT, UPDATE ON people TO {role}
        """,
    )
    engine.start()
    with engine.api() as api:
        job = load(api, DATA + "9,d\n", table="people", mode=mode)
        assert job["status"] == "completed_with_errors", job
        rejects = {each["row_number"]: each["code"] for each in api.rejects(job["job_id"])}
        first = {1: "already_there"} if mode == "append" else {}
        assert rejects.keys() == {*first, 2, 4}
        assert rejects[2] == "refused"
        of_first = "seen" if mode == "append" else "a"
        assert names(engine) == [(1, of_first), (3, "c"), (9, "hidden")]


def test_a_view_is_no_table(engine: Engine) -> None:
    engine.sql("CREATE TABLE t (id INT, name TEXT)", "CREATE VIEW people AS SELECT * FROM t")
    engine.start()
    with engine.api() as api:
        answer = refused(api)
        assert (answer["code"], answer["detail"]) == (
            "table_unusable",
            "public.people is a view; only tables can be loaded.",
        )


def test_the_search_path_decides_nothing(engine: Engine) -> None:
    """Sessions find another table of the same name first, and not the types of the loaded one."""
    engine.sql(
        "CREATE SCHEMA shop",
        "CREATE SCHEMA decoy",
        "CREATE TYPE shop.mood AS ENUM ('good', 'bad')",
        "CREATE DOMAIN shop.short AS TEXT CHECK (length(VALUE) < 3)",
        "CREATE TABLE shop.people (id INT PRIMARY KEY, name shop.short, mood shop.mood)",
        "CREATE TABLE decoy.people (id INT PRIMARY KEY, name TEXT, mood TEXT)",
        "INSERT INTO shop.people VALUES (1, 'x', 'good')",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, decoy',"
        " current_database()); END $$",
    )
    engine.start()
    with engine.api() as api:
        data = "id,name,mood\n1,a,bad\n2,b,good\n3,long,bad\n4,d,sad\n"
        for mode in ("upsert", "replace"):
            job = load(api, data, table="shop.people", mode=mode)
            assert job["status"] == "completed_with_errors", job
            rejects = {each["row_number"]: each["code"] for each in api.rejects(job["job_id"])}
            assert rejects == {3: "check_failed", 4: "not_in_enum"}
            assert names(engine, "shop.people") == [(1, "a"), (2, "b")]
            assert api.proof(job["job_id"])["closes"]
        assert names(engine, "decoy.people") == []


def test_a_full_disk_is_waited_for(engine: Engine) -> None:
    """The database says that its disk is full, as a trigger says it here. No row is to blame."""
    engine.sql(
        "CREATE TABLE people (id INT PRIMARY KEY, name TEXT)",
        "CREATE TABLE disk (is_full BOOLEAN)",
        "CREATE SEQUENCE tries",
        "CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " PERFORM nextval('tries'); IF EXISTS (SELECT FROM disk) THEN"
        " RAISE EXCEPTION 'could not extend file: No space left on device'"
        " USING ERRCODE = 'disk_full'; END IF; RETURN NULL; END $$",
        "CREATE TRIGGER fill AFTER INSERT ON people EXECUTE FUNCTION fill()",
        "INSERT INTO disk VALUES (true)",
    )
    engine.start()
    with engine.api() as api:
        file_id = api.upload(DATA.encode())["file_id"]
        api.finished(file_id)
        body = {"type": "load", "file_id": file_id, "options": {"table": "people"}}
        job_id = api.client.post("/api/v1/jobs", json=body).json()["job_id"]

        def was_tried_again() -> bool:
            return engine.sql("SELECT last_value FROM tries") >= [(2,)]

        api.wait_until(was_tried_again, 30, "another attempt")
        assert api.status(job_id)["status"] == "processing"
        assert names(engine) == []
        engine.change("DELETE FROM disk")
        job = api.finished(job_id)
        assert job["status"] == "completed", job
        assert names(engine) == [(1, "a"), (2, "b"), (3, "c")]
        assert api.rejects(job_id) == []
        assert len(records(engine)) == 1


@pytest.mark.parametrize("record", [True, False])
def test_rights_to_some_columns_end_in_a_clear_error(
    engine: Engine, role: str, record: bool
) -> None:
    """The table is left unchanged, and no staging table or record stays."""
    as_superuser(
        engine,
        f"""
        CREATE TABLE people (id INT PRIMARY KEY, name TEXT, secret TEXT DEFAULT 'kept');
        INSERT INTO people VALUES (0, 'before');
        GRANT INSERT (id, name), SELECT (id) ON people TO {role};
        """,
    )
    engine.start()
    with engine.api() as api:
        job = load(api, DATA, table="people", record=record)
        assert (job["status"], job["error"]["code"]) == ("failed", "load_refused")
        assert job["error"]["message"] == "permission denied for table people"
        engine.wait_until(lambda: not stages(engine), 30, "the staging table to go")
        assert not records(engine)
    assert names(engine) == [(0, "before")]
