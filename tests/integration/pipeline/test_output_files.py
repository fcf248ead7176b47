"""The file of a job: assembled from the output of its chunks in row order, and absent if a part is
damaged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engine import Engine, EngineApi

LETTERS = "tests.crash.letters:LettersProcessor"
CHUNK_ROWS = 100
NAMES = [f"row {number}" for number in range(1, 351)]
NOBODY = range(100, 200)
"""Rows, from 0, without a line in the file: all of the second chunk."""


def data() -> bytes:
    names = ["nobody" if row in NOBODY else name for row, name in enumerate(NAMES)]
    return "\n".join(["name,city", *(f"{name},x" for name in names), ""]).encode()


def expected(greeting: str) -> bytes:
    names = [name for row, name in enumerate(NAMES) if row not in NOBODY]
    return "".join(["letter\n", *(f"{greeting} {name}\n" for name in names)]).encode()


def written(engine: Engine, api: EngineApi, **said: Any) -> dict[str, Any]:
    """Return the final status of the job."""
    upload = api.upload(data(), processor="letters", chunk_size=CHUNK_ROWS, **said)
    return {**ended(api, upload["job_id"]), "job_id": upload["job_id"]}


def ended(api: EngineApi, job_id: str) -> dict[str, Any]:
    def final() -> dict[str, Any] | None:
        status = dict(api.client.get(f"/api/v1/jobs/{job_id}/status").json())
        return None if status["is_active"] else status

    return api.wait_until(final, 60, f"end of {job_id}")


def result_of(api: EngineApi, job_id: str) -> dict[str, Any]:
    answer = api.client.get(f"/api/v1/jobs/{job_id}/result")
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["result"])


def test_the_file_holds_the_output_of_every_chunk_in_row_order(engine: Engine) -> None:
    """The parts are written in any order, and a chunk without a valid row leaves none."""
    engine.start(PROCESSORS=LETTERS)
    with engine.api() as api:
        status = written(engine, api, **{"option.greeting": "Hello"}, name="people.csv")
        assert status["status"] == "completed"
        content = expected("Hello")
        file_id = status["result_file_id"]
        assert api.client.get(f"/api/v1/files/{file_id}/download").content == content
        result = result_of(api, status["job_id"])
        assert result["output"] == {
            "file_id": file_id,
            "format": "csv",
            "size_bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        assert result["rows"] == {"total": 350, "ok": 250, "rejected": 100}
        assert result["rejected_by_code"] == {"nobody": 100}
        shown = [(reject["row_number"], reject["code"]) for reject in result["rejects"]]
        assert shown == [(number, "nobody") for number in range(101, 121)]
        assert result["preview"] == [
            {"row_number": number, "data": [f"Hello row {number}"]} for number in (1, 2, 3)
        ]
        assert engine.stored().keys() == engine.files().keys(), "and no other file"
        analysis = api.client.post("/api/v1/jobs/analyze", json={"file_id": file_id}).json()
        assert ended(api, analysis["job_id"])["status"] == "completed"
        profile = result_of(api, analysis["job_id"])
        assert (profile["rows"]["total"], profile["columns"][0]["name"]) == (250, "letter")
    assert not list((engine.storage / "outputs").iterdir()), "the parts are gone"


def test_a_dry_run_reports_the_same_and_writes_no_file(engine: Engine) -> None:
    engine.start(PROCESSORS=LETTERS)
    with engine.api() as api:
        real = result_of(api, written(engine, api)["job_id"])
        status = written(engine, api, **{"option.dry_run": "true"})
        dry = result_of(api, status["job_id"])
        assert status["result_file_id"] is None
        assert (dry.pop("output"), dry.pop("dry_run")) == (None, True)
        assert dry.items() <= real.items()
    rows = engine.sql("SELECT count(*) FROM files WHERE filename LIKE '%.transformed.%'")
    assert rows == [(1,)], "that of the other run"


@pytest.mark.one_database
def test_the_output_file_is_named_after_its_source(engine: Engine) -> None:
    called = {
        "people.csv": "people.transformed.csv",
        "People.TSV": "People.transformed.csv",
        "two.parts.txt": "two.parts.transformed.csv",
        "plain": "plain.transformed.csv",
        ".csv": "file.transformed.csv",
    }
    engine.start(PROCESSORS=LETTERS)
    with engine.api() as api:
        for name in called:
            written(engine, api, name=name)
    rows = engine.sql("SELECT filename FROM files WHERE filename LIKE '%.transformed.%'")
    assert sorted(name for (name,) in rows) == sorted(called.values())


def remove(part: Path) -> None:
    part.unlink()


def damage(part: Path) -> None:
    content = part.read_bytes()
    part.write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])


def cut(part: Path) -> None:
    part.write_bytes(part.read_bytes()[:-1])


@pytest.mark.parametrize("harm", [remove, damage, cut])
def test_a_damaged_part_prevents_the_file(engine: Engine, harm: Callable[[Path], None]) -> None:
    """It happens while the service is down, between the last part and the naming of the file."""
    engine.start(PROCESSORS=LETTERS, GRANULA_FAIL="output.written=kill")
    with engine.api() as api:
        upload = api.upload(data(), processor="letters", chunk_size=CHUNK_ROWS)
    engine.wait_for_death(60)
    parts = sorted((engine.storage / "outputs" / upload["job_id"]).iterdir())
    assert len(parts) == 3
    harm(parts[1])
    engine.start(PROCESSORS=LETTERS)
    with engine.api() as api:
        status = ended(api, upload["job_id"])
        assert (status["status"], status["result_file_id"]) == ("failed", None)
        assert api.status(upload["file_id"])["error"]["code"] == "output_part_missing"
        assert len(engine.files()) == 1
    engine.kill()
    engine.sweep()
    assert engine.stored().keys() == engine.files().keys()
