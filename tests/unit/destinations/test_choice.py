"""The destination of a job's rows follows from its row in the database; all operations on its
results go there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.db.results import PageHead
from app.db.rows import JobWork, PageRow
from app.destinations.base import Destination, ReadBack, ResultDestination, TakenBack
from app.destinations.job import JobDestination
from app.destinations.pages import Pages
from app.destinations.registry import Destinations
from app.destinations.rejects import Rejects
from app.formats.base import Page

NOTHING: Any = None
PAGE = Page(1, 1, None, b'[["a"]]')


class Place(ResultDestination):
    """Records its calls."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def write(self, connection: Any, job_id: UUID, rows: Sequence[Page]) -> dict[str, int]:
        self.asked.append("write")
        return {}

    async def merge(
        self, connection: Any, job_id: UUID, rows: Sequence[Any], start: int, end: int
    ) -> dict[str, int]:
        self.asked.append(f"merge {start} {end}")
        return {}

    async def take_back(self, connection: Any, job_id: UUID, at_most: int) -> TakenBack | None:
        self.asked.append("take_back")
        return TakenBack(removed=1)

    async def remove(self, connection: Any, job_id: UUID, at_most: int) -> bool:
        self.asked.append("remove")
        return True

    async def count(self, connection: Any, job_id: UUID) -> int:
        raise AssertionError

    async def read_back(self, connection: Any, job_id: UUID, first_rows: Sequence[int]) -> ReadBack:
        raise AssertionError

    async def heads(self, connection: Any, job_id: UUID, first_row: int) -> list[PageHead]:
        raise AssertionError

    async def pages(
        self, connection: Any, job_id: UUID, after: int, limit: int, most_bytes: int
    ) -> Sequence[PageRow]:
        raise AssertionError


class Into:
    """Results of jobs with an option `into` go to the destination of that name."""

    def __init__(self, **places: Place) -> None:
        self.places = places

    def of(self, processor: str, options: Mapping[str, Any]) -> ResultDestination | None:
        return self.places.get(options.get("into", ""))


class Table(Destination):
    """Counts the rows that it gets."""

    async def write(self, connection: Any, job_id: UUID, rows: Sequence[Any]) -> dict[str, int]:
        return {"inserted": len(rows)} if rows[0] != "uncounted" else {}

    async def remove(self, connection: Any, job_id: UUID, at_most: int) -> bool:
        return False


@pytest.mark.parametrize("is_sqlite", [True, False])
def test_each_job_has_the_destination_that_its_row_names(is_sqlite: bool) -> None:
    orders, prices = Place(), Place()
    destinations = Destinations((), is_sqlite=is_sqlite)
    destinations.add(Into(orders=orders))
    destinations.add(Into(orders=prices, prices=prices))
    assert destinations.of(JobWork("rows", {"into": "orders"})).results is orders
    assert destinations.of(JobWork("rows", {"into": "prices"})).results is prices
    assert isinstance(destinations.of(JobWork("rows", {})).results, Pages)
    # also of a processor that no longer exists
    gone = JobWork("gone", {"into": "nowhere"})
    assert isinstance(destinations.of(gone).results, Pages)


async def test_all_operations_on_results_go_to_their_destination() -> None:
    place = Place()
    destinations = Destinations((), is_sqlite=True)
    destinations.add(Into(here=place))
    job = destinations.of(JobWork("rows", {"into": "here"}))
    assert await job.write(NOTHING, uuid4(), [PAGE], [], {}) == {}
    assert await job.merge(NOTHING, uuid4(), [PAGE], {}, 5, 9) == ({}, {})
    assert await job.take_back(NOTHING, uuid4(), 10) == TakenBack(removed=1)
    assert await job.remove(NOTHING, uuid4(), 10)
    assert place.asked == ["write", "merge 5 9", "take_back", "remove"]


async def test_counts_are_reported_by_table() -> None:
    """Omits tables without rows, and those that count nothing."""
    job = JobDestination(Place(), {"a": Table(), "b": Table(), "c": Table()}, Rejects(NOTHING))
    rows: dict[str, list[Any]] = {"a": [1, 2], "b": [], "c": ["uncounted"]}
    assert await job.write(NOTHING, uuid4(), [], [], rows) == {"a": {"inserted": 2}}
    assert await job.merge(NOTHING, uuid4(), [], rows, 1, 2) == ({}, {"a": {"inserted": 2}})
