"""Streaming responses: downloads that abort on an error instead of ending early, and event streams
that close when their credentials are revoked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import anyio
from fastapi import Request
from fastapi.responses import StreamingResponse

from app.api.services import Services

CHECK_SECONDS = 5.0
"""Interval at which a stream checks whether its key or session is still valid."""


class EventStream(StreamingResponse):
    """Server-sent events."""

    media_type = "text/event-stream"


def event_stream(request: Request, app: Services, events: AsyncGenerator[str]) -> EventStream:
    return EventStream(_while_admitted(request, app, events), headers={"X-Accel-Buffering": "no"})


async def _while_admitted(
    request: Request, app: Services, events: AsyncGenerator[str]
) -> AsyncIterator[str]:
    clock = asyncio.get_running_loop().time
    due, following = clock() + CHECK_SECONDS, None
    try:
        while True:
            following = following or asyncio.ensure_future(anext(events, None))
            await asyncio.wait({following}, timeout=max(0.0, due - clock()))
            if clock() >= due:
                if not await app.authenticator.still_admits(request):
                    return
                due = clock() + CHECK_SECONDS
            if not following.done():
                continue
            event, following = following.result(), None
            if event is None:
                return
            yield event
    finally:
        # a cancelled response is cancelled again at every await
        with anyio.CancelScope(shield=True):
            if following is not None:
                following.cancel()
                await asyncio.wait({following})
            await events.aclose()


async def begun(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Return the same bytes after reading the first ones, so that a stream that fails at its start
    is answered with an error and not with an aborted response.
    """
    first = await anext(body, b"")
    return _all(first, body)


async def _all(first: bytes, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in body:
        yield piece
