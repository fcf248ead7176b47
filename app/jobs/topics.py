"""Topics: one task reads, any number of clients watch. The task runs only while there are
watchers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar


class Topic:
    def __init__(self) -> None:
        self.version = 0
        self.changed = asyncio.Condition()
        """Notified after each increment of `version`, which is changed while holding it."""
        self.watchers = 0
        self.ended = False
        """Whether no later version will come."""
        self.reader: asyncio.Task[None] | None = None

    async def wait_for_news(self, seen: int) -> None:
        """Wait for a version later than `seen`, or for the end."""
        async with self.changed:
            await self.changed.wait_for(lambda: self.version != seen or self.ended)

    async def end(self) -> None:
        """Wake the watchers for the last time, also when the reader was cancelled."""
        self.ended = True
        async with self.changed:
            self.changed.notify_all()


Key = TypeVar("Key", bound=Hashable)
Read = TypeVar("Read", bound=Topic)


class Topics(dict[Key, Read], Generic[Key, Read]):
    """Topics with watchers, by key."""

    closed = False

    @contextmanager
    def watched(
        self,
        key: Key,
        make: Callable[[], Read],
        read: Callable[[Read], Coroutine[None, None, None]],
        name: str,
    ) -> Iterator[Read]:
        """Return the topic of this key. The first watcher starts the task that reads it, the last
        one stops it.
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
        """End all streams, including those that are about to start; their clients reconnect, here
        or to another process.
        """
        self.closed = True
        for topic in self.values():
            if topic.reader is not None:
                topic.reader.cancel()
