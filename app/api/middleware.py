"""Middleware for every request: request ids, security headers, and limits on headers and on small
bodies.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from contextlib import suppress
from time import perf_counter

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api import access_log
from app.api.errors import BodyRefused, failure, problem
from app.api.hosts import Hosts
from app.api.pace import Pace
from app.config import Settings
from app.errors import (
    BodyTooLarge,
    GranulaError,
    HeadersTooLarge,
    RequestError,
    Unavailable,
    UploadStalled,
)
from app.telemetry import counters, tracing
from app.telemetry.tracing import NOTHING, Span

logger = logging.getLogger(__name__)
MAX_HEADER_BYTES = 32 << 10
MAX_BODY_BYTES = 1 << 20
"""Limit for the body of a request that is not an upload; it is read whole."""
UPLOADS = ("/api/v1/upload", "/batch/upload", "/api/upload")
SENDING = ("POST", "PUT", "PATCH")
METHODS = (*SENDING, "GET", "HEAD", "DELETE", "OPTIONS")
LINGER_SECONDS, LINGER_BYTES, LINGER_BYTES_OF_STRANGERS = 1.0, 64 << 20, 4 << 20
"""How long, and how many bytes, of a body are read after its response was sent early. The last
limit is for clients that are not signed in.
"""
TRANSPORT = "granula.transport"
"""Key in the scope of a request: the transport of its connection."""
CROWDED = "granula.crowded"
"""Key in the scope of a request that exceeds the limit of concurrent requests."""
ALWAYS_ANSWERED = "/health"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


class Cors(CORSMiddleware):
    """Answers preflight requests itself, before the other middleware."""

    def preflight_response(self, request_headers: Headers) -> Response:
        answer = super().preflight_response(request_headers)
        answer.headers.update({**HEADERS, "X-Request-ID": uuid.uuid4().hex})
        return answer


class Frame:
    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._hosts = Hosts(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["request_id"] = uuid.uuid4().hex  # never the client's value: it is written to logs
        with _traced(scope) as span:
            pace = Pace(self._settings.upload_stall_seconds, self._settings.min_bytes_per_second)
            exchange = _Exchange(scope, receive, send, span, pace)
            try:
                await self._answer(scope, exchange)
            finally:
                access_log.log(scope, exchange.status, exchange.seconds)

    async def _answer(self, scope: Scope, exchange: _Exchange) -> None:
        refusal = self._refusal(scope)
        if refusal is not None:
            await problem(Request(scope), refusal)(scope, exchange.receive, exchange.send)
            return
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Exception as error:
            if exchange.has_started:
                _abort(scope, error)
                return
            await failure(Request(scope), error)(scope, exchange.receive, exchange.send)

    def _refusal(self, scope: Scope) -> RequestError | None:
        """Return the error of a request that is rejected before routing."""
        close = {"Connection": "close"}
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADER_BYTES:
            return HeadersTooLarge(headers=close)
        if CROWDED in scope and scope["path"] != ALWAYS_ANSWERED:
            return Unavailable(
                "The process has reached its limit of concurrent requests.",
                headers={"Retry-After": "2", **close},
            )
        wrong_host = self._hosts.problem(scope["headers"], scope["http_version"])
        return wrong_host(headers=close) if wrong_host is not None else None


def _abort(scope: Scope, error: Exception) -> None:
    """Abort a response that has begun and failed.

    The server then closes the connection, which tells the client. Unexpected exceptions are
    re-raised.
    """
    # Starlette wraps exceptions that have a handler
    cause = error if isinstance(error, GranulaError) else error.__cause__
    if not isinstance(cause, GranulaError):
        raise error
    logger.warning("%s %r aborted: %s", scope["method"], scope["path"], cause)


def _is_upload(path: str) -> bool:
    return path.startswith(UPLOADS) or (
        path.startswith("/api/v1/files/") and path.endswith("/corrections")
    )


def _traced(scope: Scope) -> Span:
    """Return a span for a request that may change a job. Read requests get none, since they are
    frequent.
    """
    if not tracing.is_on() or scope["method"] not in (*SENDING, "DELETE"):
        return NOTHING
    traceparent = Headers(scope=scope).get("traceparent")
    return tracing.span(
        scope["method"], traceparent, {"http.request.method": scope["method"]}, is_server=True
    )


def _tell(scope: Scope, span: Span, status: int, media_type: str, seconds: float) -> None:
    method = scope["method"] if scope["method"] in METHODS else "other"
    route = getattr(
        scope.get("route"), "path", "other"
    )  # the route's template: the requested path may hold a file name
    span.rename(f"{method} {route}")
    span.set({"http.route": route, "http.response.status_code": status})
    if status >= 500:
        span.fail(str(status))
    is_upload = method in SENDING and _is_upload(scope["path"])
    if not is_upload and not media_type.startswith("text/event-stream"):
        counters.answered(method, route, status, seconds)


class _Exchange:
    """One request and its response. A response that is sent before the body has ended closes the
    connection, since the rest of the body would be unbounded.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, span: Span, pace: Pace) -> None:
        self._span = span
        self._pace = pace
        self._begun = perf_counter()
        self._scope = scope
        self._receive = receive
        self._send = send
        self._request_id = scope["request_id"]
        self._is_tus = scope["path"].startswith("/api/v1/uploads")
        self._limit = None if _is_upload(scope["path"]) else MAX_BODY_BYTES
        headers = Headers(scope=scope)
        self._body_ended = (
            headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers
        )
        self._received = 0
        self._is_early = False
        self.has_started = False
        self.status: int | None = None
        """HTTP status of the response; None before it begins."""

    @property
    def seconds(self) -> float:
        """Time since the request began."""
        return perf_counter() - self._begun

    async def receive(self) -> Message:
        message = await (
            self._receive() if self._body_ended or self.has_started else self._receive_in_time()
        )
        if message["type"] != "http.request":
            self._body_ended = True
            return message
        self._body_ended = not message.get("more_body", False)
        self._received += len(message.get("body", b""))
        if self._limit is not None and self._received > self._limit:
            raise BodyRefused(BodyTooLarge())
        return message

    async def _receive_in_time(self) -> Message:
        """Return the next piece of a body.

        Raises BodyRefused if the client is too slow, or if the service shuts down first.
        """
        started = perf_counter()
        try:
            async with asyncio.timeout(self._pace.left):
                message = await self._receive()
        except TimeoutError:
            raise BodyRefused(UploadStalled(self._pace.broken())) from None
        self._pace.count(perf_counter() - started, len(message.get("body", b"")))
        if message.get("more_body", False) and self._is_draining():
            raise BodyRefused(
                Unavailable("The service is shutting down.", headers={"Retry-After": "10"})
            )
        return message

    def _is_draining(self) -> bool:
        services = getattr(self._scope["app"].state, "services", None)
        return services is not None and services.machine.is_draining

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_started, self._is_early = True, not self._body_ended
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            media_type = headers.get("content-type", "")
            _tell(self._scope, self._span, message["status"], media_type, self.seconds)
            headers["X-Request-ID"] = self._request_id
            if self._is_early:
                headers["Connection"] = "close"
            if self._is_tus:
                headers["Tus-Resumable"] = "1.0.0"
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        elif self._is_early and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._linger()
            message = {"type": "http.response.body", "body": b""}
        transport = self._scope.get(TRANSPORT)
        # uvicorn notices a moment later that the client has disconnected
        if transport is None or not transport.is_closing():
            await self._send(message)

    async def _linger(self) -> None:
        """Read on briefly: closing on a client that is still sending resets the connection before
        the client has read the response.
        """
        last = self._received + (
            LINGER_BYTES if "caller" in self._scope else LINGER_BYTES_OF_STRANGERS
        )
        self._limit = None
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while not self._body_ended and self._received < last:
                    await self.receive()
