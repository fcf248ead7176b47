"""Columns that steps of a transform make: named in the options, or by an accepted mapping."""

from __future__ import annotations

import json
from typing import Any

from tests.corrections.tables import ended, patch
from tests.engine import Engine, EngineApi
from tests.integration.tables.test_history import history
from tests.integration.tables.test_load import load
from tests.integration.tables.test_modes import TABLE

FILE = 'No.,First,Last,Preis\n1,Ada,L,1.000\n2,"  Bo ",M,20\n3,Cy,N,dear\n4,Di,O,3.000.000.000\n'
COLUMNS: dict[str, Any] = {
    "id": "No.",
    "name": {"from": ["First", "Last"], "steps": [{"operation": "join"}, {"operation": "trim"}]},
    "price": {
        "from": "Preis",
        "steps": [{"operation": "cast", "to": "number", "decimal": ",", "thousands": "."}],
    },
}
LOADED = [(1, "Ada L", 1000), (2, "Bo  M", 20)]


def template(api: EngineApi, columns: list[dict[str, Any]]) -> str:
    answer = api.client.post("/api/v1/templates", json={"name": "prices", "columns": columns})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["template_id"])


def prices(engine: Engine) -> list[tuple[Any, ...]]:
    return engine.sql("SELECT id, name, price FROM prices ORDER BY id")


def test_steps_make_columns_and_their_refusals_are_rejects(engine: Engine) -> None:
    """A value that a step makes is cast by the type of the table, as one that is read."""
    type_ = "CHECK (price < 2147483648)" if engine.url.startswith("sqlite") else ""
    engine.sql(TABLE.replace("price INTEGER", f"price INTEGER {type_}"))
    engine.start()
    with engine.api() as api:
        dry = load(api, FILE, table="prices", columns=COLUMNS, dry_run=True)
        result = api.client.get(f"/api/v1/jobs/{dry['job_id']}/result").json()["result"]
        sources = {column["column"]: column["from"] for column in result["columns"]}
        assert sources == {"id": "No.", "name": "First, Last", "price": "Preis"}
        assert result["columns"][2]["made"] == COLUMNS["price"]
        assert result["columns"][0]["made"] is None
        assert result["inserted"] == 2

        job = load(api, FILE, table="prices", columns=COLUMNS)
        assert job["status"] == "completed_with_errors", job
        assert prices(engine) == LOADED
        rejects = {reject["row_number"]: reject for reject in api.rejects(job["job_id"])}
        assert rejects.keys() == {3, 4}
        assert rejects[3]["code"] == "not_a_number"
        assert (rejects[3]["column"], rejects[3]["value"]) == ("price", "dear")
        is_sqlite = engine.url.startswith("sqlite")
        assert rejects[4]["code"] == ("check_failed" if is_sqlite else "out_of_range")

        (event,) = history(api, "1")["history"]
        assert event["steps"] == {name: COLUMNS[name] for name in ("name", "price")}
        assert event["values"] == {"id": "1", "name": "Ada L", "price": "1000"}

        fixed = ended(api, patch(api, job["job_id"], {"_row": 3, "values": {"Preis": "5.000"}}))
        assert fixed["status"] == "completed", fixed
        assert prices(engine)[2:] == [(3, "Cy N", 5000)]
        assert api.proof(job["job_id"])["closes"]

        answer = api.client.post(f"/api/v1/undo/{job['job_id']}")
        assert answer.is_success, answer.text
        api._engine.run_until_idle(60)
        assert prices(engine) == []


def test_an_upload_is_loaded_by_a_template(engine: Engine) -> None:
    """A column without a source takes its default."""
    engine.sql(TABLE.replace("name TEXT", "name TEXT DEFAULT 'none'"))
    engine.start()
    with engine.api() as api:
        template_id = template(
            api,
            [
                {"reference_column": "id", "input_columns": ["No."]},
                {"reference_column": "name"},
                {
                    "reference_column": "price",
                    "input_columns": ["Preis"],
                    "conversion": COLUMNS["price"]["steps"],
                },
            ],
        )
        params = {"table": "prices", "mode": "upsert", "template_id": template_id}
        job_id = api.upload(FILE.encode(), **params)["job_id"]
        status = api.finished(job_id)
        assert status["counts"]["rejected"] == (1 if engine.url.startswith("sqlite") else 2), (
            api.rejects(job_id)
        )
        assert prices(engine)[:2] == [(1, "none", 1000), (2, "none", 20)]


def test_json_and_constants_and_expressions(engine: Engine) -> None:
    engine.sql(TABLE)
    engine.start()
    rows = [{"n": 1, "tags": ["x"], "at": {"c": "7"}}, {"n": 2, "tags": None}]
    columns = {
        "id": {"expression": "integer(n) * 10"},
        "name": {"from": "tags", "steps": [{"operation": "default", "value": "none"}]},
        "price": {"constant": 5},
    }
    with engine.api() as api:
        data = "".join(json.dumps(row) + "\n" for row in rows)
        job = load(api, data, table="prices", columns=columns)
        assert job["status"] == "completed", (job, api.rejects(job["job_id"]))
        assert prices(engine) == [(10, '["x"]', 5), (20, "none", 5)]


def test_a_new_table_has_the_types_that_the_steps_make(engine: Engine) -> None:
    engine.start()
    day = {"operation": "parse_date", "format": "%d/%m/%Y"}
    money = {"operation": "cast", "to": "decimal", "scale": 2}
    columns = {
        "day": {"from": "day", "steps": [day]},
        "sum": {"from": "sum", "steps": [money]},
        "count": {"from": "n", "steps": [{"operation": "cast", "to": "integer"}]},
    }
    with engine.api() as api:
        data = "day,sum,n\n31/12/2026,1.5,7\n"
        job = load(api, data, table="made", mode="create", columns=columns)
        assert job["status"] == "completed", job
        described = api.client.get("/api/v1/tables/made").json()["columns"]
        types = {column["name"]: column["type"] for column in described}
        if engine.url.startswith("sqlite"):
            assert types == {"day": "TEXT", "sum": "TEXT", "count": "INTEGER"}
        else:
            assert types == {"day": "date", "sum": "numeric(38,2)", "count": "bigint"}
        day_text = "CAST(day AS text)"
        assert engine.sql(f"SELECT {day_text}, CAST(sum AS text), count FROM made") == [
            ("2026-12-31", "1.50", 7)
        ]


def test_mistakes_are_told_with_their_place(engine: Engine) -> None:
    engine.sql(TABLE)
    engine.start()
    with engine.api() as api:
        file_id = api.upload(FILE.encode())["file_id"]
        api.finished(file_id)

        def refused(**options: Any) -> tuple[str, str]:
            body = {"type": "load", "file_id": file_id, "options": {"table": "prices", **options}}
            answer = api.client.post("/api/v1/jobs", json=body)
            assert answer.is_client_error, answer.text
            return answer.json()["code"], answer.json()["detail"]

        steps = [{"operation": "round", "scale": 1}]
        code, detail = refused(columns={"id": "No.", "price": {"from": "Preis", "steps": steps}})
        assert (code, detail.partition(":")[0]) == (
            "invalid_transform",
            "options/columns/price/steps/0",
        )
        code, detail = refused(columns={"id": "No.", "price": {"from": "Price"}})
        assert (code, detail.partition(":")[0]) == (
            "invalid_transform",
            "options/columns/price/from",
        )
        code, detail = refused(columns={"price": {"from": "Preis", "steps": []}, "no": "No."})
        assert (code, detail.partition(".")[0]) == (
            "table_mismatch",
            "The table has no column 'no'",
        )
        template_id = template(api, [{"reference_column": "no", "input_columns": ["No."]}])
        assert refused(template_id=template_id)[0] == "table_mismatch"
        assert refused(template_id="00000000-0000-0000-0000-000000000001")[0] == "not_found"
        both = refused(template_id=template_id, columns={"id": "No."})
        assert both[0] == "invalid_parameter"
