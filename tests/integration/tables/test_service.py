"""Tables and connections over the routes of the service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from app.config import load_settings
from app.errors import SettingsInvalid
from app.features.tables.requests import LoadOptions
from app.features.tables.service import Tables
from tests.conftest import Databases
from tests.engine import Engine
from tests.harness import query

TABLES = (
    "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL)",
    "INSERT INTO customers VALUES (1, 'Ada'), (2, 'Bo')",
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customers (id),"
    " amount NUMERIC DEFAULT 1 CHECK (amount > 0))",
    'CREATE TABLE "Odd.Name" (a TEXT)',
    "CREATE VIEW rich AS SELECT * FROM orders",
)
PASSWORD = "s3cret"


@pytest.fixture
def warehouse(databases: Databases, tmp_path: Path, postgresql_url: str) -> Iterator[Engine]:
    """With two named connections, of which the second does not respond."""
    connections = {
        "warehouse": postgresql_url.replace("+asyncpg", ""),
        "gone": f"postgresql://loader:{PASSWORD}@127.0.0.1:1/nothing",
    }
    storage = tmp_path / "storage"
    engine = Engine(databases.create(storage), storage, CONNECTIONS=json.dumps(connections))
    yield engine
    engine.end()


def test_tables_are_listed_without_those_of_the_service(engine: Engine) -> None:
    engine.sql(*TABLES)
    engine.start()
    schema = "main" if engine.url.startswith("sqlite") else "public"
    with engine.api() as api:
        body = api.client.get("/api/v1/tables").json()
        found = [(item["table"], item["kind"], item["schema"]) for item in body["items"]]
        assert sorted(found) == [
            ("Odd.Name", "table", schema),
            ("customers", "table", schema),
            ("orders", "table", schema),
            ("rich", "view", schema),
        ]
        [odd] = [item for item in body["items"] if item["table"] == "Odd.Name"]
        assert odd["name"] == f'{schema}."Odd.Name"'
        page = api.client.get("/api/v1/tables", params={"limit": 1, "offset": 1}).json()
        assert (page["items"], page["total"]) == ([body["items"][1]], 4)
        described = api.client.get(f"/api/v1/tables/{odd['name']}").json()
        assert [column["name"] for column in described["columns"]] == ["a"]


def test_a_table_is_described_with_its_rows_and_keys(engine: Engine) -> None:
    engine.sql(*TABLES)
    engine.start()
    is_sqlite = engine.url.startswith("sqlite")
    with engine.api() as api:
        orders = api.client.get("/api/v1/tables/orders").json()
        assert [(column["name"], column["nullable"]) for column in orders["columns"]] == [
            ("id", False),
            ("customer", True),
            ("amount", True),
        ]
        assert orders["primary_key"] == ["id"]
        [key] = [
            constraint
            for constraint in orders["constraints"]
            if constraint["kind"] == "foreign_key"
        ]
        assert key["references"] == ("main" if is_sqlite else "public") + ".customers"
        assert (key["columns"], key["referenced_columns"]) == (["customer"], ["id"])
        assert (orders["rows"], orders["rows_are_exact"], orders["loads"]) == (0, True, [])
        assert api.client.get("/api/v1/tables/customers").json()["rows"] == 2
        assert api.client.get("/api/v1/tables/rich").json()["rows"] is None


@pytest.mark.parametrize(
    "name", ["nowhere", "jobs", "alembic_version", "a.b.c", "granula_loads", "%00"]
)
def test_a_missing_or_foreign_table_is_unknown(engine: Engine, name: str) -> None:
    engine.start()
    with engine.api() as api:
        answer = api.client.get(f"/api/v1/tables/{name}")
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_table")


def test_a_name_in_another_case_is_suggested(engine: Engine) -> None:
    engine.sql(*TABLES)
    engine.start()
    if engine.url.startswith("sqlite"):
        return  # where case makes no difference
    with engine.api() as api:
        answer = api.client.get("/api/v1/tables/Orders").json()
        assert answer["detail"] == "There is no table 'public.Orders'. There is 'public.orders'."


def test_connections_are_named_without_their_passwords(
    warehouse: Engine, postgresql_url: str
) -> None:
    query(
        postgresql_url, "CREATE SCHEMA sales", "CREATE TABLE sales.prices (sku text, price numeric)"
    )
    warehouse.start()
    with warehouse.api() as api:
        answer = api.client.get("/api/v1/connections")
        assert PASSWORD not in answer.text
        own, reached, gone = answer.json()["items"]
        assert (own["name"], own["reachable"]) == ("", True)
        assert (reached["name"], reached["reachable"]) == ("warehouse", True)
        assert gone["address"] == "127.0.0.1:1/nothing"
        assert (gone["name"], gone["reachable"]) == ("gone", False)
        assert (gone["host"], gone["database"]) == ("127.0.0.1", "nothing")
        assert (gone["problem"], reached["problem"]) == ("Nothing answers at its address.", None)
        there = {"connection": "warehouse", "schema": "sales"}
        assert [
            item["name"] for item in api.client.get("/api/v1/tables", params=there).json()["items"]
        ] == ["sales.prices"]
        prices = api.client.get(
            "/api/v1/tables/sales.prices", params={"connection": "warehouse"}
        ).json()
        assert (prices["connection"], prices["rows"]) == ("warehouse", 0)
        unreachable = api.client.get("/api/v1/tables", params={"connection": "gone"})
        assert (unreachable.status_code, PASSWORD in unreachable.text) == (503, False)
        unknown = api.client.get("/api/v1/tables", params={"connection": "nowhere"})
        assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_connection")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('{"a": "mysql://u:s3cret@h/db"}', "must begin with postgresql://"),
        ('{"a": "sqlite+aiosqlite:///s3cret.db"}', "must begin with postgresql://"),
        ('{"Not A Name": "postgresql://u:s3cret@h/db"}', "should match pattern"),
        ("{s3cret", "must be a JSON object"),
        ('["s3cret"]', "valid dictionary"),
        ("/nowhere/s3cret.json", "a file that cannot be read"),
    ],
)
def test_invalid_connections_are_reported_without_their_values(written: str, said: str) -> None:
    with pytest.raises(SettingsInvalid, match=said) as raised:
        load_settings(connections=written)
    assert "s3cret" not in str(raised.value)


def test_connections_may_be_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "connections.json"
    path.write_text(json.dumps({"warehouse": f"postgresql://u:{PASSWORD}@h/d"}))
    settings = load_settings(connections=str(path))
    assert list(settings.connections) == ["warehouse"]
    assert PASSWORD not in repr(settings)


def test_a_new_table_needs_an_analysis_of_the_same_bytes(engine: Engine) -> None:
    engine.start()
    with engine.api() as api:
        file_id = api.upload(b"id,price,day\n1,1.50,31/12/2026\n2,20.00,01/02/2026\n")["file_id"]
        api.finished(file_id)
        tables = engine.services.of(Tables)
        file_jobs = engine.services.file_jobs
        options = LoadOptions(table="prices", mode="create", key=["id"])

        async def created() -> Any:
            plan = await tables.planned("local", options)
            return await plan(await file_jobs.file("local", UUID(file_id)))

        with pytest.raises(Exception, match="not analysed yet"):
            engine.run(created())
        response = api.client.post("/api/v1/jobs/analyze", json={"file_id": file_id})
        api.finished(response.json()["job_id"])
        plan = engine.run(created())
        if engine.url.startswith("sqlite"):
            assert plan.statements[0].endswith(") STRICT")
            assert [column.type for column in plan.columns] == ["INTEGER", "TEXT", "TEXT"]
        else:
            assert [column.type for column in plan.columns] == ["bigint", "numeric", "date"]
            assert plan.columns[2].cast.format == "%d/%m/%Y"
        engine.sql(*plan.statements)
        described = api.client.get("/api/v1/tables/prices").json()
        assert described["primary_key"] == ["id"]
        assert [column["type"] for column in described["columns"]] == [
            column.type for column in plan.columns
        ]
        with pytest.raises(Exception, match="already"):
            engine.run(created())
