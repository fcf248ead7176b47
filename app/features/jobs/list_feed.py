"""The list of jobs as server-sent events: one reader for each owner, however many clients watch. It
reads only jobs that change.
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
"""Length of a stream. Clients that reconnect are spread over the processes again."""
MAX_MOVING = 200
"""Jobs that one round reads: those that run first, then the next in the queue. Others do not
change.
"""
OVERLAP = 20
"""Number of the newest jobs that each round reads again."""
MAX_THERE = 500
"""Number of the newest jobs that each round checks for deletion, whichever process deleted them."""
MAX_KEPT = 500
"""Number of changes that a slow client may lag behind; beyond it the client must reload the list.
"""

Change = dict[str, Any]


class ListFeed:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._topics: Topics[str, _Changes] = Topics()

    async def watch(self, owner: str) -> AsyncGenerator[Change | None]:
        """Yield the active jobs, then changes as they come, and None every HEARTBEAT_SECONDS
        without one. Ends when the service drains, and after STREAM_SECONDS.
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
        """End all streams; their clients reconnect, here or to another process."""
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
        """Read what may have changed; return the number of the newest job seen."""
        async with self._database.reading() as connection:
            newest = await jobs.last_number(connection, owner) if above is None else above
            active_ids = list(topic.active)
            # a number is assigned before the job is committed: a smaller one may follow
            above_all = newest - OVERLAP
            rows = await jobs.list_moving(
                connection, owner, above=above_all, ids=active_ids, limit=MAX_MOVING
            )
            items = {UUID(item["job_id"]): item for item in await describe(connection, rows)}
            there = await jobs.newest_ids(connection, owner, MAX_THERE)
        gone = [job_id for job_id in active_ids if job_id not in items] + topic.missing(there)
        await topic.update(items, gone, is_first=above is None)
        return max([newest, *(int(item["number"]) for item in items.values())])


class _Changes(Topic):
    def __init__(self) -> None:
        super().__init__()
        self.active: set[UUID] = set()
        self._there: dict[UUID, int] = {}
        self._items: dict[UUID, tuple[int, Change | None]] = {}
        """Version and last known state of each job, oldest first; None if the job is gone."""
        self._forgotten = 0
        """The newest version that was dropped from `_items`."""

    def missing(self, newest: dict[UUID, int]) -> list[UUID]:
        """Return the jobs that have gone since the last call; `there` are the newest ones with
        their numbers, at most MAX_THERE.
        """
        oldest = min(newest.values(), default=0) if len(newest) == MAX_THERE else 0
        gone = [
            job_id
            for job_id, number in self._there.items()
            if job_id not in newest and number >= oldest
        ]
        self._there = newest
        return gone

    async def update(self, items: dict[UUID, Change], gone: list[UUID], *, is_first: bool) -> None:
        news: dict[UUID, Change | None] = {
            job_id: item
            for job_id, item in items.items()
            if self._items.get(job_id, (0, None))[1] != item
        }
        news |= {job_id: None for job_id in gone if job_id not in items}
        self.active = {
            job_id
            for job_id, item in items.items()
            if not JobStatus(item["status"]).is_final or item["undo_state"] == "undoing"
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
        """Return what has changed after this version; everything active for a new client."""
        if seen and seen < self._forgotten:
            return {"event": "reload"}
        changed = [
            (job_id, item) for job_id, (version, item) in self._items.items() if version > seen
        ]
        items = [item for job_id, item in changed if item and (seen or job_id in self.active)]
        removed = [str(job_id) for job_id, item in changed if seen and item is None]
        return {"event": "jobs", "items": items, "removed": removed}
