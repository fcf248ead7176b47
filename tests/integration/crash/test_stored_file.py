"""A stored file that was damaged outside the service gives no wrong row: its chunks or its job fail
with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.service import RECOVERY_SECONDS, Input, assert_exact, post
from tests.engine import Engine

GATED = "tests.crash.processors:GatedProcessor"
WITHOUT_LAST_LINE_END = Input.clean(2_000)
GIVEN = Input(WITHOUT_LAST_LINE_END.data.removesuffix(b"\n"), WITHOUT_LAST_LINE_END.results, [])
"""Without its last byte it is still valid CSV, with a wrong value at its end."""


def truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(len(GIVEN.data) - 1)


def flip(path: Path) -> None:
    """Flips one bit of a digit in the last row: still valid CSV."""
    with path.open("r+b") as file:
        file.seek(len(GIVEN.data) - 1)
        file.write(bytes([GIVEN.data[-1] ^ 1]))


def delete(path: Path) -> None:
    path.unlink()


DAMAGES = [
    (truncate, "stored_file_corrupt"),
    (flip, "stored_file_corrupt"),
    (delete, "stored_file_missing"),
]


def stored_file(engine: Engine) -> Path:
    (path,) = (engine.storage / "uploads").iterdir()
    return path


@pytest.mark.parametrize(("damage", "code"), DAMAGES)
def test_a_file_damaged_before_splitting_gives_no_row(
    engine: Engine, damage: Callable[[Path], None], code: str
) -> None:
    engine.start(GRANULA_FAIL="upload.after_commit=kill")
    with engine.api() as api:
        assert post(api, GIVEN, chunk_size=100) is None
    engine.wait_for_death()
    damage(stored_file(engine))

    engine.start()
    with engine.api() as api:
        (file_id,) = engine.files()
        status = api.finished(file_id, RECOVERY_SECONDS)
        assert status["status"] == "failed"
        assert status["error"]["code"] == code
        assert status["rows"]["ok"] == 0
        assert api.rows(file_id) == []


@pytest.mark.parametrize(("damage", "code"), DAMAGES)
def test_a_file_damaged_after_splitting_fails_the_affected_chunks(
    engine: Engine, damage: Callable[[Path], None], code: str
) -> None:
    engine.start(PROCESSORS=GATED, MAX_CONCURRENCY=1)
    with engine.api() as api:
        upload = api.upload(GIVEN.data, chunk_size=100, processor="gated")
        engine.wait_until(lambda: engine.flagged("began"), what="a chunk in work")
        engine.wait_until(
            lambda: api.status(upload["file_id"])["split_complete"], what="the whole file is split"
        )
        damage(stored_file(engine))
        engine.raise_flag("open")
        api.finished(upload["file_id"], RECOVERY_SECONDS)
        status = assert_exact(engine, api, upload["file_id"], GIVEN)
        assert status["status"] == "completed_with_errors"
        failed = [c for c in engine.chunks(upload["job_id"]) if c["status"] == "failed"]
        assert {c["error"]["code"] for c in failed} == {code}
        assert [c["chunk_index"] for c in failed][-1] == 19
        assert len(failed) == 1 or damage is delete
        assert {c["attempt"] for c in failed} == {1}  # no attempt would succeed
        assert status["errors"][0]["error"]["code"] == code
