"""A dry run reports what a load would do with the existing rows, and changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine import Engine
from tests.integration.crash.test_load import stages
from tests.integration.tables.test_load import load

COUNTS = ("inserted", "updated", "unchanged", "skipped", "deleted")
DATA = "id,name,price\n1,a,10\n2,b,21\n3,B,30\n9,new,90\n9,again,91\nx,y,1\n"
THERE = [(1, "a", 10), (2, "b", 20), (3, "c", 30), (4, "d", 40)]


def prices(engine: Engine) -> list[tuple[Any, ...]]:
    return engine.sql("SELECT id, name, price FROM prices ORDER BY id")


@pytest.mark.parametrize("mode", ["upsert", "insert_new", "replace", "update"])
def test_a_dry_run_counts_the_rows_of_the_later_load(engine: Engine, mode: str) -> None:
    engine.sql(
        "CREATE TABLE prices (id INTEGER PRIMARY KEY, name TEXT, price INTEGER)",
        *(f"INSERT INTO prices VALUES ({i}, '{name}', {price})" for i, name, price in THERE),
    )
    engine.start()
    with engine.api() as api:
        dry = load(api, DATA, table="prices", mode=mode, dry_run=True)
        assert dry["status"] == "completed_with_errors", dry
        assert dry["summary"]["dry_run"] is True
        assert prices(engine) == THERE
        assert not stages(engine)
        told = api.client.get(f"/api/v1/jobs/{dry['job_id']}/result").json()["result"]
        rejects = api.rejects(dry["job_id"])

        real = load(api, DATA, table="prices", mode=mode)
        listed = api.client.get("/api/v1/jobs").json()["items"]
        is_trial = {item["job_id"]: item["is_trial"] for item in listed}
        assert (is_trial[dry["job_id"]], is_trial[real["job_id"]]) == (True, False)
        assert {name: told[name] for name in COUNTS} == {
            name: real["summary"][name] for name in COUNTS
        }
        names = ("row_number", "code", "column", "message")
        assert [[reject[name] for name in names] for reject in api.rejects(real["job_id"])] == [
            [reject[name] for name in names] for reject in rejects
        ]
    new = {"row_number": 4, "data": {"id": "9", "name": "new", "price": "90"}}
    if mode in ("upsert", "insert_new"):
        assert told["samples"]["inserted"] == [new]
    if mode in ("upsert", "update"):
        assert told["updated_columns"] == {"name": 1, "price": 1}
        assert told["samples"]["updated"] == [
            {
                "row_number": 2,
                "data": {"id": "2", "name": "b", "price": "21"},
                "before": {"price": "20"},
            },
            {
                "row_number": 3,
                "data": {"id": "3", "name": "B", "price": "30"},
                "before": {"name": "c"},
            },
        ]
    if mode == "replace":
        assert len(told["samples"]["deleted"]) == 4
        assert len(told["samples"]["inserted"]) == 4


def test_a_dry_run_does_not_create_the_table(engine: Engine) -> None:
    engine.start()
    types = {"id": "INTEGER"} if engine.url.startswith("sqlite") else {"id": "bigint"}
    with engine.api() as api:
        job = load(api, "id\n1\n", table="made", mode="create", types=types, dry_run=True)
        told = api.client.get(f"/api/v1/jobs/{job['job_id']}/result").json()["result"]
        assert told["inserted"] == 1
        (statement,) = told["statements"]
        assert statement.startswith("CREATE TABLE")
        answer = api.client.get("/api/v1/tables/made")
        assert answer.status_code == 404
        engine.change(statement)
        assert engine.sql("SELECT * FROM made") == []
