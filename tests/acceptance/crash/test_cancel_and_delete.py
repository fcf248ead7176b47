"""Cancel and delete take effect with their response, whatever is running."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from app.config import load_settings
from app.db import chunks, jobs
from app.db.engine import Database
from tests.acceptance.crash.conftest import MakeService
from tests.conftest import Databases
from tests.crash.service import RECOVERY_SECONDS, Input, Service, assert_disk_agrees, assert_exact
from tests.harness import query, wait_until

GATED = "tests.crash.processors:GatedProcessor"


def test_after_the_response_to_a_cancel_no_row_is_written_and_every_row_is_counted(
    make_service: MakeService, wide: Input
) -> None:
    """The processor holds chunks, and half of the file is not even split, when the cancel comes."""
    service = make_service(PROCESSORS=GATED)
    other = Input.clean(500, "other")
    service.start()
    with service.api() as api:
        upload = api.upload(wide.data, chunk_size=100, processor="gated")
        wait_until(lambda: service.flagged("began"), what="a chunk in work")
        answer = api.client.post(f"/api/v1/jobs/{upload['job_id']}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
        written = [service.count(table, upload["job_id"]) for table in ("result_pages", "rejects")]

        service.raise_flag("open")
        assert_exact(service, api, api.run(other.data, chunk_size=100)["file_id"], other)
        wait_until(
            lambda: api.status(upload["file_id"])["split_complete"],
            RECOVERY_SECONDS,
            "all rows counted",
        )
        assert [
            service.count(table, upload["job_id"]) for table in ("result_pages", "rejects")
        ] == written
        status = assert_exact(service, api, upload["file_id"], wide)
        assert status["status"] == "cancelled"
        assert status["rows"]["unprocessed"] > 0
        again = api.client.post(f"/api/v1/jobs/{upload['job_id']}/cancel")
        assert (again.status_code, again.json()["status"]) == (200, "cancelled")


def test_rows_written_before_a_cancel_stay_readable_and_the_rest_is_unprocessed(
    make_service: MakeService,
) -> None:
    service, given = (
        make_service(PROCESSORS="tests.crash.processors:PacedProcessor"),
        Input.clean(20_000),
    )
    service.start()
    with service.api() as api:
        upload = api.upload(given.data, chunk_size=100, processor="paced")
        wait_until(
            lambda: service.count("result_pages", upload["job_id"]) > 10, what="some chunks done"
        )
        answer = api.client.post(f"/api/v1/jobs/{upload['job_id']}/cancel")
        assert answer.status_code == 200
        written = service.count("result_pages", upload["job_id"])
        api.run(Input.clean(500, "other").data, chunk_size=100)
        wait_until(
            lambda: api.status(upload["file_id"])["split_complete"],
            RECOVERY_SECONDS,
            "all rows counted",
        )
        assert service.count("result_pages", upload["job_id"]) == written
        rows = assert_exact(service, api, upload["file_id"], given)["rows"]
        assert rows["ok"] > 0
        assert rows["unprocessed"] > 0


def test_deleting_a_running_file_hides_it_immediately_and_removes_its_rows_and_bytes_soon(
    make_service: MakeService,
) -> None:
    service = make_service(PROCESSORS=GATED, RECONCILE_SECONDS=0.5)
    doomed, kept = Input.clean(3_000), Input.clean(500, "other")
    service.start()
    with service.api() as api:
        kept_id = api.run(kept.data, chunk_size=100)["file_id"]
        upload = api.upload(doomed.data, chunk_size=100, processor="gated")
        wait_until(lambda: service.flagged("began"), what="a chunk in work")
        assert api.client.delete(f"/api/v1/files/{upload['file_id']}").status_code == 204
        for path in ("status", "results", "rejects"):
            assert api.client.get(f"/api/v1/{path}/{upload['file_id']}").status_code == 404
        assert api.client.get(f"/api/v1/jobs/{upload['job_id']}").status_code == 404

        service.raise_flag("open")
        wait_until(
            lambda: set(service.files()) == {kept_id}, RECOVERY_SECONDS, "end of the deletion"
        )
        api.run(kept.data, chunk_size=100, processor="gated")
        for table in ("chunks", "result_pages", "rejects"):
            assert service.count(table, upload["job_id"]) == 0
        assert_exact(service, api, kept_id, kept)
    assert_disk_agrees(service)


@pytest.fixture
def held_json_job(make_service: MakeService) -> tuple[Service, dict[str, Any]]:
    """The processor holds its chunks, which will bring the job its first columns."""
    service = make_service(PROCESSORS=GATED)
    service.start()
    with service.api() as api:
        lines = b"".join(b'{"id": %d}\n' % i for i in range(1_000))
        upload = api.upload(
            lines, name="x.jsonl", type="application/x-ndjson", chunk_size=100, processor="gated"
        )
    wait_until(lambda: service.flagged("began"), what="a chunk in work")
    return service, upload


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
async def test_a_concurrent_cancel_and_write_do_not_deadlock(
    databases: Databases, held_json_job: tuple[Service, dict[str, Any]]
) -> None:
    """The write also needs the row of the job, for its columns. Both must lock the job first, then
    its chunks.
    """
    service, upload = held_json_job
    job_id = UUID(upload["job_id"])
    waiting = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type ="
        " 'Lock'"
    )
    database = Database(load_settings(database_url=service.url))
    try:
        async with database.engine.begin() as connection:
            assert await jobs.cancel(connection, job_id)
            service.raise_flag("open")
            await asyncio.to_thread(
                wait_until, lambda: query(service.url, waiting), 10, "a write in the way"
            )
            await chunks.cancel_all(connection, job_id)
    finally:
        await database.close()
    await asyncio.to_thread(
        wait_until, lambda: "Lost the lease of chunk" in service.log.read_text(), 10, "a refusal"
    )
    assert "deadlock" not in service.log.read_text().lower()
    assert await asyncio.to_thread(service.count, "result_pages", upload["job_id"]) == 0
