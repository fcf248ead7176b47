"""Metrics, log context and spans of chunks in work. A chunk is counted once it is in the database,
and has a span from claim to end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar

from app.db.chunks import Claim
from app.db.rows import ChunkCompletion
from app.pipeline.running import JobSnapshot
from app.telemetry import counters, logs, tracing
from app.telemetry.tracing import NOTHING, Span, Value

_spans: ContextVar[dict[int, Span]] = ContextVar("spans")


def about(claim: Claim) -> AbstractContextManager[None]:
    """Mark log lines within as lines about this chunk."""
    return logs.about(chunk=claim.index, attempt=claim.attempt)


@contextmanager
def at_work(job: JobSnapshot, claims: Sequence[Claim]) -> Iterator[None]:
    """Open the spans of chunks claimed together."""
    if not tracing.is_on():
        yield
        return
    spans = {claim.index: _begun(job, claim) for claim in claims}
    with ExitStack() as stack:
        for span in spans.values():
            stack.enter_context(span)
        token = _spans.set(spans)
        try:
            yield
        finally:
            _spans.reset(token)


def _begun(job: JobSnapshot, claim: Claim) -> Span:
    attributes: dict[str, Value] = {
        "granula.job.id": str(job.id),
        "granula.chunk.index": claim.index,
        "granula.chunk.attempt": claim.attempt,
        "granula.chunk.rows": claim.span.row_count,
    }
    return tracing.span("chunk", job.trace, attributes)


def _span(claim: Claim) -> Span:
    return _spans.get({}).get(claim.index, NOTHING)


def committing(claims: Sequence[Claim]) -> Span:
    """Open the span of the one transaction of these chunks: below the first of them, with links to
    the others.
    """
    if not tracing.is_on():
        return NOTHING
    first, *others = [_span(claim) for claim in claims]
    attributes: dict[str, Value] = {
        "granula.job.id": str(claims[0].job_id),
        "granula.chunks": [claim.index for claim in claims],
    }
    return tracing.span("commit", first.traceparent, attributes, links=others)


def completed(
    claims: Sequence[Claim], completions: Sequence[ChunkCompletion], seconds: float
) -> None:
    """Count chunks committed together, with the completion of each; `seconds` is the time to write
    all of them.
    """
    share = {"write": seconds / len(completions)}
    for claim, completion in zip(claims, completions, strict=True):
        rows = {
            "ok": completion.rows_ok,
            "invalid": completion.rows_invalid,
            "failed": completion.rows_failed,
        }
        timings = {**(completion.timings or {}), **share}
        counters.completed(rows, timings)
        if (span := _span(claim)) is not NOTHING:
            attributes = {"granula.outcome": "completed"} | {
                f"granula.rows.{kind}": count for kind, count in rows.items()
            }
            span.set(
                attributes | {f"granula.seconds.{stage}": spent for stage, spent in timings.items()}
            )


def retried(claim: Claim, error: Exception) -> None:
    """Record that the chunk was given back because of this error."""
    counters.retried()
    _ended(claim, "retried", error)


def failed(claim: Claim, error: Exception) -> None:
    """Record that the chunk failed for good."""
    counters.failed(claim.span.row_count)
    _ended(claim, "failed", error)


def lost(claim: Claim, error: Exception) -> None:
    """Record that another process has the chunk, and will count it."""
    _ended(claim, "lost", error)


def _ended(claim: Claim, outcome: str, error: Exception) -> None:
    if (span := _span(claim)) is not NOTHING:
        span.set({"granula.outcome": outcome})
        span.fail(type(error).__name__)
