"""SIGTERM during work: the process ends in time, and its running chunks lose no attempt."""

from __future__ import annotations

import time

from tests.acceptance.crash.conftest import MakeService
from tests.crash.service import RECOVERY_SECONDS, Input, Service, assert_disk_agrees, assert_exact
from tests.harness import Server, wait_until


def test_a_shutdown_during_work_costs_no_attempt(make_service: MakeService) -> None:
    """Started by `python -m uvicorn`."""
    source = Input.clean(8_000)
    service = make_service(PROCESSORS="tests.crash.processors:PacedProcessor", MAX_CONCURRENCY=2)
    server = Server(service.url, service.storage, **service.environment).start()
    try:
        with Service.api(server) as api:  # type: ignore[arg-type]
            upload = api.upload(source.data, chunk_size=100, processor="paced")
            wait_until(
                lambda: service.count("result_pages", upload["job_id"]) > 10,
                what="some chunks done",
            )
        began = time.monotonic()
        assert server.stop() in (0, -15), server.tail()
        assert time.monotonic() - began < 25
    finally:
        assert server.process is not None
        server.process.kill()
    chunks = service.chunks(upload["job_id"])
    # neither finished nor still running
    assert {c["status"] for c in chunks} == {"completed", "pending"}
    assert {c["attempt"] for c in chunks if c["status"] == "pending"} == {0}

    service.start()
    with service.api() as api:
        api.finished(upload["file_id"], RECOVERY_SECONDS)
        assert assert_exact(service, api, upload["file_id"], source)["status"] == "completed"
    assert {(c["attempt"], c["deaths"]) for c in service.chunks(upload["job_id"])} == {(1, 0)}
    assert_disk_agrees(service)
