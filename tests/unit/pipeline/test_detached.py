"""Detached work is bounded by its bytes, over all jobs of a processor, and no task is lost."""

from __future__ import annotations

from uuid import uuid4

from app.pipeline.detached import DetachedBudget


def test_a_task_beyond_the_budget_starts_when_there_is_capacity() -> None:
    budget, first, second = DetachedBudget(100), uuid4(), uuid4()
    assert budget.take("scoring", first, 99)
    assert budget.take("scoring", first, 1000), (
        "there was room: else a large chunk would never begin"
    )
    assert not budget.take("scoring", second, 1)
    assert budget.take("mapping", second, 1), "another processor waits for another service"
    assert budget.give_back("scoring", 1000) == {second}
    assert budget.give_back("scoring", 99) == set(), "called once"
    assert budget.take("scoring", second, 1)
