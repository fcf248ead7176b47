"""Limits for connections before and after their requests.

Headers have a deadline and a byte limit, the number of concurrent requests is bounded, and clients
that do not read are disconnected. The limits are installed into the running uvicorn when the
service starts, however uvicorn was started (docs/decisions/0015). app/api/middleware.py limits how
slowly a body may arrive.
"""

from __future__ import annotations

import asyncio
import fcntl
import inspect
import logging
import struct
import termios
import uuid
from functools import partial
from time import monotonic
from typing import Any

import msgspec
import uvicorn
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.api.descriptors import available, raise_limit
from app.api.errors import MEDIA_TYPE, problem_body
from app.api.middleware import (
    CROWDED,
    HEADERS,
    LINGER_BYTES_OF_STRANGERS,
    LINGER_SECONDS,
    MAX_HEADER_BYTES,
    TRANSPORT,
)
from app.api.pace import Pace
from app.config import Settings, is_loopback
from app.errors import HeadersTimeout, HeadersTooLarge, MalformedRequest, RequestError

logger = logging.getLogger(__name__)
MAX_HEAD_BYTES = MAX_HEADER_BYTES + (8 << 10)
"""Bytes of a request line with its headers on the wire. Names and values are counted exactly later;
separators are not.
"""
PIECE_BYTES, MOST_PIPELINED = 16 << 10, 8
MOST_BY_DEFAULT = 4096
UVICORN_TRUSTS = ("127.0.0.1,::1", "127.0.0.1")
"""The defaults of uvicorn for trusted proxies."""


class Connections:
    """All connections of a process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.most_busy = settings.max_connections or min(MOST_BY_DEFAULT, available() // 2)
        self._most = self.most_busy + max(16, self.most_busy // 8)
        """Includes spare connections for clients that have not sent a request yet, so that /health
        answers even when the service is busy.
        """
        self._all: set[Connection] = set()
        self._waiting: dict[Connection, None] = {}
        """Connections with incomplete headers, oldest first."""
        self._idle: dict[Connection, None] = {}
        """Connections that have been answered and have sent nothing since, oldest first."""

    async def run(self) -> None:
        """Check all connections periodically until cancelled."""
        settings = self.settings
        shortest = min(
            settings.header_seconds, settings.download_stall_seconds, settings.shutdown_seconds
        )
        while True:
            await asyncio.sleep(min(1.0, shortest / 4))
            now = monotonic()
            for connection in list(self._all):
                try:
                    connection.look(now)
                except Exception:  # one connection must not stop the checks of the others
                    logger.exception("Could not inspect a connection")
                    connection.transport.abort()

    @property
    def is_crowded(self) -> bool:
        return len(self._all) - len(self._waiting) - len(self._idle) > self.most_busy

    def opened(self, connection: Connection) -> None:
        self._all.add(connection)
        if len(self._all) > self._most:
            self._make_room(connection)
        self._waiting[connection] = None

    def waits(self, connection: Connection) -> None:
        """Note that the connection has begun to send headers."""
        self._idle.pop(connection, None)
        self._waiting.pop(connection, None)
        self._waiting[connection] = None

    def works(self, connection: Connection) -> None:
        """Note that the headers of the connection are complete."""
        self._idle.pop(connection, None)
        self._waiting.pop(connection, None)

    def rests(self, connection: Connection) -> None:
        """Note that the connection has been answered."""
        self._idle[connection] = None

    def closed(self, connection: Connection) -> None:
        self._all.discard(connection)
        self.works(connection)

    def _make_room(self, newcomer: Connection) -> None:
        """Close the connection that has been waiting longest with incomplete headers. Clients that
        send complete headers are never closed.
        """
        oldest = next(iter(self._waiting), None) or next(iter(self._idle), newcomer)
        self.closed(oldest)
        oldest.transport.abort()


class Connection(HttpToolsProtocol):
    def __init__(self, connections: Connections, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._connections = connections
        self._settings = connections.settings
        self._unanswered = 0
        """Requests of this connection with complete headers; several if the client pipelines."""
        self._held = b""
        """Bytes received after the limit of pipelined requests was reached."""
        self._in_body = False
        self._has_body = False
        self._framing = 0
        """Bytes of chunked framing since the last bytes of a body."""
        self._left = MAX_HEAD_BYTES
        """Bytes that the current headers may still take."""
        self._head_count = 0
        self._head_since: float | None = monotonic()
        """Time when the expected headers began; None while a request is running or none is due."""
        self._refusal: RequestError | None = None
        """The last response that this connection will send."""
        self._ignored = 0
        self._cut_at: float | None = None
        self._unread: int | None = None
        self._pace: Pace | None = None
        self._looked_at = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._connections.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.closed(self)
        super().connection_lost(exc)

    # ------------------------------------------------------------------ receiving

    def data_received(self, data: bytes) -> None:
        self._held += data
        self._parse_held()

    def _parse_held(self) -> None:
        data, self._held = memoryview(self._held), b""
        while data and self._refusal is None and not self.transport.is_closing():
            if self._unanswered > MOST_PIPELINED:
                self._held = bytes(data)
                self.flow.pause_reading()
                return
            data = self._parse(data)
        if self._refusal is not None:
            self._ignored += len(data)
            if self._ignored > LINGER_BYTES_OF_STRANGERS:
                self.transport.abort()

    def _parse(self, data: memoryview) -> memoryview:
        """Parse `data` in small pieces, since each piece may hold many requests; return what is
        left unparsed. Headers are never read beyond their limit.
        """
        if self._in_body:
            self._parse_body(data[:PIECE_BYTES])
            return data[PIECE_BYTES:]
        if self._left == MAX_HEAD_BYTES and not self._unanswered:
            self._head_since = monotonic()
            self._connections.waits(self)
        piece, heads = data[: min(self._left, PIECE_BYTES)], self._head_count
        super().data_received(piece)  # type: ignore[arg-type]
        if heads == self._head_count:
            self._left -= len(piece)
            if self._left <= 0:
                self.refuse(HeadersTooLarge())
        return data[len(piece) :]

    def _parse_body(self, data: memoryview) -> None:
        self._has_body = False
        super().data_received(data)  # type: ignore[arg-type]
        if self._has_body or not self._in_body:
            self._framing = 0
            return
        self._framing += len(data)  # the head of a chunk, or trailers
        if self._framing > MAX_HEAD_BYTES:
            self.refuse(HeadersTooLarge())

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_body:  # trailers are no headers
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self._has_body = True
        super().on_body(body)

    def on_headers_complete(self) -> None:
        if not self.url.startswith(b"/"):
            self._take_host_of_target()
        super().on_headers_complete()
        self._head_count += 1
        self._left = MAX_HEAD_BYTES
        self._head_since = None
        self._in_body = True
        self._unanswered += 1
        self._connections.works(self)
        self.scope[TRANSPORT] = self.transport  # type: ignore[literal-required]
        if self._connections.is_crowded:
            self.scope[CROWDED] = True  # type: ignore[literal-required]

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_body = False

    def _take_host_of_target(self) -> None:
        """Let the host of an absolute request target, as in `GET http://name/path`, override Host
        (RFC 9112, 3.2.2).
        """
        _, separator, rest = self.url.partition(b"://")
        if separator:
            self.headers[:] = [(name, value) for name, value in self.headers if name != b"host"]
            self.headers.append((b"host", rest.partition(b"/")[0].partition(b"?")[0]))

    def _unsupported_upgrade_warning(self) -> None:
        """Answer as if no upgrade had been requested; bytes after the request cannot be parsed."""
        self.cycle.keep_alive = False

    # ------------------------------------------------------------------ sending

    def on_response_complete(self) -> None:
        self._unanswered -= 1
        super().on_response_complete()
        if self._refusal is not None and not self._unanswered and not self.transport.is_closing():
            self._say_last()
        elif self._held:
            self._parse_held()
        if self._unanswered or self._refusal is not None or self.transport.is_closing():
            return
        if self._left < MAX_HEAD_BYTES:
            self._head_since = monotonic()
            self._connections.waits(self)
        else:
            self._connections.rests(self)

    def resume_writing(self) -> None:
        self._pace = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        self.refuse(MalformedRequest())

    def refuse(self, error: RequestError) -> None:
        """Stop reading, and send this error once all earlier requests have been answered."""
        self._refusal, self._head_since = error, None
        if self._unanswered == 1 and self._in_body and not self.cycle.response_started:
            # The body stays incomplete: to the handler that reads it, the client has disconnected.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self._say_last()
        elif not self._unanswered:
            self._say_last()

    def _say_last(self) -> None:
        error, request_id = self._refusal, uuid.uuid4().hex
        assert error is not None
        body = msgspec.json.encode(problem_body(error, "", request_id))
        headers = {
            **HEADERS,
            "Content-Type": MEDIA_TYPE,
            "Content-Length": str(len(body)),
            "Connection": "close",
            "X-Request-ID": request_id,
        }
        lines = [b"%s: %s\r\n" % header for header in self.server_state.default_headers]
        lines += [f"{name}: {value}\r\n".encode() for name, value in headers.items()]
        self._unset_keepalive_if_required()
        self.transport.write(b"".join([STATUS_LINE[error.status], *lines, b"\r\n", body]))
        # Read on briefly: closing on a client that is still sending resets the connection before
        # the client has read the response.
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)

    # ------------------------------------------------------------------ deadlines

    def look(self, now: float) -> None:
        """Enforce the deadlines of this connection."""
        waited, self._looked_at = now - (self._looked_at or now), now
        if self._cut_at is not None and now > self._cut_at:
            self.transport.abort()
        elif (
            self._head_since is not None and now - self._head_since > self._settings.header_seconds
        ):
            if self._left == MAX_HEAD_BYTES:
                self._head_since = None
                self.transport.close()  # it has not sent a request
            else:
                self.refuse(HeadersTimeout())
        elif self.transport.is_closing() or self.flow.write_paused:
            self._look_at_reader(waited)
        else:
            self._pace = None

    def _look_at_reader(self, waited: float) -> None:
        """Disconnect a client that reads too slowly. Nothing is added while this side waits to
        write, so a shrinking backlog means that the client reads.
        """
        unread = self._bytes_unread()
        if self._pace is None or self._unread is None:
            self._pace = Pace(
                self._settings.download_stall_seconds, self._settings.min_bytes_per_second
            )
        else:
            self._pace.count(waited, max(0, self._unread - unread))
        self._unread = unread
        if self._pace.left <= 0:
            logger.info("Disconnecting a client that does not read its answer")
            self.transport.abort()

    def _bytes_unread(self) -> int:
        """Return the unsent bytes of this process and, if the kernel reports them, of the socket,
        which may hold megabytes.
        """
        size = self.transport.get_write_buffer_size()
        try:
            queued = fcntl.ioctl(
                self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4)
            )
        except (OSError, ValueError, AttributeError):
            return size
        return size + int(struct.unpack("i", queued)[0])

    def shutdown(self) -> None:
        self._cut_at = monotonic() + self._settings.shutdown_seconds
        super().shutdown()
        if self.cycle is not None and self.cycle.more_body:
            # Wake the handler that waits for the body, so that it sees the shutdown.
            self.cycle.message_event.set()


# ---------------------------------------------------------------------- installation


def install(app: ASGIApp, settings: Settings) -> Connections | None:
    """Limit the connections of the uvicorn that is starting `app`; return None without one."""
    server = _server_of(app)
    if server is None:
        logger.warning(
            "Not running under uvicorn: slow clients are not limited here. Put a proxy in "
            "front that limits them."
        )
        return None
    _warn_if_open(server.config, settings)
    return limit(server.config, settings)


def limit(config: uvicorn.Config, settings: Settings) -> Connections:
    """Return the connections of a server that is loaded but not accepting yet. The caller must
    `run` them.
    """
    raise_limit()
    connections = Connections(settings)
    config.http_protocol_class = partial(Connection, connections)  # type: ignore[assignment]
    # the service has no WebSockets, and they would bypass the limits
    config.ws_protocol_class = None
    config.encoded_headers = [
        header for header in config.encoded_headers if header != (b"server", b"uvicorn")
    ]
    _trust(config, settings)
    return connections


def _server_of(app: ASGIApp) -> uvicorn.Server | None:
    """Find it through the task that waits for our startup in it: uvicorn does not expose its
    server.
    """
    for task in asyncio.all_tasks():
        step: Any = task.get_coro()
        while inspect.iscoroutine(step) and step.cr_frame is not None:
            server = step.cr_frame.f_locals.get("self")
            if isinstance(server, uvicorn.Server) and _runs(server, app):
                return server
            step = step.cr_await
    return None


def _runs(server: uvicorn.Server, app: ASGIApp) -> bool:
    step: Any = server.config.loaded_app if server.config.loaded else None
    while step is not None and step is not app:
        step = getattr(step, "app", None)
    return step is app


def _trust(config: uvicorn.Config, settings: Settings) -> None:
    """Trust only configured proxies, and not even one on this machine by default: every local
    process can send from there.
    """
    if not isinstance(config.loaded_app, ProxyHeadersMiddleware):
        return
    trusted = config.forwarded_allow_ips if config.forwarded_allow_ips not in UVICORN_TRUSTS else []
    named = list(settings.forwarded_allow_ips) or trusted
    config.loaded_app = ProxyHeadersMiddleware(config.loaded_app.app, trusted_hosts=named)


def _warn_if_open(config: uvicorn.Config, settings: Settings) -> None:
    if (
        settings.auth_required
        or config.uds is not None
        or config.fd is not None
        or is_loopback(config.host)
    ):
        return
    logger.warning(
        "ANYBODY WHO CAN REACH %s, PORT %s MAY READ, UPLOAD AND DELETE EVERYTHING: nobody has to"
        " sign in. Set AUTH_REQUIRED=true, or listen on 127.0.0.1 only.",
        config.host,
        config.port,
    )
