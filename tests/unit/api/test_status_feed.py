"""The feed of the event stream: every watcher sees the end, however slowly it reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from app.db.engine import Database
from app.errors import NotFound
from app.jobs import progress
from app.jobs.progress import Statuses, StatusFeed

JOB = str(uuid4())


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The states of the database, step by step; the last one stays, an empty list is a deleted
    job.
    """
    steps: list[dict[str, Any]] = []

    async def read(_: Statuses, identifier: UUID, owner: str) -> dict[str, Any]:
        if not steps:
            raise NotFound
        return {**(steps.pop(0) if len(steps) > 1 else steps[0]), "job_id": JOB}

    monkeypatch.setattr(Statuses, "get", read)
    monkeypatch.setattr(progress, "POLL_SECONDS", 0.001)
    return steps


def step(status: str, percent: float) -> dict[str, Any]:
    return {"status": status, "progress_percent": percent}


async def until_polled_to_the_end(feed: StatusFeed) -> None:
    (topic,) = feed._topics.values()
    assert topic.reader is not None
    await topic.reader


async def test_a_watcher_that_reads_slowly_still_gets_the_final_status(
    states: list[dict[str, Any]],
) -> None:
    states += [step("processing", 0), step("processing", 50), step("completed", 100)]
    feed = StatusFeed(Statuses(cast(Database, None)))
    changes = feed.watch(uuid4(), "local")
    assert (await anext(changes))["progress_percent"] == 0
    await until_polled_to_the_end(feed)
    assert [change["status"] async for change in changes] == ["completed"]


async def test_a_watcher_that_joins_later_never_sees_a_smaller_percentage(
    states: list[dict[str, Any]],
) -> None:
    def rising() -> Iterator[dict[str, Any]]:
        yield from (step("processing", n) for n in range(0, 100, 5))
        yield step("completed", 100)

    states += rising()
    feed = StatusFeed(Statuses(cast(Database, None)))
    early = feed.watch(uuid4(), "local")
    await anext(early)
    late = [change["progress_percent"] async for change in feed.watch(uuid4(), "local")]
    assert late == sorted(late)
    assert late[-1] == 100
    assert [change["progress_percent"] async for change in early][-1] == 100


async def test_the_deletion_of_a_job_ends_the_stream(states: list[dict[str, Any]]) -> None:
    states += [step("processing", 0)]
    feed = StatusFeed(Statuses(cast(Database, None)))
    changes = feed.watch(uuid4(), "local")
    await anext(changes)
    states.clear()
    assert [change async for change in changes] == []
    assert not feed._topics


async def test_nothing_is_kept_of_an_abandoned_stream(
    states: list[dict[str, Any]],
) -> None:
    states += [step("processing", 0)]
    feed = StatusFeed(Statuses(cast(Database, None)))
    changes = feed.watch(uuid4(), "local")
    await anext(changes)
    (topic,) = feed._topics.values()
    await cast(Any, changes).aclose()
    assert not feed._topics
    assert topic.reader is not None
    assert topic.reader.cancelling()
