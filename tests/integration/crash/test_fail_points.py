"""Death at each fail point: what was acknowledged is stored, and the work resumes."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from app.failpoints import NAMES
from tests.crash.service import (
    RECOVERY_SECONDS,
    Input,
    assert_disk_agrees,
    assert_exact,
    assert_no_row_without_its_file,
)
from tests.engine import Engine
from tests.harness import Api, Parameter


def points(prefix: str) -> list[str]:
    return sorted(name for name in NAMES if name.startswith(prefix))


UPLOAD_POINTS = [point for point in points("upload.") if point != "upload.part_written"]
"""Points that an upload of one file passes; tests of archives have the other one."""


def send(api: Api, given: Input, key: str, **params: Parameter) -> dict[str, Any] | None:
    """Upload with an Idempotency-Key; return None if the service died before it responded."""
    files = {"file": ("data.csv", given.data, "text/csv")}
    try:
        answer = api.client.post(
            "/api/v1/upload",
            params={"chunk_size": 100, **params},
            files=files,
            headers={"Idempotency-Key": key},
        )
    except httpx.TransportError:
        return None
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


@pytest.mark.parametrize("point", UPLOAD_POINTS)
def test_an_interrupted_upload_is_stored_completely_or_not_at_all_and_can_be_repeated(
    engine: Engine, dirty: Input, point: str
) -> None:
    cut_short = Input.clean(250)
    engine.start(GRANULA_FAIL=f"{point}=kill@2")
    with engine.api() as api:
        acknowledged = send(api, dirty, "first")
        assert acknowledged is not None
        assert send(api, cut_short, "second") is None
    engine.wait_for_death()
    assert_no_row_without_its_file(engine)
    kept = set(engine.files())
    assert len(kept) == 1 + (point == "upload.after_commit")

    engine.start()
    with engine.api() as api:
        for file_id in kept:
            api.finished(file_id, RECOVERY_SECONDS)
        assert_exact(engine, api, acknowledged["file_id"], dirty)
        repeated = send(api, cut_short, "second")
        assert repeated is not None
        api.finished(repeated["file_id"])
        assert_exact(engine, api, repeated["file_id"], cut_short)
        assert set(engine.files()) == kept | {repeated["file_id"]}
    engine.kill()
    engine.sweep()
    assert_disk_agrees(engine)
    assert len(engine.stored()) == 2


@pytest.mark.parametrize(
    ("point", "occurrence"),
    [
        *((name, 1) for name in points("split.") + points("chunk.") + points("job.")),
        *((name, 2) for name in points("split.")),
        ("chunk.claimed", 4),
        ("chunk.read", 2),
        ("chunk.before_write", 3),
        ("chunk.after_write", 2),
        ("chunk.after_commit", 3),
    ],
)
def test_an_interrupted_job_completes_with_every_row_once(
    engine: Engine, dirty: Input, wide: Input, point: str, occurrence: int
) -> None:
    given = wide if (point.startswith("split."), occurrence) == (True, 2) else dirty
    engine.start(GRANULA_FAIL=f"{point}=kill@{occurrence}")
    with engine.api() as api:
        # the first split may start before the response is sent
        acknowledged = send(api, given, "only")
    engine.wait_for_death()
    assert_no_row_without_its_file(engine)
    (file_id,) = engine.files()
    assert acknowledged is None or acknowledged["file_id"] == file_id

    engine.start()
    with engine.api() as api:
        job_id = api.finished(file_id, RECOVERY_SECONDS)["job_id"]
        status = assert_exact(engine, api, file_id, given)
        assert status["status"] == "completed_with_errors"
        assert status["failed_chunks"] == 0
        chunks = engine.chunks(job_id)
        assert {c["deaths"] for c in chunks} == {0}
        assert any(c["is_suspect"] for c in chunks) or point not in INSIDE_A_CHUNK
    assert_disk_agrees(engine)


INSIDE_A_CHUNK = ("chunk.claimed", "chunk.read", "chunk.before_write", "chunk.after_write")


def test_an_interrupted_cancel_has_no_effect(engine: Engine, dirty: Input) -> None:
    engine.environment["PROCESSORS"] = "tests.crash.processors:GatedProcessor"
    engine.start(GRANULA_FAIL="cancel.before_commit=kill")
    with engine.api() as api:
        uploaded = send(api, dirty, "only", processor="gated")
        assert uploaded is not None
        engine.wait_until(lambda: engine.flagged("began"), 15, "a chunk in work")
        with pytest.raises(httpx.TransportError):
            api.client.post(f"/api/v1/jobs/{uploaded['job_id']}/cancel")
    engine.wait_for_death()

    engine.raise_flag("open")
    engine.start()
    with engine.api() as api:
        api.finished(uploaded["file_id"], RECOVERY_SECONDS)
        status = assert_exact(engine, api, uploaded["file_id"], dirty)
        assert status["status"] == "completed_with_errors"
        assert status["rows"]["unprocessed"] == 0


@pytest.mark.parametrize(("point", "occurrence"), [("delete.rows", 2), ("delete.disk", 1)])
def test_an_interrupted_deletion_is_finished_and_spares_other_files(
    engine: Engine, dirty: Input, point: str, occurrence: int
) -> None:
    neighbour = Input.clean(250)
    engine.environment["RECONCILE_SECONDS"] = "0.5"
    engine.start(GRANULA_FAIL=f"{point}=kill@{occurrence}")
    with engine.api() as api:
        doomed, kept = (api.upload(given.data, chunk_size=100) for given in (dirty, neighbour))
        for upload in (doomed, kept):
            api.finished(upload["file_id"])
        try:
            assert api.client.delete(f"/api/v1/files/{doomed['file_id']}").status_code == 204
        except httpx.TransportError:
            pass  # the rows are removed after the response, and may be gone already
    engine.wait_for_death()
    # not finished, or the test proves nothing
    assert set(engine.files()) == {doomed["file_id"], kept["file_id"]}

    engine.start()
    with engine.api() as api:
        assert api.client.get(f"/api/v1/status/{doomed['file_id']}").status_code == 404
        engine.wait_until(
            lambda: set(engine.files()) == {kept["file_id"]},
            RECOVERY_SECONDS,
            "end of the deletion",
        )
        for table in ("result_pages", "rejects", "chunks"):
            assert engine.count(table, doomed["job_id"]) == 0
        assert_exact(engine, api, kept["file_id"], neighbour)
    assert_disk_agrees(engine)
