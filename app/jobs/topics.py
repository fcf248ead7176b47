"""What one task reads and any number watch: as long as somebody does, and no longer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar


class Topic:
    def __init__(self) -> None:
        self.version = 0
        self.changed = asyncio.Condition()
        """Held by whoever raises `version`, and told then."""
        self.watchers = 0
        self.ended = False
        """There will be no later version."""
        self.reader: asyncio.Task[None] | None = None

    async def wait_for_news(self, seen: int) -> None:
        """Until there is a later version than `seen`, or there will be none."""
        async with self.changed:
            await self.changed.wait_for(lambda: self.version != seen or self.ended)

    async def end(self) -> None:
        """Wake the watchers for the last time; for the end of the reader, also of one that was
        cancelled.
        """
        self.ended = True
        async with self.changed:
            self.changed.notify_all()


Key = TypeVar("Key", bound=Hashable)
Read = TypeVar("Read", bound=Topic)


class Topics(dict[Key, Read], Generic[Key, Read]):
    """Those that are watched, by what they are about."""

    closed = False

    @contextmanager
    def watched(
        self,
        key: Key,
        make: Callable[[], Read],
        read: Callable[[Read], Coroutine[None, None, None]],
        name: str,
    ) -> Iterator[Read]:
        """The topic of this key, which the first to come makes and the last to go takes away, with
        the task that reads it.
        """
        topic = self.get(key)
        if topic is None:
            topic = self[key] = make()
            if not self.closed:
                topic.reader = asyncio.create_task(read(topic), name=f"{name} {key}")
        topic.watchers += 1
        try:
            yield topic
        finally:
            topic.watchers -= 1
            if not topic.watchers:
                if self.get(key) is topic:
                    del self[key]
                if topic.reader is not None:
                    topic.reader.cancel()

    def close(self) -> None:
        """End every stream, those that are about to begin too: their clients will connect again,
        here or elsewhere.
        """
        self.closed = True
        for topic in self.values():
            if topic.reader is not None:
                topic.reader.cancel()
