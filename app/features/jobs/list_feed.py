"""The list of jobs by server-sent events: one reader an owner, however many watch, and it reads
what moves and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from typing import Any
from uuid import UUID

from app.db import jobs
from app.db.engine import Database
from app.errors import TransientError
from app.features.jobs.listing import describe
from app.jobs.topics import Topic, Topics
from app.states import JobStatus

POLL_SECONDS, IDLE_SECONDS, HEARTBEAT_SECONDS = 0.5, 1.0, 15.0
STREAM_SECONDS = 300.0
"""A stream ends then: a client that comes again is spread anew over the processes."""
MAX_MOVING = 200
"""Jobs that one round reads: those at work first, then the next in line. Others do not move."""
OVERLAP = 20
"""The newest jobs, looked at again each round."""
MAX_THERE = 500
"""The newest jobs of which a round knows whether they are still there: who deleted one, and in
which process, matters not.
"""
MAX_KEPT = 500
"""Changes that a slow watcher may be behind; more, and it is told to load the list anew."""

Change = dict[str, Any]


class ListFeed:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._topics: Topics[str, _Changes] = Topics()

    async def watch(self, owner: str) -> AsyncGenerator[Change | None]:
        """First the active jobs, then changes as they come; None every HEARTBEAT_SECONDS without
        one. Ends when the service drains, and after STREAM_SECONDS.
        """

        def read(topic: _Changes) -> Coroutine[None, None, None]:
            return self._read(owner, topic)

        seen, ends_at = 0, asyncio.get_running_loop().time() + STREAM_SECONDS
        with self._topics.watched(owner, _Changes, read, "list feed") as topic:
            while not (
                self._topics.closed or topic.ended or asyncio.get_running_loop().time() > ends_at
            ):
                if topic.version == seen:
                    try:
                        async with asyncio.timeout(HEARTBEAT_SECONDS):
                            await topic.wait_for_news(seen)
                    except TimeoutError:
                        yield None
                    continue
                change, seen = topic.since(seen), topic.version
                yield change

    def close(self) -> None:
        """End every stream: clients will connect again, here or elsewhere."""
        self._topics.close()

    async def _read(self, owner: str, topic: _Changes) -> None:
        above: int | None = None
        try:
            while True:
                try:
                    above = await self._round(owner, topic, above)
                except TransientError:
                    pass
                await asyncio.sleep(POLL_SECONDS if topic.active else IDLE_SECONDS)
        finally:
            await topic.end()

    async def _round(self, owner: str, topic: _Changes, above: int | None) -> int:
        """Read what may have moved; the number of the newest job that was seen."""
        async with self._database.reading() as connection:
            newest = await jobs.last_number(connection, owner) if above is None else above
            asked = list(topic.active)
            # a number is given before the job is committed: a smaller one may come later
            above_all = newest - OVERLAP
            rows = await jobs.list_moving(
                connection, owner, above=above_all, ids=asked, limit=MAX_MOVING
            )
            items = {UUID(item["job_id"]): item for item in await describe(connection, rows)}
            there = await jobs.newest_ids(connection, owner, MAX_THERE)
        gone = [job_id for job_id in asked if job_id not in items] + topic.missing(there)
        await topic.update(items, gone, is_first=above is None)
        return max([newest, *(int(item["number"]) for item in items.values())])


class _Changes(Topic):
    def __init__(self) -> None:
        super().__init__()
        self.active: set[UUID] = set()
        self._there: dict[UUID, int] = {}
        self._items: dict[UUID, tuple[int, Change | None]] = {}
        """The last that was told of each job and when, oldest first; None: it is gone."""
        self._forgotten = 0
        """The newest version that was dropped from `_items`."""

    def missing(self, there: dict[UUID, int]) -> list[UUID]:
        """The jobs that have gone since the last call; `there` are the newest with their numbers,
        MAX_THERE at most.
        """
        oldest = min(there.values(), default=0) if len(there) == MAX_THERE else 0
        gone = [
            job_id
            for job_id, number in self._there.items()
            if job_id not in there and number >= oldest
        ]
        self._there = there
        return gone

    async def update(self, items: dict[UUID, Change], gone: list[UUID], *, is_first: bool) -> None:
        news: dict[UUID, Change | None] = {
            job_id: item
            for job_id, item in items.items()
            if self._items.get(job_id, (0, None))[1] != item
        }
        news |= {job_id: None for job_id in gone if job_id not in items}
        self.active = {
            job_id for job_id, item in items.items() if not JobStatus(item["status"]).is_final
        }
        if not news and not is_first:
            return
        async with self.changed:
            self.version += 1
            for job_id, item in news.items():
                self._items.pop(job_id, None)
                self._items[job_id] = (self.version, item)
            while len(self._items) > MAX_KEPT:
                version, _ = self._items.pop(next(iter(self._items)))
                self._forgotten = max(self._forgotten, version)
            self.changed.notify_all()

    def since(self, seen: int) -> Change:
        """What has changed after this version; all that is active for one who has seen nothing."""
        if seen and seen < self._forgotten:
            return {"event": "reload"}
        told = [(job_id, item) for job_id, (version, item) in self._items.items() if version > seen]
        items = [item for job_id, item in told if item and (seen or job_id in self.active)]
        removed = [str(job_id) for job_id, item in told if seen and item is None]
        return {"event": "jobs", "items": items, "removed": removed}
