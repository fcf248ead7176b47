"""Each mode leaves a table with the rows and types that DuckDB computes from the file and from the
rows before. Files are generated; every value is one that its column can hold.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.engine import Engine
from tests.integration.tables.test_load import load
from tests.integration.tables.test_modes import cell

MODES = ("create", "append", "upsert", "update", "insert_new", "replace", "mirror")
ON_POSTGRESQL = {
    "id": "bigint", "part": "smallint", "name": "text", "price": "numeric(12,3)", "ratio": "double precision",
    "day": "date", "made_at": "timestamp without time zone", "zone_at": "timestamp with time zone",
    "is_on": "boolean", "code": "character varying(8)",
}  # fmt: skip
ON_SQLITE = {
    "id": "INTEGER", "part": "INTEGER", "name": "TEXT", "price": "TEXT", "ratio": "REAL", "day": "TEXT",
    "made_at": "TEXT", "zone_at": "TEXT", "is_on": "TEXT", "code": "TEXT",
}  # fmt: skip
IN_DUCKDB = {
    "id": "BIGINT", "part": "SMALLINT", "name": "VARCHAR", "price": "DECIMAL(12,3)", "ratio": "DOUBLE",
    "day": "DATE", "made_at": "TIMESTAMP", "zone_at": "TIMESTAMPTZ", "is_on": "BOOLEAN", "code": "VARCHAR",
}  # fmt: skip
KEY = ("id", "part")
NAMES = list(ON_POSTGRESQL)
TEXTS = [
    None,
    "a",
    "it's",
    'say "hi"',
    "x,y",
    "Äö\t|",
    "\\N",
    "null",
    " spaced ",
    "two\nlines",
    "𝄞",
]
Row = tuple[str | None, ...]


def generated(source: random.Random, key: tuple[int, int]) -> Row:
    """Return the cells of a row, as a file has them."""

    def some(value: str) -> str | None:
        return None if source.random() < 0.15 else value

    moment = datetime(1970, 1, 1) + timedelta(seconds=source.randrange(4_000_000_000))
    zone = timezone(timedelta(minutes=source.choice([0, 120, -210])))
    return (
        str(key[0]),
        str(key[1]),
        source.choice(TEXTS),
        some(str(Decimal(source.randrange(-(10**9), 10**9)).scaleb(-source.randrange(4)))),
        some(str(source.choice([0.5, -2.25, 1e-05, 0.1, 123456.789, 3.0]))),
        some(str(date(1900, 1, 1) + timedelta(days=source.randrange(60_000)))),
        some(moment.isoformat(sep=source.choice(" T"))),
        some(moment.replace(tzinfo=zone).isoformat()),
        some(source.choice(["true", "false", "True", "FALSE"])),
        some(source.choice(["", "ab", "ÄÖÜ-1234"])),
    )


def rows_of(source: random.Random, keys: Sequence[tuple[int, int]]) -> list[Row]:
    return [generated(source, key) for key in keys]


def written(rows: Sequence[Row], path: Path) -> str:
    text = "".join(",".join(map(cell, row)) + "\n" for row in [NAMES, *rows])
    path.write_bytes(text.encode())
    return text


STEPS = {
    "create": "INSERT INTO t SELECT {columns} FROM first",
    "append": "INSERT INTO t SELECT {columns} FROM first WHERE {key} NOT IN (SELECT {key} FROM t)",
    "insert_new": "INSERT INTO t SELECT {columns} FROM first WHERE {key} NOT IN (SELECT {key} FROM t)",
    "update": ("UPDATE t SET {changes} FROM first WHERE (t.id, t.part) = (first.id, first.part)"),
    "upsert": (
        "DELETE FROM t WHERE {key} IN (SELECT {key} FROM first);"
        " INSERT INTO t SELECT {columns} FROM first"
    ),
    "replace": "DELETE FROM t; INSERT INTO t SELECT {columns} FROM first",
    "mirror": "DELETE FROM t; INSERT INTO t SELECT {columns} FROM first",
}
"""`first`: the first row of each key, as the file has it."""


def reference(before: Path, file: Path, mode: str, types: dict[str, str]) -> list[tuple[Any, ...]]:
    """Return the table as it must be after the load, in the order of its key."""
    columns = {name: f"CAST({name} AS {IN_DUCKDB[name]})" for name in NAMES}
    # on SQLite a text is kept as it is written
    columns |= {name: name for name, type_ in types.items() if type_ == "TEXT"}
    connection = duckdb.connect()
    listed = ", ".join(f"{expression} AS {name}" for name, expression in columns.items())
    for table, path in (("given", file), ("there", before)):
        connection.execute(
            f"CREATE TABLE {table} AS SELECT *, row_number() OVER () AS n FROM read_csv(?, header=true,"
            " all_varchar=true, nullstr='', quote='\"', escape='\"', delim=',', parallel=false)",
            [str(path)],
        )
    connection.execute(f"CREATE TABLE t AS SELECT {listed} FROM there")
    connection.execute(
        f"CREATE TABLE first AS SELECT {listed} FROM given"
        " QUALIFY row_number() OVER (PARTITION BY id, part ORDER BY n) = 1"
    )
    changes = ", ".join(f"{name} = first.{name}" for name in NAMES if name not in KEY)
    step = STEPS[mode].format(columns=", ".join(NAMES), key="(id, part)", changes=changes)
    connection.execute(step)
    if types["zone_at"] != "TEXT":  # it reads time zones with an extension alone
        connection.execute(
            "ALTER TABLE t ALTER zone_at TYPE TIMESTAMP USING make_timestamp(epoch_us(zone_at))"
        )
    return connection.execute(f"SELECT {', '.join(NAMES)} FROM t ORDER BY id, part").fetchall()


def comparable(row: tuple[Any, ...]) -> list[Any]:
    """Return values with their types; instants without their zone, which is UTC."""
    values = [(type(value).__name__, value) for value in row]
    place = NAMES.index("zone_at")
    if isinstance(row[place], datetime):
        moment = row[place].astimezone(UTC) if row[place].tzinfo else row[place]
        values[place] = ("datetime", moment.replace(tzinfo=None))
    return values


@pytest.mark.parametrize("mode", MODES)
def test_the_table_is_that_of_duckdb(engine: Engine, mode: str, tmp_path: Path) -> None:
    is_sqlite = engine.url.startswith("sqlite")
    types = ON_SQLITE if is_sqlite else ON_POSTGRESQL
    source = random.Random(f"{mode} of a reference")
    keys = [(number, part) for number in range(-20, 40) for part in (1, 2)]
    there = rows_of(source, source.sample(keys, 60)) if mode != "create" else []
    chosen = source.sample(keys, 70)
    rows = rows_of(source, chosen) + [row for row in there if source.random() < 0.2]
    source.shuffle(rows)
    if mode == "mirror":  # which refuses a file with rejects
        rows = list({row[:2]: row for row in rows}.values())
    else:
        rows += rows_of(source, source.sample(chosen, 5))
    before = written(there, tmp_path / "before.csv")
    data = written(rows, tmp_path / "file.csv")

    engine.start()
    with engine.api() as api:
        options: dict[str, Any] = {"table": "prices", "mode": mode}
        create = {"table": "prices", "mode": "create", "types": types, "key": list(KEY)}
        if mode == "create":
            options = create
        else:
            made = load(api, before, **create)
            assert made["status"] == "completed", (made, api.rejects(made["job_id"]))
        if mode == "mirror":
            options["max_delete"] = "100%"
        job = load(api, data, **options)
        assert job["status"].startswith("completed"), job
        expected = reference(tmp_path / "before.csv", tmp_path / "file.csv", mode, types)
        loaded = engine.sql(f"SELECT {', '.join(NAMES)} FROM prices ORDER BY id, part")
        assert len(expected) > 40
        assert list(map(comparable, loaded)) == list(map(comparable, expected))
        codes = {reject["code"] for reject in api.rejects(job["job_id"])}
        assert codes <= {"not_unique", "already_there", "not_there"}, json.dumps(sorted(codes))
