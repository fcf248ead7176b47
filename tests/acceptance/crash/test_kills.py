"""kill -9, one for each family of fail points: the process ends immediately, with its threads and
handles, and the next one resumes. tests/integration/crash tests each fail point on both databases,
with a simulated death.
"""

from __future__ import annotations

import csv
import io

import httpx
import pytest

from tests.corrections.tables import fixed
from tests.corrections.tables import send as correct
from tests.crash.service import (
    RECOVERY_SECONDS,
    Input,
    Service,
    assert_disk_agrees,
    assert_exact,
    assert_no_row_without_its_file,
)
from tests.integration.crash.test_corrections import CELLS, CLEAN, DIRTY
from tests.integration.crash.test_fail_points import send
from tests.integration.crash.test_transform import EXPECTED, begin, ended, transform_input

pytestmark = pytest.mark.one_database


def test_an_upload_and_each_stage_of_its_job_survive_a_kill(service: Service, dirty: Input) -> None:
    """One file, five lives: the upload, the split, a chunk and the end of the job are interrupted
    in turn.
    """
    service.start(GRANULA_FAIL="upload.after_rename=kill")
    with service.api() as api:
        assert send(api, dirty, "only") is None
    service.wait_for_death()
    assert service.files() == {}

    service.start(GRANULA_FAIL="split.before_commit=kill")
    with service.api() as api:
        send(api, dirty, "only")  # the split may start before the response is sent
    service.wait_for_death()
    assert_no_row_without_its_file(service)
    (file_id,) = service.files()
    for point in ("chunk.after_write=kill@2", "job.before_finish=kill"):
        service.launch(GRANULA_FAIL=point)
        service.wait_for_death()

    service.start()
    with service.api() as api:
        job_id = api.finished(file_id, RECOVERY_SECONDS)["job_id"]
        status = assert_exact(service, api, file_id, dirty)
        assert (status["status"], status["failed_chunks"]) == ("completed_with_errors", 0)
        assert {chunk["deaths"] for chunk in service.chunks(job_id)} == {0}
    service.kill()
    service.sweep()
    assert_disk_agrees(service)


def test_an_output_survives_a_kill(service: Service) -> None:
    service.start(GRANULA_FAIL="output.written=kill", COMPUTE_PROCESSES=1)
    with service.api() as api:
        job_id = begin(api, transform_input())
    service.wait_for_death(60)
    assert service.sql("SELECT count(*) FROM files WHERE filename LIKE '%transformed%'") == [(0,)]

    service.start()
    with service.api() as api:
        status = ended(api, job_id)
        assert status["status"] == "completed", status
        text = api.client.get(f"/api/v1/files/{status['result_file_id']}/download").content.decode()
        rows = list(csv.reader(io.StringIO(text, newline="")))
        assert [row[0] for row in rows[1:]] == [str(row[0]) for row in EXPECTED.rows]
        assert api.proof(job_id)["closes"]
    service.kill()
    service.sweep()
    assert service.stored().keys() == service.files().keys()
    assert not list((service.storage / "outputs").iterdir())


def test_a_correction_survives_a_kill(service: Service) -> None:
    service.start()
    with service.api() as api:
        job = api.run(DIRTY, chunk_size=100)
        body = fixed(
            api, job["file_id"], lambda line: line | {"value": CELLS[int(line["_row"]) - 1][2]}
        )
    service.kill()
    service.start(GRANULA_FAIL="correction.results_written=kill@3")
    with service.api() as api:
        try:
            correct(api, job["file_id"], body)
        except httpx.TransportError:
            pass  # the work may start before the response is sent
    service.wait_for_death()

    service.start()
    with service.api() as api:
        (correction,) = api.client.get("/api/v1/jobs", params={"parent": job["job_id"]}).json()[
            "items"
        ]
        assert api.finished(correction["file_id"], RECOVERY_SECONDS)["status"] == "completed"
        assert api.rows(job["file_id"]) == CLEAN.results
        assert api.rejects(job["file_id"]) == []
        assert api.proof(job["file_id"])["closes"]
