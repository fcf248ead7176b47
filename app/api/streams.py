"""Answers that are sent while they are made."""

from __future__ import annotations

from collections.abc import AsyncIterator


async def begun(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes, the first of which are there: what cannot even begin is answered as an error, and not as an answer
    that breaks off."""
    first = await anext(body, b"")
    return _all(first, body)


async def _all(first: bytes, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in body:
        yield piece
