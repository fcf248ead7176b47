"""OpenTelemetry spans, from the request that creates a job to the commit of its rows, exported by
OTLP over HTTP.

Tracing is off unless an endpoint is set: the SDK is not imported then, and spans do nothing. Spans
hold job ids and numbers, but no names, cells or error messages.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from app import __version__

Value = str | int | float | Sequence[int]


class Span:
    """An operation. This class does nothing and is used while tracing is off."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Mark the span as failed, with the type of the error."""

    def rename(self, name: str) -> None:
        """Rename the span once its operation is known."""

    def set(self, attributes: Mapping[str, Value]) -> None:
        """Add attributes."""

    def fail(self, reason: str) -> None:
        """Mark the span as failed; `reason` is a code or the name of a type."""

    def discard(self) -> None:
        """Drop the span, since there was nothing to do."""

    @property
    def traceparent(self) -> str | None:
        """Return the W3C traceparent (55 characters) for child spans in other processes."""
        return None


NOTHING = Span()


class Tracing:
    """State of active tracing."""

    def __init__(self, endpoint: str, role: str, instance: str) -> None:
        from opentelemetry import context, trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        # The exporter reads it with the other variables of its kind from the environment; a `.env`
        # file alone would not reach it.
        os.environ.setdefault("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        name = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": "granula"}
        about = {
            "service.version": __version__,
            "service.instance.id": instance,
            "granula.role": role,
        }
        resource = Resource.create(name | about)
        self.provider = TracerProvider(resource=resource)
        self.provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self.tracer = self.provider.get_tracer("granula", __version__)
        self.context, self.trace = context, trace
        self.propagator = TraceContextTextMapPropagator()

    def begin(
        self,
        name: str,
        parent: str | None,
        attributes: Mapping[str, Value],
        links: Sequence[Span] = (),
        is_server: bool = False,
    ) -> Span:
        above = self.propagator.extract({"traceparent": parent}) if parent else None
        kind = self.trace.SpanKind.SERVER if is_server else self.trace.SpanKind.INTERNAL
        real = [link.inner for link in links if isinstance(link, _Real)]
        linked = [self.trace.Link(inner.get_span_context()) for inner in real]
        return _Real(self, self.tracer.start_span(name, above, kind, attributes, linked))


class _Real(Span):
    def __init__(self, tracing: Tracing, inner: Any) -> None:
        self._tracing = tracing
        self.inner = inner
        self._is_discarded = False
        self._token: Any = None

    def __enter__(self) -> Self:
        """Make this the parent of spans that start within, also in tasks created there."""
        self._token = self._tracing.context.attach(
            self._tracing.trace.set_span_in_context(self.inner)
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._token is not None:
            self._tracing.context.detach(self._token)
        if kind is not None:
            self.fail(kind.__name__)
        if not self._is_discarded:  # a span that is never ended is never sent
            self.inner.end()

    def rename(self, name: str) -> None:
        self.inner.update_name(name)

    def set(self, attributes: Mapping[str, Value]) -> None:
        self.inner.set_attributes(attributes)

    def fail(self, reason: str) -> None:
        self.inner.set_attribute("error.type", reason)
        self.inner.set_status(self._tracing.trace.StatusCode.ERROR)

    def discard(self) -> None:
        self._is_discarded = True

    @property
    def traceparent(self) -> str | None:
        carrier: dict[str, str] = {}
        context = self._tracing.trace.set_span_in_context(self.inner)
        self._tracing.propagator.inject(carrier, context)
        return carrier.get("traceparent")


_tracing: Tracing | None = None


def start(endpoint: str, role: str, instance: str) -> Callable[[], None]:
    """Start tracing if there is an endpoint. Returns a function that stops it and flushes what is
    left; blocking.
    """
    global _tracing
    if not endpoint:
        return _end_nothing
    tracing = _tracing = Tracing(endpoint, role, instance)

    def end() -> None:
        global _tracing
        if _tracing is tracing:
            _tracing = None
        tracing.provider.shutdown()

    return end


def _end_nothing() -> None:
    pass


def is_on() -> bool:
    return _tracing is not None


def span(
    name: str,
    parent: str | None = None,
    attributes: Mapping[str, Value] | None = None,
    *,
    links: Sequence[Span] = (),
    is_server: bool = False,
) -> Span:
    """Return a span to enter at its start. `parent` is the traceparent of its parent; the current
    span by default.
    """
    if _tracing is None:
        return NOTHING
    return _tracing.begin(name, parent, attributes or {}, links, is_server)


def of_new_job(job_id: object) -> str | None:
    """Return the traceparent for the work on this job: that of the current request, or a new
    trace.
    """
    if _tracing is None:
        return None
    current = _Real(_tracing, _tracing.trace.get_current_span())
    if not current.inner.get_span_context().is_valid:
        with _tracing.begin("job", None, {"granula.job.id": str(job_id)}) as of_job:
            return of_job.traceparent
    current.inner.add_event("job made", {"granula.job.id": str(job_id)})
    return current.traceparent


def trace_id() -> str | None:
    """Return the current trace id, 32 hexadecimal digits."""
    if _tracing is None:
        return None
    current = _tracing.trace.get_current_span().get_span_context()
    return f"{current.trace_id:032x}" if current.is_valid else None
