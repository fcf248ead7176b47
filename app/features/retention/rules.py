"""Rules of retention: how long each kind of data is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

LABEL = "label:"
"""Prefix of the rules for a label."""


class Kind(StrEnum):
    """What a rule deletes."""

    BYTES = "bytes"
    """The stored file. Results and rejects stay."""
    ROWS = "rows"
    """The results in the tables of the service."""
    REJECTS = "rejects"
    """The rejected rows."""
    JOBS = "jobs"
    """The file with all its jobs and everything that belongs to them."""


@dataclass(frozen=True, slots=True)
class Days:
    """Days after the end of a job until one kind of its data is deleted. None: never."""

    default: float | None
    by_processor: Mapping[str, float]
    """Days for the jobs of single processors, instead of the default."""
    by_label: Mapping[str, float] = field(default_factory=dict)
    """Days for the jobs with single labels, instead of all others; the longest for a job with
    several of them.
    """

    @property
    def is_off(self) -> bool:
        return self.default is None and not self.by_processor and not self.by_label


def rules_of(setting: Mapping[str, float]) -> dict[Kind, Days]:
    """Return the rules of a setting such as {"bytes": 7, "sentiment.rows": 30,
    "label:audit.jobs": 3650}.
    """
    return {kind: _days(kind, setting) for kind in Kind}


def _days(kind: Kind, setting: Mapping[str, float]) -> Days:
    by_processor: dict[str, float] = {}
    by_label: dict[str, float] = {}
    for name, days in setting.items():
        whose, dot, named = name.rpartition(".")
        if not dot or named != kind:
            continue
        if whose.startswith(LABEL):
            by_label[whose.removeprefix(LABEL)] = days
        else:
            by_processor[whose] = days
    return Days(setting.get(kind), by_processor, by_label)
