"""What every answer carries and every request must fit: ids, security headers, bounds on headers and on small bodies."""

from __future__ import annotations

import asyncio
import logging
import uuid
from contextlib import suppress
from time import perf_counter

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import failure, problem
from app.errors import GranulaError, HeadersTooLarge
from app.telemetry import counters, tracing
from app.telemetry.tracing import NOTHING, Span

logger = logging.getLogger(__name__)
MAX_HEADER_BYTES = 32 << 10
MAX_BODY_BYTES = 1 << 20
"""Of a request that is no upload: it is read whole."""
UPLOADS = ("/api/v1/upload", "/batch/upload", "/api/upload")
SENDING = ("POST", "PUT", "PATCH")
METHODS = (*SENDING, "GET", "HEAD", "DELETE", "OPTIONS")
LINGER_SECONDS, LINGER_BYTES = 1.0, 64 << 20
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


class Frame:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["request_id"] = uuid.uuid4().hex  # never the client's: it ends up in logs
        with _traced(scope) as span:
            await self._answer(scope, _Exchange(scope, receive, send, span))

    async def _answer(self, scope: Scope, exchange: _Exchange) -> None:
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADER_BYTES:
            answer = problem(Request(scope), HeadersTooLarge(headers={"Connection": "close"}))
            await answer(scope, exchange.receive, exchange.send)
            return
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Exception as error:
            if exchange.has_started:
                _abort(scope, error)
                return
            await failure(Request(scope), error)(scope, exchange.receive, exchange.send)


def _abort(scope: Scope, error: Exception) -> None:
    """The answer has begun and cannot be ended. The server closes the connection of one that is left without its end, and
    that is how the client comes to know of it; raises what nobody expected."""
    cause = error if isinstance(error, GranulaError) else error.__cause__  # Starlette wraps what it has a handler for
    if not isinstance(cause, GranulaError):
        raise error
    logger.warning("%s %r was aborted: %s", scope["method"], scope["path"], cause)


def _is_upload(path: str) -> bool:
    return path.startswith(UPLOADS) or (path.startswith("/api/v1/files/") and path.endswith("/corrections"))


def _traced(scope: Scope) -> Span:
    """A span for what may make a job or change one. Those who only look on do so all the time."""
    if not tracing.is_on() or scope["method"] not in (*SENDING, "DELETE"):
        return NOTHING
    given = Headers(scope=scope).get("traceparent")
    return tracing.span(scope["method"], given, {"http.request.method": scope["method"]}, is_server=True)


def _tell(scope: Scope, span: Span, status: int, media_type: str, seconds: float) -> None:
    method = scope["method"] if scope["method"] in METHODS else "other"
    route = getattr(
        scope.get("route"), "path", "other"
    )  # as declared: the path that was asked for may hold a file's name
    span.rename(f"{method} {route}")
    span.set({"http.route": route, "http.response.status_code": status})
    if status >= 500:
        span.fail(str(status))
    is_upload = method in SENDING and _is_upload(scope["path"])
    if not is_upload and not media_type.startswith("text/event-stream"):
        counters.answered(method, route, status, seconds)


class _Exchange:
    """One request and its answer. An answer that comes before the body has ended closes the connection: nobody would
    bound what is still sent."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, span: Span) -> None:
        self._span = span
        self._begun = perf_counter()
        self._scope = scope
        self._receive = receive
        self._send = send
        self._request_id = scope["request_id"]
        self._is_tus = scope["path"].startswith("/api/v1/uploads")
        self._limit = None if _is_upload(scope["path"]) else MAX_BODY_BYTES
        headers = Headers(scope=scope)
        self._body_ended = headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers
        self._received = 0
        self._is_early = False
        self.has_started = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] != "http.request":
            self._body_ended = True
            return message
        self._body_ended = not message.get("more_body", False)
        self._received += len(message.get("body", b""))
        if self._limit is not None and self._received > self._limit:
            raise HTTPException(413)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_started, self._is_early = True, not self._body_ended
            headers = MutableHeaders(scope=message)
            seconds = perf_counter() - self._begun
            _tell(self._scope, self._span, message["status"], headers.get("content-type", ""), seconds)
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
        await self._send(message)

    async def _linger(self) -> None:
        """Read on for a little: closing on a client that is still sending resets it before it has read the answer."""
        last = self._received + LINGER_BYTES
        self._limit = None
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while not self._body_ended and self._received < last:
                    await self.receive()
