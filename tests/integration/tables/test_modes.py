"""Each mode leaves the table as a reference says that is computed from the file and the rows that
were there before.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.engine import Engine
from tests.integration.tables.test_load import load

Prices = dict[int, tuple[str | None, int | None]]
MODES = ("append", "upsert", "update", "insert_new", "replace", "mirror")
TABLE = "CREATE TABLE prices (id INTEGER PRIMARY KEY, name TEXT, price INTEGER)"


def values(source: random.Random) -> tuple[str | None, int | None]:
    name = source.choice([None, "a", "it's", 'say "hi"', "x,y", "Äö\t|", "\\N", "null"])
    return name, source.choice([None, -5, 0, 7, 2**31 - 1])


def first_rows(rows: list[tuple[int, tuple[str | None, int | None]]]) -> tuple[Prices, list[int]]:
    """By id, and the numbers of the rows that repeat one."""
    by_id: Prices = {}
    repeated = []
    for number, (key, row) in enumerate(rows, 1):
        if key in by_id:
            repeated.append(number)
        else:
            by_id[key] = row
    return by_id, repeated


def expected(mode: str, there: Prices, given: Prices) -> tuple[Prices, dict[str, int]]:
    shared, new = given.keys() & there.keys(), given.keys() - there.keys()
    changed = {key for key in shared if given[key] != there[key]}
    counts = {"inserted": 0, "updated": 0, "unchanged": 0, "skipped": 0, "deleted": 0}
    after = dict(there)
    if mode in ("upsert", "update", "mirror"):
        after |= {key: given[key] for key in shared}
        counts |= {"updated": len(changed), "unchanged": len(shared) - len(changed)}
    if mode != "update":
        after |= {key: given[key] for key in new}
        counts["inserted"] = len(new)
    if mode == "insert_new":
        counts["skipped"] = len(shared)
    if mode == "mirror":
        after = {key: row for key, row in after.items() if key in given}
        counts["deleted"] = len(there.keys() - given.keys())
    if mode == "replace":
        after = given
        counts |= {"inserted": len(given), "deleted": len(there)}
    return after, counts


def cell(value: object) -> str:
    if value is None:
        return ""
    text = str(value)
    return '"' + text.replace('"', '""') + '"' if set(text) & set('",\n') else text


def written(rows: list[tuple[int, tuple[str | None, int | None]]]) -> str:
    lines = [f"{key},{cell(name)},{cell(price)}\n" for key, (name, price) in rows]
    return "id,name,price\n" + "".join(lines)


def literal(value: object) -> str:
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"


def inserts(there: Prices) -> Iterator[str]:
    for key, row in there.items():
        yield f"INSERT INTO prices VALUES ({key}, {', '.join(map(literal, row))})"


@pytest.mark.parametrize("mode", MODES)
def test_the_table_equals_the_reference(engine: Engine, mode: str) -> None:
    source = random.Random(mode)
    there = {key: values(source) for key in range(0, 200, 2)}
    keys = source.sample(range(100, 300), 120)
    rows = [(key, values(source)) for key in keys]
    rows += [(key, there[key]) for key in range(0, 60, 2)]
    source.shuffle(rows)
    if mode != "mirror":
        rows += [(rows[3][0], (None, 1)), (rows[7][0], ("twice", None))]
    given, repeated = first_rows(rows)
    after, counts = expected(mode, there, given)
    refused = set(repeated)
    if mode == "append":
        refused |= {number for number, (key, _) in enumerate(rows, 1) if key in there}
    if mode == "update":
        refused |= {number for number, (key, _) in enumerate(rows, 1) if key not in there}

    engine.sql(TABLE, *inserts(there))
    engine.start()
    with engine.api() as api:
        limit = {"max_delete": "50%"} if mode == "mirror" else {}
        job = load(api, written(rows), table="prices", mode=mode, **limit)
        assert job["status"] == ("completed_with_errors" if refused else "completed"), job
        found = {key: tuple(row) for key, *row in engine.sql("SELECT id, name, price FROM prices")}
        assert found == after
        assert {reject["row_number"] for reject in api.rejects(job["job_id"])} == refused
        told = {name: job["summary"][name] for name in counts}
        assert told == counts
        assert api.proof(job["job_id"])["closes"]
