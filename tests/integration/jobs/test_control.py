"""Cancel, retry, reprioritise and delete, called directly while the machine works."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from app.errors import Conflict, NotCancellable, NotFound, NothingToRetry
from app.jobs.users import LOCAL_OWNER
from tests.crash.service import Input, assert_exact
from tests.engine import Engine, EngineApi

GATED = "tests.crash.processors:GatedProcessor"
INPUT = Input.clean(1_000)


def begun(engine: Engine, api: EngineApi) -> tuple[UUID, UUID]:
    """Return (file, job) with a running chunk that does not end before the flag `open` is
    raised.
    """
    upload = api.upload(INPUT.data, chunk_size=100, processor="gated")
    engine.wait_until(lambda: engine.flagged("began"), 15, "a chunk in work")
    return UUID(upload["file_id"]), UUID(upload["job_id"])


def test_no_row_is_written_after_a_cancel_has_returned(engine: Engine) -> None:
    engine.start(PROCESSORS=GATED)
    with engine.api() as api:
        file_id, job_id = begun(engine, api)
        control = engine.services.control
        engine.run(control.cancel(job_id, LOCAL_OWNER))
        engine.raise_flag("open")
        engine.run_until_idle()
        status = assert_exact(engine, api, str(file_id), INPUT)
        assert (status["status"], status["rows"]["unprocessed"]) == ("cancelled", INPUT.row_count)
        engine.run(control.cancel(job_id, LOCAL_OWNER))  # twice is no error
        with pytest.raises(NothingToRetry):
            engine.run(control.retry(job_id, LOCAL_OWNER))


def test_finished_jobs_are_not_cancelled_retried_or_reprioritised(engine: Engine) -> None:
    engine.start()
    with engine.api() as api:
        job_id = UUID(api.run(INPUT.data)["job_id"])
        control = engine.services.control
        with pytest.raises(NotCancellable):
            engine.run(control.cancel(job_id, LOCAL_OWNER))
        with pytest.raises(NothingToRetry):
            engine.run(control.retry(job_id, LOCAL_OWNER))
        with pytest.raises(Conflict):
            engine.run(control.reprioritise(job_id, LOCAL_OWNER, 9))


def test_a_new_priority_applies_to_the_waiting_token(engine: Engine) -> None:
    """One slot is busy; of two waiting jobs, the raised one goes first."""
    engine.start(PROCESSORS=GATED, MAX_CONCURRENCY=1)
    with engine.api() as api:
        begun(engine, api)
        first, second = (api.upload(Input.clean(100, mark).data) for mark in ("first", "second"))
        job = engine.run(
            engine.services.control.reprioritise(UUID(second["job_id"]), LOCAL_OWNER, 10)
        )
        assert job.priority == 10
        queue = engine.services.machine.queue
        assert queue.rank(UUID(second["job_id"])) < queue.rank(UUID(first["job_id"]))
        engine.raise_flag("open")
        assert api.finished(second["file_id"])["status"] == "completed"


def test_a_deleted_file_is_hidden_immediately_and_leaves_nothing(engine: Engine) -> None:
    engine.start()
    with engine.api() as api:
        status = api.run(INPUT.data, chunk_size=100)
        file_id = UUID(status["file_id"])
        engine.run(engine.services.control.delete(file_id, LOCAL_OWNER))
        assert api.client.get(f"/api/v1/status/{file_id}").status_code == 404
        engine.wait_until(lambda: engine.files() == {}, 15, "the end of the deletion")
        assert engine.stored() == {}
        for table in ("result_pages", "rejects", "chunks"):
            assert engine.count(table, status["job_id"]) == 0


def test_jobs_and_files_of_other_owners_are_not_found(engine: Engine) -> None:
    engine.start()
    with engine.api() as api:
        status = api.run(INPUT.data)
        control = engine.services.control
        for owner, job_id in (("somebody else", UUID(status["job_id"])), (LOCAL_OWNER, uuid4())):
            with pytest.raises(NotFound):
                engine.run(control.cancel(job_id, owner))
            with pytest.raises(NotFound):
                engine.run(control.retry(job_id, owner))
        with pytest.raises(NotFound):
            engine.run(control.delete(UUID(status["file_id"]), "somebody else"))
