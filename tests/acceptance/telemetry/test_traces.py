"""One trace from the upload at an API process to the commits of workers, as a collector of
OpenTelemetry gets it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.acceptance.scale.conftest import Cluster
from tests.acceptance.telemetry.collector import Collector
from tests.conftest import Databases
from tests.crash.service import Service, Worker
from tests.harness import Postgres, wait_until

pytestmark = pytest.mark.one_database

TRACE, ABOVE = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def collector() -> Iterator[Collector]:
    running = Collector(503)
    yield running
    running.close()


@pytest.fixture
def cluster(
    postgres: Postgres, templates: dict[str, str], tmp_path: Path, collector: Collector
) -> Iterator[Cluster]:
    databases = Databases("postgresql", postgres, templates)
    storage = tmp_path / "storage"
    settings = {
        "PROCESSORS": "tests.crash.processors:FussyProcessor",
        "MAX_RETRIES": 1,
        "BASE_BACKOFF": 0,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "LOG_FORMAT": "json",
        "OTEL_BSP_SCHEDULE_DELAY": 50,
    }
    made = Cluster(databases.create(storage), storage, settings)
    yield made
    made.end()
    databases.close()


def test_a_trace_spans_from_the_upload_to_the_commits_of_workers(
    cluster: Cluster, collector: Collector
) -> None:
    (service,) = cluster.add(Service)
    workers = cluster.add(Worker, 2)
    rows = [f"{i},cell-of-somebody" for i in range(1_000)]
    rows[250] = "250,bad"
    with service.api() as api:
        api.client.headers["traceparent"] = f"00-{TRACE}-{ABOVE}-01"
        data = "id,name\n" + "\n".join(rows)
        upload = api.upload(
            data.encode(), name="name-of-somebody.csv", chunk_size=100, processor="fussy"
        )
        del api.client.headers["traceparent"]
        assert api.finished(upload["file_id"])["rows"]["ok"] == 999
    # Three processes send them, in any order.
    for name in ("POST /api/v1/upload", "split", "conclude"):
        wait_until(partial(collector.spans, name), 20, f"the span {name}")
    wait_until(
        lambda: len(collector.spans("chunk")) == 11, 20, "a span for each attempt at each chunk"
    )
    wait_until(lambda: _committed(collector) == 10, 20, "the spans of all commits")

    spans = collector.spans()
    assert {span.trace_id for span in spans} == {TRACE}
    (door,) = collector.spans("POST /api/v1/upload")
    assert (door.parent_id, door.is_server, door.process["granula.role"]) == (ABOVE, True, "api")
    assert door.attributes["http.response.status_code"] == 201
    assert {span.name for span in spans} == {door.name, "split", "chunk", "commit", "conclude"}, (
        "lookers-on make none"
    )

    work = [span for span in spans if span != door]
    assert {span.process["granula.role"] for span in work} == {"worker"}
    assert {span.process["service.name"] for span in work} == {"granula"}
    pids = {span.process["service.instance.id"].split(":")[1] for span in work}
    assert pids <= {str(worker.process.pid) for worker in workers if worker.process}
    chunks = {span.span_id: span for span in spans if span.name == "chunk"}
    for span in work:
        assert span.attributes["granula.job.id"] == upload["job_id"]
        if span.name != "commit":
            assert span.parent_id == door.span_id
        elif not span.is_error:
            below = [chunks[each] for each in (span.parent_id, *span.links)]
            assert sorted(chunk.attributes["granula.chunk.index"] for chunk in below) == sorted(
                span.attributes["granula.chunks"]
            )

    outcomes: dict[int, list[tuple[int, str, bool]]] = {}
    for chunk in chunks.values():
        told = chunk.attributes
        assert told["granula.chunk.rows"] == 100
        entry = (told["granula.chunk.attempt"], told["granula.outcome"], chunk.is_error)
        outcomes.setdefault(told["granula.chunk.index"], []).append(entry)
    once = [(1, "completed", False)]
    assert outcomes == dict.fromkeys(range(10), once) | {
        2: [(1, "retried", True), (2, "completed", False)]
    }
    assert sum(chunk.attributes.get("granula.rows.ok", 0) for chunk in chunks.values()) == 999
    (ended,) = collector.spans("conclude")
    assert ended.attributes["granula.job.status"] == "completed_with_errors"
    assert collector.paths == {"/v1/traces"}
    assert not any(b"somebody" in body or b"cannot do" in body for body in collector.bodies)

    (tried,) = [
        line
        for worker in workers
        for line in map(json.loads, worker.log.read_text().splitlines())
        if line.get("chunk") == 2 and "exception" in line
    ]
    assert (tried["job"], tried["attempt"], tried["trace_id"]) == (upload["job_id"], 1, TRACE)


def _committed(collector: Collector) -> int:
    """Return the chunks of the commits so far."""
    return sum(
        len(span.attributes["granula.chunks"])
        for span in collector.spans("commit")
        if not span.is_error
    )
