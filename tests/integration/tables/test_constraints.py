"""A load rejects exactly the rows that the database refuses if they are inserted one by one in file
order, and the table ends with the same rows.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from app.features.tables.loading import destination
from tests.engine import Engine
from tests.integration.tables.test_load import load
from tests.integration.tables.test_modes import cell

Row = tuple[Any, ...]
POSTGRESQL = """
CREATE TABLE regions (code TEXT PRIMARY KEY);
INSERT INTO regions VALUES ('n'), ('s');
CREATE DOMAIN percent AS INTEGER CHECK (VALUE BETWEEN 0 AND 100);
CREATE TABLE {table} (
    id INTEGER PRIMARY KEY,
    code TEXT UNIQUE NULLS NOT DISTINCT,
    region TEXT NOT NULL REFERENCES regions (code) DEFERRABLE INITIALLY DEFERRED,
    share PERCENT,
    low INTEGER CHECK (low <> 13),
    high INTEGER,
    mail TEXT,
    UNIQUE (low, high) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT in_order CHECK (low <= high),
    CONSTRAINT {table}_apart EXCLUDE USING gist (int4range(low, high) WITH &&) WHERE (region = 'n')
);
CREATE UNIQUE INDEX ON {table} (lower(mail));
CREATE UNIQUE INDEX ON {table} (share) WHERE region = 's' AND share > 90;
CREATE FUNCTION refuse_odd() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.mail LIKE 'odd%' THEN RAISE EXCEPTION 'odd mail'; END IF;
    RETURN NEW;
END $$;
CREATE FUNCTION refuse_late() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.mail LIKE 'late%' THEN RAISE EXCEPTION 'late mail'; END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER odd BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_odd();
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION refuse_late();
INSERT INTO {table} VALUES (1, 'one', 'n', 5, 5, 6, 'a@x');
"""
SQLITE = """
CREATE TABLE regions (code TEXT PRIMARY KEY);
INSERT INTO regions VALUES ('n'), ('s');
CREATE TABLE {table} (
    id INTEGER PRIMARY KEY,
    code TEXT UNIQUE,
    region TEXT NOT NULL REFERENCES regions (code),
    share INTEGER CHECK (share BETWEEN 0 AND 100),
    low INTEGER CHECK (low <> 13),
    high INTEGER,
    mail TEXT,
    UNIQUE (low, high),
    CONSTRAINT in_order CHECK (low <= high)
);
CREATE UNIQUE INDEX {table}_mail ON {table} (lower(mail));
CREATE UNIQUE INDEX {table}_share ON {table} (share) WHERE region = 's' AND share > 90;
CREATE TRIGGER {table}_odd BEFORE INSERT ON {table} WHEN NEW.mail LIKE 'odd%'
BEGIN SELECT RAISE(ABORT, 'odd mail'); END;
INSERT INTO {table} VALUES (1, 'one', 'n', 5, 5, 6, 'a@x');
"""
COLUMNS = ("id", "code", "region", "share", "low", "high", "mail")


def rows(source: random.Random, count: int) -> list[Row]:
    made: list[Row] = []
    for number in range(2, count + 2):
        low = 20 * number
        row = [number, f"c{number}", "n", number % 90, low, low + 10, f"M{number}@x"]
        fault = source.randrange(30)
        earlier = source.randrange(1, number)
        faults: dict[int, tuple[int, Any]] = {
            0: (0, earlier),
            1: (1, f"c{earlier}"),
            2: (2, "w"),
            3: (2, None),
            4: (3, 101),
            5: (4, 13),
            6: (5, low - 1),
            7: (4, 20 * earlier + 5),
            8: (6, f"m{earlier}@X"),
            9: (6, "odd"),
            10: (2, "s"),
            11: (3, -1),
            12: (1, None),
            13: (6, "late"),
        }
        if fault in faults:
            place, value = faults[fault]
            row[place] = value
        if fault == 10:
            row[3] = source.randrange(89, 100)
        if fault == 7:
            row[5] = 20 * earlier + 10
        made.append(tuple(row))
    return made


async def _one_by_one(url: str, statement: str, given: Sequence[Row]) -> dict[int, str]:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    refused: dict[int, str] = {}
    for number, row in enumerate(given, 1):
        try:
            await connection.execute(statement, *row)
        except asyncpg.PostgresError as error:
            refused[number] = getattr(error, "constraint_name", None) or ""
    await connection.close()
    return refused


def inserted_one_by_one(engine: Engine, given: Sequence[Row]) -> dict[int, str]:
    """Insert into the table `oracle`; return the numbers of the refused rows, with the
    constraint.
    """
    if not engine.url.startswith("sqlite"):
        marks = ", ".join(f"${i}" for i in range(1, 8))
        return asyncio.run(_one_by_one(engine.url, f"INSERT INTO oracle VALUES ({marks})", given))
    refused = {}
    connection = sqlite3.connect(engine.url.partition("///")[2], isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    for number, row in enumerate(given, 1):
        try:
            connection.execute("INSERT INTO oracle VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        except sqlite3.IntegrityError:
            refused[number] = ""
    connection.close()
    return refused


def make(engine: Engine, table: str) -> None:
    if engine.url.startswith("sqlite"):
        script = SQLITE.format(table=table)
        connection = sqlite3.connect(engine.url.partition("///")[2])
        if table != "oracle":
            script = script[script.index("CREATE TABLE things") :]
        connection.executescript(script)
        connection.close()
        return
    script = POSTGRESQL.format(table=table)
    if table != "oracle":
        function = script[script.index("CREATE FUNCTION") : script.index("CREATE TRIGGER")]
        script = script[script.index("CREATE TABLE things") :].replace(function, "")

    async def run() -> None:
        connection = await asyncpg.connect(engine.url.replace("+asyncpg", ""))
        await connection.execute(script)
        await connection.close()

    asyncio.run(run())


def things(engine: Engine, table: str) -> list[Row]:
    return engine.sql(f"SELECT {', '.join(COLUMNS)} FROM {table} ORDER BY id")


@pytest.mark.parametrize("seed", [1, 2])
def test_exactly_the_rows_that_the_database_refuses_are_rejected(engine: Engine, seed: int) -> None:
    given = rows(random.Random(seed), 400)
    for table in ("oracle", "things"):
        make(engine, table)
    refused = inserted_one_by_one(engine, given)
    assert len(refused) > 60
    engine.start()
    with engine.api() as api:
        lines = [",".join(map(cell, row)) + "\n" for row in given]
        job = load(api, ",".join(COLUMNS) + "\n" + "".join(lines), table="things")
        assert job["status"] == "completed_with_errors", job
        rejects = {reject["row_number"]: reject for reject in api.rejects(job["job_id"])}
        assert rejects.keys() == refused.keys()
        for number, constraint in refused.items():
            name = constraint.replace("oracle", "things")
            assert name in rejects[number]["message"], (rejects[number], constraint)
        assert things(engine, "things") == things(engine, "oracle")
        assert api.proof(job["job_id"])["closes"]


def test_clashing_rows_are_settled_a_few_at_a_time(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oracle inserts rows one by one: a refused row takes no value from later ones."""
    monkeypatch.setattr(destination, "ROWS_AT_ONCE", 5)
    source = random.Random(3)
    pairs = [(source.randrange(40), source.randrange(25)) for _ in range(120)]
    ids, codes, refused = {100}, {7}, set()
    for number, (key, code) in enumerate(pairs, 1):
        if key in ids or code in codes:
            refused.add(number)
        else:
            ids.add(key)
            codes.add(code)
    engine.sql(
        "CREATE TABLE pairs (id INTEGER PRIMARY KEY, code INTEGER UNIQUE)",
        "INSERT INTO pairs VALUES (100, 7)",
    )
    engine.start()
    with engine.api() as api:
        lines = "".join(f"{key},{code}\n" for key, code in pairs)
        job = load(api, "id,code\n" + lines, table="pairs")
        assert {each["row_number"] for each in api.rejects(job["job_id"])} == refused
        assert {row for (row,) in engine.sql("SELECT id FROM pairs")} == ids


def test_a_row_may_refer_to_one_behind_it(engine: Engine) -> None:
    """Also if only an attempt in halves isolates the row that the table refuses."""
    trigger = [
        "CREATE FUNCTION refuse_bad() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.name = 'bad' THEN RAISE EXCEPTION 'bad name'; END IF; RETURN NEW; END $$",
        "CREATE TRIGGER bad BEFORE INSERT ON parts FOR EACH ROW EXECUTE FUNCTION refuse_bad()",
    ]
    if engine.url.startswith("sqlite"):
        trigger = [
            "CREATE TRIGGER bad BEFORE INSERT ON parts WHEN NEW.name = 'bad'"
            " BEGIN SELECT RAISE(ABORT, 'bad name'); END"
        ]
    engine.sql(
        "CREATE TABLE parts (id INTEGER PRIMARY KEY, of_id INTEGER REFERENCES parts, name TEXT)",
        *trigger,
    )
    engine.start()
    with engine.api() as api:
        count = 40
        lines = [f"{i},{i + 1},{'bad' if i in (11, 30) else 'good'}" for i in range(1, count)]
        lines[10] = "11,,bad"  # no row references it
        lines[9] = "10,12,good"
        lines += [f"{count},,good", "41,99,good"]
        job = load(api, "id,of_id,name\n" + "\n".join(lines) + "\n", table="parts")
        rejects = {each["row_number"]: each["code"] for each in api.rejects(job["job_id"])}
        codes = {number: "foreign_key" for number in range(1, 30) if number != 11}
        assert rejects == codes | {11: "refused", 30: "refused", 41: "foreign_key"}
        kept = [row for (row,) in engine.sql("SELECT id FROM parts ORDER BY id")]
        assert kept == list(range(31, count + 1))
