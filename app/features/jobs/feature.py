"""Jobs: list, events, status, proof, chunks, and control of any job."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from app.feature import Feature, Service

if TYPE_CHECKING:
    from app.wiring import Core


def _services(core: Core) -> Iterable[Service]:
    from app.features.jobs.list_feed import ListFeed

    feed = ListFeed(core.database)
    return [Service(feed, drain=feed.close)]


JOBS = Feature("jobs", services=_services)
