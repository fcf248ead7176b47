"""Tables of an external processor are created at startup, and their rows are as safe as those of
features: written once after a death, corrected, undone and deleted with their job.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from app.db import backup
from app.errors import SettingsInvalid
from tests.conftest import Databases
from tests.corrections.tables import fixed, send
from tests.crash.service import RECOVERY_SECONDS
from tests.engine import Engine
from tests.harness import Api

STOCK = "tests.crash.processors:StockProcessor"
FIRST = [(f"article {n}", n) for n in range(1, 301)]
SECOND = [(f"article {n}", 1000 + n) for n in range(200, 401)]
"""A third of the first file, and as many new rows."""


def file_of(rows: list[tuple[str, Any]]) -> bytes:
    return b"article,amount\n" + b"".join(
        b"%s,%s\n" % (a.encode(), str(n).encode()) for a, n in rows
    )


def stock(engine: Engine) -> list[tuple[Any, ...]]:
    rows = engine.sql(
        "SELECT article, amount, is_low, price, row_number FROM stock ORDER BY article"
    )
    return [
        (article, amount, bool(low), price, number) for article, amount, low, price, number in rows
    ]


def expected(*files: list[tuple[str, int]]) -> list[tuple[Any, ...]]:
    """Return the expected rows: the later file wins among rows with the same key."""
    newest = {
        article: (article, amount, amount < 10, amount / 4, number)
        for file in files
        for number, (article, amount) in enumerate(file, 1)
    }
    return [newest[article] for article in sorted(newest)]


def lengths(engine: Engine) -> list[tuple[int, int]]:
    return [
        tuple(row)
        for row in engine.sql("SELECT row_number, length FROM name_lengths ORDER BY 1, 2")
    ]


def undo(engine: Engine, api: Api, job_id: str) -> dict[str, Any]:
    """Run to its end, waiting only so long for a response."""
    path = f"/api/v1/undo/{job_id}"
    engine.wait_until(lambda: api.client.post(path).status_code == 200, 30, "the undo")
    return dict(api.client.post(path).json())


@pytest.mark.parametrize("point", ["chunk.before_write", "chunk.after_write", "chunk.after_commit"])
def test_rows_are_written_once_after_a_death_and_are_undone_and_deleted(
    engine: Engine, point: str
) -> None:
    engine.environment["PROCESSORS"] = STOCK
    engine.start(GRANULA_FAIL=f"{point}=kill@2")
    with engine.api() as api:
        first = api.upload(file_of(FIRST), processor="stock", chunk_size=100)
    engine.wait_for_death()
    engine.start()
    with engine.api() as api:
        job = api.finished(first["file_id"], RECOVERY_SECONDS)
        assert job["status"] == "completed", job
        assert api.proof(first["file_id"])["closes"]
        assert stock(engine) == expected(FIRST)
        assert lengths(engine) == [(n, len(article)) for n, (article, _) in enumerate(FIRST, 1)]

        second = api.run(file_of(SECOND), processor="stock", chunk_size=100)
        assert stock(engine) == expected(FIRST, SECOND)
        undone = undo(engine, api, second["job_id"])
        assert (undone["removed"], undone["restored"]) == (100 + len(SECOND), 101)
        assert stock(engine) == expected(FIRST)
        assert len(lengths(engine)) == len(FIRST)

        assert api.client.delete(f"/api/v1/files/{first['file_id']}").status_code in (202, 204)
        engine.wait_until(lambda: not stock(engine), 15, "the rows to go")
        engine.wait_until(lambda: not lengths(engine), 15, "the rows to go")


def test_a_corrected_row_is_written_to_the_tables(engine: Engine) -> None:
    wrong = [(a, "many" if n % 50 == 0 else n) for a, n in FIRST]
    engine.environment["PROCESSORS"] = STOCK
    engine.start()
    with engine.api() as api:
        job = api.run(file_of(wrong), processor="stock", chunk_size=100)
        assert job["status"] == "completed_with_errors"
        assert len(stock(engine)) == 294
        body = fixed(api, job["file_id"], lambda line: line | {"amount": line["_row"]})
        correction = send(api, job["file_id"], body).json()
        assert api.finished(correction["file_id"])["status"] == "completed"
        assert stock(engine) == expected(FIRST)
        assert len(lengths(engine)) == len(FIRST)
        assert api.proof(job["file_id"])["closes"]


def test_a_deleted_job_loses_its_rows_even_without_its_processor(engine: Engine) -> None:
    """No processor knows the tables any more, and still no row without a job is left."""
    engine.start(PROCESSORS=STOCK)
    with engine.api() as api:
        file_id = api.run(file_of(FIRST), processor="stock", chunk_size=100)["file_id"]
    engine.stop()
    engine.start()
    with engine.api() as api:
        assert api.client.delete(f"/api/v1/files/{file_id}").status_code in (202, 204)
        engine.wait_until(lambda: not engine.files(), 15, "the file to go")
    assert (stock(engine), lengths(engine)) == ([], [])


def test_an_existing_table_with_other_columns_stops_the_start(engine: Engine) -> None:
    engine.start(PROCESSORS=STOCK)
    engine.stop()
    with pytest.raises(SettingsInvalid, match=r"name_lengths already exists.*\(length\)"):
        engine.start(PROCESSORS="tests.crash.processors:OtherStockProcessor")


def test_a_backup_restores_the_tables_without_their_processor(
    engine: Engine, databases: Databases, tmp_path: Path
) -> None:
    """The backup is restored into a database that has never seen the processor."""
    engine.environment["PROCESSORS"] = STOCK
    engine.start()
    with engine.api() as api:
        first = api.run(file_of(FIRST), processor="stock", chunk_size=100)
        second = api.run(file_of(SECOND), processor="stock", chunk_size=100)
    engine.stop()
    saved, folder = tmp_path / "saved", tmp_path / "other"
    saved.mkdir()
    other = databases.create(folder)
    made = asyncio.run(backup.save(engine.url, saved))
    asyncio.run(backup.load(other, saved, made.kind, made.revision, replace=False))

    restored = Engine(other, engine.storage, PROCESSORS=STOCK)
    try:
        restored.start()
        assert stock(restored) == expected(FIRST, SECOND)
        assert lengths(restored) == lengths(engine)
        with restored.api() as api:
            undo(restored, api, second["job_id"])
            assert stock(restored) == expected(FIRST)
            api.client.delete(f"/api/v1/files/{first['file_id']}")
            restored.wait_until(lambda: not stock(restored), 15, "the rows to go")
    finally:
        restored.end()
