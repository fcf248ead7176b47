"""Telemetry of a process, on both databases: the counters of /metrics, and its log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import Databases
from tests.crash.service import Service
from tests.harness import Api, wait_until
from tests.webhooks.receiver import Receiver

pytestmark = pytest.mark.one_database

ROUTE = "/api/v1/status/{file_id}"


@pytest.fixture(scope="module")
def server(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Tries each chunk twice, without a pause."""
    storage = tmp_path_factory.mktemp("telemetry") / "storage"
    running = Service(
        databases.create(storage),
        storage,
        PROCESSORS="tests.crash.processors:FussyProcessor",
        MAX_RETRIES=1,
        BASE_BACKOFF=0,
        WEBHOOK_ALLOW_PRIVATE="true",
        WEBHOOK_RETRY_SECONDS="0.05",
        LOG_FORMAT="json",
    )
    yield from running.while_up()


def scraped(api: Api, *only: str) -> dict[tuple[str, ...], float]:
    """Return samples by name and values of their labels; `only` with these names."""
    families = text_string_to_metric_families(api.client.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples]
    return {(s.name, *s.labels.values()): s.value for s in samples if not only or s.name in only}


def mixed() -> bytes:
    """Three chunks of 100 rows: two unwanted rows, one that fails, and a chunk that fails."""
    names = ["ok"] * 98 + ["refused"] * 2 + ["ok"] * 99 + ["bad"] * 101
    return b"id,name\n" + b"".join(b"%d,%b\n" % (i, name.encode()) for i, name in enumerate(names))


def test_rows_chunks_stages_and_messages_are_counted_once_they_are_in_the_database(
    api: Api,
) -> None:
    receiver = Receiver()
    hook = api.client.post(
        "/api/v1/webhooks", json={"url": receiver.url(receiver.path(500, 204))}
    ).json()
    before = scraped(api)
    status = api.run(mixed(), chunk_size=100, processor="fussy")
    assert status["rows"]["ok"] == 197

    def delivered() -> bool:
        return scraped(api)["granula_webhook_messages", "delivered"] == 1

    wait_until(delivered, 20, "a delivered message")
    receiver.stop()
    after = scraped(api)
    grown = {key: value - before.get(key, 0) for key, value in after.items()}
    for name, counts in {
        "granula_rows_total": {"ok": 197, "invalid": 2, "failed": 101},
        "granula_chunks_total": {"completed": 2, "failed": 1, "retried": 2},
        "granula_webhook_attempts_total": {"delivered": 1, "failed": 1},
        "granula_webhook_messages": {"delivered": 1, "pending": 0, "failed": 0},
    }.items():
        assert {outcome: grown[name, outcome] for outcome in counts} == counts, name
    stages = {
        stage: grown["granula_chunk_seconds_count", stage]
        for stage in ("wait", "read", "process", "write")
    }
    assert stages == {"wait": 1, "read": 1, "process": 1, "write": 2}, (
        "rows looked for one by one are not a stage"
    )
    api.client.delete(f"/api/v1/webhooks/{hook['id']}")


def test_answers_are_counted_by_declared_route_without_uploads_and_event_streams(api: Api) -> None:
    upload = api.upload(b"id\n1\n")
    api.finished(upload["file_id"])
    assert api.client.get("/api/v1/status/not-an-id/nothing").status_code == 404
    api.client.request("BREW", "/api/v1/jobs")
    with api.client.stream("GET", f"/api/v1/status/{upload['file_id']}/events") as events:
        assert events.read()
    counted = {key[1:]: n for key, n in scraped(api, "granula_http_request_seconds_count").items()}
    assert counted["GET", ROUTE, "2xx"] >= 1
    assert counted["GET", "other", "4xx"] >= 1
    assert {method for method, _, _ in counted} <= {"GET", "POST", "DELETE", "other"}
    routes = {route for _, route, _ in counted}
    assert not [
        route
        for route in routes
        if upload["file_id"] in route or "events" in route or "upload" in route
    ]


def test_the_pool_reports_its_connections(api: Api) -> None:
    found = scraped(api, "granula_database_connections", "granula_database_connections_max")
    used, idle = (
        found["granula_database_connections", "in_use"],
        found["granula_database_connections", "idle"],
    )
    assert 0 <= used
    assert 0 < used + idle <= found["granula_database_connections_max",]


def lines(server: Service) -> list[dict[str, Any]]:
    """Return the lines of its log: each must be an object."""
    return [json.loads(line) for line in server.log.read_text().splitlines()]


def test_every_log_line_is_an_object_with_its_context(server: Service, api: Api) -> None:
    assert server.sql("SELECT count(*) FROM jobs WHERE trace IS NOT NULL") == [(0,)], (
        "tracing is off"
    )
    job_id = api.run(mixed(), chunk_size=100, processor="fussy")["job_id"]
    mine = wait_until(
        lambda: [line for line in lines(server) if line.get("job") == job_id],
        what="lines of the job",
    )
    errors = [line for line in mine if line["level"] == "ERROR"]
    (gave_up,) = [line for line in errors if line["logger"] == "app.pipeline.committer"]
    assert (gave_up["chunk"], gave_up["attempt"]) == (2, 2)
    first = [line for line in mine if "exception" in line and line.get("attempt") == 1]
    assert {line["chunk"] for line in first} == {1, 2}
    assert all("Traceback" in line["exception"] for line in first)
    (ended,) = [line for line in mine if line["message"].endswith("is completed_with_errors")]
    assert "chunk" not in ended
    assert server.process is not None
    assert {line["worker"].split(":")[1] for line in mine} == {str(server.process.pid)}
    everything = lines(server)
    assert all(datetime.fromisoformat(line["time"]).tzinfo for line in everything)
    assert "uvicorn.error" in {line["logger"] for line in everything}
    assert not any("trace_id" in line for line in everything)
