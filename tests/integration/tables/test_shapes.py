"""Tables of every shape: unusual names, every type, no key, partitions; each is loaded, or refused
with a clear error and left unchanged.
"""

from __future__ import annotations

import json
from typing import Any

import asyncpg
import pytest

from tests.engine import Engine, EngineApi
from tests.integration.crash.test_load import stages
from tests.integration.tables.test_load import load
from tests.remote import Remote

ODD = 'Odd "Table" of 100%, $1 :x'
ODD_COLUMN = 'a "b", :c; %s $1 ?'


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


on_postgresql = pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
"""Features of PostgreSQL alone: types, partitions, locks of tables and limits."""


@pytest.mark.parametrize("mode", ["append", "upsert", "replace", "mirror"])
def test_names_are_quoted(engine: Engine, mode: str) -> None:
    table, column = quoted(ODD), quoted(ODD_COLUMN)
    engine.sql(f'CREATE TABLE {table} ("Id" INTEGER PRIMARY KEY, {column} TEXT, "select" INTEGER)')
    engine.start()
    with engine.api() as api:
        limit = {"max_delete": "1"} if mode == "mirror" else {}
        data = f"Id,{quoted(ODD_COLUMN)},select\n1,x,2\n1,y,3\n2,z,4\n"
        if mode == "mirror":
            data = data.replace("1,y,3\n", "")
        job = load(api, data, table=table, mode=mode, **limit)
        assert job["status"].startswith("completed"), job
        assert engine.sql(f"SELECT * FROM {table} ORDER BY 1") == [(1, "x", 2), (2, "z", 4)]


TYPES = """
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN share AS NUMERIC(5, 2) CHECK (VALUE <= 100);
CREATE TABLE things (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code VARCHAR(5) NOT NULL UNIQUE,
    small SMALLINT, price NUMERIC(10, 2), ratio DOUBLE PRECISION, is_on BOOLEAN, day DATE,
    at TIMESTAMP, at_zone TIMESTAMPTZ, clock TIME, uid UUID, doc JSON, docb JSONB, raw BYTEA,
    mood MOOD, share SHARE, tags TEXT[], host INET, place POINT, span INT4RANGE,
    twice INTEGER GENERATED ALWAYS AS (small * 2) STORED,
    made TEXT DEFAULT 'here'
)
"""
THINGS = [
    {
        "code": "a", "small": 7, "price": "12.50", "ratio": 0.1, "is_on": True, "day": "2026-02-03",
        "at": "2026-02-03T04:05:06", "at_zone": "2026-02-03T04:05:06+02:00", "clock": "04:05:06",
        "uid": "6f1c2d9e-0000-4000-8000-000000000001", "doc": {"b": 1, "a": [1]},
        "docb": {"b": 1, "a": [1]}, "raw": "\\x00ff", "mood": "happy", "share": "99.99",
        "tags": ["x", 'y"z'], "host": "10.0.0.1", "place": "(1,2)", "span": "[1,5)",
    },
    {"code": "b", **dict.fromkeys(["small", "price", "ratio", "doc", "docb", "tags", "place"])},
]  # fmt: skip


def load_json(api: EngineApi, rows: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    header = ",".join(names)
    lines = []
    for row in rows:
        cells = [row.get(name) for name in names]
        texts = [
            "" if cell is None else cell if isinstance(cell, str) else json.dumps(cell)
            for cell in cells
        ]
        lines.append(",".join('"' + text.replace('"', '""') + '"' for text in texts))
    return load(api, "\n".join([header, *lines]) + "\n", **options)


@on_postgresql
def test_every_type_is_loaded_and_compared(engine: Engine) -> None:
    """Loading again changes nothing."""
    engine.sql(*TYPES.strip().split(";\n"))
    engine.start()
    with engine.api() as api:
        options = {"table": "things", "mode": "upsert", "key": ["code"]}
        job = load_json(api, THINGS, **options)
        assert job["status"] == "completed", (job, api.rejects(job["job_id"]))
        assert job["summary"]["inserted"] == 2
        row = engine.sql(
            "SELECT small, price::text, ratio, is_on, day::text, at::text,"
            " (at_zone AT TIME ZONE 'UTC')::text, clock::text, doc::text, docb::text, raw,"
            " mood::text, share::text, tags, host::text, place::text, span::text, twice, made"
            " FROM things WHERE code = 'a'"
        )
        assert row == [
            (
                7, "12.50", 0.1, True, "2026-02-03", "2026-02-03 04:05:06", "2026-02-03 02:05:06",
                "04:05:06", '{"b": 1, "a": [1]}', '{"a": [1], "b": 1}', b"\x00\xff", "happy",
                "99.99", ["x", 'y"z'], "10.0.0.1/32", "(1,2)", "[1,5)", 14, "here",
            )
        ]  # fmt: skip
        again = load_json(api, THINGS, **options)
        told = {name: again["summary"][name] for name in ("inserted", "updated", "unchanged")}
        assert told == {"inserted": 0, "updated": 0, "unchanged": 2}, again
        bad = [{**THINGS[0], "code": "c", "host": "nowhere"}, {**THINGS[0], "code": "d"}]
        job = load_json(api, bad, **options)
        (reject,) = api.rejects(job["job_id"])
        assert reject["row_number"] == 1
        assert engine.sql("SELECT count(*) FROM things") == [(3,)]


def test_a_table_without_a_key_is_appended_to_and_replaced(engine: Engine) -> None:
    engine.sql("CREATE TABLE notes (a INTEGER, b TEXT)", "INSERT INTO notes VALUES (0, 'old')")
    engine.start()
    with engine.api() as api:
        data = "a,b\n1,x\n1,x\n,\n"
        assert load(api, data, table="notes")["status"] == "completed"
        assert len(engine.sql("SELECT * FROM notes")) == 4
        job = load(api, data, table="notes", mode="replace")
        assert (job["summary"]["deleted"], job["summary"]["inserted"]) == (4, 3)
        assert sorted(engine.sql("SELECT coalesce(a, 0) FROM notes")) == [(0,), (1,), (1,)]
        body = {"type": "load", "file_id": job["file_id"], "options": {"table": "notes"}}
        body["options"] |= {"mode": "upsert"}
        answer = api.client.post("/api/v1/jobs", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "table_mismatch")


@on_postgresql
def test_rows_are_loaded_into_their_partitions(engine: Engine) -> None:
    """A row without a partition is a reject."""
    engine.sql(
        "CREATE TABLE sales (id INTEGER, year INTEGER, sum INTEGER, PRIMARY KEY (id, year))"
        " PARTITION BY RANGE (year)",
        "CREATE TABLE sales_1 PARTITION OF sales FOR VALUES FROM (2020) TO (2025)",
        "CREATE TABLE sales_2 PARTITION OF sales FOR VALUES FROM (2025) TO (2030)",
        "INSERT INTO sales VALUES (1, 2024, 5)",
    )
    engine.start()
    with engine.api() as api:
        data = "id,year,sum\n1,2024,6\n2,2026,7\n3,1999,8\n2,2026,9\n"
        job = load(api, data, table="sales", mode="upsert")
        assert job["status"] == "completed_with_errors", job
        assert [reject["row_number"] for reject in api.rejects(job["job_id"])] == [3, 4]
        assert engine.sql("SELECT * FROM sales ORDER BY 1") == [(1, 2024, 6), (2, 2026, 7)]


def waiting(api: EngineApi, job_id: str) -> dict[str, Any] | None:
    status = api.status(job_id)
    return status if status["waiting_on"] else None


@on_postgresql
def test_a_row_that_others_hold_is_named_by_its_table(remote: Remote) -> None:
    """The last step is on a named connection."""
    remote.engine.start()

    async def locked() -> Any:
        connection = await asyncpg.connect(remote.url.replace("+asyncpg", ""))
        await connection.execute("BEGIN; UPDATE prices SET price = 8 WHERE id = 0")
        return connection

    connection = remote.engine.run(locked())
    session = connection.get_server_pid()
    job_id = remote.begin(b"id,price\n0,9\n", mode="upsert")
    with remote.engine.api() as api:
        status = api.wait_until(lambda: waiting(api, job_id), 30, "it to say what it waits for")
        assert status["waiting_on"].endswith(f"public.prices, locked by session {session}")
        remote.engine.run(connection.execute("ROLLBACK"))
        remote.engine.run(connection.close())
        assert api.finished(job_id)["waiting_on"] is None
    assert remote.prices() == [(0, 9)]


@on_postgresql
def test_a_locked_table_is_waited_for(engine: Engine) -> None:
    engine.sql("CREATE TABLE prices (id INTEGER PRIMARY KEY)")
    engine.start()

    async def locked() -> Any:
        connection = await asyncpg.connect(engine.url.replace("+asyncpg", ""))
        await connection.execute("BEGIN; LOCK TABLE prices IN ACCESS EXCLUSIVE MODE")
        return connection

    def somebody_waits() -> bool:
        query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'RowExclusiveLock'"
        return engine.sql(query) != [(0,)]

    with engine.api() as api:
        file_id = api.upload(b"id\n1\n")["file_id"]
        api.finished(file_id)
        connection = engine.run(locked())
        session = connection.get_server_pid()
        body = {"type": "load", "file_id": file_id, "options": {"table": "prices"}}
        job_id = api.client.post("/api/v1/jobs", json=body).json()["job_id"]
        api.wait_until(somebody_waits, 30, "the load to wait")
        api.wait_until(lambda: not somebody_waits(), 30, "it to let others go first")
        status = api.wait_until(lambda: waiting(api, job_id), 30, "it to say what it waits for")
        assert status["status"] == "processing"
        assert status["waiting_on"] == f"public.prices, locked by session {session}"
        since = status["waiting_since"]
        assert status["created_at"] < since
        api.wait_until(somebody_waits, 30, "the next attempt")
        api.wait_until(lambda: not somebody_waits(), 30, "it to end")
        (listed,) = [
            job for job in api.client.get("/api/v1/jobs").json()["items"] if job["job_id"] == job_id
        ]
        stage = api.client.get(f"/api/v1/jobs/{job_id}/status").json()
        assert (listed["waiting_since"], stage["waiting_since"]) == (since, since)
        assert listed["waiting_on"] == stage["waiting_on"] == status["waiting_on"]
        engine.run(connection.execute("COMMIT"))
        engine.run(connection.close())
        done = api.finished(job_id)
        assert done["status"] == "completed"
        assert done["waiting_on"] is done["waiting_since"] is None
        assert engine.sql("SELECT id FROM prices") == [(1,)]
        assert not stages(engine)


@on_postgresql
def test_a_table_with_the_maximum_number_of_columns_is_refused(engine: Engine) -> None:
    """PostgreSQL has 1,600 columns at most; one less is loaded."""
    names = [f"c{i}" for i in range(1600)]
    for count in (1600, 1599):
        columns = ", ".join(f"{name} SMALLINT" for name in names[:count])
        engine.sql(f"CREATE TABLE wide_{count} ({columns})")
    engine.start()
    with engine.api() as api:
        for count in (1600, 1599):
            data = ",".join(names[:count]) + "\n" + ",".join(["7"] * count) + "\n"
            job = load(api, data, table=f"wide_{count}")
            rows = engine.sql(f"SELECT c0, c{count - 1} FROM wide_{count}")
            if count == 1599:
                assert (job["status"], rows) == ("completed", [(7, 7)])
            else:
                assert (job["status"], rows) == ("failed", [])
                assert job["error"]["code"] == "load_refused"
                assert "1600 columns" in job["error"]["message"]
