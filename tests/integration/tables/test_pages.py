"""Pages of the rows of a table: all of them once, in the order of the key, with every digit."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.engine import Engine, EngineApi

BIG = "9223372036854775807"
PRECISE = "12345678901234567890.123456789"


def page(api: EngineApi, table: str, **parameters: Any) -> dict[str, Any]:
    answer = api.client.get(f"/api/v1/tables/{table}/rows", params=parameters)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_pages_have_each_row_once_in_the_order_of_the_key(engine: Engine) -> None:
    engine.sql('CREATE TABLE "odd:t" (b TEXT NOT NULL, a BIGINT NOT NULL, PRIMARY KEY (a, b))')
    keys = [(a, b) for a in (10, 9, 100) for b in ("x", "ä'\"", "%s $1")]
    for a, b in keys:
        quoted = b.replace("'", "''")
        engine.sql(f"INSERT INTO \"odd:t\" VALUES ('{quoted}', {a})")
    engine.start()
    with engine.api() as api:
        stored = engine.sql('SELECT a, b FROM "odd:t" ORDER BY a, b')
        expected = [{"b": b, "a": str(a)} for a, b in stored]
        by_offset = [
            row["values"]
            for offset in range(0, 9, 4)
            for row in page(api, "odd:t", limit=4, offset=offset)["items"]
        ]
        assert by_offset == expected
        by_key: list[dict[str, Any]] = []
        parameters: dict[str, Any] = {"limit": 4}
        while parameters:
            part = page(api, "odd:t", **parameters)
            assert part["order"] == ["a", "b"]
            by_key += [row["values"] for row in part["items"]]
            assert part["has_more"] == (part["next_after"] is not None)
            parameters = {"limit": 4, "after": part["next_after"]} if part["has_more"] else {}
        assert by_key == expected


def test_values_lose_nothing_and_long_ones_are_named(engine: Engine) -> None:
    real = "REAL" if engine.url.startswith("sqlite") else "DOUBLE PRECISION"
    kind = "TEXT" if engine.url.startswith("sqlite") else "NUMERIC"
    engine.sql(f"CREATE TABLE t (id BIGINT, exact {kind}, near {real}, note TEXT)")
    engine.sql(f"INSERT INTO t VALUES ({BIG}, '{PRECISE}', 0.30000000000000004, '{'x' * 2001}')")
    engine.sql("INSERT INTO t VALUES (1, NULL, 0.1, '')")
    engine.start()
    with engine.api() as api:
        part = page(api, "t")
        first, second = part["items"]
        assert first["values"] == {
            "id": BIG, "exact": PRECISE, "near": "0.30000000000000004", "note": "x" * 2000,
        }  # fmt: skip
        assert first["truncated"] == ["note"]
        assert second["values"] == {"id": "1", "exact": None, "near": "0.1", "note": ""}
        assert (part["order"], part["next_after"], part["has_more"]) == ([], None, False)
        assert page(api, "t", limit=1)["has_more"]


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        ({"after": "many"}, 422),
        ({"after": json.dumps({"name": "a"})}, 422),
        ({"after": json.dumps({"id": "1", "name": "a"})}, 422),
        ({"after": "{"}, 422),
        ({"limit": 0}, 422),
        ({"limit": 1001}, 422),
        ({"offset": 100_001}, 422),
    ],
)
def test_bad_parameters_are_refused(
    engine: Engine, parameters: dict[str, Any], status: int
) -> None:
    engine.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)")
    engine.start()
    with engine.api() as api:
        answer = api.client.get("/api/v1/tables/t/rows", params=parameters)
        assert answer.status_code == status, answer.text
        assert api.client.get("/api/v1/tables/none/rows").status_code == 404
