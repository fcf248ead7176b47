"""The body of an upload as it comes, whichever door it comes through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import Request

from app.api.services import Services
from app.errors import Unavailable, UploadStalled


async def steady(request: Request, app: Services) -> AsyncIterator[bytes]:
    """The body, unless its sender falls silent or the service has to end."""
    stream, stall_seconds = request.stream(), app.settings.upload_stall_seconds
    while True:
        if app.machine.is_draining:
            raise Unavailable("The service is shutting down.", headers={"Retry-After": "10", "Connection": "close"})
        try:
            async with asyncio.timeout(stall_seconds):
                data = await anext(stream, None)
        except TimeoutError:
            raise UploadStalled(f"Nothing came for {stall_seconds:g} seconds.") from None
        if data is None:
            return
        if data:
            yield data
