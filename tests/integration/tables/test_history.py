"""The history of a row says which lines of which files, and which corrections, made it what it is."""

from __future__ import annotations

from typing import Any

from tests.corrections.tables import ended, patch
from tests.engine import Engine, EngineApi
from tests.integration.tables.test_load import load
from tests.integration.tables.test_modes import TABLE


def history(api: EngineApi, key: str) -> dict[str, Any]:
    answer = api.client.get("/api/v1/tables/prices/rows", params={"key": key})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_each_load_of_a_row_is_told(engine: Engine) -> None:
    first, second = "id,name,price\n7,a,1\n8,b,2\nx,c,3\n", "id,price\n9,4\n7,5\n"
    engine.sql(TABLE)
    engine.start()
    with engine.api() as api:
        job = load(api, first, table="prices")
        later = load(api, second, table="prices", mode="upsert")
        fix = ended(api, patch(api, job["job_id"], {"_row": 3, "values": {"id": "10"}}))
        told = history(api, "7")
        assert told["row"] == {"id": "7", "name": "a", "price": "5"}
        assert told["is_as_loaded"] is True
        events = told["history"]
        assert [event["what"] for event in events] == ["updated", "inserted"]
        assert [event["job_id"] for event in events] == [later["job_id"], job["job_id"]]
        assert events[0]["before"] == {"id": "7", "name": "a", "price": "1"}
        for event, data in zip(events, (second, first), strict=True):
            line = data[event["byte_start"] : event["byte_end"]]
            assert line.strip() == data.splitlines()[event["line"] - 1]
            assert line.startswith("7,")

        (corrected,) = history(api, '{"id": 10}')["history"]
        assert (corrected["row_number"], corrected["line"]) == (3, 4)
        assert corrected["correction_id"] == fix["job_id"]
        assert corrected["values"] == {"id": "10", "name": "c", "price": "3"}

        engine.change("DELETE FROM prices WHERE id = 8")
        gone = history(api, "8")
        assert (gone["row"], gone["is_as_loaded"]) == (None, None)
        assert [event["what"] for event in gone["history"]] == ["inserted"]
        load(api, "id,name,price\n1,z,1\n", table="prices", mode="replace")
        replaced = history(api, "7")
        assert replaced["row"] is None
        assert replaced["history"][0]["what"] == "deleted"
        assert replaced["history"][0]["before"] == {"id": "7", "name": "a", "price": "5"}


def test_what_is_no_key_is_refused(engine: Engine) -> None:
    engine.sql(TABLE)
    engine.start()
    with engine.api() as api:
        for key in ("abc", "{}", '{"nothing": 1}', '{"id"', "9" * 40):
            answer = api.client.get("/api/v1/tables/prices/rows", params={"key": key})
            assert answer.status_code == 422, (key, answer.text)
