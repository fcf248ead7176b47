"""A stream that is cancelled while it waits for its next event ends cleanly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import anyio

from app.api.streams import event_stream

NOBODY: Any = None  # is not read within the first seconds


async def test_a_cancelled_watcher_waits_for_its_source() -> None:
    steps: list[str] = []
    waits = asyncio.Event()

    async def events() -> AsyncGenerator[str]:
        try:
            yield "first"
            waits.set()
            await asyncio.Event().wait()
        finally:
            for _ in range(5):  # releasing takes a while
                await asyncio.sleep(0)
            steps.append("has ended")

    async def watch() -> None:
        async for _ in event_stream(NOBODY, NOBODY, events()).body_iterator:
            pass

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        await waits.wait()
        await asyncio.sleep(0)
        group.cancel_scope.cancel()
    assert steps == ["has ended"]
