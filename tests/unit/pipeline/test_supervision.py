"""Background services: one that fails is restarted, a cancelled one ends, whatever it raises."""

from __future__ import annotations

import asyncio

from app.pipeline.machine import _supervise


async def test_a_background_service_that_fails_during_its_cancellation_is_not_restarted() -> None:
    begun, starts = asyncio.Event(), 0

    async def service() -> None:
        nonlocal starts
        starts += 1
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionError("lost at that moment") from None

    task = asyncio.create_task(_supervise("service", service))
    await begun.wait()
    task.cancel()
    await asyncio.wait_for(asyncio.wait([task]), 30)
    assert starts == 1
