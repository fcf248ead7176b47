"""Death while a file is loaded into a table: readers see the state before or after, and in the end
it is that of an undisturbed run.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from app.features.tables.loading.destination import LoadedTables
from tests.crash.service import RECOVERY_SECONDS
from tests.engine import Engine

ROWS = 500
REPEATED = (120, 333)
"""Rows with the id of the row before them."""
TABLE = (
    "CREATE TABLE prices (id INTEGER PRIMARY KEY, price INTEGER)",
    "INSERT INTO prices VALUES (0, 7)",
)
BEFORE = [(0, 7)]
AFTER = BEFORE + [(i, 2 * i) for i in range(1, ROWS + 1) if i not in REPEATED]


def price_list() -> bytes:
    ids = [i - 1 if i in REPEATED else i for i in range(1, ROWS + 1)]
    lines = [f"{number},{2 * i}\n" for i, number in enumerate(ids, 1)]
    return ("id,price\n" + "".join(lines)).encode()


def prices(engine: Engine) -> list[tuple[Any, ...]]:
    return engine.sql("SELECT id, price FROM prices ORDER BY id")


def stages(engine: Engine) -> list[tuple[Any, ...]]:
    if engine.url.startswith("sqlite"):
        return engine.sql("SELECT name FROM sqlite_schema WHERE name LIKE 'granula_load_%'")
    return engine.sql(
        "SELECT relname::text FROM pg_class WHERE relname LIKE 'granula_load_%' AND relkind = 'r'"
    )


def records(engine: Engine) -> list[tuple[Any, ...]]:
    """Tables of records, and of undos that have not ended."""
    catalogue, name, kind = "pg_class", "relname::text", "relkind = 'r'"
    if engine.url.startswith("sqlite"):
        catalogue, name, kind = "sqlite_schema", "name", "type = 'table'"
    likes = " OR ".join(f"{name} LIKE 'granula_{what}%'" for what in ("record", "before", "undo"))
    return engine.sql(f"SELECT {name} FROM {catalogue} WHERE {kind} AND ({likes})")


def begin(engine: Engine, **options: Any) -> str:
    with engine.api() as api:
        file_id = api.upload(price_list())["file_id"]
        api.finished(file_id)
        body = {
            "type": "load",
            "file_id": file_id,
            "options": {"table": "prices", **options},
            "chunk_size": 100,
        }
        answer = api.client.post("/api/v1/jobs", json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["job_id"])


def ended(engine: Engine, job_id: str) -> dict[str, Any]:
    with engine.api() as api:

        def final() -> dict[str, Any] | None:
            status = dict(api.client.get(f"/api/v1/jobs/{job_id}/status").json())
            return None if status["is_active"] else status

        return api.wait_until(final, RECOVERY_SECONDS, "the end of the load") or {}


@pytest.mark.parametrize(
    ("point", "is_loaded"),
    [
        ("load.staged=kill", False),
        ("chunk.after_commit=kill@4", False),
        ("load.settled=kill", False),
        ("load.settled=kill@2", False),
        ("load.published=kill", False),
        ("job.before_finish=kill@2", False),
        ("job.after_finish=kill@2", True),
    ],
)
def test_a_load_writes_all_rows_to_the_table_or_none(
    engine: Engine, point: str, is_loaded: bool
) -> None:
    engine.sql(*TABLE)
    engine.start(GRANULA_FAIL=point)
    job_id = begin(engine)
    engine.wait_for_death()
    assert prices(engine) == (AFTER if is_loaded else BEFORE)

    engine.start()
    status = ended(engine, job_id)
    assert status["status"] == "completed", status
    assert prices(engine) == AFTER
    assert not stages(engine)
    with engine.api() as api:
        rejects = api.rejects(job_id)
        assert [reject["row_number"] for reject in rejects] == list(REPEATED)
        assert {reject["code"] for reject in rejects} == {"not_unique"}
        proof = api.proof(job_id)
        assert proof["closes"], proof["problems"]
        assert proof["counts"]["loaded"] == ROWS - 2


def test_a_load_that_is_cancelled_leaves_nothing(engine: Engine) -> None:
    """The job is stopped when its rows cannot be published."""
    engine.sql(*TABLE)
    engine.start(GRANULA_FAIL="load.published=transient@1+")
    job_id = begin(engine)
    with engine.api() as api:
        api.wait_until(lambda: len(api.rejects(job_id)) == len(REPEATED), 30, "all to be settled")
        assert stages(engine)
        assert api.client.post(f"/api/v1/jobs/{job_id}/cancel").status_code == 200
        assert ended(engine, job_id)["status"] == "cancelled"
        counts = {"loaded": 0, "rejected": 2, "failed": 0, "not_processed": ROWS - 2}
        assert api.status(job_id)["counts"] == counts
        assert not stages(engine)
        assert prices(engine) == BEFORE


def test_a_load_whose_file_is_deleted_leaves_nothing(engine: Engine) -> None:
    engine.sql(*TABLE)
    engine.start(GRANULA_FAIL="load.published=transient@1+")
    job_id = begin(engine)
    with engine.api() as api:
        api.wait_until(lambda: len(api.rejects(job_id)) == len(REPEATED), 30, "all to be settled")
        file_id = api.status(job_id)["file_id"]
        assert api.client.delete(f"/api/v1/files/{file_id}").status_code in (202, 204)
        api.wait_until(lambda: not stages(engine), 30, "the staging table to go")
        assert prices(engine) == BEFORE


def test_unused_staging_tables_are_dropped_at_startup(engine: Engine) -> None:
    """The staging table of a running job stays."""
    engine.sql(*TABLE)
    engine.start(GRANULA_FAIL="load.published=kill")
    job_id = begin(engine)
    engine.wait_for_death()
    engine.sql(f"CREATE TABLE granula_load_{'ab' * 16} (granula_row INTEGER)")
    assert len(stages(engine)) == 2

    engine.start(GRANULA_FAIL="load.published=transient@1+")
    mine = f"granula_load_{job_id.replace('-', '')}"
    engine.wait_until(lambda: stages(engine) == [(mine,)], 30, "the other table to go")


def test_the_rows_of_a_load_with_a_failed_chunk_wait_for_its_retry(engine: Engine) -> None:
    """The stored file is damaged in its last chunk, and restored."""
    engine.sql(*TABLE)
    engine.start(GRANULA_FAIL="load.staged=kill")
    job_id = begin(engine)
    engine.wait_for_death()
    (stored,) = (engine.storage / "uploads").iterdir()
    data = stored.read_bytes()
    stored.write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])

    engine.start()
    assert ended(engine, job_id)["status"] == "failed"
    with engine.api() as api:
        status = api.status(job_id)
        assert status["error"]["code"] == "load_incomplete"
        assert status["counts"] == {
            "loaded": 0,
            "rejected": 0,
            "failed": 100,
            "not_processed": ROWS - 100,
        }
        assert api.proof(job_id)["closes"]
        assert prices(engine) == BEFORE
        assert stages(engine)
        stored.write_bytes(data)
        assert api.client.post(f"/api/v1/jobs/{job_id}/retry").json()["chunks"] == 1
        assert ended(engine, job_id)["status"] == "completed"
    assert prices(engine) == AFTER
    assert not stages(engine)


@pytest.mark.parametrize(
    ("point", "is_undone"),
    [
        ("load.undone=kill", False),
        ("undo.before_commit=kill", False),
        ("undo.after_commit=kill", True),
        ("undo.before_commit=kill@2", True),
    ],
)
def test_all_of_a_load_is_taken_back_or_nothing(
    engine: Engine, point: str, is_undone: bool
) -> None:
    engine.sql(*TABLE)
    engine.start(GRANULA_FAIL=point)
    job_id = begin(engine, mode="upsert")
    with engine.api() as api:
        api.finished(job_id)
        with pytest.raises(httpx.TransportError):
            api.client.post(f"/api/v1/undo/{job_id}")
    engine.wait_for_death()
    assert prices(engine) == (BEFORE if is_undone else AFTER)

    engine.start()
    with engine.api() as api:

        def undone() -> bool:
            return (api.status(job_id)["undo"] or {}).get("state") == "undone"

        api.wait_until(undone, RECOVERY_SECONDS, "the end of the undo")
        assert prices(engine) == BEFORE
        assert api.proof(job_id)["closes"]
    assert not records(engine)


def test_records_go_when_they_are_too_old(engine: Engine) -> None:
    """Not before."""
    engine.sql(*TABLE)
    engine.start()
    job_id = begin(engine)
    ended(engine, job_id)
    loaded = engine.services.of(LoadedTables)
    engine.run(loaded.sweep())
    assert records(engine)
    engine.change("UPDATE jobs SET finished_at = '2020-01-01 00:00:00'")
    engine.run(loaded.sweep())
    assert not records(engine)
    assert prices(engine) == AFTER
