"""Startup errors: end the process with one line and a documented exit code."""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import GranulaError

logger = logging.getLogger(__name__)


class StartupErrors:
    """ASGI middleware around the whole application.

    Web servers answer a failed start with a traceback and their own exit code. For an expected
    error the operator needs its message and the exit code that `serve` documents.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        held_back: list[Message] = []

        async def send_unless_failed(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                held_back.append(message)
            else:
                await send(message)

        try:
            await self._app(scope, receive, send_unless_failed)
        except GranulaError as error:
            if not held_back:
                raise
            logger.critical("Granula does not start: %s", error.detail)
            await _leave(error.exit_code)
        except BaseException:
            for message in held_back:
                await send(message)
            raise


async def _leave(code: int) -> None:
    """End the process from the event loop, since servers catch whatever the lifespan task
    raises.
    """
    asyncio.get_running_loop().call_soon(sys.exit, code)
    # stops the loop without the help of the server
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
