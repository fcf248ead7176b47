"""Loads as requests ask for them: new tables, new columns, and what a table says of its loads."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from tests.engine import Engine, EngineApi

PRICES = b"sku,price,valid from,paid\nA-1,1.50,31/12/2026,true\nB-2,20.00,01/02/2026,false\n"


def uploaded(api: EngineApi, data: bytes, *, is_analysed: bool = False) -> str:
    file_id = str(api.upload(data)["file_id"])
    api.finished(file_id)
    if is_analysed:
        response = api.client.post("/api/v1/jobs/analyze", json={"file_id": file_id})
        api.finished(response.json()["job_id"])
    return file_id


def load(api: EngineApi, file_id: str, **options: Any) -> dict[str, Any]:
    """The status of the job at its end."""
    body = {"type": "load", "file_id": file_id, "options": options}
    answer = api.client.post("/api/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    return api.finished(answer.json()["job_id"])


def refused(api: EngineApi, file_id: str, **options: Any) -> dict[str, Any]:
    body = {"type": "load", "file_id": file_id, "options": options}
    answer = api.client.post("/api/v1/jobs", json=body)
    assert answer.is_client_error, answer.text
    return dict(answer.json())


def test_a_new_table_has_the_types_of_the_analysis(engine: Engine) -> None:
    engine.start()
    with engine.api() as api:
        file_id = uploaded(api, PRICES)
        assert refused(api, file_id, table="prices", mode="create")["code"] == "analysis_needed"
        file_id = uploaded(api, PRICES, is_analysed=True)
        done = load(api, file_id, table="prices", mode="create", key=["sku"])
        assert done["status"] == "completed", done
        rows = engine.sql('SELECT sku, price, "valid from", paid FROM prices ORDER BY sku')
        if engine.url.startswith("sqlite"):
            assert rows == [
                ("A-1", "1.50", "31/12/2026", "true"),
                ("B-2", "20.00", "01/02/2026", "false"),
            ]
        else:
            assert rows == [
                ("A-1", Decimal("1.50"), date(2026, 12, 31), True),
                ("B-2", Decimal("20.00"), date(2026, 2, 1), False),
            ]
            assert str(rows[0][1]) == "1.50"
        assert refused(api, file_id, table="prices", mode="create")["code"] == "table_exists"


def test_a_new_table_has_the_requested_types(engine: Engine) -> None:
    engine.start()
    kind = "TEXT" if engine.url.startswith("sqlite") else "varchar(3)"
    with engine.api() as api:
        file_id = uploaded(api, b"a,b\nx,toolong\ny,ok\n")
        done = load(api, file_id, table="told", mode="create", types={"a": kind, "b": kind})
        rows = engine.sql("SELECT a, b FROM told ORDER BY a")
        if engine.url.startswith("sqlite"):
            assert rows == [("x", "toolong"), ("y", "ok")]
        else:
            assert (rows, done["status"]) == ([("y", "ok")], "completed_with_errors")
        wrong = refused(api, file_id, table="t", mode="create", types={"a": "money", "b": "text"})
        assert wrong["code"] == "table_mismatch"


def test_missing_columns_are_added(engine: Engine) -> None:
    engine.sql("CREATE TABLE prices (sku TEXT PRIMARY KEY)")
    engine.start()
    with engine.api() as api:
        file_id = uploaded(api, PRICES, is_analysed=True)
        wrong = refused(api, file_id, table="prices")
        assert [error["pointer"] for error in wrong["errors"]] == ["options/on_schema_change"]
        done = load(api, file_id, table="prices", on_schema_change="add_columns")
        assert done["status"] == "completed", done
        described = api.client.get("/api/v1/tables/prices").json()
        assert [column["name"] for column in described["columns"]] == [
            "sku",
            "price",
            "valid from",
            "paid",
        ]
        assert described["rows"] == 2


def test_a_table_lists_the_loads_of_the_caller(engine: Engine) -> None:
    engine.sql("CREATE TABLE numbers (n INTEGER)")
    engine.start()
    with engine.api() as api:
        file_id = uploaded(api, b"n\n1\nx\n")
        done = load(api, file_id, table="numbers", mode="append")
        loads = api.client.get("/api/v1/tables/numbers").json()["loads"]
        assert [(each["job_id"], each["mode"], each["status"]) for each in loads] == [
            (done["job_id"], "append", "completed_with_errors")
        ]
        assert loads[0]["summary"]["inserted"] == 1
        assert api.client.get("/api/v1/tables/numbers").json()["rows"] == 1


def test_contradictory_options_are_refused(engine: Engine) -> None:
    engine.sql("CREATE TABLE numbers (n INTEGER)")
    engine.start()
    with engine.api() as api:
        file_id = uploaded(api, b"n\n1\n")
        for options, said in (
            ({"mode": "mirror"}, "max_delete"),
            ({"max_delete": "5"}, "max_delete"),
            ({"mode": "mirror", "max_delete": "many"}, "number of rows"),
            ({"types": {"n": "text"}}, "create"),
            ({"mode": "merge"}, "mode"),
        ):
            told = refused(api, file_id, table="numbers", **options)
            assert said in told["detail"], told


def test_an_upload_is_loaded_into_the_table_that_it_names(engine: Engine) -> None:
    engine.sql("CREATE TABLE prices (sku TEXT PRIMARY KEY, price NUMERIC)")
    engine.sql("INSERT INTO prices VALUES ('A', 1), ('B', 2)")
    engine.start()
    with engine.api() as api:
        query = {"table": "prices", "mode": "upsert", "key": "sku"}
        upload = api.upload(b"sku,price\nA,5\nC,x\nD,7\n", **query)
        assert (upload["processor"], upload["columns"]) == ("load", ["sku", "price"])
        done = api.finished(upload["file_id"])
        counts = {name: done["summary"][name] for name in ("inserted", "updated")}
        assert (done["status"], counts) == ("completed_with_errors", {"inserted": 1, "updated": 1})
        assert engine.sql("SELECT sku, price FROM prices ORDER BY sku") == [
            ("A", 5),
            ("B", 2),
            ("D", 7),
        ]


def test_an_upload_that_does_not_fit_its_table_is_refused_and_not_kept(engine: Engine) -> None:
    engine.sql("CREATE TABLE prices (sku TEXT PRIMARY KEY, price NUMERIC)")
    engine.start()
    with engine.api() as api:
        for data, query, status, code in (
            (b"sku,weight\nA,1\n", {"table": "prices"}, 422, "table_mismatch"),
            (b"sku,price\nA,1\n", {"table": "nowhere"}, 404, "unknown_table"),
            (b"sku,price\nA,1\n", {"table": "jobs"}, 404, "unknown_table"),
            (b"sku,price\nA,1\n", {"table": "new", "mode": "create"}, 409, "analysis_needed"),
            (b"sku,price\nA,1\n", {"table": "prices", "mode": "mirror"}, 422, "invalid_parameter"),
            (
                b"sku,price\nA,1\n",
                {"table": "prices", "processor": "rows"},
                422,
                "invalid_parameter",
            ),
            (b"sku,price\nA,1\n", {"mode": "append"}, 422, "invalid_parameter"),
        ):
            for answer in (
                api.client.post("/api/v1/upload", params=query, content=data),
                api.client.post("/api/v1/upload", params=query, files={"file": ("a.csv", data)}),
                api.client.post("/api/v1/upload", data=query, files={"file": ("a.csv", data)}),
            ):
                assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        assert api.client.get("/api/v1/jobs").json()["items"] == []
        stored = [path for path in engine.storage.rglob("*") if path.is_file()]
        assert not [path for path in stored if "granula" not in path.name], stored


def test_a_repeated_upload_into_the_same_table_is_recognised(engine: Engine) -> None:
    engine.sql("CREATE TABLE numbers (n INTEGER)")
    engine.sql("CREATE TABLE others (n INTEGER)")
    engine.start()
    with engine.api() as api:
        data = b"n\n1\n2\n"
        first = api.upload(data, table="numbers", on_duplicate="existing")
        api.finished(first["file_id"])
        again = api.client.post(
            "/api/v1/upload", params={"table": "numbers", "on_duplicate": "existing"}, content=data
        )
        assert (again.status_code, again.json()["file_id"]) == (200, first["file_id"])
        other = api.upload(data, table="others", on_duplicate="existing")
        api.finished(other["file_id"])
        assert engine.sql("SELECT count(*) FROM numbers") == engine.sql(
            "SELECT count(*) FROM others"
        )


RECORDS = (
    b'{"sku": "A", "price": 1.50, "tags": ["x"]}\n'
    b'{"sku": "B", "price": "2.5", "tags": null, "more": {"z": 1}}\n'
    b'{"sku": "C", "price": 1e1}\n'
    b'{"sku": "D", "price": true}\n'
)


def test_json_records_are_loaded_by_their_keys(engine: Engine) -> None:
    """Their first ones tell which there are."""
    engine.sql("CREATE TABLE prices (sku TEXT PRIMARY KEY, price NUMERIC, tags TEXT)")
    engine.start()
    with engine.api() as api:
        wrong = api.client.post("/api/v1/upload", params={"table": "prices"}, content=RECORDS)
        assert "no column for 'more'" in wrong.json()["detail"]
        query = {"table": "prices", "on_schema_change": "ignore"}
        body = api.client.post("/api/v1/upload", params=query, content=RECORDS).json()
        done = api.finished(body["file_id"])
        rows = engine.sql("SELECT sku, price, tags FROM prices ORDER BY sku")
        assert [(sku, float(price), tags) for sku, price, tags in rows] == [
            ("A", 1.5, '["x"]'),
            ("B", 2.5, None),
            ("C", 10.0, None),
        ]
        [reject] = api.rejects(done["job_id"])
        assert (reject["row_number"], reject["column"], reject["code"]) == (
            4,
            "price",
            "not_a_number",
        )


def test_a_key_that_only_a_late_record_has_is_no_silent_loss(engine: Engine) -> None:
    """It was not among the first records, by which the load was planned."""
    kind = "TEXT" if engine.url.startswith("sqlite") else "jsonb"
    engine.sql(f"CREATE TABLE numbers (n INTEGER, _rescued {kind})")
    engine.start()
    many = b"".join(b'{"n": %d}\n' % n for n in range(40_000))
    data = many + b'{"n": -1, "late": {"deep": 1.50}}\n'
    with engine.api() as api:
        done = load(api, uploaded(api, data), table="numbers")
        [reject] = api.rejects(done["job_id"])
        assert (reject["row_number"], reject["code"], reject["value"]) == (
            40_001,
            "unknown_column",
            "late",
        )
        done = load(
            api, uploaded(api, data), table="numbers", mode="replace", on_schema_change="rescue"
        )
        assert done["status"] == "completed"
        [(rescued,)] = engine.sql("SELECT CAST(_rescued AS TEXT) FROM numbers WHERE n = -1")
        assert rescued.replace(" ", "") == '{"late":{"deep":1.50}}'
        done = load(
            api, uploaded(api, data), table="numbers", mode="replace", on_schema_change="ignore"
        )
        assert done["status"] == "completed"


def test_cells_beyond_the_header_are_no_silent_loss(engine: Engine) -> None:
    engine.sql("CREATE TABLE pairs (a TEXT, b TEXT)")
    engine.start()
    with engine.api() as api:
        data = b"a,b\n1,2\n3,4,5\n6\n7,8,\n"
        done = api.finished(api.upload(data, table="pairs", on_bad_row="keep")["file_id"])
        [reject] = api.rejects(done["job_id"])
        assert (reject["row_number"], reject["code"], reject["value"]) == (2, "unknown_column", "5")
        rows = engine.sql("SELECT a, b FROM pairs ORDER BY a")
        assert rows == [("1", "2"), ("6", None), ("7", "8")]
