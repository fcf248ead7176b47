"""Loads are undone in any order: the table is as if they had never run. The oracle is a dictionary
to which only the other loads are applied.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from app.features.tables.loading import postgresql
from tests.corrections.tables import ended, patch
from tests.engine import Engine, EngineApi
from tests.integration.crash.test_load import records, stages
from tests.integration.tables.test_load import load
from tests.integration.tables.test_modes import (
    TABLE,
    Prices,
    expected,
    first_rows,
    inserts,
    values,
    written,
)

Rows = list[tuple[int, tuple[str | None, int | None]]]


def table(engine: Engine, name: str = "prices") -> Prices:
    return {key: tuple(row) for key, *row in engine.sql(f"SELECT * FROM {name}")}


def undo(api: EngineApi, job_id: str, **parameters: Any) -> dict[str, Any]:
    answer = api.client.post(f"/api/v1/undo/{job_id}", params=parameters)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def rows_of(source: random.Random, there: Prices) -> Rows:
    """Some keys of the table, some with its values, and some new ones."""
    keys = source.sample(range(20), 10)
    return [
        (key, there[key] if key in there and source.random() < 0.4 else values(source))
        for key in keys
    ]


@pytest.mark.parametrize("seed", range(2))
def test_loads_are_undone_in_any_order(engine: Engine, seed: int) -> None:
    source = random.Random(seed)
    engine.sql(TABLE)
    engine.start()
    with engine.api() as api:
        for chosen in (("upsert", "replace", "mirror"), ("replace", "upsert", "upsert")):
            modes = source.sample(chosen, 3)
            there = {key: values(source) for key in range(0, 20, 2)}
            engine.change("DELETE FROM prices", *inserts(there))
            done: list[tuple[str, str, Prices]] = []
            before = there
            for mode in modes:
                rows = rows_of(source, before)
                options = {"max_delete": "100%"} if mode == "mirror" else {}
                job = load(api, written(rows), table="prices", mode=mode, **options)
                assert job["status"] == "completed", job
                before, _ = expected(mode, before, first_rows(rows)[0])
                assert table(engine) == before
                done.append((job["job_id"], mode, first_rows(rows)[0]))
            for job_id, *_ in source.sample(done, len(done)):
                undo(api, job_id)
                done = [each for each in done if each[0] != job_id]
                reference = there
                for _, mode, given in done:
                    reference, _ = expected(mode, reference, given)
                assert table(engine) == reference, (modes, job_id, done)
            assert not records(engine)
            assert not stages(engine)


@pytest.mark.parametrize("mode", ["append", "upsert", "update", "insert_new", "replace", "mirror"])
def test_loads_in_each_mode_are_undone(engine: Engine, mode: str) -> None:
    """A preview shows the effect of the undo."""
    there: Prices = {1: ("a", 1), 2: ("b", 2), 3: ("c", 3)}
    rows: Rows = [(7, ("new", 7)), (2, ("B", 2)), (3, ("c", 3)), (2, ("twice", 0))]
    if mode in ("append", "update", "mirror"):
        rows = {"append": rows[:1], "update": rows[1:3], "mirror": rows[:3]}[mode]
    engine.sql(TABLE, *inserts(there))
    engine.start()
    with engine.api() as api:
        options = {"max_delete": "9"} if mode == "mirror" else {}
        job = load(api, written(rows), table="prices", mode=mode, **options)
        after = table(engine)
        assert after == expected(mode, there, first_rows(rows)[0])[0]
        proof = api.proof(job["job_id"])
        assert proof["closes"], proof["problems"]
        assert (proof["table"]["changed"], proof["table"]["removed"]) == (0, 0)
        shown = undo(api, job["job_id"], dry_run=True)
        assert (shown.pop("status"), table(engine)) == ("preview", after)
        told = undo(api, job["job_id"])
        assert (told.pop("status"), table(engine)) == ("undone", there)
        assert told == shown
        summary = job["summary"]
        assert told["removed"] == summary["inserted"]
        assert told["restored"] == summary["updated"] + summary["deleted"]
        assert "left" not in told
        assert not records(engine)
        assert api.proof(job["job_id"])["closes"]


def test_rows_that_others_changed_or_need_are_kept_and_reported(engine: Engine) -> None:
    engine.sql(
        TABLE,
        "CREATE TABLE sales (price INTEGER REFERENCES prices (id))",
        *inserts({1: ("a", 1), 2: ("b", 2)}),
    )
    engine.start()
    with engine.api() as api:
        rows: Rows = [(key, (f"n{key}", key)) for key in range(1, 8)]
        job = load(api, written(rows), table="prices", mode="upsert")
        engine.change(
            "INSERT INTO sales VALUES (5)",
            "UPDATE prices SET price = 99 WHERE id IN (2, 6)",
            "DELETE FROM prices WHERE id = 7",
        )
        proof = api.proof(job["job_id"])
        assert proof["closes"], proof["problems"]
        assert proof["table"] == {"same": 4, "changed": 2, "removed": 1}
        told = undo(api, job["job_id"])
        assert (told["removed"], told["restored"], told["left"]) == (2, 1, 4)
        named = {row["row_number"]: row["reason"] for row in told["left_rows"]}
        assert named.keys() == {2, 5, 6, 7}
        assert "changed" in named[2]
        assert "changed" in named[6]
        assert "removed" in named[7]
        assert "foreign key" in named[5].lower()
        assert table(engine) == {1: ("a", 1), 2: ("n2", 99), 5: ("n5", 5), 6: ("n6", 99)}
        status = api.status(job["job_id"])
        assert status["undo"]["left"] == 4


def test_an_undo_drops_the_table_that_the_load_created(engine: Engine) -> None:
    """Unless another writer has changed it."""
    engine.start()
    types = {"id": "INTEGER", "name": "TEXT"}
    if not engine.url.startswith("sqlite"):
        types = {"id": "bigint", "name": "text"}
    with engine.api() as api:
        for name, is_used in (("made", False), ("used", True)):
            job = load(
                api, "id,name\n1,a\n2,b\n", table=name, mode="create", types=types, key=["id"]
            )
            if is_used:
                engine.change("INSERT INTO used VALUES (3, 'c')")
            assert undo(api, job["job_id"])["removed"] == 2
            is_there = api.client.get(f"/api/v1/tables/{name}").status_code == 200
            assert is_there == is_used
        assert engine.sql("SELECT id, name FROM used") == [(3, "c")]


def test_rows_without_a_key_are_undone_by_their_values(engine: Engine) -> None:
    engine.sql("CREATE TABLE notes (a INTEGER, b TEXT)", "INSERT INTO notes VALUES (1, 'x')")
    engine.start()
    with engine.api() as api:
        first = load(api, "a,b\n1,x\n1,x\n,\n2,y\n", table="notes")
        second = load(api, "a,b\n3,z\n1,x\n", table="notes", mode="replace")
        engine.change("DELETE FROM notes WHERE a = 3")
        undo(api, first["job_id"])
        assert engine.sql("SELECT a, b FROM notes") == [(1, "x")]
        told = undo(api, second["job_id"])
        assert (told["removed"], told["restored"], told["left"]) == (1, 1, 1)
        assert engine.sql("SELECT a, b FROM notes") == [(1, "x")]
        assert not records(engine)


def test_a_load_without_a_record_cannot_be_undone(engine: Engine) -> None:
    engine.sql(TABLE)
    engine.start()
    with engine.api() as api:
        job = load(api, written([(1, ("a", 1))]), table="prices", record=False)
        assert not records(engine)
        answer = api.client.post(f"/api/v1/undo/{job['job_id']}")
        assert (answer.status_code, answer.json()["code"]) == (409, "nothing_to_undo")
        assert "table" not in api.proof(job["job_id"])


@pytest.mark.parametrize("mode", ["append", "upsert", "replace"])
def test_corrected_rows_are_taken_back_with_their_load(engine: Engine, mode: str) -> None:
    there: Prices = {1: ("a", 1), 2: ("b", 2)}
    engine.sql(TABLE, *inserts(there))
    engine.start()
    with engine.api() as api:
        job = load(api, "id,name,price\n7,n,7\nx,B,20\n8,m,y\n", table="prices", mode=mode)
        second = "2" if mode == "upsert" else "9"
        changes = [
            {"_row": 2, "values": {"id": second}},
            {"_row": 3, "values": {"price": "8"}},
        ]
        ended(api, patch(api, job["job_id"], *changes))
        rows = {7: ("n", 7), int(second): ("B", 20), 8: ("m", 8)}
        assert table(engine) == (rows if mode == "replace" else there | rows)
        proof = api.proof(job["job_id"])
        assert proof["closes"], proof["problems"]
        assert proof["table"] == {"same": 3, "changed": 0, "removed": 0}
        undo(api, job["job_id"])
        assert table(engine) == there
        assert not records(engine)


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
def test_rows_that_the_database_numbers_are_found_by_their_numbers(engine: Engine) -> None:
    """Two loads of the same values: each undo removes its own rows."""
    engine.sql(
        "CREATE TABLE serials (id SERIAL PRIMARY KEY, name TEXT)",
        "CREATE TABLE identities (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name TEXT)",
        "INSERT INTO identities (name) VALUES ('own')",
    )
    engine.start()
    with engine.api() as api:
        for name in ("serials", "identities"):
            own = len(engine.sql(f"SELECT id FROM {name}"))
            first = load(api, "name\na\nb\n", table=name)
            second = load(api, "name\nb\na\n", table=name)
            ids = [own + number for number in range(1, 5)]
            assert [row for (row,) in engine.sql(f"SELECT id FROM {name} ORDER BY id")][own:] == ids
            told = undo(api, first["job_id"])
            assert told["removed"] == 2
            rows = engine.sql(f"SELECT id, name FROM {name} ORDER BY id")[own:]
            assert rows == [(ids[2], "b"), (ids[3], "a")]
            undo(api, second["job_id"])
            assert len(engine.sql(f"SELECT id FROM {name}")) == own
        job = load(api, "id,name\n1,changed\n9,new\n", table="identities", mode="upsert")
        assert job["status"] == "completed", job
        rows = engine.sql("SELECT id, name FROM identities ORDER BY id")
        assert rows == [(1, "changed"), (9, "new")]
        undo(api, job["job_id"])
        assert engine.sql("SELECT id, name FROM identities") == [(1, "own")]


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
@pytest.mark.parametrize("first_version", [postgresql.RETURNS_OLD, 99])
def test_rows_before_are_kept_by_every_version(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, first_version: int
) -> None:
    """A server before PostgreSQL 18 does not return them with the update."""
    monkeypatch.setattr(postgresql, "RETURNS_OLD", first_version)
    source = random.Random(5)
    there = {key: values(source) for key in range(0, 40, 2)}
    rows = [(key, values(source)) for key in range(10, 30)] + [(2, there[2])]
    engine.sql(TABLE, *inserts(there))
    engine.start()
    with engine.api() as api:
        job = load(api, written(rows), table="prices", mode="upsert")
        after, counts = expected("upsert", there, dict(rows))
        assert table(engine) == after
        assert {name: job["summary"][name] for name in counts} == counts
        undo(api, job["job_id"])
        api._engine.run_until_idle(60)
        assert table(engine) == there
