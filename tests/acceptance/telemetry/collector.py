"""A collector of OpenTelemetry traces: accepts OTLP over HTTP, sends configured responses, and
keeps what it gets.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Seen:
    """A span, as received."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    is_server: bool
    is_error: bool
    attributes: dict[str, Any]
    links: list[str]
    """Ids of spans."""
    process: dict[str, Any]
    """Attributes of its process."""
    nanoseconds: tuple[int, int]


class Collector:
    def __init__(self, *answers: int) -> None:
        """`answers`: the first status codes; then 200."""
        self.bodies: list[bytes] = []
        """Spans of requests that got 200."""
        self.paths: set[str] = set()
        self._answers = list(answers)
        self._lock = threading.Lock()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with collector._lock:
                    status = collector._answers.pop(0) if collector._answers else 200
                    collector.paths.add(self.path)
                    if status == 200:
                        collector.bodies.append(body)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def spans(self, name: str = "") -> list[Seen]:
        """In the order of their starts; `name`: only those with this name."""
        with self._lock:
            bodies = list(self.bodies)
        found = [
            span for body in bodies for span in _decoded(body) if not name or span.name == name
        ]
        return sorted(found, key=lambda span: span.nanoseconds)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _decoded(body: bytes) -> Iterator[Seen]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        process = _plain(resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Seen(
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.kind == span.SPAN_KIND_SERVER,
                    span.status.code == span.status.STATUS_CODE_ERROR,
                    _plain(span.attributes),
                    [link.span_id.hex() for link in span.links],
                    process,
                    (span.start_time_unix_nano, span.end_time_unix_nano),
                )


def _plain(attributes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for attribute in attributes:
        kind = attribute.value.WhichOneof("value")
        value = getattr(attribute.value, kind)
        found[attribute.key] = (
            [item.int_value for item in value.values] if kind == "array_value" else value
        )
    return found
