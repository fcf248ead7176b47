"""What this process has counted since it started; /metrics adds what the
database knows. Measured per chunk, never per row."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

# A second series for each counter, which nobody asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]
PROCESS = CollectorRegistry()
HTTP_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
CHUNK_BUCKETS = (*HTTP_BUCKETS, 60.0, 300.0)

_rows = Counter(
    "granula_rows",
    "Rows by what became of them, each time it did",
    ["outcome"],
    registry=PROCESS,
)
_chunks = Counter(
    "granula_chunks",
    "Chunks by how a turn with them ended",
    ["outcome"],
    registry=PROCESS,
)
_seconds = Histogram(
    "granula_chunk_seconds",
    "Of a chunk that was completed: waiting for a thread, reading, processing, and its share of the"
    " transaction",
    ["stage"],
    buckets=CHUNK_BUCKETS,
    registry=PROCESS,
)
_requests = Histogram(
    "granula_http_request_seconds",
    "Until the answer began, by route; not of uploads and event streams, whose length is the"
    " client's",
    ["method", "route", "status"],
    buckets=HTTP_BUCKETS,
    registry=PROCESS,
)
_attempts = Counter(
    "granula_webhook_attempts",
    "Messages sent, by what the receiver did",
    ["outcome"],
    registry=PROCESS,
)

# Looked up once: and all of them are there, as zero, before the first of them happens.
_ROWS = {outcome: _rows.labels(outcome) for outcome in ("ok", "invalid", "failed")}
_CHUNKS = {outcome: _chunks.labels(outcome) for outcome in ("completed", "failed", "retried")}
_SECONDS = {stage: _seconds.labels(stage) for stage in ("wait", "read", "process", "write")}
_ATTEMPTS = {outcome: _attempts.labels(outcome) for outcome in ("delivered", "failed")}


def completed(rows: Mapping[str, int], seconds: Mapping[str, float]) -> None:
    """A chunk is committed: its rows by outcome, and the seconds of each stage that was
    measured.
    """
    _CHUNKS["completed"].inc()
    for outcome, count in rows.items():
        _ROWS[outcome].inc(count)
    for stage, spent in seconds.items():
        _SECONDS[stage].observe(spent)


def retried() -> None:
    """A chunk was given back and will be tried again."""
    _CHUNKS["retried"].inc()


def failed(rows: int) -> None:
    """A chunk has failed for good, with its rows."""
    _CHUNKS["failed"].inc()
    _ROWS["failed"].inc(rows)


def answered(method: str, route: str, status: int, seconds: float) -> None:
    """`route` as it is declared, never the path: there must be few."""
    _requests.labels(method, route, f"{status // 100}xx").observe(seconds)


def attempted(*, is_delivered: bool) -> None:
    """A message was sent to a webhook."""
    _ATTEMPTS["delivered" if is_delivered else "failed"].inc()
