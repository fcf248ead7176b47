"""A chunk that kills whoever works on it is stopped, and nothing else is."""

from __future__ import annotations

from tests.crash.conftest import MakeService
from tests.crash.service import Input, Service, assert_disk_agrees, assert_exact
from tests.harness import FINAL, wait_until

POISONED_CHUNK = 9


def all_final(service: Service) -> bool:
    statuses = [status for (status,) in service.sql("SELECT status FROM jobs")]
    return bool(statuses) and all(status in FINAL for status in statuses)


def test_after_three_deaths_the_poisoned_chunk_alone_fails(make_service: MakeService) -> None:
    service = make_service(PROCESSORS="tests.crash.processors:KillerProcessor", MAX_CONCURRENCY=10)
    cells = [row for _, row in Input.clean(2_000).results]
    cells[POISONED_CHUNK * 100 + 50] = ["0", "poison", "0"]
    poisoned, other = Input.of(cells), Input.clean(3_000, "other")
    service.start()
    with service.api() as api:
        other_id = api.upload(other.data, chunk_size=100)["file_id"]
        poisoned_id = api.upload(poisoned.data, chunk_size=100, priority=5, processor="killer")["file_id"]
    deaths = 0
    while not wait_until(lambda: not service.is_alive or all_final(service), 30, "death or the end") or (
        not service.is_alive
    ):
        deaths += 1
        assert deaths <= 3
        service.launch()  # not start: it may be dead again before it says that it is ready
    assert deaths == 3

    with service.api() as api:
        status = assert_exact(service, api, poisoned_id, poisoned)
        assert status["status"] == "completed_with_errors"
        assert status["rows"]["failed"] == 100
        failed = {c["chunk_index"]: c for c in service.chunks(status["job_id"]) if c["status"] == "failed"}
        assert list(failed) == [POISONED_CHUNK]
        assert failed[POISONED_CHUNK]["deaths"] == 3
        assert failed[POISONED_CHUNK]["error"]["code"] == "poison_chunk"
        assert status["errors"][0]["error"]["code"] == "poison_chunk"
        assert assert_exact(service, api, other_id, other)["status"] == "completed"
        assert service.calls().count(POISONED_CHUNK) == 3
    assert_disk_agrees(service)


def test_a_chunk_that_was_near_a_death_is_not_suspected_for_ever(make_service: MakeService) -> None:
    """Chunks that were in work when the process died for another reason are done after the restart, each at once."""
    service = make_service(PROCESSORS="tests.crash.processors:GatedProcessor", MAX_CONCURRENCY=10)
    given = Input.clean(1_500)
    service.start()
    with service.api() as api:
        upload = api.upload(given.data, chunk_size=100, processor="gated")
        wait_until(lambda: service.flagged("began"), what="a chunk in work")
    service.kill()
    service.raise_flag("open")
    service.start()
    with service.api() as api:
        api.finished(upload["file_id"], 15)
        assert assert_exact(service, api, upload["file_id"], given)["status"] == "completed"
        assert max(c["deaths"] for c in service.chunks(upload["job_id"])) == 1


def test_a_conclusion_outlives_the_processes_that_draw_it(make_service: MakeService) -> None:
    service = make_service(PROCESSORS="tests.crash.processors:MortalProcessor")
    service.start()
    with service.api() as api:
        upload = api.upload(Input.clean(300).data, chunk_size=100, processor="mortal")
        assert api.finished(upload["file_id"])["status"] == "completed"
        assert service.flagged("second")
        assert api.client.get(f"/api/v1/jobs/{upload['job_id']}/result").json()["result"]["said"] == 300
