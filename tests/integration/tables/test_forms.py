"""Numbers with a decimal comma or thousands marks, and dates of other countries: an analysis names
their form, and a load reads them by it. What is stored is compared with `Decimal` and `strptime`.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from tests.corrections.tables import ended, patch
from tests.engine import Engine, EngineApi

ROWS = [
    ("1", "1.234,50", "1.000.000", "31.12.2026", "1.234", "03/04/2026"),
    ("2", "-0,05", "12", "01.02.2026", "5.678", "05/06/2026"),
    ("3", "999.999.999.999.999,99", "999.999.999.999.999.999", "29.02.2024", "9.012", "07/08/2026"),
]
FILE = "id;price;stock;day;unsure;either\n" + "".join(";".join(row) + "\n" for row in ROWS)


def number(text: str) -> Decimal:
    return Decimal(text.replace(".", "").replace(",", "."))


def day(text: str) -> date:
    return datetime.strptime(text, "%d.%m.%Y").date()


def analysed(api: EngineApi, data: str) -> str:
    """Return the id of the file, after its analysis."""
    file_id: str = api.upload(data.encode())["file_id"]
    api.finished(file_id)
    answer = api.client.post("/api/v1/jobs/analyze", json={"file_id": file_id})
    assert answer.is_success, answer.text
    api._engine.run_until_idle(60)
    return file_id


def load(api: EngineApi, file_id: str, **options: Any) -> dict[str, Any]:
    body = {"type": "load", "file_id": file_id, "options": {"table": "prices"} | options}
    answer = api.client.post("/api/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    job_id = answer.json()["job_id"]
    api._engine.run_until_idle(60)
    return dict(api.client.get(f"/api/v1/status/{job_id}").json()) | {"job_id": job_id}


def columns_of(api: EngineApi, job: dict[str, Any]) -> dict[str, dict[str, Any]]:
    result = api.client.get(f"/api/v1/jobs/{job['job_id']}/result").json()["result"]
    return {column["column"]: column for column in result["columns"]}


def test_a_new_table_has_numbers_and_dates_of_one_reading_as_types(engine: Engine) -> None:
    engine.start()
    with engine.api() as api:
        file_id = analysed(api, FILE)
        tried = load(api, file_id, mode="create", dry_run=True)
        columns = columns_of(api, tried)
        price = {"operation": "cast", "to": "number", "decimal": ",", "thousands": "."}
        assert columns["price"]["made"] == {"from": "price", "steps": [price]}
        is_sqlite = engine.url.startswith("sqlite")
        types = [columns[name]["type"] for name in ("price", "stock", "day", "unsure", "either")]
        if is_sqlite:
            assert types == ["TEXT", "INTEGER", "TEXT", "TEXT", "TEXT"]
        else:
            assert types == ["numeric", "bigint", "date", "text", "text"]
            step = {"operation": "parse_date", "format": "%d.%m.%Y"}
            assert columns["day"]["made"] == {"from": "day", "steps": [step]}

        job = load(api, file_id, mode="create")
        assert job["status"] == "completed", job
        stored = engine.sql("SELECT price, stock, day, unsure, either FROM prices ORDER BY id")
        for row, (_, money, stock, written, unsure, either) in zip(stored, ROWS, strict=True):
            assert Decimal(row[0]) == number(money)
            assert row[1] == int(number(stock))
            assert row[2] == (written if is_sqlite else day(written))
            assert row[3:] == (unsure, either)
        assert api.proof(job["job_id"])["closes"]


def test_an_existing_table_is_loaded_by_the_form_that_the_analysis_found(engine: Engine) -> None:
    """Corrected rows are read by it too, and what it does not read is a reject."""
    engine.sql("CREATE TABLE prices (id INTEGER PRIMARY KEY, price NUMERIC(10, 2), day DATE)")
    engine.start()
    with engine.api() as api:
        file_id = analysed(api, "id;price;day\n1;1.234,50;31.12.2026\n2;0,125;01.02.2026\n")
        job = load(api, file_id)
        assert job["status"] == "completed_with_errors", job
        (reject,) = api.rejects(job["job_id"])
        assert (reject["row_number"], reject["column"]) == (2, "price"), "it would be rounded"
        fixed = ended(api, patch(api, job["job_id"], {"_row": 2, "values": {"price": "0,12"}}))
        assert fixed["status"] == "completed", fixed
        stored = engine.sql("SELECT id, price, day FROM prices ORDER BY id")
        assert [Decimal(str(row[1])) for row in stored] == [Decimal("1234.50"), Decimal("0.12")]
        assert [str(row[2]) for row in stored] == ["2026-12-31", "2026-02-01"]


def test_a_type_or_steps_of_the_user_replace_the_form(engine: Engine) -> None:
    engine.start()
    text = "TEXT" if engine.url.startswith("sqlite") else "text"
    with engine.api() as api:
        file_id = analysed(api, "id;price\n1;1,50\n2;20,25\n")
        job = load(api, file_id, mode="create", types={"price": text})
        assert job["status"] == "completed", job
        assert engine.sql("SELECT price FROM prices ORDER BY id") == [("1,50",), ("20,25",)]
        columns = {"id": "id", "cents": {"from": "price", "steps": [
            {"operation": "replace", "find": ",", "by": ""}, {"operation": "cast", "to": "integer"}
        ]}}  # fmt: skip
        job = load(api, file_id, mode="create", table="cents", columns=columns)
        assert job["status"] == "completed", job
        assert engine.sql("SELECT cents FROM cents ORDER BY id") == [(150,), (2025,)]
