"""A database outage costs no attempt and ends without an operator."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.crash.service import RECOVERY_SECONDS, Input, Service, assert_exact
from tests.harness import OwnPostgres, migrate, wait_until


@pytest.fixture(scope="module")
def empty(own_postgres: OwnPostgres) -> str:
    """An empty database with the tables, to be copied."""
    name = own_postgres.create()
    migrate(own_postgres.url(name))
    return name


class Pulse:
    """Polls /health without a pause, in a thread."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.answers: list[int] = []

    def _run(self) -> None:
        with self._service.client() as client:
            while not self._stop.wait(0.02):
                try:
                    self.answers.append(client.get("/health", timeout=2).status_code)
                except httpx.HTTPError:
                    self.answers.append(0)

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


@pytest.mark.parametrize(
    ("mode", "at"), [("fast", "flow"), ("immediate", "flow"), ("immediate", "commit")]
)
def test_a_database_outage_longer_than_a_lease_costs_no_attempt(
    own_postgres: OwnPostgres, empty: str, tmp_path: Path, mode: str, at: str
) -> None:
    """`flow`: the outage comes while many small chunks run. `commit`: while chunks are about to be
    written.
    """
    source = Input.clean(50_000 if at == "flow" else 20_000)
    service = Service(
        own_postgres.url(own_postgres.create(empty)),
        tmp_path / "storage",
        PROCESSORS="tests.crash.processors:PacedProcessor,tests.crash.processors:GatedProcessor",
        LEASE_SECONDS=1,
        HEARTBEAT_SECONDS=0.9,  # so that the reconciler comes first after the outage
        RECONCILE_SECONDS=0.1,
    )
    try:
        service.start()
        with service.api() as api, Pulse(service) as pulse:
            processor = "paced" if at == "flow" else "gated"
            upload = api.upload(source.data, chunk_size=100, processor=processor)
            if at == "flow":
                wait_until(
                    lambda: service.count("result_pages", upload["job_id"]) > 20,
                    what="some chunks done",
                )
            else:
                wait_until(lambda: service.flagged("began"), what="a chunk in work")
            assert api.status(upload["file_id"])["status"] == "processing"
            own_postgres.stop_with(mode)
            try:
                service.raise_flag("open")
                began = time.monotonic()
                assert_unavailable(
                    api.client.post(
                        "/api/v1/upload", files={"file": ("x.csv", b"a\n1\n", "text/csv")}
                    )
                )
                assert_unavailable(api.client.get(f"/api/v1/status/{upload['file_id']}"))
                assert_unavailable(api.client.get("/ready"), "application/json")
                wait_until(lambda: time.monotonic() - began > 2, what="the end of every lease")
            finally:
                own_postgres.start_again()
            api.finished(upload["file_id"], RECOVERY_SECONDS)
        assert set(pulse.answers) == {200}
        with service.api() as api:
            assert assert_exact(service, api, upload["file_id"], source)["status"] == "completed"
        assert {(c["attempt"], c["deaths"]) for c in service.chunks(upload["job_id"])} == {(1, 0)}
        assert len(service.files()) == 1
    finally:
        service.end()


def assert_unavailable(
    answer: httpx.Response, media_type: str = "application/problem+json"
) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"] == media_type
    if media_type.startswith("application/problem"):
        assert answer.json()["code"] == "unavailable"
        assert int(answer.headers["retry-after"]) > 0
