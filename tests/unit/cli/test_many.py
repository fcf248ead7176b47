"""Filters as they are written on a command line."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from app.cli.common import CliError
from app.cli.many import conditions, moment


def test_a_day_lasts_from_midnight_here_to_the_next_one() -> None:
    start = datetime.fromisoformat(moment("2026-03-28"))
    end = datetime.fromisoformat(moment("2026-03-28", is_end=True))
    assert (start.hour, start.minute, start.day) == (0, 0, 28)
    assert start.tzinfo is not None
    assert (end.hour, end.minute, end.day) == (0, 0, 29)
    at = moment("2026-03-28T08:00", is_end=True)
    assert datetime.fromisoformat(at) == start + timedelta(hours=8)


def test_conditions_have_the_names_of_the_options_of_list() -> None:
    where = conditions(["label=a", "label=b", "rejected=5%", "status=failed", "search=x=y"])
    assert where == {
        "label": ["a", "b"],
        "rejected_over": 5.0,
        "status": "failed",
        "search": "x=y",
    }
    assert conditions(["to=2026-03-28"])["until"] == moment("2026-03-28", is_end=True)


@pytest.mark.parametrize("written", ["owner=me", "from=yesterday", "rejected=many", "label"])
def test_a_condition_that_cannot_be_read_is_refused(written: str) -> None:
    with pytest.raises(CliError):
        conditions([written])
