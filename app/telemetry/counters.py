"""Counters of this process since its start; /metrics adds values from the database. Counted for
each chunk, never for each row.
"""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

# Suppress the second series for each counter, which has no use.
disable_created_metrics()  # type: ignore[no-untyped-call]
PROCESS = CollectorRegistry()
HTTP_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
CHUNK_BUCKETS = (*HTTP_BUCKETS, 60.0, 300.0)

_rows = Counter(
    "granula_rows",
    "Rows by outcome, counted at each outcome",
    ["outcome"],
    registry=PROCESS,
)
_chunks = Counter(
    "granula_chunks",
    "Turns with a chunk by their outcome",
    ["outcome"],
    registry=PROCESS,
)
_seconds = Histogram(
    "granula_chunk_seconds",
    "Seconds of completed chunks: waiting for a thread, reading, processing, and a share of "
    "the transaction",
    ["stage"],
    buckets=CHUNK_BUCKETS,
    registry=PROCESS,
)
_requests = Histogram(
    "granula_http_request_seconds",
    "Seconds until the response began, by route; without uploads and event streams, whose "
    "length depends on the client",
    ["method", "route", "status"],
    buckets=HTTP_BUCKETS,
    registry=PROCESS,
)
_attempts = Counter(
    "granula_webhook_attempts",
    "Messages sent, by outcome",
    ["outcome"],
    registry=PROCESS,
)

_removed = Counter(
    "granula_retention_removed",
    "Files (bytes, jobs) and jobs (rows, rejects) whose data retention has removed, by kind",
    ["kind"],
    registry=PROCESS,
)

# Looked up once, so that all of them exist as zero before the first event.
_ROWS = {outcome: _rows.labels(outcome) for outcome in ("ok", "invalid", "failed")}
_CHUNKS = {outcome: _chunks.labels(outcome) for outcome in ("completed", "failed", "retried")}
_SECONDS = {stage: _seconds.labels(stage) for stage in ("wait", "read", "process", "write")}
_REMOVED = {kind: _removed.labels(kind) for kind in ("bytes", "rows", "rejects", "jobs")}
_ATTEMPTS = {outcome: _attempts.labels(outcome) for outcome in ("delivered", "failed")}


def completed(rows: Mapping[str, int], seconds: Mapping[str, float]) -> None:
    """Count a committed chunk: its rows by outcome, and the seconds of each measured phase."""
    _CHUNKS["completed"].inc()
    for outcome, count in rows.items():
        _ROWS[outcome].inc(count)
    for stage, spent in seconds.items():
        _SECONDS[stage].observe(spent)


def retried() -> None:
    """Count a chunk that was given back and will be retried."""
    _CHUNKS["retried"].inc()


def failed(rows: int) -> None:
    """Count a chunk that failed for good, with its rows."""
    _CHUNKS["failed"].inc()
    _ROWS["failed"].inc(rows)


def answered(method: str, route: str, status: int, seconds: float) -> None:
    """Count a request. `route` is the template, never the path: there must be few."""
    _requests.labels(method, route, f"{status // 100}xx").observe(seconds)


def attempted(*, is_delivered: bool) -> None:
    """Count a message to a webhook."""
    _ATTEMPTS["delivered" if is_delivered else "failed"].inc()


def removed(kind: str, count: int) -> None:
    """Count files or jobs whose data retention has removed."""
    _REMOVED[kind].inc(count)
