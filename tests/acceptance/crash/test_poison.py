"""A chunk that kills its process is isolated, and no other chunk fails."""

from __future__ import annotations

from functools import partial

import psutil
import pytest

from tests.acceptance.crash.conftest import MakeService
from tests.crash.service import Input, Service, assert_disk_agrees, assert_exact
from tests.harness import FINAL, wait_until

POISONED_CHUNK = 9


def all_final(service: Service) -> bool:
    statuses = [status for (status,) in service.sql("SELECT status FROM jobs")]
    return bool(statuses) and all(status in FINAL for status in statuses)


def test_a_poison_chunk_kills_the_service_once_then_only_isolated_processes_and_fails_alone(
    make_service: MakeService,
) -> None:
    service = make_service(PROCESSORS="tests.crash.processors:KillerProcessor", MAX_CONCURRENCY=10)
    cells = [row for _, row in Input.clean(2_000).results]
    cells[POISONED_CHUNK * 100 + 50] = ["0", "poison", "0"]
    poisoned, other = Input.of(cells), Input.clean(3_000, "other")
    service.start()
    with service.api() as api:
        other_id = api.upload(other.data, chunk_size=100)["file_id"]
        poisoned_id = api.upload(poisoned.data, chunk_size=100, priority=5, processor="killer")[
            "file_id"
        ]
    service.wait_for_death()
    service.start()
    wait_until(lambda: all_final(service), 60, "the end of both jobs")
    assert service.is_alive

    with service.api() as api:
        status = assert_exact(service, api, poisoned_id, poisoned)
        assert status["status"] == "completed_with_errors"
        assert status["rows"]["failed"] == 100
        failed = {
            c["chunk_index"]: c for c in service.chunks(status["job_id"]) if c["status"] == "failed"
        }
        assert list(failed) == [POISONED_CHUNK]
        assert failed[POISONED_CHUNK]["deaths"] == 3
        assert failed[POISONED_CHUNK]["error"]["code"] == "poison_chunk"
        assert status["errors"][0]["error"]["code"] == "poison_chunk"
        assert {c["deaths"] for c in service.chunks(status["job_id"])} == {0, 3}
        assert assert_exact(service, api, other_id, other)["status"] == "completed"
        assert service.calls().count(POISONED_CHUNK) == 1 + 3
    assert_disk_agrees(service)


def test_repeated_external_kills_fail_no_chunk(
    make_service: MakeService,
) -> None:
    """Also while suspects run in isolated processes."""
    service = make_service(PROCESSORS="tests.crash.processors:SlowProcessor", MAX_CONCURRENCY=4)
    source = Input.clean(6_000)
    service.start()
    with service.api() as api:
        upload = api.upload(source.data, chunk_size=100, processor="slow")
    for _ in range(4):
        before = len(service.calls())
        wait_until(lambda b=before: len(service.calls()) > b + 2, 60, "chunks in work")  # type: ignore[misc]
        service.kill()
        service.start()
    with service.api() as api:
        api.finished(upload["file_id"], 60)
        assert assert_exact(service, api, upload["file_id"], source)["status"] == "completed"
        chunks = service.chunks(upload["job_id"])
        assert {c["deaths"] for c in chunks} == {0}
        assert {c["attempt"] for c in chunks} == {1}
    assert_disk_agrees(service)


def test_a_suspect_that_dies_with_the_service_is_not_counted(
    make_service: MakeService,
) -> None:
    """As when a container ends: its processes end in any order."""
    service = make_service(PROCESSORS="tests.crash.processors:GatedProcessor", MAX_CONCURRENCY=1)
    source = Input.clean(100)
    service.start()
    with service.api() as api:
        upload = api.upload(source.data, chunk_size=100, processor="gated")
    for _ in range(3):
        assert service.process is not None
        wait_until(lambda: service.flagged("began"), 30, "a chunk in work")
        for child in psutil.Process(service.process.pid).children(recursive=True):
            child.kill()
        service.kill()
        (service.flags / "began").unlink()
        service.start()
    service.raise_flag("open")
    with service.api() as api:
        api.finished(upload["file_id"], 30)
        assert assert_exact(service, api, upload["file_id"], source)["status"] == "completed"
        assert [c["deaths"] for c in service.chunks(upload["job_id"])] == [0]


@pytest.mark.long
def test_twenty_kills_during_a_load_of_200_000_rows_lose_nothing(make_service: MakeService) -> None:
    service = make_service(PROCESSORS="tests.crash.processors:SlowProcessor", MAX_CONCURRENCY=10)
    source = Input.clean(200_000)
    service.start()
    with service.api() as api:
        upload = api.upload(source.data, chunk_size=1_000, processor="slow")

    def has_moved(calls: int) -> bool:
        return len(service.calls()) > calls or all_final(service)

    for _ in range(20):
        wait_until(partial(has_moved, len(service.calls())), 60, "a chunk in work")
        service.kill()
        service.start()
    with service.api() as api:
        api.finished(upload["file_id"], 120)
        assert assert_exact(service, api, upload["file_id"], source)["status"] == "completed"


def test_a_chunk_in_flight_at_a_kill_does_not_stay_a_suspect(make_service: MakeService) -> None:
    """Chunks in flight when the process died for another reason complete after the restart, without
    delay.
    """
    service = make_service(PROCESSORS="tests.crash.processors:GatedProcessor", MAX_CONCURRENCY=10)
    source = Input.clean(1_500)
    service.start()
    with service.api() as api:
        upload = api.upload(source.data, chunk_size=100, processor="gated")
        wait_until(lambda: service.flagged("began"), what="a chunk in work")
    service.kill()
    service.raise_flag("open")
    service.start()
    with service.api() as api:
        api.finished(upload["file_id"], 15)
        assert assert_exact(service, api, upload["file_id"], source)["status"] == "completed"
        chunks = service.chunks(upload["job_id"])
        assert {(c["attempt"], c["deaths"]) for c in chunks} == {(1, 0)}


def test_a_conclusion_survives_the_death_of_its_process(make_service: MakeService) -> None:
    service = make_service(PROCESSORS="tests.crash.processors:MortalProcessor")
    service.start()
    with service.api() as api:
        upload = api.upload(Input.clean(300).data, chunk_size=100, processor="mortal")
        assert api.finished(upload["file_id"])["status"] == "completed"
        assert service.flagged("second")
        assert (
            api.client.get(f"/api/v1/jobs/{upload['job_id']}/result").json()["result"]["said"]
            == 300
        )
