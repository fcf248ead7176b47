"""Memory for decompressors: the files of a process share it, in turn."""

from __future__ import annotations

import asyncio
import lzma
import random
from pathlib import Path
from uuid import uuid4

import pytest

from app.errors import Unavailable
from app.sources.decoding import DecodingLimits, MemoryBudget
from app.sources.storage import LocalStorage
from app.sources.upload import UploadSource

TEXT = b"id\n" + random.Random(18).randbytes(1_500_000).hex().encode() + b"\n"
"""More than a block of an upload, also compressed."""


async def test_memory_is_given_in_the_order_of_the_requests() -> None:
    budget = MemoryBudget(10)
    order: list[str] = []

    async def take(name: str, count: int) -> None:
        await budget.take(count)
        order.append(name)

    await take("first", 8)
    tasks = []
    for name, count in (("large", 9), ("small", 1)):
        tasks.append(asyncio.create_task(take(name, count)))
        await asyncio.sleep(0)
    assert order == ["first"]
    budget.give_back(8)
    await asyncio.gather(*tasks)
    assert order == ["first", "large", "small"]


async def test_who_waits_too_long_is_told_and_blocks_nobody() -> None:
    budget = MemoryBudget(10, wait_seconds=0.01)
    await budget.take(8)
    with pytest.raises(Unavailable) as refused:
        await budget.take(9)
    assert refused.value.headers == {"Retry-After": "5"}
    waiting = asyncio.create_task(budget.take(9))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await budget.take(2)


async def test_who_is_cancelled_when_its_turn_comes_gives_it_back() -> None:
    budget = MemoryBudget(10, wait_seconds=1)
    await budget.take(8)
    waiting = asyncio.create_task(budget.take(9))
    await asyncio.sleep(0)
    budget.give_back(8)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.wait_for(budget.take(10), 1)


async def test_a_share_grows_and_shrinks_up_to_all_of_it() -> None:
    budget = MemoryBudget(10, wait_seconds=0.01)
    share, other = budget.share(), budget.share()
    await share.hold(6)
    await other.hold(4)
    with pytest.raises(Unavailable):
        await other.hold(5)
    await share.hold(5)
    await other.hold(5)
    share.close()
    other.close()
    await share.hold(1_000)
    share.close()
    await budget.take(10)


async def test_an_upload_waits_for_the_memory_of_its_decompressor(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    storage.prepare()
    packed = lzma.compress(TEXT, preset=0)  # needs 1.25 MiB
    limits = DecodingLimits(asyncio.Semaphore(1), MemoryBudget(2 << 20, wait_seconds=0.02))

    def upload() -> UploadSource:
        return UploadSource(storage, uuid4(), max_bytes=1 << 30, reserve_bytes=0, limits=limits)

    async def send(source: UploadSource) -> int:
        await source.write(packed)
        return (await source.finish()).parts[0].stored_bytes

    async with upload() as first:
        await first.write(packed[:-10])
        async with upload() as second:
            with pytest.raises(Unavailable):
                await send(second)
    async with upload() as first, upload() as second:
        assert await send(first) == len(TEXT)
        assert await send(second) == len(TEXT)
    async with upload() as first:
        await first.write(packed[:-10])
        limits.memory._wait_seconds = 10
        async with upload() as second:
            sending = asyncio.create_task(send(second))
            await asyncio.sleep(0)
            await first.write(packed[-10:])
            await first.finish()
            assert await sending == len(TEXT)
