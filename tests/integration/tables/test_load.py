"""A file loaded into a table of the user, on both databases."""

from __future__ import annotations

from typing import Any

import pytest

from tests.corrections.tables import ended, patch
from tests.engine import Engine, EngineApi
from tests.integration.crash.test_load import stages

ORDERS = (
    "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT)",
    "INSERT INTO customers VALUES (1, 'Ada'), (2, 'Bo')",
    """
    CREATE TABLE orders (
        id INTEGER PRIMARY KEY,
        customer_id INTEGER NOT NULL REFERENCES customers (id),
        code TEXT UNIQUE,
        amount INTEGER CHECK (amount > 0)
    )
    """,
)


def load(api: EngineApi, data: str, **options: Any) -> dict[str, Any]:
    file_id = api.upload(data.encode())["file_id"]
    api.finished(file_id)
    body = {"type": "load", "file_id": file_id, "options": {"table": "orders"} | options}
    answer = api.client.post("/api/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    job_id = answer.json()["job_id"]
    api._engine.run_until_idle(60)
    return dict(api.client.get(f"/api/v1/status/{job_id}").json()) | {"job_id": job_id}


def orders(engine: Engine) -> list[tuple[Any, ...]]:
    return engine.sql("SELECT id, customer_id, code, amount FROM orders ORDER BY id")


def test_rows_are_appended(engine: Engine) -> None:
    engine.sql(*ORDERS)
    engine.start()
    with engine.api() as api:
        job = load(api, "id,customer_id,code,amount\n1,1,a,10\n2,2,,20\n")
        assert job["status"] == "completed", job
        assert orders(engine) == [(1, 1, "a", 10), (2, 2, None, 20)]
        page = api.client.get(f"/api/v1/results/{job['job_id']}").json()
        assert (page["total"], page["items"], page["next_after"]) == (0, [], None)
        answer = api.client.get(f"/api/v1/results/{job['job_id']}/download")
        assert answer.text.splitlines() == ["id,customer_id,code,amount"]


DIRTY = """id,customer_id,code,amount
1,1,a,10
2,9,b,20
3,1,a,30
4,1,d,0
1,2,e,40
x,2,f,50
7,2,g,60
8,,h,70
100,1,z,80
9,1,there,90
11,2,k,95
"""


def test_rows_that_the_table_refuses_are_rejects(engine: Engine) -> None:
    engine.sql(*ORDERS, "INSERT INTO orders VALUES (100, 1, 'there', 1)")
    engine.start()
    with engine.api() as api:
        job = load(api, DIRTY)
        assert job["status"] == "completed_with_errors", job
        rejects = api.client.get(f"/api/v1/rejects/{job['job_id']}").json()["items"]
        # the catalogue of SQLite does not say which columns a condition concerns
        of_check = None if engine.url.startswith("sqlite") else "amount"
        assert {reject["row_number"]: (reject["code"], reject["column"]) for reject in rejects} == {
            2: ("foreign_key", "customer_id"),
            3: ("not_unique", "code"),
            4: ("check_failed", of_check),
            5: ("not_unique", "id"),
            6: ("not_an_integer", "id"),
            8: ("null_not_allowed", "customer_id"),
            9: ("already_there", "id"),
            10: ("already_there", "code"),
        }
        assert orders(engine) == [
            (1, 1, "a", 10),
            (7, 2, "g", 60),
            (11, 2, "k", 95),
            (100, 1, "there", 1),
        ]
        assert job["summary"]["inserted"] == 3
        assert api.proof(job["job_id"])["closes"]


def test_a_table_is_created_with_the_load(engine: Engine) -> None:
    engine.start()
    types = {"id": "INTEGER", "name": "TEXT"}
    if not engine.url.startswith("sqlite"):
        types = {"id": "bigint", "name": "text"}
    with engine.api() as api:
        data = "id,name\n1,a\n2,b\n2,c\n"
        job = load(api, data, table="made", mode="create", types=types, key=["id"])
        assert job["status"] == "completed_with_errors", job
        assert engine.sql("SELECT id, name FROM made ORDER BY id") == [(1, "a"), (2, "b")]
        (reject,) = api.rejects(job["job_id"])
        assert (reject["row_number"], reject["code"]) == (3, "not_unique")


def test_columns_are_added_with_the_load(engine: Engine) -> None:
    engine.sql(*ORDERS)
    engine.start()
    with engine.api() as api:
        data = "id,customer_id,note\n1,1,a\n2,7,b\n"
        job = load(api, data, on_schema_change="add_columns")
        assert job["status"] == "completed_with_errors", job
        assert engine.sql("SELECT id, note FROM orders") == [(1, "a")]


def test_a_changed_definition_is_reported_and_nothing_is_loaded(engine: Engine) -> None:
    engine.sql(*ORDERS)
    engine.start(GRANULA_FAIL="load.staged=transient")
    with engine.api() as api:
        file_id = api.upload(b"id,customer_id\n1,1\n")["file_id"]
        api.finished(file_id)
        body = {"type": "load", "file_id": file_id, "options": {"table": "orders"}}
        job_id = api.client.post("/api/v1/jobs", json=body).json()["job_id"]
        engine.change("ALTER TABLE orders ADD COLUMN more INTEGER")
        job = api.finished(job_id)
        assert (job["status"], job["error"]["code"]) == ("failed", "table_changed")
        assert orders(engine) == []
        assert not stages(engine)


@pytest.mark.parametrize("table", ["jobs", "alembic_version", "granula_load_x", "nowhere"])
def test_tables_of_the_service_are_refused(engine: Engine, table: str) -> None:
    engine.start()
    with engine.api() as api:
        file_id = api.upload(b"id\n1\n")["file_id"]
        body = {"type": "load", "file_id": file_id, "options": {"table": table}}
        answer = api.client.post("/api/v1/jobs", json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_table")


def corrected(api: EngineApi, job_id: str, *rows: dict[str, Any]) -> dict[str, Any]:
    return ended(api, patch(api, job_id, *rows))


def test_corrected_rows_go_into_the_table(engine: Engine) -> None:
    """A row that is refused again is a reject again, and can be corrected again."""
    engine.sql(*ORDERS)
    engine.start()
    with engine.api() as api:
        job = load(api, "id,customer_id,code,amount\n1,1,a,10\n1,1,b,20\n3,9,c,30\n4,1,d,0\n")
        assert orders(engine) == [(1, 1, "a", 10)]
        rows = [
            {"_row": 2, "values": {"id": "2"}},
            {"_row": 3, "values": {"customer_id": "2"}},
            {"_row": 4, "values": {"amount": "-1"}},
        ]
        correction = corrected(api, job["job_id"], *rows)
        assert correction["status"] == "completed_with_errors", correction
        assert orders(engine) == [(1, 1, "a", 10), (2, 1, "b", 20), (3, 2, "c", 30)]
        (reject,) = api.rejects(job["job_id"])
        assert (reject["row_number"], reject["code"]) == (4, "check_failed")

        assert corrected(api, job["job_id"], {"_row": 4, "values": {"amount": "5"}})
        assert orders(engine)[-1] == (4, 1, "d", 5)
        assert api.rejects(job["job_id"]) == []
        status = api.status(job["job_id"])
        assert (status["summary"]["rows"], status["summary"]["inserted"]) == (4, 4)
        for identifier in (job["job_id"], correction["job_id"]):
            proof = api.proof(identifier)
            assert proof["closes"], proof["problems"]
        assert not stages(engine)


def test_rows_may_reference_earlier_and_later_rows_of_the_file(engine: Engine) -> None:
    """A row that references a rejected row is rejected too."""
    engine.sql(
        "CREATE TABLE nodes (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES nodes (id))",
        "INSERT INTO nodes VALUES (0, NULL)",
    )
    engine.start()
    with engine.api() as api:
        job = load(api, "id,parent\n1,2\n2,0\n3,9\n4,3\n5,4\n6,5\n7,1\n", table="nodes")
        assert engine.sql("SELECT id FROM nodes ORDER BY id") == [(0,), (1,), (2,), (7,)]
        rejects = api.rejects(job["job_id"])
        assert {reject["row_number"]: reject["code"] for reject in rejects} == dict.fromkeys(
            (3, 4, 5, 6), "foreign_key"
        )


@pytest.mark.parametrize("data", ["id,name\n1,Ada\n", "id,name\n3,Cy\n3,Di\n"])
def test_referenced_rows_are_not_replaced(engine: Engine, data: str) -> None:
    engine.sql(*ORDERS, "INSERT INTO orders VALUES (7, 2, 'x', 1)")
    engine.start()
    with engine.api() as api:
        job = load(api, data, table="customers", mode="replace")
        assert (job["status"], job["error"]["code"]) == ("failed", "load_refused")
        assert "Cannot delete rows" in job["error"]["message"]
        assert engine.sql("SELECT id FROM customers ORDER BY id") == [(1,), (2,)]
        assert not stages(engine)
