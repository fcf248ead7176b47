"""What every answer carries and every request must fit: ids, security headers, a bound on the size of headers."""

from __future__ import annotations

import uuid

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import problem
from app.errors import HeadersTooLarge

MAX_HEADER_BYTES = 32 << 10
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
PAGES = ("/docs", "/redoc")


class Frame:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["request_id"] = uuid.uuid4().hex  # never the client's: it ends up in logs
        is_page = scope["path"].startswith(PAGES)

        async def send_framed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = scope["request_id"]
                for name, value in HEADERS.items():
                    if not (is_page and name == "Content-Security-Policy"):
                        headers.setdefault(name, value)
            await send(message)

        if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADER_BYTES:
            await problem(Request(scope), HeadersTooLarge(headers={"Connection": "close"}))(scope, receive, send_framed)
            return
        await self._app(scope, receive, send_framed)
