"""A process that dies during a conclusion costs the job nothing, unless it dies every time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from app.pipeline.concluder import surviving_deaths
from app.pipeline.processes import WorkerDied


class Dying:
    """Computes in a process that dies this many times before it returns."""

    def __init__(self, deaths: int) -> None:
        self.deaths = deaths
        self.calls = 0

    def __call__(self, work: Callable[..., Any], *arguments: Any) -> Any:
        self.calls += 1
        if self.calls <= self.deaths:
            raise WorkerDied
        return work(*arguments)


@pytest.mark.parametrize("deaths", [0, 1, 2])
async def test_two_deaths_are_tolerated(deaths: int) -> None:
    compute = Dying(deaths)
    assert await surviving_deaths(compute)(sum, [1, 2]) == 3
    assert compute.calls == deaths + 1


async def test_the_third_death_is_logged() -> None:
    compute = Dying(3)
    with pytest.raises(WorkerDied):
        await surviving_deaths(compute)(sum, [1, 2])
    assert compute.calls == 3


async def test_an_exception_of_the_work_is_not_a_death() -> None:
    compute = Dying(0)
    with pytest.raises(ZeroDivisionError):
        await surviving_deaths(compute)(lambda: 1 / 0)
    assert compute.calls == 1
