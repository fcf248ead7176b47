"""What a retry runs again, and what it keeps."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.crash.service import Input
from tests.engine import Engine
from tests.harness import Api
from tests.moves import drop_for_jobs

FUSSY = "tests.crash.processors:FussyProcessor"
ROWS = [[str(i), f"row {i}", "bad" if i > 100 else "fine"] for i in range(1, 201)]
"""Two chunks of 100 rows, of which the second fails."""


def half_failed(api: Api) -> dict[str, Any]:
    """Return the status of a file with one failed chunk."""
    status = api.run(Input.of(ROWS).data, processor="fussy", chunk_size=100)
    assert (status["status"], status["rows"]["failed"]) == ("completed_with_errors", 100)
    return status


def retry(api: Api, job_id: str) -> httpx.Response:
    return api.client.post(f"/api/v1/jobs/{job_id}/retry")


def start_failing(engine: Engine, **environment: object) -> None:
    engine.start(PROCESSORS=FUSSY, MAX_RETRIES=0, **environment)


def test_an_upload_is_kept_for_its_failed_chunks_and_removed_after_them(
    engine: Engine,
) -> None:
    start_failing(engine, DELETE_FILE_ON_COMPLETE=True)
    with engine.api() as api:
        failed = half_failed(api)
        file_id = failed["file_id"]
        clean = api.run(b"id\n1\n")["file_id"]
        uploads = engine.storage / "uploads"
        engine.wait_until(lambda: not (uploads / clean).exists(), 10, "removal of the other file")
        assert (uploads / file_id).exists()
        engine.raise_flag("mended")
        assert retry(api, failed["job_id"]).status_code == 202
        assert api.finished(file_id)["status"] == "completed"
        assert [cells for _, cells in api.rows(file_id)] == ROWS
        engine.wait_until(lambda: not (uploads / file_id).exists(), 10, "removal of the file")


def test_a_retry_without_stored_bytes_is_refused_and_changes_nothing(
    engine: Engine,
) -> None:
    start_failing(engine)
    with engine.api() as api:
        before = half_failed(api)
        engine.change(
            f"UPDATE files SET storage_uri = NULL WHERE id = {engine.key(before['file_id'])}"
        )
        refused = retry(api, before["job_id"])
        assert (refused.status_code, refused.json()["code"]) == (409, "stored_bytes_gone")
        assert api.status(before["file_id"])["rows"] == before["rows"]


def test_a_cancelled_correction_is_not_run_by_the_retry_of_its_job(
    engine: Engine,
) -> None:
    start_failing(engine)
    with engine.api() as api:
        rows = [["1", "x", "refused"], *ROWS[1:]]
        target = api.run(Input.of(rows).data, processor="fussy", chunk_size=100)
        file_id = target["file_id"]
        cells = {"rows": [{"_row": 1, "values": {"value": "bad"}}]}
        body = api.client.post(f"/api/v1/files/{file_id}/corrections", json=cells).json()
        api.finished(body["file_id"])
        engine.change(
            drop_for_jobs(engine.url),
            f"UPDATE jobs SET status = 'cancelled' WHERE id = {engine.key(body['job_id'])}",
        )
        failed = [chunk["status"] for chunk in engine.chunks(body["job_id"])]
        engine.raise_flag("mended")
        assert retry(api, target["job_id"]).status_code == 202
        assert api.finished(file_id)["status"] == "completed_with_errors"
        assert [chunk["status"] for chunk in engine.chunks(body["job_id"])] == failed


def test_retrying_one_part_ends_its_job_again(engine: Engine) -> None:
    start_failing(engine)
    with engine.api() as api:
        whole = api.run(b"id\n1\n")
        batch = {"file_ids": [whole["file_id"]], "job_type": "analyze", "options": {}}
        parent = api.client.post("/api/v1/jobs/batch", json=batch).json()["job_id"]
        api.finished(parent)
        part = half_failed(api)["job_id"]
        mine, theirs = engine.key(part), engine.key(parent)
        engine.change(
            drop_for_jobs(engine.url),
            f"UPDATE jobs SET parent_id = {theirs} WHERE id = {mine}",
            "UPDATE jobs SET child_count = 2, status = 'completed_with_errors' WHERE id ="
            f" {theirs}",
        )
        engine.raise_flag("mended")
        assert retry(api, part).status_code == 202
        assert api.finished(part)["status"] == "completed"
        engine.wait_until(
            lambda: api.status(parent)["status"] == "completed", 20, "the end of the whole"
        )


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_a_processor_whose_combine_fails_fails_its_job(engine: Engine) -> None:
    engine.start(PROCESSORS="tests.crash.processors:UnsummedProcessor")
    with engine.api() as api:
        status = api.run(b"id\n1\n", processor="unsummed")
        assert status["status"] == "failed"
        assert "a bug of its author's" in status["error"]["message"]
