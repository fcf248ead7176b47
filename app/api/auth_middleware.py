"""Authentication of every request, before any of its body is read. Paths that are not listed here
require it.
"""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import problem, unavailable
from app.api.services import services_of
from app.errors import RequestError, TransientError

OPEN = frozenset({"/", "/health", "/ready", "/docs", "/redoc", "/guide", "/openapi.json"})
OPEN_UNDER = ("/errors/", "/assets/", "/docs/", "/guide/")
SIGN_IN = ("POST", "/api/v1/session")
"""Checks the key in its own body."""


def is_open(method: str, path: str) -> bool:
    """Return whether this needs no sign-in, even if sign-in is required."""
    reads = method in ("GET", "HEAD")
    return (reads and (path in OPEN or path.startswith(OPEN_UNDER))) or (method, path) == SIGN_IN


class AuthMiddleware:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # the service has no WebSockets
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http" or is_open(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            admitted = await services_of(request).authenticator.admit(request)
        except RequestError as error:
            await problem(request, error)(scope, receive, send)
            return
        except TransientError as error:
            await unavailable(request, error)(scope, receive, send)
            return
        scope["caller"] = admitted.caller

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(admitted.headers)
            await send(message)

        await self._app(scope, receive, send_with_headers if admitted.headers else send)
