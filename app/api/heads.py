"""HEAD for every GET route: the same status and headers, without producing the body."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterable

from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send


def twins(routes: Iterable[BaseRoute]) -> list[BaseRoute]:
    """Return a HEAD route for each GET route. The OpenAPI document lists none of them."""
    heads: list[BaseRoute] = []
    for route in routes:
        if (
            isinstance(route, Route)
            and "GET" in (route.methods or ())
            and "HEAD" not in (route.methods or ())
        ):
            twin = copy.copy(route)
            twin.methods, twin.include_in_schema = {"HEAD"}, False
            heads.append(twin)
    return heads


class HeadsOnly:
    """Middleware that ends the response to a HEAD once its headers are sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        answered = asyncio.Event()

        async def send_head(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start":
                await send({"type": "http.response.body", "body": b""})
                answered.set()
                # Wait until this is cancelled: no piece of the body is produced.
                await asyncio.Event().wait()

        async def answer() -> None:
            await self._app(scope, receive, send_head)

        answering = asyncio.create_task(answer())
        waiting = asyncio.create_task(answered.wait())
        try:
            await asyncio.wait({answering, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            if not answering.done():
                answering.cancel()
                await asyncio.wait({answering})
        if not answering.cancelled():
            answering.result()
