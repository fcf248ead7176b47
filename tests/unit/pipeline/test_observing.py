"""Telemetry of chunks: each is counted once, by its last holder, and has a span from its claim to
its end.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from opentelemetry.exporter.otlp.proto.http import trace_exporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from app.db.chunks import Claim
from app.db.rows import ChunkCompletion
from app.errors import LeaseLost
from app.formats.base import Span
from app.pipeline import observing
from app.pipeline.running import JobSnapshot
from app.telemetry import tracing
from app.telemetry.counters import PROCESS
from app.telemetry.logs import JsonLines
from tests.unit.pipeline.test_running import snapshot

TRACE, ABOVE = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TIMINGS = {"wait": 0.25, "read": 0.5, "process": 1.0}


def traced_job() -> JobSnapshot:
    return replace(snapshot(), trace=f"00-{TRACE}-{ABOVE}-01")


def claims_of(job_id: UUID, count: int) -> list[Claim]:
    """Chunks of ten rows, claimed together."""
    token = uuid4()
    return [
        Claim(job_id, index, token, attempt=1, span=Span(index, index + 1, 1, 10, 1, 0))
        for index in range(count)
    ]


def stored(ok: int, invalid: int) -> ChunkCompletion:
    """Facts of a completed chunk."""
    return ChunkCompletion(
        rows_ok=ok,
        rows_invalid=invalid,
        rows_failed=0,
        hash_read="",
        summary=None,
        reject_codes=None,
        timings=TIMINGS,
    )


def counted() -> dict[str, float]:
    """Return the values at /metrics of rows, chunks and seconds."""
    return {
        f"{sample.name} {' '.join(sample.labels.values())}": sample.value
        for metric in PROCESS.collect()
        for sample in metric.samples
        if sample.name in ("granula_rows_total", "granula_chunks_total")
        or sample.name == "granula_chunk_seconds_sum"
    }


def growth(before: dict[str, float]) -> dict[str, object]:
    now = counted()
    return {
        name: pytest.approx(now[name] - before[name]) for name in now if now[name] > before[name]
    }


Spans = Callable[[], list[ReadableSpan]]


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Spans:
    """Start tracing; the returned function ends it and returns the spans in the order of their
    ends.
    """
    sent = InMemorySpanExporter()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(trace_exporter, "OTLPSpanExporter", lambda: sent)
    monkeypatch.setattr(tracing, "_tracing", None)
    end = tracing.start("http://127.0.0.1:9", "test", "here")

    def ended() -> list[ReadableSpan]:
        end()
        return list(sent.get_finished_spans())

    return ended


def said_of(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def id_of(span: ReadableSpan) -> int:
    context = span.get_span_context()
    assert context is not None
    return context.span_id


def by_chunk(spans: list[ReadableSpan]) -> list[ReadableSpan]:
    """Return the spans of chunks, in the order of their indexes."""
    of_chunks = [span for span in spans if span.name == "chunk"]
    return sorted(of_chunks, key=lambda span: str(said_of(span)["granula.chunk.index"]))


def test_a_completed_chunk_counts_its_rows_and_its_share_of_the_transaction_time() -> None:
    before = counted()
    observing.completed(claims_of(uuid4(), 2), [stored(8, 2), stored(10, 0)], seconds=3.0)
    assert growth(before) == {
        "granula_rows_total ok": 18,
        "granula_rows_total invalid": 2,
        "granula_chunks_total completed": 2,
        "granula_chunk_seconds_sum wait": 0.5,
        "granula_chunk_seconds_sum read": 1.0,
        "granula_chunk_seconds_sum process": 2.0,
        "granula_chunk_seconds_sum write": 3.0,
    }


def test_a_failed_chunk_counts_all_of_its_rows_and_a_retried_one_none() -> None:
    (claim,) = claims_of(uuid4(), 1)
    before = counted()
    observing.retried(claim, ValueError())
    assert growth(before) == {"granula_chunks_total retried": 1}
    before = counted()
    observing.failed(claim, ValueError())
    assert growth(before) == {"granula_rows_total failed": 10, "granula_chunks_total failed": 1}


def test_a_lost_chunk_is_counted_by_its_new_holder() -> None:
    (claim,) = claims_of(uuid4(), 1)
    before = counted()
    observing.lost(claim, LeaseLost())
    assert growth(before) == {}


def test_every_chunk_has_a_span_below_the_request_that_created_its_job(spans: Spans) -> None:
    job = traced_job()
    claims = claims_of(job.id, 3)
    with observing.at_work(job, claims):
        observing.completed(claims[:1], [stored(8, 2)], seconds=0.5)
        observing.retried(claims[1], ValueError("a cell of somebody"))
        observing.lost(claims[2], LeaseLost())
    sent = spans()
    assert [span.name for span in sent] == ["chunk"] * 3
    for span in sent:
        assert span.parent is not None
        assert (f"{span.parent.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, ABOVE)
    completed, retried, lost = by_chunk(sent)
    assert said_of(completed) == {
        "granula.job.id": str(job.id),
        "granula.chunk.index": 0,
        "granula.chunk.attempt": 1,
        "granula.chunk.rows": 10,
        "granula.outcome": "completed",
        "granula.rows.ok": 8,
        "granula.rows.invalid": 2,
        "granula.rows.failed": 0,
        "granula.seconds.wait": 0.25,
        "granula.seconds.read": 0.5,
        "granula.seconds.process": 1.0,
        "granula.seconds.write": 0.5,
    }
    assert completed.status.status_code is StatusCode.UNSET
    for span, outcome, error in ((retried, "retried", "ValueError"), (lost, "lost", "LeaseLost")):
        said = said_of(span)
        assert (said["granula.outcome"], said["error.type"]) == (outcome, error)
        assert span.status.status_code is StatusCode.ERROR
        assert "somebody" not in span.to_json()


def test_a_commit_span_is_below_its_first_chunk_and_linked_to_the_others(spans: Spans) -> None:
    job = traced_job()
    claims = claims_of(job.id, 3)
    with observing.at_work(job, claims), observing.committing(claims):
        pass
    sent = spans()
    (commit,) = [span for span in sent if span.name == "commit"]
    ids = [id_of(span) for span in by_chunk(sent)]
    assert commit.parent is not None
    linked = [link.context.span_id for link in commit.links if link.context]
    assert [commit.parent.span_id, *linked] == ids
    assert said_of(commit) == {
        "granula.job.id": str(job.id),
        "granula.chunks": (0, 1, 2),
    }


def test_concurrent_chunks_keep_separate_spans(spans: Spans) -> None:
    outer, inner = traced_job(), traced_job()
    (of_outer,), (of_inner,) = claims_of(outer.id, 1), claims_of(inner.id, 1)
    with observing.at_work(outer, [of_outer]):
        with observing.at_work(inner, [of_inner]):
            observing.failed(of_inner, ValueError())
        observing.lost(of_outer, LeaseLost())
    assert [
        (said_of(span)["granula.job.id"], said_of(span)["granula.outcome"]) for span in spans()
    ] == [
        (str(inner.id), "failed"),
        (str(outer.id), "lost"),
    ]


def test_no_span_is_created_while_tracing_is_off() -> None:
    job = traced_job()
    claims = claims_of(job.id, 2)
    assert not tracing.is_on()
    with observing.at_work(job, claims):
        assert observing.committing(claims) is tracing.NOTHING


def test_log_lines_name_their_chunk_and_attempt() -> None:
    _, claim = claims_of(uuid4(), 2)
    record = logging.LogRecord("app", logging.INFO, "", 0, "a line", None, None)
    with observing.about(claim):
        within = json.loads(JsonLines().format(record))
    assert (within["chunk"], within["attempt"]) == (1, 1)
    assert "chunk" not in json.loads(JsonLines().format(record))
